// tbb::concurrent_hash_map.
#pragma once

#include "peers/peer.hpp"

#if defined(LOCKMAP_BENCH_HAS_TBB)
#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <tbb/concurrent_hash_map.h>

#include "lockmap/lockmap.hpp"

namespace bench {

template <class K>
struct TbbHashCompare {
  using is_transparent = void;
  template <class Q>
  [[nodiscard]] std::size_t hash(const Q& key) const {
    return lockmap::default_hash<K>{}(key);
  }
  template <class A, class B>
  [[nodiscard]] bool equal(const A& a, const B& b) const {
    return lockmap::default_equal<K>{}(a, b);
  }
};

template <class K, class V, template <class> class Allocator>
class BasicTbbPeer : public PeerDefaults {
  using Map = tbb::concurrent_hash_map<K, V, TbbHashCompare<K>, Allocator<std::pair<const K, V>>>;

 public:
  using Key = K;
  static constexpr std::string_view name = "TBB";
  static constexpr std::string_view note =
      "tbb::concurrent_hash_map with its own allocator (std::allocator where memory is counted). "
      "get, read, shared guard: a const_accessor, which is a shared lock; guard: an accessor; "
      "absent: an accessor of "
      "a new element, which is then erased; four keys: sorted, an accessor for each";
  // The same with memory from operator new, which the program can count.
  using Counted = BasicTbbPeer<K, V, std::allocator>;

  explicit BasicTbbPeer(std::size_t capacity) : map_(capacity) {}

  template <class Q>
  Value get(const Q& key) {
    typename Map::const_accessor accessor;
    return map_.find(accessor, key) ? accessor->second : 0;
  }
  void insert(const Key& key, V value) {
    typename Map::accessor accessor;
    if (!map_.insert(accessor, typename Map::value_type(key, value))) {
      accessor->second = std::move(value);
    }
  }
  template <class Q>
  void remove(const Q& key) {
    map_.erase(key);
  }
  void guard(const Key& key) {
    typename Map::accessor accessor;
    if (map_.find(accessor, key)) ++accessor->second;
  }
  template <class F>
  void read(const Key& key, const F& f) {
    typename Map::const_accessor accessor;
    if (map_.find(accessor, key)) f(accessor->second);
  }
  V shared_guard(const Key& key) {
    typename Map::const_accessor accessor;
    map_.find(accessor, key);
    return accessor->second;
  }
  template <class F>
  void while_held(const Key& key, const F& f) {
    typename Map::accessor accessor;
    if (map_.find(accessor, key)) f();
  }
  void guard_absent(const Key& key) {
    typename Map::accessor accessor;
    if (map_.insert(accessor, key)) map_.erase(accessor);
  }
  void guard_four(BatchKeys<Key> keys) {
    std::sort(keys.begin(), keys.end());
    std::array<typename Map::accessor, batch_size> accessors;
    for (std::size_t i = 0; i < batch_size; ++i) {
      if (i > 0 && keys[i] == keys[i - 1]) continue;
      if (map_.find(accessors[i], keys[i])) ++accessors[i]->second;
    }
  }

  class Hold {
   public:
    Hold(BasicTbbPeer& peer, const Key& key) { peer.map_.find(accessor_, key); }

   private:
    typename Map::accessor accessor_;
  };

 private:
  Map map_;
};

template <class K>
using TbbPeer = BasicTbbPeer<K, Value, tbb::tbb_allocator>;
template <class K>
using TbbTextPeer = BasicTbbPeer<K, std::string, tbb::tbb_allocator>;

using TbbPeers = PeerList<TbbPeer>;
using TbbTextPeers = PeerList<TbbTextPeer>;

}  // namespace bench
#else
namespace bench {

using TbbPeers = PeerList<>;
using TbbTextPeers = PeerList<>;

}  // namespace bench
#endif
