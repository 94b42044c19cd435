// LruLockMap: a thread-safe LRU cache with a lock for each key.

#ifndef LOCKMAP_LRU_LOCK_MAP_HPP
#define LOCKMAP_LRU_LOCK_MAP_HPP

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "lockmap/default_hash.hpp"
#include "lockmap/detail/describe.hpp"
#include "lockmap/detail/eviction_policy.hpp"
#include "lockmap/detail/hashed_key.hpp"
#include "lockmap/detail/shard_array.hpp"
#include "lockmap/detail/sharded_map.hpp"
#include "lockmap/options.hpp"

namespace lockmap {

/// A LockMap that holds at most `max_size` keys: storing or locking one more evicts the least
/// recently used one that nobody holds or waits for.
///
///     lockmap::LruLockMap<std::string, Page> pages(10'000);
///     Page page = pages.get_or_insert_with(url, [&] { return load(url); });
///
/// All that is said of LockMap holds here, and further:
/// - Every operation that acquires a key makes it the most recently used one of its shard when it
///   acquires it, except `peek`, `for_each`, `retain` and `remove`. Each shard has an order and a
///   part of the bound of its own; with one shard the order is exact LRU.
/// - Eviction never waits. Keys that are held or waited for, and the key that the operation has
///   just stored, are passed over; if nothing else is left, the shard is over its bound until a
///   guard is released, and that release evicts.
/// - A key that is only locked takes a place while its guard lives, and may evict another.
template <class Key, class Value, class Hash = default_hash<Key>,
          class KeyEqual = default_equal<Key>,
          class Allocator = std::allocator<std::pair<const Key, Value>>>
class LruLockMap : private detail::ShardedMap<Key, Value, Hash, KeyEqual, Allocator,
                                              detail::LruEviction<Key, Value>> {
  using Base =
      detail::ShardedMap<Key, Value, Hash, KeyEqual, Allocator, detail::LruEviction<Key, Value>>;
  friend struct detail::TestAccess;

 public:
  using typename Base::allocator_type;
  using typename Base::hasher;
  using typename Base::key_equal;
  using typename Base::key_type;
  using typename Base::mapped_type;
  using typename Base::size_type;

  using typename Base::Batch;
  using typename Base::Entry;
  using typename Base::SharedBatch;
  using typename Base::SharedEntry;

  /// Called for each value that goes because of the bound, after it has left the cache, on the
  /// thread whose operation evicted it, outside of every internal lock. It may use the cache, but
  /// the operation that evicted may hold its own key meanwhile. It may be called by several threads
  /// at a time, and from the destructor of an Entry: an exception that leaves it ends in
  /// std::terminate.
  ///
  /// Another thread may ask for the key, and load what the store has, just before the listener
  /// writes the evicted value back. So write back what can be applied in any order (what was added,
  /// or a value with its version), or serialise with the loader by a lock of the store.
  using EvictionListener = typename detail::LruEviction<Key, Value>::Listener;

  /// An empty cache with the default options. Throws as the other constructor does.
  explicit LruLockMap(std::size_t max_size) : LruLockMap(LruOptions{.max_size = max_size}) {}

  /// An empty cache, which never has more shards than `max_size`. Throws std::invalid_argument for
  /// a `max_size` or `max_evict` of 0, std::length_error for a shard count or capacity that no
  /// memory could hold, and what the allocator throws. Linear in the shards and the capacity.
  explicit LruLockMap(LruOptions options, EvictionListener listener = {}, Hash hash = {},
                      KeyEqual equal = {}, Allocator allocator = {})
      : Base(checked_shard_count(options), options.initial_capacity, std::move(hash),
             std::move(equal), allocator),
        listener_(std::move(listener)),
        max_size_(options.max_size) {
    set_bounds(options.max_size);
    set_max_evict(options.max_evict);
    for (Shard& shard : this->shards()) {
      Section section(shard);
      section.policy().set_listener(listener_ ? &listener_ : nullptr);
    }
  }

  /// Precondition: no key is held. Destructors of values may still use the cache; the listener is
  /// not called. Linear in the keys and in `shard_count()`.
  ~LruLockMap() { this->destroy_all_values(); }

  // One key
  using Base::contains;
  using Base::entry;
  using Base::find_entry;
  using Base::find_shared_entry;
  using Base::get;
  using Base::get_or_insert_with;
  using Base::insert;
  using Base::read;
  using Base::remove;
  using Base::shared_entry;
  using Base::try_entry;
  using Base::try_entry_for;
  using Base::try_entry_until;
  using Base::try_insert;
  using Base::try_shared_entry;
  using Base::try_shared_entry_for;
  using Base::try_shared_entry_until;

  // Several keys
  using Base::batch_lock;
  using Base::shared_batch_lock;
  using Base::try_batch_lock;
  using Base::try_batch_lock_for;
  using Base::try_batch_lock_until;
  using Base::try_shared_batch_lock;

  // Many keys, one at a time
  using Base::get_many;
  using Base::insert_many;
  using Base::read_many;

  // All keys
  using Base::clear;
  using Base::empty;
  using Base::for_each;
  using Base::retain;
  using Base::shard_count;
  using Base::shrink_to_fit;
  using Base::size;
  using Base::try_for_each;
  using Base::try_retain;

  // -- Of the cache only -------------------------------------------------------------------------

  /// `get` without making the key the most recently used one, and without counting in `stats`.
  /// Waits, throws, and takes time, as `get` does.
  template <detail::LookupKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] std::optional<Value> peek(const Q& key) const {
    return this->template copy_of<detail::Touch::quiet>(key);
  }
  /// For a constant as the key.
  [[nodiscard]] std::optional<Value> peek(
      detail::Constant<Key> key) const requires std::is_arithmetic_v<Key> {
    return peek(key.key);
  }

