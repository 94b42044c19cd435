// LockSet: locks that are named by keys.

#ifndef LOCKMAP_LOCK_SET_HPP
#define LOCKMAP_LOCK_SET_HPP

#include <chrono>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include "lockmap/async_options.hpp"
#include "lockmap/batch.hpp"
#include "lockmap/default_hash.hpp"
#include "lockmap/detail/async_hold.hpp"
#include "lockmap/detail/concepts.hpp"
#include "lockmap/detail/config.hpp"
#include "lockmap/detail/deadline.hpp"
#include "lockmap/detail/eviction_policy.hpp"
#include "lockmap/detail/hashed_key.hpp"
#include "lockmap/detail/hold.hpp"
#include "lockmap/detail/node.hpp"
#include "lockmap/detail/owner.hpp"
#include "lockmap/detail/readable_entry.hpp"
#include "lockmap/detail/shard_array.hpp"
#include "lockmap/detail/sharded_map.hpp"
#include "lockmap/detail/stop_token.hpp"
#include "lockmap/detail/task_owner.hpp"
#include "lockmap/options.hpp"

namespace lockmap {

/// The guard of one key of a LockSet. The destructor unlocks; a key that nobody else holds or waits
/// for then takes no memory any more.
///
/// Guards come from `lock`, `lock_shared` and their variants; the names of the types are
/// `LockSet::Guard` and `LockSet::SharedGuard`. A guard belongs to the thread that acquired it, as
/// std::unique_lock<std::mutex> does: that thread must release it, and no two threads may use one
/// guard at the same time. A `LockSet::TaskGuard`, from `async_lock`, belongs to no thread, as a
/// TaskEntry does. No guard may outlive its set.
///
/// No member waits for anything; `unlock`, the destructor and the assignment may take a shard's
/// internal lock for a moment. Every member takes constant time, unless it releases a key and that
/// wakes waiters. After a move from the guard, or `unlock`, only destruction and assignment are
/// allowed.
template <class Shard, class Holder, detail::Mode held>
class [[nodiscard]] KeyGuard : private detail::HeldKey<Shard, Holder, held> {
  using Base = detail::HeldKey<Shard, Holder, held>;

 public:
  using key_type = typename Shard::key_type;  ///< of the key

  /// Takes over the key that the other guard holds.
  KeyGuard(KeyGuard&& other) noexcept = default;
  /// Releases the key that this guard holds, then takes over the other's.
  KeyGuard& operator=(KeyGuard&& other) noexcept = default;
  /// Releases the key.
  LOCKMAP_ALWAYS_INLINE ~KeyGuard() = default;

  /// The key, as the set stores it while it is held.
  [[nodiscard]] const key_type& key() const noexcept LOCKMAP_LIFETIMEBOUND {
    LOCKMAP_ASSERT(this->hold_);
    return this->hold_.node()->key;
  }

  /// Releases the key before the guard dies.
  LOCKMAP_ALWAYS_INLINE void unlock() noexcept { this->release(); }

 private:
  template <class Key, class Value, class Hash, class KeyEqual, class Allocator, class Policy>
  friend class detail::ShardedMap;
  template <class Map, class Result, bool may_make>
  friend class detail::HoldAwaiter;
  template <class Key, class Hash, class KeyEqual, class Allocator>
  friend class LockSet;
  template <class Guard, class KeyTraits>
  friend class Batch;

  using typename Base::Node;
  static constexpr detail::Mode mode = held;

