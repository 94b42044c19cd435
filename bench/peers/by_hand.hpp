// The maps and caches of baselines.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <utility>

#include "baselines.hpp"
#include "peers/cache_peer.hpp"
#include "peers/peer.hpp"

namespace bench {

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
      "the last node. With a time to live, get compares the clock with the value's deadline; with "
      "weights, they are added up. It counts no hits and misses";
  using CachePeer<K, ShardedMutexLru<K, Value>>::CachePeer;
};

template <class K>
class ExpiringMutexLruPeer : public CachePeer<K, ExpiringMutexLru<K, Value>> {
 public:
  static constexpr std::string_view name = ShardedMutexLruPeer<K>::name;
  static constexpr std::string_view note = ShardedMutexLruPeer<K>::note;

  explicit ExpiringMutexLruPeer(std::size_t max_size)
      : CachePeer<K, ExpiringMutexLru<K, Value>>(std::in_place, max_size, std::chrono::hours(1)) {}
};

struct WeighByValue {
  std::size_t operator()(Value value) const { return weight_of(value); }
};

template <class K>
class WeightedMutexLruPeer : public CachePeer<K, ShardedMutexLru<K, Value, WeighByValue>> {
 public:
  static constexpr std::string_view name = ShardedMutexLruPeer<K>::name;
  static constexpr std::string_view note = ShardedMutexLruPeer<K>::note;

  explicit WeightedMutexLruPeer(std::size_t keys)
      : CachePeer<K, ShardedMutexLru<K, Value, WeighByValue>>(weight_of_so_many(keys)) {}
};

}  // namespace bench
