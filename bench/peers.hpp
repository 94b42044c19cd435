// The maps that are compared, each behind the same few operations, on 64-bit values if not said
// otherwise:
//
//   Peer(capacity)            a map with room for so many keys, 0 for none
//                             a cache (`bounded`) that holds at most so many
//   get(q)                    the value, or 0
//   insert(key, value)        stores it, whether there was one or not
//   remove(q)                 the key goes
//   guard(key)                changes the value of a present key under its exclusive lock
//   read(key, f)              calls f(value) under the shared lock of a present key, in place
//   shared_guard(key)         the value, under a shared lock of its key that could be kept
//   while_held(key, f)        calls f() under the exclusive lock of a present key
//   guard_absent(key)         takes and drops the exclusive lock of an absent key; no trace stays
//   guard_four(keys)          changes the values of four present keys under the locks of all
//   Hold(peer, key)           keeps the lock of a key for as long as the object lives
//
// A peer has only the operations that it can do. All of them hash with the same function, and all
// look a string up by a view. What is "under a lock" is the same everywhere: an increment.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "baselines.hpp"
#include "lockmap/lockmap.hpp"

#if defined(LOCKMAP_BENCH_HAS_TBB)
#include <tbb/concurrent_hash_map.h>
#endif
#if __has_include(<libcuckoo/cuckoohash_map.hh>)
#define LOCKMAP_BENCH_HAS_CUCKOO
#include <libcuckoo/cuckoohash_map.hh>
#endif

namespace bench {

using Value = std::uint64_t;

inline constexpr std::size_t batch_size = 4;
template <class Key>
using BatchKeys = std::array<Key, batch_size>;

// What holds for a peer unless it says otherwise.
struct PeerDefaults {
  static constexpr unsigned max_threads = std::numeric_limits<unsigned>::max();
  static constexpr bool bounded = false;          // a cache
  static constexpr bool held_key_blocks = false;  // holding a key would block others
};

template <class Peer>
concept GuardsKeys = requires(Peer& peer, const typename Peer::Key& key) {
  peer.guard(key);
};
template <class Peer>
concept GuardsAbsentKeys = requires(Peer& peer, const typename Peer::Key& key) {
  peer.guard_absent(key);
};
template <class Peer>
concept GuardsFourKeys = requires(Peer& peer, const BatchKeys<typename Peer::Key>& keys) {
  peer.guard_four(keys);
};
template <class Peer>
concept HoldsKeys = requires {
  typename Peer::Hold;
};

// -- lockmap -------------------------------------------------------------------------------------

template <class K, class V>
class BasicLockMapPeer : public PeerDefaults {
 public:
  using Key = K;
  static constexpr std::string_view name = "LockMap";
  static constexpr std::string_view note =
      "guard: entry() of the key, which locks that key alone; absent: the same; four keys: "
      "batch_lock(), which sorts them; insert: insert(), which returns the previous value; read: "
      "read(); shared guard: shared_entry()";

  explicit BasicLockMapPeer(std::size_t capacity)
      : map_(lockmap::Options{.initial_capacity = capacity}) {}

  template <class Q>
  Value get(const Q& key) {
    return map_.get(key).value_or(0);
  }
  void insert(const Key& key, V value) { map_.insert(key, std::move(value)); }
  template <class Q>
  void remove(const Q& key) {
    map_.remove(key);
  }
  void guard(const Key& key) {
    auto entry = map_.entry(key);
    ++*entry;
  }
  template <class F>
  void read(const Key& key, const F& f) {
    map_.read(key, f);
  }
  V shared_guard(const Key& key) { return *map_.shared_entry(key); }
  template <class F>
  void while_held(const Key& key, const F& f) {
    const auto entry = map_.entry(key);
    f();
  }
  void guard_absent(const Key& key) { auto entry = map_.entry(key); }
  void guard_four(const BatchKeys<Key>& keys) {
    for (auto& entry : map_.batch_lock(keys)) ++*entry;
  }

  class Hold {
   public:
    Hold(BasicLockMapPeer& peer, const Key& key) : entry_(peer.map_.entry(key)) {}

   private:
    typename lockmap::LockMap<Key, V>::Entry entry_;
  };

 private:
  lockmap::LockMap<Key, V> map_;
};

template <class K>
using LockMapPeer = BasicLockMapPeer<K, Value>;
template <class K>
using LockMapTextPeer = BasicLockMapPeer<K, std::string>;

// What the caches have in common: both offer the same calls.
template <class K, class Cache>
class CachePeer : public PeerDefaults {
 public:
  using Key = K;
  static constexpr bool bounded = true;

  explicit CachePeer(std::size_t max_size) : cache_(max_size) {}

  template <class Q>
  Value get(const Q& key) {
    return cache_.get(key).value_or(0);
  }
  template <class Q>
  Value peek(const Q& key) {
    return cache_.peek(key).value_or(0);
  }
  void insert(const Key& key, Value value) { cache_.insert(key, value); }

