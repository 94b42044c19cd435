// What is measured. Every workload is written once, for all peers and for every way to run it.
//
// Most are steps: a peer is filled, and then each thread calls `step(peer, state)` over and over,
// with a state of its own that says which key comes next. The others (`measure`) are a whole, such
// as filling a map.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "paired.hpp"
#include "peers.hpp"
#include "random.hpp"

namespace bench {

// "64k", "4M", "1000".
inline std::string count_name(std::uint64_t count) {
  if (count % 1'000'000 == 0) return std::to_string(count / 1'000'000) + "M";
  if (count % 1024 == 0) return std::to_string(count / 1024) + "k";
  return std::to_string(count);
}

struct Sizes {
  std::uint64_t keys = 64 * 1024;     // tables of a few megabytes
  std::uint64_t large = 4'000'000;    // far beyond the caches
  std::uint64_t popular = 1'000'000;  // for keys of unequal popularity
  std::uint64_t bulk = 1'000'000;
};

// What holds for a workload unless it says otherwise.
struct WorkloadDefaults {
  static constexpr const char* unit = "ns";
  static constexpr unsigned chunk = 128;          // steps between two looks at the clock
  static constexpr bool holds_first_key = false;  // the lock of key 0 is held all the time
  [[nodiscard]] static std::vector<unsigned> threads() { return {1, 2, 4}; }
};

// Steps on keys 0, 1, ... of which all are present at first.
struct OnIntegers : WorkloadDefaults {
  using Key = std::uint64_t;

  OnIntegers(std::string its_name, std::uint64_t count) : name(std::move(its_name)), keys(count) {}

  // A cache has room to spare: its shards do not get equal parts of the keys.
  [[nodiscard]] std::size_t bound() const { return 2 * keys; }
  template <class Peer>
  void fill(Peer& peer) const {
    for (Key key = 0; key < keys; ++key) peer.insert(key, key);
  }
  [[nodiscard]] Random state(std::uint64_t seed) const { return Random(seed); }

  std::string name;
  std::uint64_t keys;
};

template <class Workload, class Peer>
std::unique_ptr<Peer> make_filled(const Workload& workload) {
  auto peer = std::make_unique<Peer>(Peer::bounded ? workload.bound() : 0);
  workload.fill(*peer);
  return peer;
}

// -- Look-ups ------------------------------------------------------------------------------------

// A value that is there. In a cache, this promotes its key.
struct Get : OnIntegers {
  explicit Get(std::uint64_t count, const std::string& what = "get")
      : OnIntegers(what + ", " + count_name(count) + " keys", count) {}

  template <class Peer>
  Value step(Peer& peer, Random& random) const {
    return peer.get(random.draw().key(keys));
  }
};

// The same while somebody holds the lock of a key that nobody asks for.
struct GetBesideHeld : Get {
  explicit GetBesideHeld(std::uint64_t count) : Get(count, "get beside a held key") {}

  static constexpr bool holds_first_key = true;
  [[nodiscard]] static std::vector<unsigned> threads() { return {1, 2}; }
  template <class Peer>
  Value step(Peer& peer, Random& random) const {
    return peer.get(1 + random.draw().key(keys - 1));
  }
};

struct Peek : OnIntegers {
  explicit Peek(std::uint64_t count, const std::string& what = "peek")
      : OnIntegers(what + ", " + count_name(count) + " keys", count) {}

  template <class Peer>
  Value step(Peer& peer, Random& random) const {
    return peer.peek(random.draw().key(keys));
  }
};

// Keys of very unequal popularity.
struct GetZipf : OnIntegers {
  explicit GetZipf(std::uint64_t count)
      : OnIntegers("get Zipf(0.99), " + count_name(count) + " keys", count),
        sequence(zipf_sequence(count, 0.99, std::size_t{1} << 20U)) {}

  // A place in the sequence, which each thread reads from somewhere else.
  [[nodiscard]] std::size_t state(std::uint64_t seed) const { return seed % sequence.size(); }
  template <class Peer>
  Value step(Peer& peer, std::size_t& at) const {
    at = (at + 1) % sequence.size();
    return peer.get(Key{sequence[at]});
  }

  std::vector<std::uint32_t> sequence;
};

// Strings that do not fit into a std::string without an allocation, looked up by views.
struct GetString : WorkloadDefaults {
  using Key = std::string;

  explicit GetString(std::uint64_t count)
      : name("get by string_view, " + count_name(count) + " keys of 24 characters"), keys(count) {
    for (std::uint64_t key = 0; key < keys; ++key) {
      const std::string digits = std::to_string(key);
      text += std::string(length - digits.size(), 'k') + digits;
    }
  }

