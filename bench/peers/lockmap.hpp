// lockmap's map.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "detached.hpp"
#include "lockmap/lockmap.hpp"
#include "peers/peer.hpp"
#include "test_access.hpp"

namespace bench {

template <class K, class V>
class BasicLockMapPeer : public PeerDefaults {
 public:
  using Key = K;
  static constexpr std::string_view name = "LockMap";
  static constexpr std::string_view note =
      "guard: entry() of the key, which locks that key alone; absent: the same; four keys: "
      "batch_lock(), which sorts them; insert: insert(), which returns the previous value; read: "
      "read(); shared guard: shared_entry(); groups: get_many(), insert_many()";

  explicit BasicLockMapPeer(std::size_t capacity, std::size_t shards = 0)
      : map_(lockmap::Options{.initial_capacity = capacity, .shard_count = shards}) {}

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
  void guard_each(std::span<const Key> keys) {
    for (const Key& key : keys) guard(key);
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
  template <class Q>
  Value get_many(const GroupKeys<Q>& keys) {
    Value sum = 0;
    for (const auto& value : map_.get_many(keys)) sum += value.value_or(0);
    return sum;
  }
  void insert_many(const GroupPairs<Key>& pairs) { map_.insert_many(pairs); }

  class Hold {
   public:
    Hold(BasicLockMapPeer& peer, const Key& key) : entry_(peer.map_.entry(key)) {}

   private:
    typename lockmap::LockMap<Key, V>::Entry entry_;
  };

 protected:
  lockmap::LockMap<Key, V> map_;
};

template <class K>
using LockMapPeer = BasicLockMapPeer<K, Value>;
template <class K>
using LockMapTextPeer = BasicLockMapPeer<K, std::string>;

// -- The same map, used in another way -----------------------------------------------------------

template <class K>
class ReadManyPeer : public LockMapPeer<K> {
 public:
  static constexpr std::string_view name = "read_many";
  static constexpr std::string_view note =
      "LockMap, with read_many() in place of get_many(): a callback that adds the values up";
  using LockMapPeer<K>::LockMapPeer;

  template <class Q>
  Value get_many(const GroupKeys<Q>& keys) {
    Value sum = 0;
    this->map_.read_many(keys, [&sum](std::size_t /*index*/, Value value) { sum += value; });
    return sum;
  }
};

template <class K>
class OneByOnePeer : public LockMapPeer<K> {
 public:
  static constexpr std::string_view name = "one-by-one";
  static constexpr std::string_view note = "LockMap, with a get() or an insert() for each key";
  using LockMapPeer<K>::LockMapPeer;

  template <class Q>
  Value get_many(const GroupKeys<Q>& keys) {
    Value sum = 0;
    for (const Q& key : keys) sum += this->get(key);
    return sum;
  }
  void insert_many(const GroupPairs<K>& pairs) {
    for (const auto& [key, value] : pairs) this->insert(key, value);
  }
};

template <class K>
class AsyncPeer : public LockMapPeer<K> {
 public:
  static constexpr std::string_view name = "async_entry";
  static constexpr std::string_view note =
      "LockMap, whose guards a coroutine awaits, one after the other; nobody waits";
  using LockMapPeer<K>::LockMapPeer;

  void guard_each(std::span<const K> keys) { await_guards(this->map_, keys); }

 private:
  static Detached await_guards(lockmap::LockMap<K, Value>& map, std::span<const K> keys) {
    for (const K& key : keys) {
      auto entry = co_await map.async_entry(key);
      ++*entry;
    }
  }
};

template <class K>
class LockSetPeer : public PeerDefaults {
 public:
  using Key = K;
  static constexpr std::string_view name = "LockSet";
  static constexpr std::string_view note = "absent: lock() of the key";

  explicit LockSetPeer(std::size_t capacity)
      : set_(lockmap::Options{.initial_capacity = capacity}) {}

  void guard_absent(const Key& key) { const auto guard = set_.lock(key); }

 private:
  lockmap::LockSet<Key> set_;
};

// -- One shard, which is where bursts of one kind of operation meet ------------------------------

template <class K>
class OneShardPeer : public LockMapPeer<K> {
 public:
  explicit OneShardPeer(std::size_t capacity) : LockMapPeer<K>(capacity, 1) {}
};

template <class K>
class UnbiasedPeer : public OneShardPeer<K> {
 public:
  static constexpr std::string_view name = "unbiased";
  static constexpr std::string_view note =
      "LockMap with the reader bias (detail/section.hpp) switched off: every operation takes the "
      "shard's mutex";
  using DuringSlice = lockmap::detail::TestAccess::WithoutBias;
  using OneShardPeer<K>::OneShardPeer;
};

}  // namespace bench