 private:
  Cache cache_;
};

template <class K>
class LruLockMapPeer : public CachePeer<K, lockmap::LruLockMap<K, Value>> {
 public:
  static constexpr std::string_view name = "LruLockMap";
  static constexpr std::string_view note =
      "get() promotes and counts a hit or a miss in stats(); peek() does neither; insert() returns "
      "the previous value and evicts beyond max_size, which its shards share exactly";
  using CachePeer<K, lockmap::LruLockMap<K, Value>>::CachePeer;
};

// -- Written by hand -----------------------------------------------------------------------------

template <class K>
class ShardedMutexPeer : public PeerDefaults {
 public:
  using Key = K;
  static constexpr std::string_view name = "ShardedMutexMap";
  static constexpr std::string_view note =
      "by hand, 64 shards of std::mutex and absl::flat_hash_map. guard: a callback under the "
      "shard's mutex, so it blocks a 64th of all keys; absent: the value is made for the callback "
      "and removed; four keys: the mutexes of their shards, in order";
  static constexpr bool held_key_blocks = true;

  explicit ShardedMutexPeer(std::size_t capacity) : map_(capacity) {}

  template <class Q>
  Value get(const Q& key) {
    return map_.get(key).value_or(0);
  }
  void insert(const Key& key, Value value) { map_.insert(key, value); }
  template <class Q>
  void remove(const Q& key) {
    map_.remove(key);
  }
  void guard(const Key& key) {
    map_.with_value(key, [](Value& value) { ++value; });
  }
  template <class F>
  void while_held(const Key& key, const F& f) {
    map_.with_value(key, [&f](Value&) { f(); });
  }
  void guard_absent(const Key& key) {
    map_.with_absent(key, [](Value&) {});
  }
  void guard_four(const BatchKeys<Key>& keys) {
    map_.with_values(keys, [](Value& value) { ++value; });
  }

 private:
  ShardedMutexMap<Key, Value> map_;
};

template <class K, class V>
class BasicSharedMutexPeer : public PeerDefaults {
 public:
  using Key = K;
  static constexpr std::string_view name = "SharedMutexMap";
  static constexpr std::string_view note =
      "by hand, 64 shards of std::shared_mutex and absl::flat_hash_map. read: a callback under the "
      "shard's mutex held shared; guard: one under it held exclusively";
  static constexpr bool held_key_blocks = true;

  explicit BasicSharedMutexPeer(std::size_t capacity) : map_(capacity) {}

  template <class Q>
  Value get(const Q& key) {
    return map_.get(key).value_or(0);
  }
  void insert(const Key& key, V value) { map_.insert(key, std::move(value)); }
  void guard(const Key& key) {
    map_.with_value(key, [](V& value) { ++value; });
  }
  template <class F>
  void read(const Key& key, const F& f) {
    map_.read(key, f);
  }

 private:
  ShardedMutexMap<Key, V, std::shared_mutex> map_;
};

template <class K>
using SharedMutexPeer = BasicSharedMutexPeer<K, Value>;
template <class K>
using SharedMutexTextPeer = BasicSharedMutexPeer<K, std::string>;

template <class K>
class PerKeyMutexPeer : public PeerDefaults {
 public:
  using Key = K;
  static constexpr std::string_view name = "PerKeyMutexMap";
  static constexpr std::string_view note =
      "by hand, one std::mutex over an absl::flat_hash_map to shared_ptr<{mutex, value}>. guard: "
      "the key's mutex; absent: the same, and whoever leaves last removes it; four keys: sorted "
      "and locked one after the other";

  explicit PerKeyMutexPeer(std::size_t capacity) : map_(capacity) {}

  template <class Q>
  Value get(const Q& key) {
    return map_.get(key).value_or(0);
  }
  void insert(const Key& key, Value value) { map_.insert(key, value); }
  template <class Q>
  void remove(const Q& key) {
    map_.remove(key);
  }
  void guard(const Key& key) {
    typename Map::Guard guard(map_, key);
    ++*guard.value();
  }
  void guard_absent(const Key& key) { const typename Map::Guard guard(map_, key); }
  void guard_four(BatchKeys<Key> keys) {
    std::sort(keys.begin(), keys.end());
    std::array<std::optional<typename Map::Guard>, batch_size> guards;
    for (std::size_t i = 0; i < batch_size; ++i) {
      if (i > 0 && keys[i] == keys[i - 1]) continue;
      guards[i].emplace(map_, keys[i]);
      ++*guards[i]->value();
    }
  }

  class Hold {
   public:
    Hold(PerKeyMutexPeer& peer, const Key& key) : guard_(peer.map_, key) {}

   private:
    typename PerKeyMutexMap<Key, Value>::Guard guard_;
  };

 private:
  using Map = PerKeyMutexMap<Key, Value>;
  Map map_;
};

template <class K>
class ShardedMutexLruPeer : public CachePeer<K, ShardedMutexLru<K, Value>> {
 public:
  static constexpr std::string_view name = "ShardedMutexLru";
  static constexpr std::string_view note =
      "by hand, 64 shards of std::mutex, std::list and absl::flat_hash_map to it. get moves the "
      "list node to the front; peek does not; insert beyond the shard's part of the bound reuses "
      "the last node. It counts no hits and misses";
  using CachePeer<K, ShardedMutexLru<K, Value>>::CachePeer;
};

// -- Libraries -----------------------------------------------------------------------------------

#if defined(LOCKMAP_BENCH_HAS_TBB)
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
#endif

#if defined(LOCKMAP_BENCH_HAS_CUCKOO)
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
#endif

// -- The limit -----------------------------------------------------------------------------------

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

// -- Lists of peers ------------------------------------------------------------------------------

template <template <class> class... Peer>
struct PeerList {};

}  // namespace bench
