// Maps that a user would write by hand in place of lockmap's maps, written as well as we can. Keys
// are hashed once per operation where Abseil's table lets one (not when it stores a new key).
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "lockmap/detail/config.hpp"
#include "lockmap/lockmap.hpp"

namespace bench {

inline constexpr std::size_t baseline_shards = 64;

// The shard of a hash: the high bits of a product, as in lockmap. Taken from the hash as it is,
// they could be bits that the shard's table also goes by, and its keys would crowd in one part.
inline std::size_t baseline_shard(std::size_t hash) {
  constexpr int bits = std::countr_zero(baseline_shards);
  return static_cast<std::size_t>((std::uint64_t{hash} * 0x9e3779b97f4a7c15U) >> (64 - bits));
}

// A mutex and a flat table for each of 64 shards. Holding a key means to hold its shard.
template <class Key, class Value, class Mutex = std::mutex, class Hash = lockmap::default_hash<Key>,
          class Equal = lockmap::default_equal<Key>>
class ShardedMutexMap {
 public:
  explicit ShardedMutexMap(std::size_t capacity = 0) {
    if (capacity == 0) return;
    for (Shard& shard : shards_) shard.table.reserve(capacity / baseline_shards + 1);
  }

  template <class Q>
  std::optional<Value> get(const Q& key) {
    const std::size_t hash = Hash{}(key);
    Shard& shard = shard_of(hash);
    const std::lock_guard lock(shard.mutex);
    const auto found = shard.table.find(key, hash);
    if (found == shard.table.end()) return std::nullopt;
    return found->second;
  }

  // Stores the value; true if the key had none.
  bool insert(const Key& key, Value value) {
    const std::size_t hash = Hash{}(key);
    Shard& shard = shard_of(hash);
    const std::lock_guard lock(shard.mutex);
    const auto found = shard.table.find(key, hash);
    if (found == shard.table.end()) return shard.table.try_emplace(key, std::move(value)).second;
    found->second = std::move(value);
    return false;
  }

  template <class Q>
  bool remove(const Q& key) {
    const std::size_t hash = Hash{}(key);
    Shard& shard = shard_of(hash);
    const std::lock_guard lock(shard.mutex);
    const auto found = shard.table.find(key, hash);
    if (found == shard.table.end()) return false;
    shard.table.erase(found);
    return true;
  }

  // Calls `f(value)` under the shard's mutex, if there is a value.
  template <class Q, class F>
  void with_value(const Q& key, F&& f) {
    with_value_under<std::lock_guard<Mutex>>(key, f);
  }

  // The same under the shard's mutex held shared, if it is one that can be.
  template <class Q, class F>
  void read(const Q& key, F&& f) {
    with_value_under<std::shared_lock<Mutex>>(key, [&f](const Value& value) { f(value); });
  }

  // Calls `f(value)` with a value that is made for the call and then removed, unless there was one.
  template <class F>
  void with_absent(const Key& key, F&& f) {
    const std::size_t hash = Hash{}(key);
    Shard& shard = shard_of(hash);
    const std::lock_guard lock(shard.mutex);
    const auto [position, made] = shard.table.try_emplace(key);
    f(position->second);
    if (made) shard.table.erase(position);
  }

  // Calls `f(value)` for those of the keys that have a value, under the mutexes of all their
  // shards, taken in order.
  template <std::size_t n, class F>
  void with_values(const std::array<Key, n>& keys, F&& f) {
    std::array<std::size_t, n> hashes;
    std::array<std::size_t, n> order;
    for (std::size_t i = 0; i < n; ++i) {
      hashes[i] = Hash{}(keys[i]);
      order[i] = baseline_shard(hashes[i]);
    }
    std::sort(order.begin(), order.end());
    const auto end = std::unique(order.begin(), order.end());
    for (auto shard = order.begin(); shard != end; ++shard) shards_[*shard].mutex.lock();
    for (std::size_t i = 0; i < n; ++i) {
      Shard& shard = shard_of(hashes[i]);
      const auto found = shard.table.find(keys[i], hashes[i]);
      if (found != shard.table.end()) f(found->second);
    }
    for (auto shard = end; shard != order.begin();) shards_[*--shard].mutex.unlock();
  }

 private:
  struct alignas(lockmap::detail::cache_line) Shard {
    Mutex mutex;
    absl::flat_hash_map<Key, Value, Hash, Equal> table;
  };

  Shard& shard_of(std::size_t hash) { return shards_[baseline_shard(hash)]; }

