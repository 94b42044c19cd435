// lockmap's cache, with what it can be told.
#pragma once

#include <chrono>
#include <cstddef>
#include <string_view>
#include <utility>

#include "lockmap/lockmap.hpp"
#include "peers/cache_peer.hpp"
#include "peers/peer.hpp"

namespace bench {

template <class K>
class LruLockMapPeer : public CachePeer<K, lockmap::LruLockMap<K, Value>> {
  using Base = CachePeer<K, lockmap::LruLockMap<K, Value>>;

 public:
  static constexpr std::string_view name = "LruLockMap";
  static constexpr std::string_view note =
      "get() promotes and counts a hit or a miss in stats(); peek() does neither; insert() returns "
      "the previous value and evicts beyond max_size, which its shards share exactly";
  using Base::Base;
};

template <class K>
struct ExactLruLockMapPeer : LruLockMapPeer<K> {
  static constexpr std::string_view name = "LruLockMap-exact";
  static constexpr std::string_view note =
      "with Recency::exact: every hit reorders its shard; the others have the default, relaxed";

  explicit ExactLruLockMapPeer(std::size_t max_size)
      : LruLockMapPeer<K>(std::in_place, lockmap::LruOptions{.max_size = max_size,
                                                             .recency = lockmap::Recency::exact}) {}
};

template <class K>
struct ExpiringLruLockMapPeer : LruLockMapPeer<K> {
  explicit ExpiringLruLockMapPeer(std::size_t max_size)
      : LruLockMapPeer<K>(
            std::in_place,
            lockmap::LruOptions{.max_size = max_size, .time_to_live = std::chrono::hours(1)}) {}
};

template <class K>
struct WeightedLruLockMapPeer : LruLockMapPeer<K> {
  explicit WeightedLruLockMapPeer(std::size_t keys)
      : LruLockMapPeer<K>(
            std::in_place, lockmap::LruOptions{.max_weight = weight_of_so_many(keys)},
            typename lockmap::LruLockMap<K, Value>::Hooks{
                .weigh = [](const K& /*key*/, const Value& value) { return weight_of(value); }}) {}
};

}  // namespace bench