  using Base::Base;
};

/// Locks that are named by keys: any number of keys, each of which can be held exclusively by one
/// thread, or shared by several, while every other key stays free.
///
///     lockmap::LockSet<std::string> files;
///     {
///       const auto guard = files.lock("report.pdf");   // waits while another thread holds it
///       download("report.pdf");
///     }                                                // unlocks; the set is empty again
///
/// A key takes memory only while it is held or waited for. A shard keeps room for up to 32 keys;
/// what it needed beyond that goes back to the allocator when its keys take less than a quarter of
/// its room: all of it, if none is held, else what is not beside a held key. Room that
/// `initial_capacity` has reserved stays.
///
/// All that is said of LockMap's operations holds here too: threads, deadlocks, fairness, time
/// limits, exceptions, and where user code runs. `Q`, where it stands below, is any type that Hash
/// and KeyEqual accept, or that converts to a key.
template <class Key, class Hash = default_hash<Key>, class KeyEqual = default_equal<Key>,
          class Allocator = std::allocator<Key>>
class LockSet : private detail::ShardedMap<Key, detail::NoValue, Hash, KeyEqual, Allocator,
                                           detail::NoEviction<Key, detail::NoValue, Allocator>> {
  using Base = detail::ShardedMap<Key, detail::NoValue, Hash, KeyEqual, Allocator,
                                  detail::NoEviction<Key, detail::NoValue, Allocator>>;
  using Keys = detail::KeyTraits<Key, Hash, KeyEqual, Allocator>;
  using typename Base::Shard;
  friend struct detail::TestAccess;

 public:
  using typename Base::allocator_type;
  using typename Base::hasher;
  using typename Base::key_equal;
  using typename Base::key_type;
  using typename Base::size_type;

  /// The exclusive guard of one key.
  using Guard = KeyGuard<Shard, detail::Owner, detail::Mode::exclusive>;

  /// The shared guard of one key.
  using SharedGuard = KeyGuard<Shard, detail::Owner, detail::Mode::shared>;

  /// The exclusive guard of one key that belongs to no thread.
  using TaskGuard = KeyGuard<Shard, detail::TaskOwner, detail::Mode::exclusive>;

  /// The exclusive guards of several keys.
  using Batch = lockmap::Batch<Guard, Keys>;

  /// An empty set with the default options. Throws as the other constructor does.
  LockSet() : LockSet(Options{}) {}

  /// An empty set. Throws std::length_error for a shard count or capacity that no memory could
  /// hold, and what the allocator throws. Linear in both.
  explicit LockSet(Options options, Hash hash = {}, KeyEqual equal = {}, Allocator allocator = {})
      : Base(options.shard_count != 0 ? options.shard_count : detail::default_shard_count(),
             options.initial_capacity, std::move(hash), std::move(equal), allocator) {}

  /// Precondition: no key is held or waited for. Linear in `shard_count()`.
  ~LockSet() { this->destroy_all_values(); }

  // -- One key -----------------------------------------------------------------------------------

  /// The exclusive guard of the key. Waits while another owner holds the key, in whatever mode.
  /// Deadlock: this thread holds the key, shared or not, or is part of a cycle of owners that wait
  /// for each other's keys, in this set or any other set or map. Throws what the allocator and the
  /// key's constructor throw. Amortised constant time.
  template <detail::StoredKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] Guard lock(Q&& key) {
    return this->template with_hold<Guard::mode>(
        std::forward<Q>(key), detail::NoDeadline{},
        [](Shard& shard, const Hold& hold) { return Guard(shard, hold); });
  }

