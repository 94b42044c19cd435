// libcuckoo::cuckoohash_map.
#pragma once

#include "peers/peer.hpp"

#if __has_include(<libcuckoo/cuckoohash_map.hh>)
#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <libcuckoo/cuckoohash_map.hh>

#include "lockmap/lockmap.hpp"

namespace bench {

template <class K, class V>
class BasicCuckooPeer : public PeerDefaults {
 public:
  using Key = K;
  static constexpr std::string_view name = "libcuckoo";
  static constexpr std::string_view note =
      "libcuckoo::cuckoohash_map. guard: update_fn, a callback under the locks of the key's two "
      "buckets; absent keys: cannot, it calls back for present keys only; four keys: lock_table, "
      "which locks the whole map, as there is no other way; read: find_fn, under those same locks";
  static constexpr bool held_key_blocks = true;

  explicit BasicCuckooPeer(std::size_t capacity) {
    if (capacity != 0) map_.reserve(capacity);
  }

  template <class Q>
  Value get(const Q& key) {
    Value value = 0;
    map_.find(key, value);
    return value;
  }
  void insert(const Key& key, V value) { map_.insert_or_assign(key, std::move(value)); }
  template <class Q>
  void remove(const Q& key) {
    map_.erase(key);
  }
  void guard(const Key& key) {
    map_.update_fn(key, [](Value& value) { ++value; });
  }
  template <class F>
  void read(const Key& key, const F& f) {
    map_.find_fn(key, f);
  }
  void guard_four(const BatchKeys<Key>& keys) {
    auto table = map_.lock_table();
    for (const Key& key : keys) {
      auto found = table.find(key);
      if (found != table.end()) ++found->second;
    }
  }

 private:
  libcuckoo::cuckoohash_map<Key, V, lockmap::default_hash<Key>, lockmap::default_equal<Key>> map_;
};

template <class K>
using CuckooPeer = BasicCuckooPeer<K, Value>;
template <class K>
using CuckooTextPeer = BasicCuckooPeer<K, std::string>;

using CuckooPeers = PeerList<CuckooPeer>;
using CuckooTextPeers = PeerList<CuckooTextPeer>;

}  // namespace bench
#else
namespace bench {

using CuckooPeers = PeerList<>;
using CuckooTextPeers = PeerList<>;

}  // namespace bench
#endif