  /// Removes the least recently used key of a shard that nobody holds or waits for, and returns it
  /// with its value. Takes shards in turn from call to call, and goes on to the next where there is
  /// no such key; empty if there is none in any. Waits for no key. Throws what copies and moves
  /// throw; then the key and its value are still there. Linear in the keys that are held or waited
  /// for.
  std::optional<std::pair<Key, Value>> pop_lru() {
    const auto shards = this->shards();
    const std::size_t start = next_to_pop_.fetch_add(1, std::memory_order_relaxed);
    std::optional<std::pair<Key, Value>> popped;
    for (std::size_t i = 0; i < shards.size() && !popped.has_value(); ++i) {
      Base::pop_oldest(shards[(start + i) % shards.size()], popped);
    }
    return popped;
  }

  /// The bound. Never waits. Constant time.
  [[nodiscard]] size_type max_size() const noexcept {
    return max_size_.load(std::memory_order_relaxed);
  }

  /// Changes the bound. A smaller one evicts before the call returns, at most `max_evict` keys per
  /// shard; later insertions do the rest. Waits for no key. Throws std::invalid_argument for less
  /// than `shard_count()`; then nothing has changed. Linear in `shard_count()` and in the evicted
  /// keys.
  void set_max_size(size_type max_size) {
    if (max_size < this->shard_count()) {
      throw std::invalid_argument("lockmap: max_size must be at least shard_count(), which is " +
                                  detail::describe(this->shard_count()) + ", but is " +
                                  detail::describe(max_size));
    }
    set_bounds(max_size);
    for (Shard& shard : this->shards()) {
      Section section(shard);
      section.shrink(nullptr);
    }
  }

  /// From now on an operation evicts at most `max_evict` keys of a shard; evicts nothing itself.
  /// With 1, an insertion evicts as many keys as it adds: that keeps a cache from growing, but does
  /// not bring one back to its bound. Waits for no key. Throws std::invalid_argument for 0. Linear
  /// in `shard_count()`.
  void set_max_evict(size_type max_evict) {
    check_max_evict(max_evict);
    for (Shard& shard : this->shards()) {
      Section section(shard);
      section.policy().set_max_evict(max_evict);
    }
  }

  /// What happened since construction. While other threads use the cache, the sum of what the
  /// shards had at slightly different moments. Waits for nothing. Linear in `shard_count()`.
  [[nodiscard]] LruStats stats() const noexcept {
    LruStats stats;
    for (const Shard& shard : this->shards()) {
      stats.hits += shard.policy().hits();
      stats.misses += shard.policy().misses();
      stats.insertions += shard.policy().insertions();
      stats.evictions += shard.policy().evictions();
    }
    return stats;
  }

 private:
  using typename Base::Section;
  using typename Base::Shard;

  // Shards smaller than this, with an order and a part of the bound of their own, would cost a
  // cache hits that one order for all keys has.
  static constexpr std::size_t least_keys_per_shard = 64;

  static std::size_t checked_shard_count(const LruOptions& options) {
    if (options.max_size == 0) {
      throw std::invalid_argument("lockmap: max_size must be at least 1, but is 0");
    }
    check_max_evict(options.max_evict);
    if (options.shard_count != 0) return (std::min)(options.shard_count, options.max_size);
    return std::clamp<std::size_t>(options.max_size / least_keys_per_shard, 1,
                                   detail::default_shard_count());
  }

  static void check_max_evict(std::size_t max_evict) {
    if (max_evict == 0) {
      throw std::invalid_argument("lockmap: max_evict must be at least 1, but is 0");
    }
  }

  // Divides the bound among the shards: the parts add up to exactly `max_size`.
  void set_bounds(std::size_t max_size) {
    const std::lock_guard<std::mutex> lock(
        bounds_mutex_);  // so that two calls do not mix their parts
    const auto shards = this->shards();
    for (std::size_t i = 0; i < shards.size(); ++i) {
      const std::size_t part = max_size / shards.size() + (i < max_size % shards.size() ? 1 : 0);
      Section section(shards[i]);
      section.policy().set_bound(part);
    }
    max_size_.store(max_size, std::memory_order_relaxed);
  }

  EvictionListener listener_;
  std::mutex bounds_mutex_;
  std::atomic<std::size_t> max_size_;
  std::atomic<std::size_t> next_to_pop_{0};
};

}  // namespace lockmap

#endif  // LOCKMAP_LRU_LOCK_MAP_HPP
