// gtl::parallel_flat_hash_map, the successor of phmap's.
#pragma once

#include "peers/peer.hpp"

#if __has_include(<gtl/phmap.hpp>)
#include <cstddef>
#include <gtl/phmap.hpp>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "lockmap/lockmap.hpp"

namespace bench {

template <class K, class V>
class BasicGtlPeer : public PeerDefaults {
 public:
  using Key = K;
  static constexpr std::string_view name = "gtl";
  static constexpr std::string_view note =
      "gtl::parallel_flat_hash_map, 64 submaps with a std::mutex each. guard: modify_if(), a "
      "callback under the submap's mutex, so it blocks a 64th of all keys; get, read: "
      "if_contains(), under the same; absent keys, four keys: cannot";
  static constexpr bool held_key_blocks = true;

  explicit BasicGtlPeer(std::size_t capacity) {
    if (capacity != 0) map_.reserve(capacity);
  }

  template <class Q>
  Value get(const Q& key) {
    Value value = 0;
    map_.if_contains(key, [&value](const auto& element) { value = element.second; });
    return value;
  }
  void insert(const Key& key, V value) { map_.insert_or_assign(key, std::move(value)); }
  template <class Q>
  void remove(const Q& key) {
    map_.erase(key);
  }
  void guard(const Key& key) {
    map_.modify_if(key, [](auto& element) { ++element.second; });
  }
  template <class F>
  void read(const Key& key, const F& f) {
    map_.if_contains(key, [&f](const auto& element) { f(element.second); });
  }

 private:
  gtl::parallel_flat_hash_map<Key, V, lockmap::default_hash<Key>, lockmap::default_equal<Key>,
                              std::allocator<std::pair<const Key, V>>, 6, std::mutex>
      map_;
};

template <class K>
using GtlPeer = BasicGtlPeer<K, Value>;
template <class K>
using GtlTextPeer = BasicGtlPeer<K, std::string>;

using GtlPeers = PeerList<GtlPeer>;
using GtlTextPeers = PeerList<GtlTextPeer>;

}  // namespace bench
#else
namespace bench {

using GtlPeers = PeerList<>;
using GtlTextPeers = PeerList<>;

}  // namespace bench
#endif