  [[nodiscard]] std::size_t bound() const { return 2 * keys; }
  [[nodiscard]] std::string_view view(std::uint64_t key) const {
    return std::string_view(text).substr(key * length, length);
  }
  template <class Peer>
  void fill(Peer& peer) const {
    for (std::uint64_t key = 0; key < keys; ++key) peer.insert(Key(view(key)), key);
  }
  [[nodiscard]] Random state(std::uint64_t seed) const { return Random(seed); }
  template <class Peer>
  Value step(Peer& peer, Random& random) const {
    return peer.get(view(random.draw().key(keys)));
  }

  static constexpr std::size_t length = 24;
  std::string name;
  std::uint64_t keys;
  std::string text;  // of all the keys, one after the other
};

// A string of 200 bytes, read to its end where it is, of any key or of the first one.
struct ReadText : OnIntegers {
  ReadText(const std::string& what, std::uint64_t wanted_keys, std::uint64_t count)
      : OnIntegers("read a 200-byte string, " + what + ", " + count_name(count) + " keys", count),
        wanted(wanted_keys) {}

  template <class Peer>
  void fill(Peer& peer) const {
    for (Key key = 0; key < keys; ++key) peer.insert(key, std::string(length, 'x'));
  }
  template <class Peer>
  Value step(Peer& peer, Random& random) const {
    Value sum = 0;
    peer.read(random.draw().key(wanted), [&sum](const std::string& text) {
      for (std::size_t at = 0; at < length; at += sizeof(Value)) {
        Value word = 0;
        std::memcpy(&word, text.data() + at, sizeof(Value));
        sum += word;
      }
    });
    return sum;
  }

  static constexpr std::size_t length = 200;
  std::uint64_t wanted;
};

// -- Changes -------------------------------------------------------------------------------------

// Look-ups, and values stored under keys that have one, so that the table stays as it is.
struct GetAndInsert : OnIntegers {
  GetAndInsert(std::string shares, std::uint64_t inserts, std::uint64_t count)
      : OnIntegers(std::move(shares) + ", " + count_name(count) + " keys", count),
        inserts_per_mille(inserts) {}

  template <class Peer>
  Value step(Peer& peer, Random& random) const {
    const Draw draw = random.draw();
    if (!draw.one_of_thousand(inserts_per_mille)) return peer.get(draw.key(keys));
    peer.insert(draw.key(keys), 1);
    return 0;
  }

  std::uint64_t inserts_per_mille;
};

// Half inserts and half removals of uniform keys: half of the keys are present all along.
struct Churn : OnIntegers {
  explicit Churn(std::uint64_t count)
      : OnIntegers("insert/remove churn, " + count_name(count) + " keys", count) {}

