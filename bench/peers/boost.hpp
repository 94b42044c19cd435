// boost::concurrent_flat_map, which Boost has since 1.83.
#pragma once

#include "peers/peer.hpp"

#if __has_include(<boost/unordered/concurrent_flat_map.hpp>)
#include <boost/unordered/concurrent_flat_map.hpp>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "lockmap/lockmap.hpp"

namespace bench {

// Else Boost mixes the bits once more.
template <class K>
struct BoostHash : lockmap::default_hash<K> {
  using is_avalanching = std::true_type;
};

template <class K, class V>
class BasicBoostPeer : public PeerDefaults {
 public:
  using Key = K;
  static constexpr std::string_view name = "Boost";
  static constexpr std::string_view note =
      "boost::concurrent_flat_map, with the hash declared avalanching. guard: visit(), a callback "
      "under the element's lock and, shared, that of its group of 15; get, read: cvisit(), under "
      "both held shared; group: the bulk cvisit() or, to insert, insert_or_visit(); absent keys, "
      "four keys: cannot";
  static constexpr bool held_key_blocks = true;

  explicit BasicBoostPeer(std::size_t capacity) : map_(capacity) {}

  template <class Q>
  Value get(const Q& key) {
    Value value = 0;
    map_.cvisit(key, [&value](const auto& element) { value = element.second; });
    return value;
  }
  void insert(const Key& key, V value) { map_.insert_or_assign(key, std::move(value)); }
  template <class Q>
  void remove(const Q& key) {
    map_.erase(key);
  }
  void guard(const Key& key) {
    map_.visit(key, [](auto& element) { ++element.second; });
  }
  template <class F>
  void read(const Key& key, const F& f) {
    map_.cvisit(key, [&f](const auto& element) { f(element.second); });
  }
  template <class Q>
  Value get_many(const GroupKeys<Q>& keys) {
    Value sum = 0;
    map_.cvisit(keys.begin(), keys.end(), [&sum](const auto& element) { sum += element.second; });
    return sum;
  }
  void insert_many(const GroupPairs<Key>& pairs) {
    for (const auto& pair : pairs) {
      map_.insert_or_visit(pair, [&pair](auto& element) { element.second = pair.second; });
    }
  }

 private:
  boost::concurrent_flat_map<Key, V, BoostHash<Key>, lockmap::default_equal<Key>> map_;
};

template <class K>
using BoostPeer = BasicBoostPeer<K, Value>;
template <class K>
using BoostTextPeer = BasicBoostPeer<K, std::string>;

using BoostPeers = PeerList<BoostPeer>;
using BoostTextPeers = PeerList<BoostTextPeer>;

}  // namespace bench
#else
namespace bench {

using BoostPeers = PeerList<>;
using BoostTextPeers = PeerList<>;

}  // namespace bench
#endif