  /// `lock` without waiting: empty if the key is held, by this thread or another. Throws what the
  /// allocator and the key's constructor throw, and never for a deadlock. Amortised constant time.
  template <detail::StoredKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] std::optional<Guard> try_lock(Q&& key) {
    return this->template lock_entry<Guard>(std::forward<Q>(key), detail::Immediately{});
  }

  /// `lock` with a limit to the wait: empty if the key was held for all that time. A limit of zero
  /// or less makes it `try_lock`; a huge one makes it `lock`. Deadlock: as `lock`, reported at
  /// once. Throws, and takes time, as `lock` does.
  template <detail::StoredKey<Key, Hash, KeyEqual> Q = Key, class Rep, class Period>
  [[nodiscard]] std::optional<Guard> try_lock_for(Q&& key,
                                                  const std::chrono::duration<Rep, Period>& limit) {
    return lock_for<Guard>(std::forward<Q>(key), limit);
  }

  /// `lock` until a time: empty if the key was held until then. A time in the past makes it
  /// `try_lock`. Any clock whose now() does not throw will do. Deadlock: as `lock`, reported at
  /// once. Throws, and takes time, as `lock` does.
  template <detail::StoredKey<Key, Hash, KeyEqual> Q = Key, class Clock, class Duration>
  [[nodiscard]] std::optional<Guard> try_lock_until(
      Q&& key, const std::chrono::time_point<Clock, Duration>& time) {
    return this->template lock_entry<Guard>(std::forward<Q>(key),
                                            detail::Deadline<Clock, Duration>{time});
  }

  /// `lock` until a stop is requested: empty if the key was held until then. A free key is given
  /// even if the stop came before. Deadlock: as `lock`. Throws, and takes time, as `lock` does.
  template <detail::StoredKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] std::optional<Guard> try_lock(Q&& key, const detail::StopToken& stop) {
    return this->template lock_entry<Guard>(std::forward<Q>(key), detail::UntilStop{stop});
  }

  /// `lock` for a coroutine: an awaitable of a TaskGuard, as LockMap's `async_entry` is one of a
  /// TaskEntry. Throws std::system_error with std::errc::operation_canceled if the stop of the
  /// options ends the wait.
  template <detail::StoredKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] detail::HoldAwaitable<Base, Q, TaskGuard> async_lock(Q&& key,
                                                                     AsyncOptions options) {
    return {*this, std::forward<Q>(key), std::move(options)};
  }
  /// The same with options as they are by default.
  template <detail::StoredKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] detail::HoldAwaitable<Base, Q, TaskGuard, detail::NoAsyncOptions> async_lock(
      Q&& key) {
    return {*this, std::forward<Q>(key), {}};
  }

  /// `async_lock` for an optional guard, which is empty if the stop ends the wait.
  template <detail::StoredKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] detail::HoldAwaitable<Base, Q, std::optional<TaskGuard>> try_async_lock(
      Q&& key, AsyncOptions options) {
    return {*this, std::forward<Q>(key), std::move(options)};
  }

  /// The shared guard of the key. Waits while another owner holds the key exclusively, or waits to.
  /// Deadlock: this thread holds the key exclusively, or is part of a cycle; a thread that holds it
  /// shared gets it again, whoever waits. Throws, and takes time, as `lock` does.
  template <detail::StoredKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] SharedGuard lock_shared(Q&& key) {
    return this->template with_hold<SharedGuard::mode>(
        std::forward<Q>(key), detail::NoDeadline{},
        [](Shard& shard, const Hold& hold) { return SharedGuard(shard, hold); });
  }

  /// `lock_shared` without waiting: empty if another owner holds the key exclusively or waits to,
  /// or this thread holds it exclusively. Throws, and takes time, as `try_lock` does.
  template <detail::StoredKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] std::optional<SharedGuard> try_lock_shared(Q&& key) {
    return this->template lock_entry<SharedGuard>(std::forward<Q>(key), detail::Immediately{});
  }

  /// `lock_shared` with a limit to the wait, as `try_lock_for` is `lock` with one.
  template <detail::StoredKey<Key, Hash, KeyEqual> Q = Key, class Rep, class Period>
  [[nodiscard]] std::optional<SharedGuard> try_lock_shared_for(
      Q&& key, const std::chrono::duration<Rep, Period>& limit) {
    return lock_for<SharedGuard>(std::forward<Q>(key), limit);
  }

  /// `lock_shared` until a time, as `try_lock_until` is `lock` until one.
  template <detail::StoredKey<Key, Hash, KeyEqual> Q = Key, class Clock, class Duration>
  [[nodiscard]] std::optional<SharedGuard> try_lock_shared_until(
      Q&& key, const std::chrono::time_point<Clock, Duration>& time) {
    return this->template lock_entry<SharedGuard>(std::forward<Q>(key),
                                                  detail::Deadline<Clock, Duration>{time});
  }

  /// `lock_shared` until a stop is requested, as `try_lock` is `lock` until one.
  template <detail::StoredKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] std::optional<SharedGuard> try_lock_shared(Q&& key, const detail::StopToken& stop) {
    return this->template lock_entry<SharedGuard>(std::forward<Q>(key), detail::UntilStop{stop});
  }

  // -- Constants as keys -------------------------------------------------------------------------
  //
  // For a literal of another type than the key's, such as 1 where keys are unsigned.

  /// For a constant as the key.
  [[nodiscard]] Guard lock(detail::Constant<Key> key) requires std::is_arithmetic_v<Key> {
    return lock(key.key);
  }
  /// For a constant as the key.
  [[nodiscard]] std::optional<Guard> try_lock(
      detail::Constant<Key> key) requires std::is_arithmetic_v<Key> {
    return try_lock(key.key);
  }
  /// For a constant as the key.
  template <class Rep, class Period>
  [[nodiscard]] std::optional<Guard> try_lock_for(
      detail::Constant<Key> key,
      const std::chrono::duration<Rep, Period>& limit) requires std::is_arithmetic_v<Key> {
    return try_lock_for(key.key, limit);
  }
  /// For a constant as the key.
  template <class Clock, class Duration>
  [[nodiscard]] std::optional<Guard> try_lock_until(
      detail::Constant<Key> key,
      const std::chrono::time_point<Clock, Duration>& time) requires std::is_arithmetic_v<Key> {
    return try_lock_until(key.key, time);
  }
  /// For a constant as the key.
  [[nodiscard]] std::optional<Guard> try_lock(
      detail::Constant<Key> key, const detail::StopToken& stop) requires std::is_arithmetic_v<Key> {
    return try_lock(key.key, stop);
  }
  /// For a constant as the key.
  [[nodiscard]] detail::HoldAwaitable<Base, Key, TaskGuard> async_lock(
      detail::Constant<Key> key, AsyncOptions options = {}) requires std::is_arithmetic_v<Key> {
    return async_lock(std::move(key.key), std::move(options));
  }
  /// For a constant as the key.
  [[nodiscard]] detail::HoldAwaitable<Base, Key, std::optional<TaskGuard>> try_async_lock(
      detail::Constant<Key> key, AsyncOptions options) requires std::is_arithmetic_v<Key> {
    return try_async_lock(std::move(key.key), std::move(options));
  }
  /// For a constant as the key.
  [[nodiscard]] std::optional<SharedGuard> try_lock_shared(
      detail::Constant<Key> key, const detail::StopToken& stop) requires std::is_arithmetic_v<Key> {
    return try_lock_shared(key.key, stop);
  }
  /// For a constant as the key.
  [[nodiscard]] SharedGuard lock_shared(
      detail::Constant<Key> key) requires std::is_arithmetic_v<Key> {
    return lock_shared(key.key);
  }
  /// For a constant as the key.
  [[nodiscard]] std::optional<SharedGuard> try_lock_shared(
      detail::Constant<Key> key) requires std::is_arithmetic_v<Key> {
    return try_lock_shared(key.key);
  }
  /// For a constant as the key.
  template <class Rep, class Period>
  [[nodiscard]] std::optional<SharedGuard> try_lock_shared_for(
      detail::Constant<Key> key,
      const std::chrono::duration<Rep, Period>& limit) requires std::is_arithmetic_v<Key> {
    return try_lock_shared_for(key.key, limit);
  }
  /// For a constant as the key.
  template <class Clock, class Duration>
  [[nodiscard]] std::optional<SharedGuard> try_lock_shared_until(
      detail::Constant<Key> key,
      const std::chrono::time_point<Clock, Duration>& time) requires std::is_arithmetic_v<Key> {
    return try_lock_shared_until(key.key, time);
  }

  // -- Several keys ------------------------------------------------------------------------------

  /// The guards of all the keys, without duplicates, taken in sorted order, so that batches do not
  /// deadlock with each other. Keys are sorted by `less`, which must order any two keys that
  /// KeyEqual tells apart, the same way in every batch. Waits while another owner holds one of the
  /// keys. Deadlock: if this thread holds one of the keys, or holds another key and becomes part of
  /// a cycle. Throws what moving, comparing and storing keys throws; then no key of the batch is
  /// held. O(n log n) for n keys.
  template <detail::RangeOf<Key> Range, class Less = std::less<>>
  [[nodiscard]] Batch lock_all(Range&& keys, Less less = {}) {
    return this->template lock_batch<Batch>(std::forward<Range>(keys), less);
  }
  /// The same for a braced list of keys, or of what keys can be made from, all of one type.
  template <detail::MakesKey<Key> T, class Less = std::less<>>
  [[nodiscard]] Batch lock_all(std::initializer_list<T> keys, Less less = {}) {
    return lock_all(std::span(keys.begin(), keys.size()), std::move(less));
  }
  /// The same for a braced list of anything that keys can be made from, in any mix.
  template <class Less = std::less<>>
  [[nodiscard]] Batch lock_all(std::initializer_list<detail::AnyKey<Key>> keys, Less less = {}) {
    return lock_all(std::span(keys.begin(), keys.size()), std::move(less));
  }

  /// `lock_all` without waiting: all of the keys or, if one is held, none. Throws as `lock_all`
  /// does, but never for a deadlock. O(n log n) for n keys.
  template <detail::RangeOf<Key> Range, class Less = std::less<>>
  [[nodiscard]] std::optional<Batch> try_lock_all(Range&& keys, Less less = {}) {
    static_assert(!detail::IsLimit<Less>, "lockmap: try_lock_all does not wait");
    if constexpr (!detail::IsLimit<Less>) {
      return this->template lock_batch<Batch>(std::forward<Range>(keys), less,
                                              detail::Immediately{});
    } else {
      return std::nullopt;
    }
  }
  /// The same for a braced list of keys, or of what keys can be made from, all of one type.
  template <detail::MakesKey<Key> T, class Less = std::less<>>
  [[nodiscard]] std::optional<Batch> try_lock_all(std::initializer_list<T> keys, Less less = {}) {
    return try_lock_all(std::span(keys.begin(), keys.size()), std::move(less));
  }
  /// The same for a braced list of anything that keys can be made from, in any mix.
  template <class Less = std::less<>>
  [[nodiscard]] std::optional<Batch> try_lock_all(std::initializer_list<detail::AnyKey<Key>> keys,
                                                  Less less = {}) {
    return try_lock_all(std::span(keys.begin(), keys.size()), std::move(less));
  }

  // -- All keys ----------------------------------------------------------------------------------

  /// How many keys are held, in whatever mode, each counted once. Waits for no key. While other
  /// threads lock and unlock, the sum of what was true of each shard at slightly different moments.
  /// Linear in `shard_count()` and in the keys.
  [[nodiscard]] size_type locked_count() const noexcept {
    size_type count = 0;
    for (Shard& shard : this->shards()) {
      const typename Base::ReadSection section(shard);
      count += section.count_held();
    }
    return count;
  }

  using Base::shard_count;

 private:
  using typename Base::Hold;

  template <class AnyGuard, class Q, class Rep, class Period>
  [[nodiscard]] std::optional<AnyGuard> lock_for(Q&& key,
                                                 const std::chrono::duration<Rep, Period>& limit) {
    return Base::with_deadline(limit, [&](const auto& deadline) {
      return this->template lock_entry<AnyGuard>(std::forward<Q>(key), deadline);
    });
  }
};

}  // namespace lockmap

#endif  // LOCKMAP_LOCK_SET_HPP
