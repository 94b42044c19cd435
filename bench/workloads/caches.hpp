// The workloads of caches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "random.hpp"
#include "workloads/lookups.hpp"
#include "workloads/workload.hpp"

namespace bench {

struct Peek : OnIntegers {
  explicit Peek(std::uint64_t count, const std::string& what = "peek")
      : OnIntegers(what + ", " + count_name(count) + " keys", count) {}

  template <class Peer>
  Value step(Peer& peer, Random& random) const {
    return peer.peek(random.draw().key(keys));
  }
};

// Half inserts and half look-ups of four times as many keys as the cache may hold: most inserts
// evict, and a quarter of the look-ups hit.
struct Evict : OnIntegers {
  explicit Evict(std::uint64_t max_size, const std::string& what = "50:50 insert and get")
      : OnIntegers(what + ", 4 x " + count_name(max_size) + " keys", 4 * max_size) {}

  [[nodiscard]] std::size_t bound() const { return keys / 4; }
  template <class Peer>
  Value step(Peer& peer, Random& random) const {
    const Draw draw = random.draw();
    if (draw.one_of_thousand(500)) return peer.get(draw.key(keys));
    peer.insert(draw.key(keys), 1);
    return 0;
  }
};

// Look-ups of very unequal popularity in a cache that is full, with the more popular half of twice
// as many keys as it holds.
struct FullCacheGet : GetZipf {
  FullCacheGet(std::uint64_t max_size, const std::string& what)
      : GetZipf(max_size, what + ", Zipf(0.99), full") {}

  [[nodiscard]] std::size_t bound() const { return keys; }
  template <class Peer>
  void fill(Peer& peer) const {
    for (Key key = 2 * keys; key-- > 0;) peer.insert(key, key);
  }
};

struct FullCachePeek : FullCacheGet {
  using FullCacheGet::FullCacheGet;

  template <Peeks Peer>
  Value step(Peer& peer, std::size_t& at) const {
    return peer.peek(next(at));
  }
};

// A cache for a sixteenth of the keys. What is not there is stored, at no other cost.
struct ReadThrough : OnIntegers {
  explicit ReadThrough(std::uint64_t count)
      : OnIntegers("LRU: read through, " + count_name(count / 16) + " of " + count_name(count) +
                       " keys, Zipf(0.99)",
                   count),
        sample(zipf_sequence(count, 0.99, std::size_t{1} << 20U)) {}

  static constexpr bool counts_hits = true;
  [[nodiscard]] std::size_t bound() const { return keys / 16; }
  // Until the hit rate is what it will be.
  template <class Peer>
  void fill(Peer& peer) const {
    Random random(1);
    for (std::uint64_t i = 0; i < keys; ++i) step(peer, random);
  }
  // Each draw for itself: a sequence that came again would hit more often.
  template <class Peer>
  Value step(Peer& peer, Random& random) const {
    const Key key = sample[static_cast<std::size_t>(random.draw().key(sample.size()))];
    if (peer.get(key) != 0) return 1;
    peer.insert(key, 1);
    return 0;
  }

  std::vector<std::uint32_t> sample;
};

}  // namespace bench
