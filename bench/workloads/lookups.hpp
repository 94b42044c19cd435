// Look-ups, and reads in place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "random.hpp"
#include "workloads/workload.hpp"

namespace bench {

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

// Keys of very unequal popularity.
struct GetZipf : OnIntegers {
  explicit GetZipf(std::uint64_t count, const std::string& what = "get Zipf(0.99)")
      : OnIntegers(what + ", " + count_name(count) + " keys", count),
        sequence(zipf_sequence(count, 0.99, std::size_t{1} << 20U)) {}

  // A place in the sequence, which each thread reads from somewhere else.
  [[nodiscard]] std::size_t state(std::uint64_t seed) const { return seed % sequence.size(); }
  [[nodiscard]] Key next(std::size_t& at) const {
    at = (at + 1) % sequence.size();
    return sequence[at];
  }
  template <class Peer>
  Value step(Peer& peer, std::size_t& at) const {
    return peer.get(next(at));
  }

  std::vector<std::uint32_t> sequence;
};

// Steps on strings that do not fit into a std::string without an allocation, looked up by views.
struct OnStrings : WorkloadDefaults {
  using Key = std::string;

  OnStrings(const std::string& what, std::uint64_t count)
      : name(what + ", " + count_name(count) + " keys of 24 characters"), keys(count) {
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

  static constexpr std::size_t length = 24;
  std::string name;
  std::uint64_t keys;
  std::string text;  // of all the keys, one after the other
};

struct GetString : OnStrings {
  explicit GetString(std::uint64_t count) : OnStrings("get by string_view", count) {}

  template <class Peer>
  Value step(Peer& peer, Random& random) const {
    return peer.get(view(random.draw().key(keys)));
  }
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

}  // namespace bench
