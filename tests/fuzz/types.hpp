#pragma once

// The types of keys and values that the inputs choose from, and the numbers that the reference has
// for them.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <lockmap/lockmap.hpp>

#include "throw_on.hpp"
#include "tracked.hpp"

namespace lockmap::fuzz {

inline constexpr int max_keys = 64;

// -- Values ---------------------------------------------------------------------------------------

inline int number_of(std::uint64_t value) {
  return static_cast<int>(value);
}
inline int number_of(const test::Tracked& value) {
  return value.number();
}
inline int number_of(const test::Faulty& value) {
  return value.number();
}

struct Thrown {};

// No value can be constructed from it: the attempt throws.
struct Unconvertible {
  operator int() const { throw Thrown(); }
};

// -- Keys -----------------------------------------------------------------------------------------

// Every key in one shard, and all with the same hash.
struct CollidingHash {
  std::size_t operator()(std::uint64_t /*key*/) const { return 0; }
};

// The same in every process, unlike the default.
struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>{}(text);
  }
};

template <class ValueType, class HashType>
struct NumberKeys {
  using Key = std::uint64_t;
  using Value = ValueType;
  using Hash = HashType;

  static Key key(int number) { return static_cast<Key>(number); }
  static Key lookup(int number) { return key(number); }
  static int number_of_key(Key key) { return static_cast<int>(key); }
};

template <class ValueType>
struct TextKeys {
  using Key = std::string;
  using Value = ValueType;
  using Hash = TextHash;

  // Every other key is too long for the string's own buffer.
  static const Key& key(int number) {
    static const std::array keys = [] {
      std::array<Key, max_keys> all;
      for (int i = 0; i < max_keys; ++i) {
        all[static_cast<std::size_t>(i)] =
            (i % 2 == 0 ? "" : "a key that needs memory ") + std::to_string(100 + i);
      }
      return all;
    }();
    return keys[static_cast<std::size_t>(number)];
  }
  static std::string_view lookup(int number) { return key(number); }
  static int number_of_key(const Key& key) { return std::stoi(key.substr(key.size() - 3)) - 100; }
};

}  // namespace lockmap::fuzz
