// LruLockMap: a thread-safe LRU cache with a lock for each key.

#ifndef LOCKMAP_LRU_LOCK_MAP_HPP
#define LOCKMAP_LRU_LOCK_MAP_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <concepts>
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
#include "lockmap/detail/cache_rules.hpp"
#include "lockmap/detail/concepts.hpp"
#include "lockmap/detail/describe.hpp"
#include "lockmap/detail/eviction_policy.hpp"
#include "lockmap/detail/hashed_key.hpp"
#include "lockmap/detail/lookup_counts.hpp"
#include "lockmap/detail/refresh.hpp"
#include "lockmap/detail/shard_array.hpp"
#include "lockmap/detail/sharded_map.hpp"
#include "lockmap/expiry.hpp"
#include "lockmap/options.hpp"
#include "lockmap/unlimited.hpp"

namespace lockmap {

/// A LockMap with a bound: storing or locking a key too many, or storing too heavy a value, evicts
/// the least recently used keys that nobody holds or waits for. Its values may expire.
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
                                              detail::LruEviction<Key, Value, Allocator>> {
  using Policy = detail::LruEviction<Key, Value, Allocator>;
  using Base = detail::ShardedMap<Key, Value, Hash, KeyEqual, Allocator, Policy>;
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
  using typename Base::SharedTaskEntry;
  using typename Base::TaskEntry;

  /// Called, as `listener(const Key&, Value&, EvictionCause)` or without the cause, for each value
  /// that goes because of a bound or its time, after it has left the cache and its key was
  /// released, on the thread whose operation removed it, outside of every internal lock. It may use
  /// the cache, but an operation that made room for one key may hold that key meanwhile. It may be
  /// called by several threads at a time, and from the destructor of an Entry: an exception that
  /// leaves it ends in std::terminate. (An expired value is heard of with its key still held, if
  /// another is stored in its place under a guard and the key cannot be copied or the value's move
  /// may throw.)
  ///
  /// Another thread may ask for the key, and load what the store has, just before the listener
  /// writes the evicted value back. So write back what can be applied in any order (what was added,
  /// or a value with its version), or serialise with the loader by a lock of the store.
  using EvictionListener = typename Policy::Listener;

  /// Called as `std::size_t(const Key&, Value&)`, outside of every internal lock: when a value is
  /// stored, and when an exclusive guard is released, by which an exception ends in std::terminate.
  using Weigher = typename Policy::Rules::Weigher;

  /// Functions that a cache calls by itself. Both may be move-only.
  struct Hooks {
    EvictionListener on_evict = {};  ///< for each value that goes by itself
    Weigher weigh = {};              ///< what a value counts for `max_weight`
  };

  /// An empty cache with the default options. Throws as the other constructor does.
  explicit LruLockMap(std::size_t max_size) : LruLockMap(LruOptions{.max_size = max_size}) {}

  /// An empty cache, which never has more shards than `max_size` or `max_weight`. Throws
  /// std::invalid_argument if there is neither, for a `max_size`, `max_weight` or `max_evict` of 0,
  /// a `max_weight` without a weigher, and a negative time; std::length_error for a shard count or
  /// capacity that no memory could hold; and what the allocator throws. Linear in the shards and
  /// the capacity.
  explicit LruLockMap(LruOptions options, Hooks hooks = {}, Hash hash = {}, KeyEqual equal = {},
                      Allocator allocator = {})
      : Base(checked_shard_count(options, hooks), options.initial_capacity, std::move(hash),
             std::move(equal), allocator),
        rules_{std::move(hooks.on_evict),
               std::move(hooks.weigh),
               options.time_to_live,
               options.time_to_idle,
               options.now,
               is_relaxed(options.recency, this->shard_count()),
               detail::LookupCounts(is_relaxed(options.recency, this->shard_count())
                                        ? detail::processor_count()
                                        : 0)},
        max_size_(options.max_size),
        max_weight_(options.max_weight) {
    for (Shard& shard : this->shards()) {
      Section section(shard);
      section.policy().set_rules(rules_);
      if (rules_.wants_ledger()) section.keep_ledger();
    }
    set_bounds(options.max_size, max_size_, &Policy::set_bound);
    set_bounds(options.max_weight, max_weight_, &Policy::set_weight_bound);
    set_max_evict(options.max_evict);
  }

  /// The same with a listener alone.
  template <std::convertible_to<EvictionListener> Listener>
  explicit LruLockMap(LruOptions options, Listener&& listener, Hash hash = {}, KeyEqual equal = {},
                      Allocator allocator = {})
      : LruLockMap(options, Hooks{EvictionListener(std::forward<Listener>(listener)), {}},
                   std::move(hash), std::move(equal), std::move(allocator)) {}

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
  using Base::read;
  using Base::remove;
  using Base::shared_entry;
  using Base::try_entry;
  using Base::try_entry_for;
  using Base::try_entry_until;
  using Base::try_shared_entry;
  using Base::try_shared_entry_for;
  using Base::try_shared_entry_until;

  // One key, for a coroutine
  using Base::async_entry;
  using Base::async_get_or_insert_with;
  using Base::async_shared_entry;
  using Base::try_async_entry;

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

  using Base::insert;
  using Base::try_insert;

  /// `insert` of a value with a time to live of its own. Blocks, throws and takes time as `insert`.
  template <detail::StoredKey<Key, Hash, KeyEqual> Q = Key>
  std::optional<Value> insert(Q&& key, Value value, ExpiresIn expires) {
    return this->insert_expiring(std::forward<Q>(key), std::move(value), expires);
  }
  /// For a constant as the key.
  std::optional<Value> insert(detail::Constant<Key> key, Value value,
                              ExpiresIn expires) requires std::is_arithmetic_v<Key> {
    return insert(key.key, std::move(value), expires);
  }

  /// `try_insert` of a value with a time to live of its own. Blocks, throws and takes time as
  /// `try_insert`.
  template <detail::StoredKey<Key, Hash, KeyEqual> Q = Key>
  bool try_insert(Q&& key, Value value, ExpiresIn expires) {
    return this->try_insert_expiring(std::forward<Q>(key), std::move(value), expires);
  }
  /// For a constant as the key.
  bool try_insert(detail::Constant<Key> key, Value value,
                  ExpiresIn expires) requires std::is_arithmetic_v<Key> {
    return try_insert(key.key, std::move(value), expires);
  }

  /// A copy of the key's value, as `get_or_insert_with`. A value that was stored longer ago than
  /// `after` is returned at once to all callers but one: that one calls `make()`, holding nothing,
  /// stores what it returns unless the key was stored, removed or held exclusively meanwhile, and
  /// returns it; if `make` throws, the old value stays and is returned, and the next caller tries.
  /// Waits as `get_or_insert_with` does, and to store as `insert` does. Deadlock: as
  /// `get_or_insert_with`; where storing would be one, the new value is returned and not stored.
  /// Throws std::invalid_argument for a negative `after`, else as `get_or_insert_with`. Amortised
  /// constant time; logarithmic where values expire.
  template <detail::StoredKey<Key, Hash, KeyEqual> Q = Key, class Rep, class Period,
            detail::MakerOf<Value, true> F>
  Value get_or_refresh(Q&& key, const std::chrono::duration<Rep, Period>& after, F&& make) {
    const std::chrono::nanoseconds limit = checked_refresh(after);
    return this->if_present_or_make(
        std::forward<Q>(key), make, [&](Shard& shard, const auto& hashed, SharedEntry& held) {
          Value old(*held);
          auto turn = detail::turn_to_refresh(shard, hashed.borrowed());
          const bool due = turn.is_due(shard, held, limit) && turn.begin(held, limit);
          held.unlock();
          if (due) {
            try {
              return turn.run(std::forward<F>(make));
            } catch (...) {  // counted
            }
          }
          return old;
        });
  }

  /// The same, but nobody waits for a refresh: `execute` is called with a copyable `void()` that
  /// runs it, and the old value is returned. If `execute` throws, or drops that, the next caller
  /// tries. The cache must outlive what was passed to it.
  template <detail::StoredKey<Key, Hash, KeyEqual> Q = Key, class Rep, class Period,
            detail::MakerOf<Value, true> F, std::invocable<std::function<void()>> Executor>
  Value get_or_refresh(Q&& key, const std::chrono::duration<Rep, Period>& after, F&& make,
                       Executor&& execute) {
    const std::chrono::nanoseconds limit = checked_refresh(after);
    return this->if_present_or_make(
        std::forward<Q>(key), make, [&](Shard& shard, const auto& hashed, SharedEntry& held) {
          using Posted = detail::PostedRefresh<Shard, std::decay_t<F>>;
          Value old(*held);
          if (!decltype(Posted::turn)::is_due(shard, held, limit)) return old;
          const auto posted =
              std::make_shared<Posted>(shard, held.key(), hashed.hash, std::forward<F>(make));
          if (!posted->turn.begin(held, limit)) return old;
          held.unlock();
          try {
            std::invoke(std::forward<Executor>(execute), [posted] { posted->run(); });
          } catch (...) {  // the turn ends with the last copy
          }
          return old;
        });
  }

  /// Removes the values that have expired, passing over keys that are held or waited for, and
  /// returns how many; the listener hears of each. Without it, values that have expired go when
  /// their key is touched, before anything live is evicted, and one or two with each insertion into
  /// their shard. Waits for no key. Throws nothing. O(n log n) for n of them.
  size_type purge_expired() noexcept {
    constexpr size_type at_a_time = 64;
    size_type removed = 0;
    for (Shard& shard : this->shards()) {
      for (size_type count = at_a_time; count == at_a_time; removed += count) {
        Section section(shard);
        count = section.purge(at_a_time);
      }
    }
    return removed;
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
    check_bound("max_size", max_size);
    set_bounds(max_size, max_size_, &Policy::set_bound);
    shrink();
  }

  /// The bound of the weights. Never waits. Constant time.
  [[nodiscard]] size_type max_weight() const noexcept {
    return max_weight_.load(std::memory_order_relaxed);
  }

  /// Changes the bound of the weights, as `set_max_size` does that of the keys. Throws
  /// std::invalid_argument also if there is no weigher.
  void set_max_weight(size_type max_weight) {
    if (!rules_.weigh) throw_without_weigher(max_weight);
    check_bound("max_weight", max_weight);
    set_bounds(max_weight, max_weight_, &Policy::set_weight_bound);
    shrink();
  }

  /// The sum of the weights; 0 without a weigher. While guards live, as the values were when they
  /// were last weighed. Never waits. Linear in `shard_count()`.
  [[nodiscard]] size_type weight() const noexcept {
    size_type weight = 0;
    for (const Shard& shard : this->shards()) weight += shard.policy().weight();
    return weight;
  }

  /// From now on an operation evicts at most `max_evict` keys of a shard; evicts nothing itself.
  /// With 1, an insertion evicts as many keys as it adds: that keeps a cache from growing, but does
  /// not bring one back to its bound. Waits for no key. Throws std::invalid_argument for 0. Linear
  /// in `shard_count()`.
  void set_max_evict(size_type max_evict) {
    check_positive("max_evict", max_evict);
    for (Shard& shard : this->shards()) {
      Section section(shard);
      section.policy().set_max_evict(max_evict);
    }
  }

  /// The counts since construction; `entry` and its variants are no lookups. While other threads
  /// use the cache, the sum of what the shards had at slightly different moments. Waits for
  /// nothing. Linear in `shard_count()`.
  [[nodiscard]] LruStats stats() const noexcept {
    LruStats stats;
    for (const Shard& shard : this->shards()) shard.policy().add_to(stats);
    stats.hits += rules_.lookups.hits();
    stats.misses += rules_.lookups.misses();
    return stats;
  }

 private:
  using typename Base::Section;
  using typename Base::Shard;

  // Shards smaller than this, with an order and a part of the bound of their own, would cost a
  // cache hits that one order for all keys has. Weights are bytes, mostly.
  static constexpr std::size_t least_keys_per_shard = 64;
  static constexpr std::size_t least_weight_per_shard = 256 * 1024;

  static std::size_t checked_shard_count(const LruOptions& options, const Hooks& hooks) {
    if (options.max_size == unlimited && options.max_weight == unlimited) {
      throw std::invalid_argument("lockmap: neither max_size nor max_weight is given: both are " +
                                  detail::describe(unlimited));
    }
    check_positive("max_size", options.max_size);
    check_positive("max_weight", options.max_weight);
    check_positive("max_evict", options.max_evict);
    check_time("time_to_live", options.time_to_live);
    check_time("time_to_idle", options.time_to_idle);
    if (options.max_weight != unlimited && !hooks.weigh) throw_without_weigher(options.max_weight);
    const std::size_t most = (std::min)(options.max_size, options.max_weight);
    if (options.shard_count != 0) return (std::min)(options.shard_count, most);
    return std::clamp<std::size_t>((std::min)(options.max_size / least_keys_per_shard,
                                              options.max_weight / least_weight_per_shard),
                                   1, detail::default_shard_count());
  }

  static void check_positive(const char* parameter, std::size_t value) {
    if (value != 0) return;
    throw std::invalid_argument("lockmap: " + std::string(parameter) +
                                " must be at least 1, but is 0");
  }
  template <class Rep, class Period>
  static void check_time(const char* parameter, const std::chrono::duration<Rep, Period>& time) {
    if (!(time.count() < 0)) return;
    throw std::invalid_argument("lockmap: " + std::string(parameter) +
                                " must not be negative, but is " + detail::describe(time.count()) +
                                " of its unit");
  }
  template <class Rep, class Period>
  static std::chrono::nanoseconds checked_refresh(const std::chrono::duration<Rep, Period>& after) {
    check_time("refresh_after", after);
    return ExpiresIn(after).time();
  }
  [[noreturn]] static void throw_without_weigher(std::size_t max_weight) {
    throw std::invalid_argument("lockmap: max_weight needs a weigher, and there is none; it is " +
                                detail::describe(max_weight));
  }
  void check_bound(const char* parameter, std::size_t bound) const {
    if (bound >= this->shard_count()) return;
    throw std::invalid_argument(
        "lockmap: " + std::string(parameter) + " must be at least shard_count(), which is " +
        detail::describe(this->shard_count()) + ", but is " + detail::describe(bound));
  }

  static bool is_relaxed(Recency recency, std::size_t shard_count) noexcept {
    return recency == Recency::relaxed || (recency == Recency::automatic && shard_count > 1);
  }

  // Divides a bound among the shards: the parts add up to exactly that.
  void set_bounds(std::size_t bound, std::atomic<std::size_t>& whole,
                  void (Policy::*set)(std::size_t) noexcept) {
    const std::lock_guard<std::mutex> lock(bounds_mutex_);  // so that two calls do not mix parts
    const auto shards = this->shards();
    for (std::size_t i = 0; i < shards.size(); ++i) {
      const std::size_t part = bound / shards.size() + (i < bound % shards.size() ? 1 : 0);
      Section section(shards[i]);
      (section.policy().*set)(part);
    }
    whole.store(bound, std::memory_order_relaxed);
  }

  void shrink() noexcept {
    for (Shard& shard : this->shards()) {
      Section section(shard);
      section.shrink(nullptr);
    }
  }

  typename Policy::Rules rules_;
  std::mutex bounds_mutex_;
  std::atomic<std::size_t> max_size_;
  std::atomic<std::size_t> max_weight_;
  std::atomic<std::size_t> next_to_pop_{0};
};

}  // namespace lockmap

#endif  // LOCKMAP_LRU_LOCK_MAP_HPP
