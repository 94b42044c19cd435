// Many keys at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "random.hpp"
#include "workloads/lookups.hpp"
#include "workloads/workload.hpp"

namespace bench {

// A group of look-ups. The figures are per key.
struct GetMany : OnIntegers {
  explicit GetMany(std::uint64_t count)
      : OnIntegers("get_many of 16, " + count_name(count) + " keys", count) {}

  static constexpr unsigned operations = group_size;
  static constexpr unsigned chunk = 16;
  [[nodiscard]] static std::vector<unsigned> threads() { return {1, 2}; }
  template <class Peer>
  Value step(Peer& peer, Random& random) const {
    GroupKeys<Key> group;
    for (Key& key : group) key = random.draw().key(keys);
    return peer.get_many(group);
  }
};

// The same by views of strings.
struct GetManyStrings : OnStrings {
  explicit GetManyStrings(std::uint64_t count)
      : OnStrings("get_many of 16 by string_view", count) {}

  static constexpr unsigned operations = group_size;
  static constexpr unsigned chunk = 16;
  [[nodiscard]] static std::vector<unsigned> threads() { return {1, 2}; }
  template <class Peer>
  Value step(Peer& peer, Random& random) const {
    GroupKeys<std::string_view> group;
    for (std::string_view& key : group) key = view(random.draw().key(keys));
    return peer.get_many(group);
  }
};

// A group of values stored under keys that have one.
struct InsertMany : OnIntegers {
  explicit InsertMany(std::uint64_t count)
      : OnIntegers("insert_many of 16, " + count_name(count) + " keys", count) {}

  static constexpr unsigned operations = group_size;
  static constexpr unsigned chunk = 16;
  [[nodiscard]] static std::vector<unsigned> threads() { return {1, 2}; }
  template <InsertsMany Peer>
  Value step(Peer& peer, Random& random) const {
    GroupPairs<Key> group;
    for (auto& [key, value] : group) {
      key = random.draw().key(keys);
      value = key;
    }
    peer.insert_many(group);
    return 0;
  }
};

}  // namespace bench
