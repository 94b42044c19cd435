// A map without any lock: the limit.
#pragma once

#include <cstddef>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "lockmap/lockmap.hpp"
#include "peers/peer.hpp"

namespace bench {

template <class K>
class UnsynchronisedPeer : public PeerDefaults {
 public:
  using Key = K;
  static constexpr std::string_view name = "unsynchronised";
  static constexpr std::string_view note =
      "one absl::flat_hash_map without any lock, for one thread: what the work itself costs. guard "
      "and four keys: look-ups and increments; absent and held keys: nothing to do";
  static constexpr unsigned max_threads = 1;

  explicit UnsynchronisedPeer(std::size_t capacity) { map_.reserve(capacity); }

  template <class Q>
  Value get(const Q& key) {
    const auto found = map_.find(key);
    return found == map_.end() ? 0 : found->second;
  }
  void insert(const Key& key, Value value) { map_.insert_or_assign(key, value); }
  template <class Q>
  void remove(const Q& key) {
    map_.erase(key);
  }
  void guard(const Key& key) {
    const auto found = map_.find(key);
    if (found != map_.end()) ++found->second;
  }
  void guard_four(const BatchKeys<Key>& keys) {
    for (const Key& key : keys) guard(key);
  }

 private:
  absl::flat_hash_map<Key, Value, lockmap::default_hash<Key>, lockmap::default_equal<Key>> map_;
};

}  // namespace bench