  template <class Lock, class Q, class F>
  void with_value_under(const Q& key, F&& f) {
    const std::size_t hash = Hash{}(key);
    Shard& shard = shard_of(hash);
    const Lock lock(shard.mutex);
    const auto found = shard.table.find(key, hash);
    if (found != shard.table.end()) f(found->second);
  }

  std::vector<Shard> shards_ = std::vector<Shard>(baseline_shards);
};

// A mutex for each key, found through one table that has a mutex of its own. Holding a key blocks
// no other.
template <class Key, class Value, class Hash = lockmap::default_hash<Key>,
          class Equal = lockmap::default_equal<Key>>
class PerKeyMutexMap {
  // In the table as long as it has a value or somebody refers to it.
  struct Slot {
    std::mutex mutex;
    std::optional<Value> value;  // protected by `mutex`
  };

 public:
  explicit PerKeyMutexMap(std::size_t capacity = 0) { slots_.reserve(capacity); }

  // The lock of a key, whether it has a value or not.
  class Guard {
   public:
    Guard(PerKeyMutexMap& map, Key key)
        : map_(map), key_(std::move(key)), slot_(map.lock_or_make(key_)) {}
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    ~Guard() { map_.release(key_, std::move(slot_)); }

    [[nodiscard]] std::optional<Value>& value() { return slot_->value; }

   private:
    PerKeyMutexMap& map_;
    Key key_;
    std::shared_ptr<Slot> slot_;
  };

  template <class Q>
  std::optional<Value> get(const Q& key) {
    std::shared_ptr<Slot> slot = lock_existing(key);
    if (slot == nullptr) return std::nullopt;
    std::optional<Value> value = slot->value;
    release(key, std::move(slot));
    return value;
  }

  void insert(const Key& key, Value value) { Guard(*this, key).value() = std::move(value); }

  template <class Q>
  bool remove(const Q& key) {
    std::shared_ptr<Slot> slot = lock_existing(key);
    if (slot == nullptr) return false;
    const bool removed = slot->value.has_value();
    slot->value.reset();
    release(key, std::move(slot));
    return removed;
  }

 private:
  std::shared_ptr<Slot> lock_or_make(const Key& key) {
    std::shared_ptr<Slot> slot;
    {
      const std::lock_guard table_lock(mutex_);
      std::shared_ptr<Slot>& stored = slots_[key];
      if (stored == nullptr) stored = std::make_shared<Slot>();
      slot = stored;
    }
    slot->mutex.lock();
    return slot;
  }

  // Null for a key that has no slot.
  template <class Q>
  std::shared_ptr<Slot> lock_existing(const Q& key) {
    std::shared_ptr<Slot> slot;
    {
      const std::lock_guard table_lock(mutex_);
      const auto found = slots_.find(key);
      if (found == slots_.end()) return nullptr;
      slot = found->second;
    }
    slot->mutex.lock();
    return slot;
  }

  // Unlocks a slot, and removes it from the table if it has no value and nobody else wants it.
  //
  // References are taken under the table's mutex only, so one that finds itself alone with the
  // table there (a count of 2) stays alone, and may remove the slot. Each holder gives its
  // reference up before it unlocks the slot: else the next one could remove the value, count the
  // reference that is about to go, and leave an empty slot behind for ever. The slot outlives the
  // unlock, because the table or one that waits refers to it, or else `last` does.
  template <class Q>
  void release(const Q& key, std::shared_ptr<Slot> slot) {
    Slot& locked = *slot;
    std::shared_ptr<Slot> last;
    if (locked.value.has_value()) {
      slot.reset();
    } else {
      const std::lock_guard table_lock(mutex_);
      if (slot.use_count() == 2) {
        slots_.erase(key);
        last = std::move(slot);
      } else {
        slot.reset();
      }
    }
    locked.mutex.unlock();
  }

  std::mutex mutex_;
  absl::flat_hash_map<Key, std::shared_ptr<Slot>, Hash, Equal> slots_;  // protected by `mutex_`
};

struct EqualWeights {
  template <class Value>
  constexpr std::size_t operator()(const Value& /*value*/) const {
    return 1;
  }
};

// An LRU cache of 64 shards, each with a mutex, a list in the order of use and a flat table to it.
template <class Key, class Value, class Weigh = EqualWeights,
          class Hash = lockmap::default_hash<Key>, class Equal = lockmap::default_equal<Key>>
class ShardedMutexLru {
 public:
  // `bound`: of the weights of all values together, which the shards share.
  explicit ShardedMutexLru(std::size_t bound) {
    for (std::size_t i = 0; i < baseline_shards; ++i) {
      shards_[i].bound = bound / baseline_shards + (i < bound % baseline_shards ? 1 : 0);
    }
  }