  template <class Peer>
  void fill(Peer& peer) const {
    for (Key key = 0; key < keys; key += 2) peer.insert(key, key);
  }
  template <class Peer>
  Value step(Peer& peer, Random& random) const {
    const Draw draw = random.draw();
    if (draw.one_of_thousand(500)) {
      peer.insert(draw.key(keys), 1);
    } else {
      peer.remove(draw.key(keys));
    }
    return 0;
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

// -- Locks of keys -------------------------------------------------------------------------------

// Keys that are there, all of them or the first few.
struct Guard : OnIntegers {
  Guard(const std::string& what, std::uint64_t wanted_keys, std::uint64_t count)
      : OnIntegers(what + ", " + count_name(count) + " keys", count), wanted(wanted_keys) {}

  template <GuardsKeys Peer>
  Value step(Peer& peer, Random& random) const {
    peer.guard(random.draw().key(wanted));
    return 0;
  }

  std::uint64_t wanted;
};

struct GuardUniform : Guard {
  explicit GuardUniform(std::uint64_t count) : Guard("guard on a uniform key", count, count) {}
};

struct GuardHot : Guard {
  explicit GuardHot(std::uint64_t count) : Guard("guard on 8 hot keys", 8, count) {}
  [[nodiscard]] static std::vector<unsigned> threads() { return {1, 2, 4, 8}; }
};

// The same with a look at the clock after each operation, for the longest of them. The cost of the
// clock is in the figure, of every peer alike.
struct GuardHotTimed : Guard {
  explicit GuardHotTimed(std::uint64_t count)
      : Guard("guard on 8 hot keys, each timed", 8, count) {}
  static constexpr unsigned chunk = 1;
  [[nodiscard]] static std::vector<unsigned> threads() { return {2, 4, 8}; }
};

// One key that everybody reads.
struct SharedGuardHot : OnIntegers {
  explicit SharedGuardHot(std::uint64_t count)
      : OnIntegers("shared guard, one hot key, " + count_name(count) + " keys", count) {}
  template <class Peer>
  Value step(Peer& peer, Random& /*random*/) const {
    return peer.shared_guard(0);
  }
};

// A pool of locks: keys that are never there.
struct GuardAbsent : OnIntegers {
  explicit GuardAbsent(std::uint64_t count)
      : OnIntegers("guard on absent keys, " + count_name(count) + " keys", count) {}

  template <class Peer>
  void fill(Peer& /*peer*/) const {}
  template <GuardsAbsentKeys Peer>
  Value step(Peer& peer, Random& random) const {
    peer.guard_absent(random.draw().key(keys));
    return 0;
  }
};

// The locks of four keys at once. One step is all four.
struct GuardFour : OnIntegers {
  explicit GuardFour(std::uint64_t count)
      : OnIntegers("batch of 4 guards, " + count_name(count) + " keys", count) {}

  template <GuardsFourKeys Peer>
  Value step(Peer& peer, Random& random) const {
    BatchKeys<Key> four;
    for (Key& key : four) key = random.draw().key(keys);
    peer.guard_four(four);
    return 0;
  }
};

// -- Wholes --------------------------------------------------------------------------------------

// Else a slice pays for what the one before has left in the heap: up to twice its own time, to put
// a million freed blocks together.
inline void begin_with_fresh_memory() {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

// From nothing to a map of so many keys, per key: its construction and, by all threads together,
// the insertion of every key.
struct BulkInsert : WorkloadDefaults {
  using Key = std::uint64_t;

  BulkInsert(std::uint64_t count, bool reserve)
      : name("bulk insert of " + count_name(count) + (reserve ? ", room reserved" : "")),
        keys(count),
        capacity(reserve ? count : 0) {}

  template <class Peer>
  Slice measure(Team& team) const {
    Slice slice;
    slice.line_ns = line_transfer(team);
    begin_with_fresh_memory();
    const Clock::time_point begin = Clock::now();
    Peer peer(capacity);
    team.run([&](unsigned worker) {
      const Key end = keys * (worker + 1) / team.size();
      for (Key key = keys * worker / team.size(); key < end; ++key) peer.insert(key, key);
    });
    slice.cost = nanoseconds(Clock::now() - begin) / static_cast<double>(keys);
    return slice;
  }

  std::string name;
  std::uint64_t keys;
  std::size_t capacity;
};

// The destruction of a full map, per key.
struct Destroy : OnIntegers {
  explicit Destroy(std::uint64_t count, const std::string& what = "destroy")
      : OnIntegers(what + ", " + count_name(count) + " keys", count) {}

  [[nodiscard]] static std::vector<unsigned> threads() { return {1}; }
  template <class Peer>
  Slice measure(Team& team) const {
    Slice slice;
    team.run([&](unsigned worker) {
      if (worker != 0) return;
      std::unique_ptr<Peer> peer = make_filled<Destroy, Peer>(*this);
      const Clock::time_point begin = Clock::now();
      peer.reset();
      slice.cost = nanoseconds(Clock::now() - begin) / static_cast<double>(keys);
    });
    return slice;
  }
};

// -- Whether a peer can do it --------------------------------------------------------------------

enum class Support { full, none, blocks };

template <class Workload>
concept MadeOfSteps = requires(const Workload& workload) {
  workload.state(std::uint64_t{});
};
template <class Workload, class Peer>
concept MeasuresItself = requires(const Workload& workload, Team& team) {
  workload.template measure<Peer>(team);
};
template <class Workload, class Peer>
inline constexpr bool measured_by_steps = MadeOfSteps<Workload> && !MeasuresItself<Workload, Peer>;

template <class Workload, class Peer>
constexpr Support support() {
  if constexpr (Workload::holds_first_key && !HoldsKeys<Peer>) {
    // Tried, it would not be slow: it would hang as soon as it met the lock.
    return Peer::held_key_blocks ? Support::blocks : Support::none;
  } else if constexpr (measured_by_steps<Workload, Peer>) {
    using State = decltype(std::declval<const Workload&>().state(0));
    constexpr bool able = requires(const Workload& workload, Peer& peer, State& state) {
      workload.step(peer, state);
    };
    return able ? Support::full : Support::none;
  } else {
    return Support::full;
  }
}

}  // namespace bench
