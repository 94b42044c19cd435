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

// A step is a group of keys. The figures are per key.
template <class OnKeys>
struct InGroups : OnKeys {
  using OnKeys::OnKeys;

  static constexpr unsigned operations = group_size;
  static constexpr unsigned chunk = 16;
  [[nodiscard]] static std::vector<unsigned> threads() { return {1, 2}; }
};

// Look-ups.
struct GetMany : InGroups<OnIntegers> {
  explicit GetMany(std::uint64_t count)
      : InGroups("get_many of 16, " + count_name(count) + " keys", count) {}

  template <class Peer>
  Value step(Peer& peer, Random& random) const {
    GroupKeys<Key> group;
    for (Key& key : group) key = random.draw().key(keys);
    return peer.get_many(group);
  }
};

// The same by views of strings.
struct GetManyStrings : InGroups<OnStrings> {
  explicit GetManyStrings(std::uint64_t count) : InGroups("get_many of 16 by string_view", count) {}

  template <class Peer>
  Value step(Peer& peer, Random& random) const {
    GroupKeys<std::string_view> group;
    for (std::string_view& key : group) key = view(random.draw().key(keys));
    return peer.get_many(group);
  }
};

// A group of values stored under keys that have one.
struct InsertMany : InGroups<OnIntegers> {
  explicit InsertMany(std::uint64_t count)
      : InGroups("insert_many of 16, " + count_name(count) + " keys", count) {}

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