  // The value; the key becomes the most recently used one of its shard.
  template <class Q>
  std::optional<Value> get(const Q& key) {
    return find<true>(key);
  }

  // The value; the order stays as it is.
  template <class Q>
  std::optional<Value> peek(const Q& key) {
    return find<false>(key);
  }

  // Stores the value; over the bound, the least recently used keys go, and the list node of one of
  // them is used again, which saves a deallocation and an allocation.
  void insert(const Key& key, Value value) {
    const std::size_t hash = Hash{}(key);
    Shard& shard = shard_of(hash);
    const std::lock_guard lock(shard.mutex);
    const auto found = shard.table.find(key, hash);
    if (found != shard.table.end()) {
      shard.promote(found->second);
      shard.weight += Weigh{}(value)-Weigh{}(found->second->second);
      found->second->second = std::move(value);
      shard.evict();
      return;
    }
    shard.weight += Weigh{}(value);
    Order spare = shard.evict();
    if (spare.empty()) {
      shard.order.emplace_front(key, std::move(value));
    } else {
      spare.front() = {key, std::move(value)};
      shard.order.splice(shard.order.begin(), spare, spare.begin());
    }
    shard.table.try_emplace(key, shard.order.begin());
  }

  template <class Q>
  void remove(const Q& key) {
    const std::size_t hash = Hash{}(key);
    Shard& shard = shard_of(hash);
    const std::lock_guard lock(shard.mutex);
    const auto found = shard.table.find(key, hash);
    if (found == shard.table.end()) return;
    shard.weight -= Weigh{}(found->second->second);
    shard.order.erase(found->second);
    shard.table.erase(found);
  }

 private:
  using Order = std::list<std::pair<Key, Value>>;  // the most recently used key first

  struct alignas(lockmap::detail::cache_line) Shard {
    void promote(typename Order::iterator node) { order.splice(order.begin(), order, node); }

    // Over the bound.
    Order evict() {
      Order evicted;
      while (weight > bound && !order.empty()) {
        const auto oldest = std::prev(order.end());
        weight -= Weigh{}(oldest->second);
        table.erase(oldest->first);
        evicted.splice(evicted.begin(), order, oldest);
      }
      return evicted;
    }

    std::mutex mutex;
    std::size_t bound = 0;
    std::size_t weight = 0;
    Order order;
    absl::flat_hash_map<Key, typename Order::iterator, Hash, Equal> table;
  };

  Shard& shard_of(std::size_t hash) { return shards_[baseline_shard(hash)]; }

  template <bool promotes, class Q>
  std::optional<Value> find(const Q& key) {
    const std::size_t hash = Hash{}(key);
    Shard& shard = shard_of(hash);
    const std::lock_guard lock(shard.mutex);
    const auto found = shard.table.find(key, hash);
    if (found == shard.table.end()) return std::nullopt;
    if (promotes) shard.promote(found->second);
    return found->second->second;
  }

  std::vector<Shard> shards_ = std::vector<Shard>(baseline_shards);
};

// The same whose values are there for a time only.
template <class Key, class Value>
class ExpiringMutexLru {
  using Clock = std::chrono::steady_clock;

 public:
  ExpiringMutexLru(std::size_t bound, Clock::duration time_to_live)
      : cache_(bound), time_to_live_(time_to_live) {}

  template <class Q>
  std::optional<Value> get(const Q& key) {
    return live(key, cache_.get(key));
  }
  template <class Q>
  std::optional<Value> peek(const Q& key) {
    return live(key, cache_.peek(key));
  }
  void insert(const Key& key, Value value) {
    cache_.insert(key, {std::move(value), Clock::now() + time_to_live_});
  }

 private:
  struct Timed {
    Value value;
    Clock::time_point deadline;
  };

  template <class Q>
  std::optional<Value> live(const Q& key, std::optional<Timed> found) {
    if (!found.has_value()) return std::nullopt;
    if (Clock::now() < found->deadline) return std::move(found->value);
    cache_.remove(key);
    return std::nullopt;
  }

  ShardedMutexLru<Key, Timed> cache_;
  Clock::duration time_to_live_;
};

}  // namespace bench
