// ShardedMap: every operation of LockMap and LruLockMap, once.

#ifndef LOCKMAP_DETAIL_SHARDED_MAP_HPP
#define LOCKMAP_DETAIL_SHARDED_MAP_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "lockmap/async_options.hpp"
#include "lockmap/batch.hpp"
#include "lockmap/detail/async_hold.hpp"
#include "lockmap/detail/async_load.hpp"
#include "lockmap/detail/concepts.hpp"
#include "lockmap/detail/config.hpp"
#include "lockmap/detail/deadline.hpp"
#include "lockmap/detail/describe.hpp"
#include "lockmap/detail/eviction_policy.hpp"
#include "lockmap/detail/hashed_key.hpp"
#include "lockmap/detail/hold.hpp"
#include "lockmap/detail/key_access.hpp"
#include "lockmap/detail/load_timer.hpp"
#include "lockmap/detail/load_waiter.hpp"
#include "lockmap/detail/many.hpp"
#include "lockmap/detail/registry.hpp"
#include "lockmap/detail/shard.hpp"
#include "lockmap/detail/shard_array.hpp"
#include "lockmap/detail/stop_token.hpp"
#include "lockmap/detail/victim_queue.hpp"
#include "lockmap/entry.hpp"
#include "lockmap/options.hpp"
#include "lockmap/task_entry.hpp"

namespace lockmap {
template <class Key, class Hash, class KeyEqual, class Allocator>
class LockSet;
}

namespace lockmap::detail {

// How keys are locked: key_lock.hpp.
template <class Key, class Value, class Hash, class KeyEqual, class Allocator, class Policy>
class ShardedMap {
  static_assert(std::is_object_v<Key> && std::same_as<Key, std::remove_cv_t<Key>>,
                "lockmap: Key must be an object type without const or volatile");
  static_assert(std::is_object_v<Value> && std::same_as<Value, std::remove_cv_t<Value>>,
                "lockmap: Value must be an object type without const or volatile");
  static_assert(std::move_constructible<Key>, "lockmap: Key must be movable");
  static_assert(HashedAndCompared<Key, Key, Hash, KeyEqual>,
                "lockmap: Hash must hash a const Key and KeyEqual compare two");

 protected:
  using Shard = detail::Shard<Key, Value, KeyEqual, Allocator, Policy>;

 public:
  using key_type = Key;              ///< of the keys, as the map stores them
  using mapped_type = Value;         ///< of the values
  using size_type = std::size_t;     ///< of numbers of keys
  using hasher = Hash;               ///< hashes keys
  using key_equal = KeyEqual;        ///< tells keys apart
  using allocator_type = Allocator;  ///< has the memory of nodes and tables

  /// The exclusive guard of one key.
  using Entry = lockmap::Entry<Shard>;

  /// The shared guard of one key.
  using SharedEntry = lockmap::SharedEntry<Shard>;

  /// The exclusive guard of one key that belongs to no thread.
  using TaskEntry = lockmap::TaskEntry<Shard>;

  /// The shared guard of one key that belongs to no thread.
  using SharedTaskEntry = lockmap::SharedTaskEntry<Shard>;

  /// The exclusive guards of several keys.
  using Batch = lockmap::Batch<Entry, KeyTraits<Key, Hash, KeyEqual, Allocator>>;

  /// The shared guards of several keys.
  using SharedBatch = lockmap::Batch<SharedEntry, KeyTraits<Key, Hash, KeyEqual, Allocator>>;

  /// Awaited by a coroutine, a guard of the key.
  template <class Q, class Guard, class AnyOptions = AsyncOptions>
  using Awaitable = HoldAwaitable<ShardedMap, Q, Guard, AnyOptions>;

  /// Awaited by a coroutine, a value that may have to be loaded.
  template <class Q, class F>
  using AwaitableLoad = LoadAwaitable<ShardedMap, Q, F>;

  ShardedMap(const ShardedMap&) = delete;
  ShardedMap& operator=(const ShardedMap&) = delete;

  // -- One key -----------------------------------------------------------------------------------

  /// A copy of the key's value; empty if it has none. Waits while another owner holds the key
  /// exclusively, or waits to. Deadlock: this thread holds the key exclusively, or is part of a
  /// cycle of owners that wait for each other's keys. Throws what the copy throws. Constant time; a
  /// value that is trivially copyable and at most 64 bytes is copied under an internal lock, any
  /// other under a shared hold of its key.
  template <LookupKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] std::optional<Value> get(const Q& key) const {
    return copy_of<Touch::lookup>(key);
  }

  /// Whether the key has a value. Waits, and throws, as `get` does, but copies nothing. Constant
  /// time.
  template <LookupKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] bool contains(const Q& key) const {
    const auto hashed = keys_.hashed(key);
    Shard& shard = shards_.of(hashed.hash);
    bool found = false;
    const auto see = [&found](const Node& /*node*/) { found = true; };
    if (detail::look<Touch::lookup>(shard, hashed, see) == Look::needs_hold) {
      found = locked_contains(shard, hashed);
    }
    return found;
  }

  /// Calls `f(const Value&)` once under a shared hold of the key, outside of every internal lock,
  /// so nothing is copied. Returns what it returns in an optional, or true where it returns
  /// nothing; empty, or false, if the key has no value. Waits as `get` does. Deadlock: as `get`;
  /// `f` may read the key again, but not ask for it exclusively. Throws what `f` throws. Constant
  /// time.
  template <LookupKey<Key, Hash, KeyEqual> Q = Key, std::invocable<const Value&> F>
  auto read(const Q& key, F&& f) const {
    using Result = std::invoke_result_t<F, const Value&>;
    const auto hashed = keys_.hashed(key);
    Shard& shard = shards_.of(hashed.hash);
    const Hold hold = detail::hold_existing<Mode::shared>(shard, hashed, Touch::lookup);
    const bool found = Policy::enabled ? hold.has_value() : hold.had_value();
    const SharedEntry entry(shard, hold);
    if constexpr (std::is_void_v<Result>) {
      if (found) std::invoke(std::forward<F>(f), *entry);
      return found;
    } else {
      std::optional<std::remove_cvref_t<Result>> result;
      if (found) result.emplace(std::invoke(std::forward<F>(f), *entry));
      return result;
    }
  }

  /// Stores the value, and returns the previous one (what std calls insert_or_assign). Waits while
  /// another owner holds the key. Deadlock: as `get`. Throws what moves and the allocator throw;
  /// then the key has its previous value, or none as before. Amortised constant time.
  template <StoredKey<Key, Hash, KeyEqual> Q = Key>
  LOCKMAP_ALWAYS_INLINE std::optional<Value> insert(Q&& key, Value value) {
    return with_node(std::forward<Q>(key), [&](Section& section, Found found) LOCKMAP_INLINED {
      if (section.keeps_ledger()) [[unlikely]] {
        return locked_insert(section.hand_over(), found, std::move(value), {});
      }
      if (found.made) {
        store_first(section, *found.node, std::move(value));
        return std::optional<Value>();
      }
      if constexpr (copied_in_place<Value>) {
        if (section.may_read(*found.node)) {
          std::optional<Value> previous(std::as_const(found.node->value));
          std::construct_at(std::addressof(found.node->value), std::as_const(value));
          section.touch(*found.node, Touch::use, true);
          return previous;
        }
      }
      return locked_insert(section.hand_over(), found, std::move(value), {});
    });
  }

  /// Stores the value if the key has none, and says whether it did (what std calls insert). Waits,
  /// and throws, as `insert` does. Amortised constant time.
  template <StoredKey<Key, Hash, KeyEqual> Q = Key>
  bool try_insert(Q&& key, Value value) {
    return with_node(std::forward<Q>(key), [&](Section& section, Found found) {
      if (section.keeps_ledger()) [[unlikely]] {
        return locked_try_insert(section.hand_over(), found, std::move(value), {});
      }
      if (found.made) {
        store_first(section, *found.node, std::move(value));
        return true;
      }
      if (section.may_read(*found.node)) {
        section.touch(*found.node, Touch::use, true);
        return false;
      }
      return locked_try_insert(section.hand_over(), found, std::move(value), {});
    });
  }

  /// Removes the key, and returns its value; empty if it had none. Waits while another owner holds
  /// the key. Deadlock: as `get`. Throws what the value's move throws; then it is still there.
  /// Constant time.
  template <LookupKey<Key, Hash, KeyEqual> Q = Key>
  std::optional<Value> remove(const Q& key) {
    const auto hashed = keys_.hashed(key);
    Shard& shard = shards_.of(hashed.hash);
    Section section(shard);
    const auto position = section.find_position(hashed);
    if (position == section.absent()) return std::nullopt;
    Node& node = **position;
    if constexpr (std::is_nothrow_move_constructible_v<Value>) {
      if (section.may_read(node) && !section.is_expired(node)) {
        section.unlink(position);
        if constexpr (copied_in_place<Value> && Node::trivially_destroyed) {
          std::optional<Value> removed(std::as_const(node.value));
          section.free(node);
          return removed;
        } else {
          section.leave();
          std::optional<Value> removed(std::move(node.value));
          shard.destroy_nodes(&node);
          return removed;
        }
      }
    }
    return locked_remove(section.hand_over(), node);
  }

  /// The exclusive guard of the key, present or not. Waits while another owner holds the key.
  /// Deadlock: this thread holds the key, shared or not, or is part of a cycle. Throws what the
  /// allocator and the key's constructor throw. Amortised constant time.
  template <StoredKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] LOCKMAP_ALWAYS_INLINE Entry entry(Q&& key) {
    return with_hold<Entry::mode>(
        std::forward<Q>(key), NoDeadline{},
        [](Shard& shard, const Hold& hold) { return Entry(shard, hold); });
  }

  /// `entry` without waiting: empty if the key is held, by this thread or another. Throws what the
  /// allocator and the key's constructor throw, and never for a deadlock. Amortised constant time.
  template <StoredKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] std::optional<Entry> try_entry(Q&& key) {
    return lock_entry<Entry>(std::forward<Q>(key), Immediately{});
  }

  /// `entry` with a limit to the wait: empty if the key was held for all that time. A limit of zero
  /// or less makes it `try_entry`; a huge one makes it `entry`. Deadlock: as `entry`, reported at
  /// once. Throws, and takes time, as `entry` does.
  template <StoredKey<Key, Hash, KeyEqual> Q = Key, class Rep, class Period>
  [[nodiscard]] std::optional<Entry> try_entry_for(
      Q&& key, const std::chrono::duration<Rep, Period>& limit) {
    return with_deadline(limit, [&](const auto& deadline) {
      return lock_entry<Entry>(std::forward<Q>(key), deadline);
    });
  }

  /// `entry` until a time: empty if the key was held until then. A time in the past makes it
  /// `try_entry`. Any clock whose now() does not throw will do. Deadlock: as `entry`, reported at
  /// once. Throws, and takes time, as `entry` does.
  template <StoredKey<Key, Hash, KeyEqual> Q = Key, class Clock, class Duration>
  [[nodiscard]] std::optional<Entry> try_entry_until(
      Q&& key, const std::chrono::time_point<Clock, Duration>& time) {
    return lock_entry<Entry>(std::forward<Q>(key), Deadline<Clock, Duration>{time});
  }

  /// `entry` until a stop is requested: empty if the key was held until then. A free key is given
  /// even if the stop was requested before. Deadlock: as `entry`, reported at once. Throws, and
  /// takes time, as `entry` does.
  template <StoredKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] std::optional<Entry> try_entry(Q&& key, const StopToken& stop) {
    return lock_entry<Entry>(std::forward<Q>(key), UntilStop{stop});
  }

  /// The exclusive guard of a key that has a value; empty, and nothing is made, if it has none.
  /// Waits, and throws, as `entry` does. Constant time.
  template <LookupKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] std::optional<Entry> find_entry(const Q& key) {
    return find_guard<Entry>(key);
  }

  /// The shared guard of the key, present or not: of a key without a value, it keeps others from
  /// storing one. Waits while another owner holds the key exclusively, or waits to. Deadlock: this
  /// thread holds the key exclusively, or is part of a cycle; a thread that holds it shared gets
  /// it again, whoever waits. Throws what the allocator and the key's constructor throw. Amortised
  /// constant time.
  template <StoredKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] LOCKMAP_ALWAYS_INLINE SharedEntry shared_entry(Q&& key) {
    return with_hold<SharedEntry::mode>(
        std::forward<Q>(key), NoDeadline{},
        [](Shard& shard, const Hold& hold) { return SharedEntry(shard, hold); });
  }

  /// `shared_entry` without waiting: empty if another owner holds the key exclusively or waits to,
  /// or this thread holds it exclusively. Throws, and takes time, as `try_entry` does.
  template <StoredKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] std::optional<SharedEntry> try_shared_entry(Q&& key) {
    return lock_entry<SharedEntry>(std::forward<Q>(key), Immediately{});
  }

  /// `shared_entry` with a limit to the wait, as `try_entry_for` is `entry` with one.
  template <StoredKey<Key, Hash, KeyEqual> Q = Key, class Rep, class Period>
  [[nodiscard]] std::optional<SharedEntry> try_shared_entry_for(
      Q&& key, const std::chrono::duration<Rep, Period>& limit) {
    return with_deadline(limit, [&](const auto& deadline) {
      return lock_entry<SharedEntry>(std::forward<Q>(key), deadline);
    });
  }

  /// `shared_entry` until a time, as `try_entry_until` is `entry` until one.
  template <StoredKey<Key, Hash, KeyEqual> Q = Key, class Clock, class Duration>
  [[nodiscard]] std::optional<SharedEntry> try_shared_entry_until(
      Q&& key, const std::chrono::time_point<Clock, Duration>& time) {
    return lock_entry<SharedEntry>(std::forward<Q>(key), Deadline<Clock, Duration>{time});
  }

  /// `shared_entry` until a stop is requested, as `try_entry` is `entry` until one.
  template <StoredKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] std::optional<SharedEntry> try_shared_entry(Q&& key, const StopToken& stop) {
    return lock_entry<SharedEntry>(std::forward<Q>(key), UntilStop{stop});
  }

  /// The shared guard of a key that has a value; empty, and nothing is made, if it has none. Waits,
  /// and throws, as `shared_entry` does. Constant time.
  template <LookupKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] std::optional<SharedEntry> find_shared_entry(const Q& key) {
    return find_guard<SharedEntry>(key);
  }

  /// A copy of the key's value. If there is none, calls `make()` under the key's lock and stores
  /// what it returns; other callers wait for the result instead of calling theirs. Waits as `get`
  /// does, and where there is no value as `entry` does. Deadlock: as those, also if `make` asks for
  /// the key. If `make`
  /// throws, the exception goes to its caller, nothing is stored, and the next waiter calls its
  /// own. If the copy throws, the value stays stored. Amortised constant time.
  template <StoredKey<Key, Hash, KeyEqual> Q = Key, MakerOf<Value, Policy::enabled> F>
  Value get_or_insert_with(Q&& key, F&& make) {
    auto hashed = keys_.hashed(std::forward<Q>(key));
    return get_or_make(std::forward<Q>(key), hashed, std::forward<F>(make), nullptr);
  }

  /// The same, but a caller that waited for a `make` that threw gets its exception, and does not
  /// try itself.
  template <StoredKey<Key, Hash, KeyEqual> Q = Key, MakerOf<Value, Policy::enabled> F>
  Value get_or_insert_with(Q&& key, F&& make, ShareFailure /*share_failure*/) {
    auto hashed = keys_.hashed(std::forward<Q>(key));
    std::optional<SharedLoad> load;
    return get_or_make(std::forward<Q>(key), hashed, std::forward<F>(make), &load);
  }

  // -- One key, for a coroutine ------------------------------------------------------------------

  /// `entry` for a coroutine: the result of `co_await` is the exclusive guard of the key, which
  /// belongs to no thread. It begins with the `co_await`; not awaited, nothing happens. While
  /// another owner holds the key, the coroutine is suspended; then it is handed the key in its
  /// turn, and resumed as the options say. A key given as an rvalue is moved in, an lvalue and what
  /// a view refers to must live until the `co_await` ends. The coroutine may be destroyed while it
  /// waits, until it was given to `resume`; if that is about to be called on another thread, it is
  /// still called, with a handle that must not be used. In the child of a fork, a coroutine that
  /// waited is not handed the key, but may be destroyed. Deadlock: with an owner, as `entry`;
  /// without one, waits for ever. Throws std::system_error with std::errc::operation_canceled if
  /// the stop ends the wait, and what `entry` throws. Amortised constant time; allocates nothing
  /// for a key that is there.
  template <StoredKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] Awaitable<Q, TaskEntry> async_entry(Q&& key, AsyncOptions options) {
    return {*this, std::forward<Q>(key), std::move(options)};
  }
  /// The same with options as they are by default.
  template <StoredKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] Awaitable<Q, TaskEntry, NoAsyncOptions> async_entry(Q&& key) {
    return {*this, std::forward<Q>(key), {}};
  }

  /// `async_entry` for an optional guard, which is empty if the stop ends the wait.
  template <StoredKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] Awaitable<Q, std::optional<TaskEntry>> try_async_entry(Q&& key,
                                                                       AsyncOptions options) {
    return {*this, std::forward<Q>(key), std::move(options)};
  }

  /// `shared_entry` for a coroutine, as `async_entry` is `entry` for one.
  template <StoredKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] Awaitable<Q, SharedTaskEntry> async_shared_entry(Q&& key, AsyncOptions options) {
    return {*this, std::forward<Q>(key), std::move(options)};
  }
  /// The same with options as they are by default.
  template <StoredKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] Awaitable<Q, SharedTaskEntry, NoAsyncOptions> async_shared_entry(Q&& key) {
    return {*this, std::forward<Q>(key), {}};
  }

  /// `get_or_insert_with` for a coroutine: the result of `co_await` is a copy of the value. If
  /// there is none, `make()` returns an awaitable of a value (or, in a cache, of an Expiring one),
  /// which one caller awaits under the key's exclusive hold, while the others wait for its result.
  /// Waits as `async_shared_entry` does, and where there is no value as `async_entry`; the stop
  /// ends waiting, not loading. Deadlock: as those, also if `make` asks for the key: without an
  /// owner, it waits for ever. If `make` or what it returns throws, or the coroutine is destroyed
  /// meanwhile, nothing is stored, and the next that waits calls its own. Amortised constant time;
  /// allocates nothing if the value is there and nobody holds the key.
  template <StoredKey<Key, Hash, KeyEqual> Q = Key, std::invocable F>
  [[nodiscard]] AwaitableLoad<Q, std::decay_t<F>> async_get_or_insert_with(
      Q&& key, F&& make, AsyncOptions options = {}) {
    static_assert(std::copy_constructible<Value>,
                  "lockmap: get_or_insert_with returns a copy, so Value must be copyable");
    return {*this, std::forward<Q>(key), std::decay_t<F>(std::forward<F>(make)),
            std::move(options)};
  }

  // -- Constants as keys -------------------------------------------------------------------------
  //
  // For a literal of another type than the key's, such as 1 where keys are unsigned.

  /// For a constant as the key.
  [[nodiscard]] std::optional<Value> get(
      Constant<Key> key) const requires std::is_arithmetic_v<Key> {
    return get(key.key);
  }
  /// For a constant as the key.
  [[nodiscard]] bool contains(Constant<Key> key) const requires std::is_arithmetic_v<Key> {
    return contains(key.key);
  }
  /// For a constant as the key.
  std::optional<Value> insert(Constant<Key> key, Value value) requires std::is_arithmetic_v<Key> {
    return insert(key.key, std::move(value));
  }
  /// For a constant as the key.
  bool try_insert(Constant<Key> key, Value value) requires std::is_arithmetic_v<Key> {
    return try_insert(key.key, std::move(value));
  }
  /// For a constant as the key.
  std::optional<Value> remove(Constant<Key> key) requires std::is_arithmetic_v<Key> {
    return remove(key.key);
  }
  /// For a constant as the key.
  [[nodiscard]] Entry entry(Constant<Key> key) requires std::is_arithmetic_v<Key> {
    return entry(key.key);
  }
  /// For a constant as the key.
  [[nodiscard]] std::optional<Entry> try_entry(
      Constant<Key> key) requires std::is_arithmetic_v<Key> {
    return try_entry(key.key);
  }
  /// For a constant as the key.
  [[nodiscard]] std::optional<Entry> try_entry(
      Constant<Key> key, const StopToken& stop) requires std::is_arithmetic_v<Key> {
    return try_entry(key.key, stop);
  }
  /// For a constant as the key.
  [[nodiscard]] Awaitable<Key, TaskEntry> async_entry(
      Constant<Key> key, AsyncOptions options = {}) requires std::is_arithmetic_v<Key> {
    return {*this, std::move(key.key), std::move(options)};
  }
  /// For a constant as the key.
  [[nodiscard]] Awaitable<Key, std::optional<TaskEntry>> try_async_entry(
      Constant<Key> key, AsyncOptions options) requires std::is_arithmetic_v<Key> {
    return {*this, std::move(key.key), std::move(options)};
  }
  /// For a constant as the key.
  template <std::invocable F>
  [[nodiscard]] AwaitableLoad<Key, std::decay_t<F>> async_get_or_insert_with(
      Constant<Key> key, F&& make, AsyncOptions options = {}) requires std::is_arithmetic_v<Key> {
    return async_get_or_insert_with(std::move(key.key), std::forward<F>(make), std::move(options));
  }
  /// For a constant as the key.
  [[nodiscard]] Awaitable<Key, SharedTaskEntry> async_shared_entry(
      Constant<Key> key, AsyncOptions options = {}) requires std::is_arithmetic_v<Key> {
    return {*this, std::move(key.key), std::move(options)};
  }
  /// For a constant as the key.
  [[nodiscard]] std::optional<Entry> find_entry(
      Constant<Key> key) requires std::is_arithmetic_v<Key> {
    return find_entry(key.key);
  }
  /// For a constant as the key.
  template <std::invocable<const Value&> F>
  auto read(Constant<Key> key, F&& f) const requires std::is_arithmetic_v<Key> {
    return read(key.key, std::forward<F>(f));
  }
  /// For a constant as the key.
  [[nodiscard]] SharedEntry shared_entry(Constant<Key> key) requires std::is_arithmetic_v<Key> {
    return shared_entry(key.key);
  }
  /// For a constant as the key.
  [[nodiscard]] std::optional<SharedEntry> try_shared_entry(
      Constant<Key> key) requires std::is_arithmetic_v<Key> {
    return try_shared_entry(key.key);
  }
  /// For a constant as the key.
  [[nodiscard]] std::optional<SharedEntry> try_shared_entry(
      Constant<Key> key, const StopToken& stop) requires std::is_arithmetic_v<Key> {
    return try_shared_entry(key.key, stop);
  }
  /// For a constant as the key.
  [[nodiscard]] std::optional<SharedEntry> find_shared_entry(
      Constant<Key> key) requires std::is_arithmetic_v<Key> {
    return find_shared_entry(key.key);
  }
  /// For a constant as the key.
  template <class Rep, class Period>
  [[nodiscard]] std::optional<SharedEntry> try_shared_entry_for(
      Constant<Key> key,
      const std::chrono::duration<Rep, Period>& limit) requires std::is_arithmetic_v<Key> {
    return try_shared_entry_for(key.key, limit);
  }
  /// For a constant as the key.
  template <class Clock, class Duration>
  [[nodiscard]] std::optional<SharedEntry> try_shared_entry_until(
      Constant<Key> key,
      const std::chrono::time_point<Clock, Duration>& time) requires std::is_arithmetic_v<Key> {
    return try_shared_entry_until(key.key, time);
  }
  /// For a constant as the key.
  template <class Rep, class Period>
  [[nodiscard]] std::optional<Entry> try_entry_for(
      Constant<Key> key,
      const std::chrono::duration<Rep, Period>& limit) requires std::is_arithmetic_v<Key> {
    return try_entry_for(key.key, limit);
  }
  /// For a constant as the key.
  template <class Clock, class Duration>
  [[nodiscard]] std::optional<Entry> try_entry_until(
      Constant<Key> key,
      const std::chrono::time_point<Clock, Duration>& time) requires std::is_arithmetic_v<Key> {
    return try_entry_until(key.key, time);
  }
  /// For a constant as the key.
  template <MakerOf<Value, Policy::enabled> F, class... Option>
  Value get_or_insert_with(Constant<Key> key, F&& make,
                           Option... option) requires std::is_arithmetic_v<Key> {
    return get_or_insert_with(key.key, std::forward<F>(make), option...);
  }

  // -- Several keys ------------------------------------------------------------------------------

  /// The guards of all the keys, without duplicates, taken in sorted order, so that batches do not
  /// deadlock with each other. Keys are sorted by `less`, which must order any two keys that
  /// KeyEqual tells apart, the same way in every batch. Waits while another owner holds one of the
  /// keys. Deadlock: if this thread holds one of the keys, or holds another key and becomes part of
  /// a cycle. Throws what moving, comparing and storing keys throws; then no key of the batch is
  /// held. O(n log n) for n keys.
  template <RangeOf<Key> Range, class Less = std::less<>>
  [[nodiscard]] Batch batch_lock(Range&& keys, Less less = {}) {
    return lock_batch<Batch>(std::forward<Range>(keys), less);
  }
  /// The same for a braced list of keys, or of what keys can be made from, all of one type.
  template <MakesKey<Key> T, class Less = std::less<>>
  [[nodiscard]] Batch batch_lock(std::initializer_list<T> keys, Less less = {}) {
    return batch_lock(std::span(keys.begin(), keys.size()), std::move(less));
  }
  /// The same for a braced list of anything that keys can be made from, in any mix.
  template <class Less = std::less<>>
  [[nodiscard]] Batch batch_lock(std::initializer_list<AnyKey<Key>> keys, Less less = {}) {
    return batch_lock(std::span(keys.begin(), keys.size()), std::move(less));
  }

  /// `batch_lock` without waiting: all of the keys or, if one is held, none. Throws as `batch_lock`
  /// does, but never for a deadlock. O(n log n) for n keys.
  template <RangeOf<Key> Range, class Less = std::less<>>
  [[nodiscard]] std::optional<Batch> try_batch_lock(Range&& keys, Less less = {}) {
    static_assert(!IsLimit<Less>,
                  "lockmap: try_batch_lock does not wait; with a limit, it is "
                  "try_batch_lock_for or _until, and there is none with a stop token");
    if constexpr (!IsLimit<Less>) {
      return lock_batch<Batch>(std::forward<Range>(keys), less, Immediately{});
    } else {
      return std::nullopt;
    }
  }
  /// The same for a braced list of keys, or of what keys can be made from, all of one type.
  template <MakesKey<Key> T, class Less = std::less<>>
  [[nodiscard]] std::optional<Batch> try_batch_lock(std::initializer_list<T> keys, Less less = {}) {
    return try_batch_lock(std::span(keys.begin(), keys.size()), std::move(less));
  }
  /// The same for a braced list of anything that keys can be made from, in any mix.
  template <class Less = std::less<>>
  [[nodiscard]] std::optional<Batch> try_batch_lock(std::initializer_list<AnyKey<Key>> keys,
                                                    Less less = {}) {
    return try_batch_lock(std::span(keys.begin(), keys.size()), std::move(less));
  }

  /// `batch_lock` with a limit to the wait for all keys together: all of them or, if they could not
  /// be had in that time, none. Deadlock: as `batch_lock`, reported at once. Throws, and takes
  /// time, as `batch_lock` does.
  template <RangeOf<Key> Range, class Rep, class Period, class Less = std::less<>>
  [[nodiscard]] std::optional<Batch> try_batch_lock_for(
      Range&& keys, const std::chrono::duration<Rep, Period>& limit, Less less = {}) {
    return with_deadline(limit, [&](const auto& deadline) {
      return lock_batch<Batch>(std::forward<Range>(keys), less, deadline);
    });
  }
  /// The same for a braced list of keys, or of what keys can be made from, all of one type.
  template <MakesKey<Key> T, class Rep, class Period, class Less = std::less<>>
  [[nodiscard]] std::optional<Batch> try_batch_lock_for(
      std::initializer_list<T> keys, const std::chrono::duration<Rep, Period>& limit,
      Less less = {}) {
    return try_batch_lock_for(std::span(keys.begin(), keys.size()), limit, std::move(less));
  }
  /// The same for a braced list of anything that keys can be made from, in any mix.
  template <class Rep, class Period, class Less = std::less<>>
  [[nodiscard]] std::optional<Batch> try_batch_lock_for(
      std::initializer_list<AnyKey<Key>> keys, const std::chrono::duration<Rep, Period>& limit,
      Less less = {}) {
    return try_batch_lock_for(std::span(keys.begin(), keys.size()), limit, std::move(less));
  }

  /// `batch_lock` until a time: all of the keys or, if they could not be had until then, none.
  /// Deadlock: as `batch_lock`, reported at once. Throws, and takes time, as `batch_lock` does.
  template <RangeOf<Key> Range, class Clock, class Duration, class Less = std::less<>>
  [[nodiscard]] std::optional<Batch> try_batch_lock_until(
      Range&& keys, const std::chrono::time_point<Clock, Duration>& time, Less less = {}) {
    return lock_batch<Batch>(std::forward<Range>(keys), less, Deadline<Clock, Duration>{time});
  }
  /// The same for a braced list of keys, or of what keys can be made from, all of one type.
  template <MakesKey<Key> T, class Clock, class Duration, class Less = std::less<>>
  [[nodiscard]] std::optional<Batch> try_batch_lock_until(
      std::initializer_list<T> keys, const std::chrono::time_point<Clock, Duration>& time,
      Less less = {}) {
    return try_batch_lock_until(std::span(keys.begin(), keys.size()), time, std::move(less));
  }
  /// The same for a braced list of anything that keys can be made from, in any mix.
  template <class Clock, class Duration, class Less = std::less<>>
  [[nodiscard]] std::optional<Batch> try_batch_lock_until(
      std::initializer_list<AnyKey<Key>> keys, const std::chrono::time_point<Clock, Duration>& time,
      Less less = {}) {
    return try_batch_lock_until(std::span(keys.begin(), keys.size()), time, std::move(less));
  }

  /// `batch_lock` with shared guards. Waits while another owner holds one of the keys exclusively,
  /// or waits to. Deadlock: if this thread holds one of the keys exclusively, or holds another key
  /// and becomes part of a cycle. Throws, and takes time, as `batch_lock` does.
  template <RangeOf<Key> Range, class Less = std::less<>>
  [[nodiscard]] SharedBatch shared_batch_lock(Range&& keys, Less less = {}) {
    return lock_batch<SharedBatch>(std::forward<Range>(keys), less);
  }
  /// The same for a braced list of keys, or of what keys can be made from, all of one type.
  template <MakesKey<Key> T, class Less = std::less<>>
  [[nodiscard]] SharedBatch shared_batch_lock(std::initializer_list<T> keys, Less less = {}) {
    return shared_batch_lock(std::span(keys.begin(), keys.size()), std::move(less));
  }
  /// The same for a braced list of anything that keys can be made from, in any mix.
  template <class Less = std::less<>>
  [[nodiscard]] SharedBatch shared_batch_lock(std::initializer_list<AnyKey<Key>> keys,
                                              Less less = {}) {
    return shared_batch_lock(std::span(keys.begin(), keys.size()), std::move(less));
  }

  /// `try_batch_lock` with shared guards: all of the keys or, if one would have to be waited for,
  /// none. Throws, and takes time, as `try_batch_lock` does.
  template <RangeOf<Key> Range, class Less = std::less<>>
  [[nodiscard]] std::optional<SharedBatch> try_shared_batch_lock(Range&& keys, Less less = {}) {
    return lock_batch<SharedBatch>(std::forward<Range>(keys), less, Immediately{});
  }
  /// The same for a braced list of keys, or of what keys can be made from, all of one type.
  template <MakesKey<Key> T, class Less = std::less<>>
  [[nodiscard]] std::optional<SharedBatch> try_shared_batch_lock(std::initializer_list<T> keys,
                                                                 Less less = {}) {
    return try_shared_batch_lock(std::span(keys.begin(), keys.size()), std::move(less));
  }
  /// The same for a braced list of anything that keys can be made from, in any mix.
  template <class Less = std::less<>>
  [[nodiscard]] std::optional<SharedBatch> try_shared_batch_lock(
      std::initializer_list<AnyKey<Key>> keys, Less less = {}) {
    return try_shared_batch_lock(std::span(keys.begin(), keys.size()), std::move(less));
  }

  // -- Many keys, one at a time ------------------------------------------------------------------

  /// `get` of each key, in the order of the range, with the cache misses of several keys at once.
  /// Each key by itself is atomic, the whole is not. Takes keys that are held last, and waits for
  /// each of them as `get` does, holding no other. Deadlock: as `get`. Throws what `get` and
  /// reading the range throw. Linear in the elements.
  template <RangeOfLookups<Key, Hash, KeyEqual> Range>
  [[nodiscard]] std::vector<std::optional<Value>> get_many(Range&& keys) const {
    static_assert(std::copy_constructible<Value>,
                  "lockmap: get_many returns copies, so Value must be copyable; use read_many");
    std::vector<std::optional<Value>> values;
    if constexpr (std::ranges::sized_range<Range>) values.resize(to_size(std::ranges::size(keys)));
    look_at_many<copied_in_place<Value>>(
        std::forward<Range>(keys),
        [&values](std::size_t index) {
          if (index == values.size()) values.emplace_back();
        },
        [&values](std::size_t index, const Value& value) { values[index].emplace(value); });
    return values;
  }
  /// The same for a braced list of keys, or of what keys can be made from, all of one type.
  template <MakesKey<Key> T>
  [[nodiscard]] std::vector<std::optional<Value>> get_many(std::initializer_list<T> keys) const {
    return get_many(std::span(keys.begin(), keys.size()));
  }
  /// The same for a braced list of anything that keys can be made from, in any mix.
  [[nodiscard]] std::vector<std::optional<Value>> get_many(
      std::initializer_list<AnyKey<Key>> keys) const {
    return get_many(std::span(keys.begin(), keys.size()));
  }

  /// `read` of each key: calls `f(index, const Value&)` for each element of the range whose key has
  /// a value, in any order, under a shared hold of that key and no other. Returns how many those
  /// were. Waits as `get_many` does. Deadlock: as `read`. Throws what `f`, `read` and reading the
  /// range throw; then some were read. Linear in the elements.
  template <RangeOfLookups<Key, Hash, KeyEqual> Range, IndexedVisitorOf<Value> F>
  size_type read_many(Range&& keys, F f) const {
    size_type count = 0;
    look_at_many<false>(
        std::forward<Range>(keys), [](std::size_t /*index*/) {},
        [&](std::size_t index, const Value& value) {
          std::invoke(f, index, value);
          ++count;
        });
    return count;
  }

  /// `insert` of each pair, that is of anything with `get<0>` and `get<1>`; returns how many of the
  /// keys had no value. Of equal keys the last one wins. Each key by itself is atomic, the whole is
  /// not. Takes keys that are held last, and waits for each of them as `insert` does, holding no
  /// other. Deadlock: as `insert`. Throws what `insert` and reading the range throw; then some are
  /// stored. Amortised linear in the elements.
  template <RangeOfPairs<Key, Value> Range>
  size_type insert_many(Range&& pairs) {
    InsertMany<HasLastingElements<Range>> insertion{*this};
    detail::take_through(std::forward<Range>(pairs), insertion);
    return insertion.added;
  }

  // -- All keys ----------------------------------------------------------------------------------

  /// Calls `f(const Key&, const Value&)` for every value, holding its key shared, in no particular
  /// order, until `f` returns a bool that is false. Visits every key that is there for the whole
  /// call once; keys that come or go meanwhile may be visited or not, so it is no snapshot: to see
  /// several keys at one moment, lock them together. Waits, at each key, as `get` does. Deadlock:
  /// if it comes to a key that this thread holds exclusively, or becomes part of a cycle; then the
  /// keys before it have been visited. Throws what `f` throws. Linear in the keys.
  template <VisitorOf<Key, Value> F>
  void for_each(F f) const {
    (void)visit_all<SharedEntry>(
        NoDeadline{}, [&f](SharedEntry& entry) { return proceed(f, entry.key(), *entry); });
  }

  /// `for_each` that passes over the keys for which it would have to wait, or that this thread
  /// holds exclusively, and returns how many those were. Waits for nothing. Throws what `f` throws.
  /// Linear in the keys.
  template <VisitorOf<Key, Value> F>
  size_type try_for_each(F f) const {
    return visit_all<SharedEntry>(
        Immediately{}, [&f](SharedEntry& entry) { return proceed(f, entry.key(), *entry); });
  }

  /// Calls `f(const Key&, Value&)` for every value as `for_each` does, but holding its key
  /// exclusively, removes those for which it returns false, and returns how many. Waits, at each
  /// key, as `entry` does. Throws, and takes time, as `for_each` does; what was removed before
  /// stays removed.
  template <FilterOf<Key, Value> F>
  size_type retain(F f) {
    size_type removed = 0;
    (void)visit_all<Entry>(NoDeadline{}, removal(f, removed));
    return removed;
  }

  /// `retain` that passes over the keys that are held, by others or by this thread. Returns how
  /// many values it removed, and how many keys it passed over. Waits for nothing. Throws what `f`
  /// throws; what was removed before stays removed. Linear in the keys.
  template <FilterOf<Key, Value> F>
  std::pair<size_type, size_type> try_retain(F f) {
    size_type removed = 0;
    const size_type passed_over = visit_all<Entry>(Immediately{}, removal(f, removed));
    return {removed, passed_over};
  }

  /// Removes every value, and gives back the memory of shards that are then without keys. Waits,
  /// throws, and takes time, as `retain` does; what was removed before stays removed.
  void clear() {
    (void)visit_all<Entry>(NoDeadline{}, [](Entry& entry) {
      entry.reset();
      return true;
    });
    for (Shard& shard : shards()) {
      Section section(shard);
      if (!section.has_nodes()) section.shrink_to_fit();
    }
  }

  /// Gives back the memory that the keys do not need, also what `initial_capacity` has reserved.
  /// Without it, a shard gives room back by itself when its keys take less than a quarter of it.
  /// Waits for nothing. Keys and values whose moves may throw stay where they are, and so do keys
  /// that are held. Linear in the keys.
  void shrink_to_fit() {
    for (Shard& shard : shards()) {
      Section section(shard);
      section.shrink_to_fit();
    }
  }

  /// The number of keys that have a value, also of those that are held; not of keys that are only
  /// locked. Never waits. A number that was true at a moment of the call; if other threads store
  /// and remove without a pause, the sum of what was true of each shard. Linear in `shard_count()`.
  [[nodiscard]] size_type size() const noexcept {
    Total total = count();
    for (int i = 0; i < most_counts; ++i) {
      const Total again = count();
      if (again.changes == total.changes) break;
      total = again;
    }
    return total.values;
  }

  /// Whether no key has a value, at a moment of the call. Otherwise as `size`.
  [[nodiscard]] bool empty() const noexcept {
    for (;;) {
      const Total total = count();
      if (total.values != 0) return false;  // true of one shard at least, at the time of the look
      if (count().changes == total.changes) return true;
    }
  }

  /// The number of shards. Never waits. Constant time.
  [[nodiscard]] size_type shard_count() const noexcept { return shards().size(); }

 protected:
  using Node = typename Shard::Node;
  using Section = typename Shard::Section;
  using ReadSection = typename Shard::ReadSection;
  using Hold = detail::Hold<Node>;
  using Found = typename Shard::Found;

  ShardedMap(std::size_t shard_count, std::size_t initial_capacity, Hash hash, KeyEqual equal,
             const Allocator& allocator)
      : keys_{std::move(hash), std::move(equal), allocator},
        shards_(shard_count, ThisModule::registry(), keys_.equal, allocator) {
    constexpr std::size_t most =
        static_cast<std::size_t>((std::numeric_limits<std::ptrdiff_t>::max)()) / (2 * sizeof(Node));
    if (initial_capacity > most) {
      throw std::length_error("lockmap: initial_capacity is too large: " +
                              detail::describe(initial_capacity));
    }
    const std::size_t per_shard = initial_capacity / shard_count;
    std::size_t rest = initial_capacity % shard_count;
    for (Shard& shard : shards()) {
      shard.reserve(rest > 0 ? per_shard + 1 : per_shard);
      if (rest > 0) --rest;
    }
  }

  ~ShardedMap() = default;

  // For the destructors of the maps: destroys all values while the whole map can still be used. (A
  // value whose destructor uses the map may store values there; then there is another round.)
  void destroy_all_values() noexcept {
    for (Shard& shard : shards()) shard.assert_unused();
    if constexpr (!Node::trivially_destroyed) {
      bool again = true;
      while (again) {
        again = false;
        for (Shard& shard : shards()) again = shard.destroy_all_nodes() || again;
      }
    }
  }

  [[nodiscard]] std::span<Shard> shards() const noexcept { return shards_.all(); }

  template <Touch touch, class Q>
  [[nodiscard]] LOCKMAP_ALWAYS_INLINE std::optional<Value> copy_of(const Q& key) const {
    static_assert(std::copy_constructible<Value>,
                  "lockmap: get returns a copy, so Value must be copyable; use entry instead");
    if constexpr (copied_in_place<Value>) {
      std::optional<Value> copy;
      copy_to<touch>(copy, key);
      return copy;
    } else {
      const auto hashed = keys_.hashed(key);
      return locked_copy(shards_.of(hashed.hash), hashed, touch);
    }
  }
  // Not a result: g++ returns an optional of one word from a function that is not inlined by
  // storing a byte and loading eight, and such a load waits until the store has reached the cache.
  template <Touch touch, class Q>
  void copy_to(std::optional<Value>& copy, const Q& key) const {
    const auto hashed = keys_.hashed(key);
    Shard& shard = shards_.of(hashed.hash);
    const auto take = [&copy](const Node& node) { copy.emplace(node.value); };
    if (detail::look<touch>(shard, hashed, take) != Look::needs_hold) return;
    const std::optional<Value> locked = locked_copy(shard, hashed, touch);
    if (locked.has_value()) copy.emplace(*locked);
  }

  // This and the next two are out of line to keep the fast path inlinable.

  // Of a value that is there, and that may be read at once.
  template <class T>
  LOCKMAP_NOINLINE static void copy_present_to(std::optional<Value>& copy, Shard& shard,
                                               HashedKey<T> key) {
    if (shard.policy().changes_on(Touch::lookup)) return;
    const ReadSection section(shard);
    (void)detail::look_in(section, key, Touch::lookup, Touch::quiet,
                          [&copy](const Node& node) { copy.emplace(node.value); });
  }
  template <class T>
  [[nodiscard]] LOCKMAP_NOINLINE static std::optional<Value> locked_copy(Shard& shard,
                                                                         const HashedKey<T>& key,
                                                                         Touch touch) {
    const Hold hold = detail::hold_existing<Mode::shared>(shard, key, touch);
    const SharedEntry entry(shard, hold);
    if (!hold.has_value()) return std::nullopt;
    return *entry;
  }

  template <class T>
  [[nodiscard]] LOCKMAP_NOINLINE static bool locked_contains(Shard& shard,
                                                             const HashedKey<T>& key) {
    const Hold hold = detail::hold_existing<Mode::shared>(shard, key, Touch::lookup);
    const SharedEntry entry(shard, hold);
    return hold.has_value();
  }

  template <class Guard, class Q>
  [[nodiscard]] std::optional<Guard> find_guard(const Q& key) const {
    const auto hashed = keys_.hashed(key);
    Shard& shard = shards_.of(hashed.hash);
    const Hold hold = detail::hold_existing<Guard::mode>(shard, hashed, Touch::use);
    Guard guard(shard, hold);
    if (!hold.has_value()) return std::nullopt;
    return guard;
  }

  template <class Guard = Entry>
  [[nodiscard]] static Guard lock(Section& section, Found found, Touch touch) {
    Shard& shard = section.shard();
    const Hold hold = detail::lock_found<Guard::mode>(section, found, touch, NoDeadline{});
    section.leave();
    return Guard(shard, hold);
  }
  template <class Guard, class D>
  [[nodiscard]] static std::optional<Guard> lock(Section& section, Found found, Touch touch,
                                                 const D& deadline) {
    Shard& shard = section.shard();
    const Hold hold = detail::lock_found<Guard::mode>(section, found, touch, deadline);
    section.leave();
    if (!hold) return std::nullopt;
    return Guard(shard, hold);
  }

  template <class Q>
  std::optional<Value> insert_expiring(Q&& key, Value&& value, ExpiresIn expires) {
    return with_node(std::forward<Q>(key), [&](Section& section, Found found) {
      return locked_insert(section.hand_over(), found, std::move(value), expires);
    });
  }
  template <class Q>
  bool try_insert_expiring(Q&& key, Value&& value, ExpiresIn expires) {
    return with_node(std::forward<Q>(key), [&](Section& section, Found found) {
      return locked_try_insert(section.hand_over(), found, std::move(value), expires);
    });
  }

  // Returns what `present(shard, hashed, entry)` does, with the key's value held shared; `make`
  // makes it if there is none.
  template <class Q, class F, class R>
  Value if_present_or_make(Q&& key, F&& make, const R& present) requires(Policy::enabled) {
    static_assert(std::copy_constructible<Value>,
                  "lockmap: get_or_refresh returns a copy, so Value must be copyable");
    auto hashed = keys_.hashed(std::forward<Q>(key));
    Shard& shard = shards_.of(hashed.hash);
    if (!shard.policy().keeps_ledger()) shard.keep_ledger();
    const Hold hold = detail::hold_existing<Mode::shared>(shard, hashed, Touch::lookup);
    SharedEntry entry(shard, hold);
    if (!hold.has_value()) {
      entry.unlock();
      return get_or_make(std::forward<Q>(key), hashed, std::forward<F>(make), nullptr,
                         Touch::quiet);
    }
    return present(shard, hashed, entry);
  }

  // Moves the least recently used key of the shard that nobody holds or waits for to `popped`, with
  // its value. If a move throws, both are still there.
  static void pop_oldest(Shard& shard,
                         std::optional<std::pair<Key, Value>>& popped) requires(Policy::enabled) {
    Section section(shard);
    Node* const node = section.oldest_unpinned();
    if (node == nullptr) return;
    if constexpr (std::is_nothrow_move_constructible_v<Key> &&
                  std::is_nothrow_move_constructible_v<Value>) {
      section.unlink(*node);
      section.leave();
      popped.emplace(std::move(node->key), std::move(node->value));
      shard.destroy_nodes(node);
    } else {
      static_assert(std::copy_constructible<Key>,
                    "lockmap: pop_lru needs a Key and a Value whose moves do not throw, or a Key "
                    "that can be copied");
      Entry entry = lock(section, {node}, Touch::quiet);
      popped.emplace(entry.key(), std::move(*entry));
      entry.reset();
    }
  }

 private:
  friend struct TestAccess;
  template <class K, class H, class E, class A>
  friend class lockmap::LockSet;
  template <class Map, class Result, bool may_make>
  friend class HoldAwaiter;
  template <class Map, class Q, class F>
  friend class LoadAwaiter;

  using MapKeys = KeyTraits<Key, Hash, KeyEqual, Allocator>;

  // Hashes a key, finds or makes its node, and returns `f(section, found)`.
  template <class Q, class F>
  LOCKMAP_ALWAYS_INLINE decltype(auto) with_node(Q&& key, const F& f) {
    auto hashed = keys_.hashed(std::forward<Q>(key));
    Section section(shards_.of(hashed.hash));
    return f(section,
             section.find_or_make(hashed, MapKeys::stored_key(hashed, std::forward<Q>(key))));
  }

  // Locks a key, present or not, and returns `f(shard, hold)`, without a hold if the deadline was
  // too early.
  template <Mode mode, class Q, class D, class F>
  LOCKMAP_ALWAYS_INLINE auto with_hold(Q&& key, const D& deadline, const F& f) {
    auto hashed = keys_.hashed(std::forward<Q>(key));
    Shard& shard = shards_.of(hashed.hash);
    Hold hold;
    bool wants_mutex = true;
    if (detail::allows_hold_without_mutex<mode>(shard)) [[unlikely]] {
      Missed missed = Missed::nothing;
      hold = detail::hold_without_mutex<mode>(shard, hashed, Touch::use, Touch::quiet, deadline,
                                              missed);
      wants_mutex = !hold && missed != Missed::deadline;
    }
    if (wants_mutex) [[likely]] {
      Section section(shard, mode);
      const Found found =
          section.find_or_make(hashed, MapKeys::stored_key(hashed, std::forward<Q>(key)));
      hold = detail::lock_found<mode>(section, found, Touch::use, deadline);
    }
    return f(shard, hold);
  }

  template <class Guard, class Q, class D>
  [[nodiscard]] std::optional<Guard> lock_entry(Q&& key, const D& deadline) {
    return with_hold<Guard::mode>(
        std::forward<Q>(key), deadline, [](Shard& shard, const Hold& hold) {
          return hold ? std::optional<Guard>(Guard(shard, hold)) : std::nullopt;
        });
  }

  // `insert` and `try_insert` under the key's lock, with a time to live of the value's own or the
  // cache's. Out of line to keep the fast path inlinable.
  [[nodiscard]] LOCKMAP_NOINLINE static std::optional<Value> locked_insert(
      typename Section::InTransit in_transit, Found found, Value&& value,
      const std::optional<ExpiresIn>& expires) {
    Entry entry = lock_to_store(in_transit, found);
    return entry.store(std::move(value), expires);
  }
  [[nodiscard]] LOCKMAP_NOINLINE static bool locked_try_insert(
      typename Section::InTransit in_transit, Found found, Value&& value,
      const std::optional<ExpiresIn>& expires) {
    Entry entry = lock_to_store(in_transit, found);
    if (entry.has_value()) return false;
    entry.construct(expires, std::move(value));
    return true;
  }
  [[nodiscard]] LOCKMAP_NOINLINE static std::optional<Value> locked_remove(
      typename Section::InTransit in_transit, Node& node) {
    Section section(in_transit);
    return lock(section, {&node}, Touch::quiet).remove();
  }
  // The entry of a key; its release evicts, if the node was made, whether that fails or not: it
  // stays for an owner that waits for the key.
  // Without a hold if the deadline was too early.
  template <class D = NoDeadline>
  [[nodiscard]] static Entry lock_to_store(typename Section::InTransit in_transit, Found found,
                                           const D& deadline = {}) {
    Section section(in_transit);
    Shard& shard = section.shard();
    const Hold hold =
        found.made ? detail::try_hold<Mode::exclusive>(section, found, Touch::use)
                   : detail::lock_found<Mode::exclusive>(section, found, Touch::use, deadline);
    section.leave();
    Entry entry(shard, hold);
    entry.eviction_ = found.made ? Eviction::others_now : Eviction::others;
    if (hold) entry.hold_.set_weighed();  // nobody but the operation changes the value
    return entry;
  }

  // Gives a node that was just made its first value, and evicts for it if that succeeds.
  static void store_first(Section& section, Node& node, Value&& value) {
    if constexpr (stored_nothrow<Value, Allocator>) {
      section.store_first(node, std::move(value));
    } else {
      // A construction that may throw may also be a copy (I6): under the key's lock.
      lock_to_store(section.hand_over(), {&node, true}).construct(std::nullopt, std::move(value));
    }
  }

  // Calls `f(deadline)` for a limit of any kind.
  template <class Rep, class Period, class F>
  [[nodiscard]] static auto with_deadline(const std::chrono::duration<Rep, Period>& limit,
                                          const F& f) {
    using Clock = std::chrono::steady_clock;
    // Compared as doubles: in any integer type, a huge limit would overflow.
    const std::chrono::duration<double> seconds(limit);
    if (!(seconds.count() > 0)) return f(Immediately{});
    if (seconds > std::chrono::hours(24 * 365)) return f(NoDeadline{});
    return f(
        Deadline<Clock, Clock::duration>{Clock::now() + std::chrono::ceil<Clock::duration>(limit)});
  }

  // -- Loading -----------------------------------------------------------------------------------

  // A caller that wants the failure of the load that it waits for.
  class SharedLoad {
   public:
    SharedLoad(Section& section, const Node& node) noexcept
        : shard_(section.shard()), waiter_(node.state) {
      section.load_waiters().add(waiter_);
    }
    SharedLoad(const SharedLoad&) = delete;
    SharedLoad& operator=(const SharedLoad&) = delete;
    ~SharedLoad() {
      const Section section(shard_);
      waiter_.unlink();
    }
    void rethrow() const {
      if (waiter_.failure != nullptr) std::rethrow_exception(waiter_.failure);
    }

   private:
    Shard& shard_;
    LoadWaiter waiter_;
  };

  // Victims of the insertion are kept back until the key is released: their listener may want it.
  struct NoDeferral {};
  using Deferral = std::conditional_t<Policy::enabled, VictimQueue::Deferral, NoDeferral>;

  template <class Q, class T, class F>
  Value get_or_make(Q&& key, HashedKey<T>& hashed, F&& make, std::optional<SharedLoad>* shared,
                    Touch touch = Touch::lookup) {
    static_assert(std::copy_constructible<Value>,
                  "lockmap: get_or_insert_with returns a copy, so Value must be copyable");
    Shard& shard = shards_.of(hashed.hash);
    if constexpr (copied_in_place<Value>) {
      if (touch == Touch::lookup && shard.allows_announced_reads()) {
        std::optional<Value> copy;
        copy_present_to(copy, shard, hashed.borrowed());
        if (copy.has_value()) return *copy;
      }
    } else if (touch == Touch::lookup && detail::allows_hold_without_mutex<Mode::shared>(shard)) {
      Missed missed = Missed::nothing;
      const Hold hold = detail::hold_without_mutex<Mode::shared>(shard, hashed, touch, Touch::quiet,
                                                                 NoDeadline{}, missed);
      const SharedEntry present(shard, hold);
      if (hold.has_value()) return *present;
    }
    for (;; touch = Touch::quiet) {
      Section section(shard);
      // The key is moved from only if a node is made.
      const Found found =
          section.find_or_make(hashed, MapKeys::stored_key(hashed, std::forward<Q>(key)));
      if (touch == Touch::lookup && !found.made) {
        if constexpr (copied_in_place<Value>) {
          if (section.may_read(*found.node) && !section.is_expired(*found.node)) {
            section.touch(*found.node, touch, true);
            return std::as_const(found.node->value);
          }
        }
        if (shared != nullptr && !section.may_read(*found.node)) {
          shared->emplace(section, *found.node);
        }
        // As a reader: those that wait for one load get its result together.
        const auto present = lock<SharedEntry>(section, found, touch);
        if (present.has_value()) return *present;
        continue;
      }
      [[maybe_unused]] const Deferral deferral;
      Entry entry = lock(section, found, touch);
      entry.eviction_ = Eviction::others;
      if (!entry.has_value()) {
        if (shared != nullptr && shared->has_value()) (*shared)->rethrow();
        make_value(entry, std::forward<F>(make));
      }
      return std::as_const(*entry);
    }
  }

  template <class F>
  static void make_value(Entry& entry, F&& make) {
    LoadTimer<Shard> timer(*entry.shard_);
    try {
      entry.or_insert_with(std::forward<F>(make));
      timer.succeed();
    } catch (...) {
      Section section(*entry.shard_);
      section.load_waiters().report(entry.node().state, std::current_exception());
      section.leave();
      throw;
    }
  }

  // -- Many keys, one at a time ------------------------------------------------------------------

  // Whether the misses that a prefetch hides cost more than its sections. One shard stands for all.
  [[nodiscard]] bool prefetch_pays() const noexcept {
    constexpr std::size_t cached = std::size_t{3} << 20U;
    return shards().front().values().count() > cached / sizeof(Node) / shards().size();
  }

  template <class Item>
  void prefetch_if_it_pays(std::span<Item> items) const {
    if (!prefetch_pays()) return;
    detail::prefetch<Shard>(items, [](const Item& item) {
      return Place<Shard>{item.key.hash, item.shard};
    });
  }

  // Calls `visit(index, value)` for each key of a range that has a value: in a section, or holding
  // the key shared.
  template <bool in_section, bool lasting, class Prepare, class Visit>
  struct LookAtMany {
    static constexpr Touch touch = Touch::lookup;

    template <class Element>
    [[nodiscard]] LOCKMAP_ALWAYS_INLINE auto stage(Element&& element, std::size_t index) const {
      prepare(index);
      auto key = detail::hashed_for_later<lasting>(map.keys_, std::forward<Element>(element));
      Shard& shard = map.shards_.of(key.hash);
      detail::prefetch_for_reading(&shard);
      return Wanted<decltype(key.key), Shard>{std::move(key), &shard, index};
    }
    template <class Item>
    [[nodiscard]] LeftOver attempt(std::span<Item> items) const {
      LeftOver left_over;
      map.prefetch_if_it_pays(items);
      if constexpr (in_section) {
        if (!map.shards().front().policy().changes_on(touch)) {
          look_in<ReadSection>(items, left_over);
        } else if constexpr (Policy::enabled) {
          look_in<Section>(items, left_over);
        }
      } else {
        for (const Item& item : items) {
          if (!visit_held(item, Immediately{})) left_over.add(items, item);
        }
      }
      return left_over;
    }
    template <class Item>
    void finish(const Item& item) const {
      (void)visit_held(item, NoDeadline{});
    }
    template <class LookSection, class Item>
    void look_in(std::span<Item> items, LeftOver& left_over) const {
      detail::in_sections<LookSection>(items, [&](auto& section, const Item& item) {
        const auto visit_value = [&](const Node& node) { visit(item.index, node.value); };
        if (detail::look_in(section, item.key, touch, touch, visit_value) == Look::needs_hold) {
          left_over.add(items, item);
        }
      });
    }
    // False if the deadline was too early.
    template <class Item, class D>
    [[nodiscard]] bool visit_held(const Item& item, const D& deadline) const {
      bool too_early = false;
      const Hold hold =
          detail::hold_existing<Mode::shared>(*item.shard, item.key, touch, deadline, &too_early);
      const SharedEntry entry(*item.shard, hold);
      if (hold.has_value()) visit(item.index, *entry);
      return !too_early;
    }

    const ShardedMap& map;
    const Prepare& prepare;
    const Visit& visit;
  };

  template <bool in_section, class Range, class Prepare, class Visit>
  void look_at_many(Range&& range, const Prepare& prepare, const Visit& visit) const {
    detail::take_through(
        std::forward<Range>(range),
        LookAtMany<in_section, HasLastingElements<Range>, Prepare, Visit>{*this, prepare, visit});
  }

  // Stores each pair of a range, and counts the keys that had no value.
  template <bool lasting>
  struct InsertMany {
    template <class Pair>
    [[nodiscard]] auto stage(Pair&& pair, std::size_t /*index*/) const {
      return detail::pair_for_later<lasting, Shard, Value>(map.keys_, map.shards_,
                                                           std::forward<Pair>(pair));
    }
    template <class Item>
    [[nodiscard]] LeftOver attempt(std::span<Item> items) {
      LeftOver of_group;
      map.prefetch_if_it_pays(items);
      for (Item& item : items) {
        if (!left_over.contains(item.key.hash) && insert_one(item, Immediately{}, added)) continue;
        left_over.add(item.key.hash);
        of_group.add(items, item);
      }
      return of_group;
    }
    template <class Item>
    void finish(Item& item) {
      (void)insert_one(item, NoDeadline{}, added);
    }

    const ShardedMap& map;
    size_type added = 0;
    HashesLeftOver left_over{};
  };

  // Stores a pair, and counts the key if it had no value. False if the deadline was too early.
  template <class Pair, class D>
  [[nodiscard]] static bool insert_one(Pair& pair, const D& deadline, size_type& added) {
    Section section(*pair.shard);
    const Found found = section.find_or_make(pair.key, pair.stored_key());
    const bool in_ledger = section.keeps_ledger();
    if (found.made && !in_ledger) {
      store_first(section, *found.node, std::move(pair.value));
      ++added;
      return true;
    }
    if constexpr (copied_in_place<Value>) {
      if (section.may_read(*found.node) && !found.made && !in_ledger) {
        std::construct_at(std::addressof(found.node->value), std::as_const(pair.value));
        section.touch(*found.node, Touch::use, true);
        return true;
      }
    }
    Entry entry = lock_to_store(section.hand_over(), found, deadline);
    if (!entry.hold_) return false;
    const std::optional<Value> previous = entry.store(std::move(pair.value), std::nullopt);
    entry.unlock();  // before the previous value is destroyed, whose destructor may want the key
    if (!previous.has_value()) ++added;
    return true;
  }

  // -- Batches -----------------------------------------------------------------------------------

  // Room for a batch while it is taken; without an allocation for a few keys.
  template <class T>
  using Few = absl::InlinedVector<T, 8>;

  // More keys would push out each other's lines.
  static constexpr std::size_t most_prefetched = 64;

  template <class Guards, class Range, class Less>
  [[nodiscard]] Guards lock_batch(Range&& range, Less& less) {
    Guards batch(keys_);
    (void)lock_batch(batch, std::forward<Range>(range), less, NoDeadline{});
    return batch;
  }
  template <class Guards, class Range, class Less, class D>
  [[nodiscard]] std::optional<Guards> lock_batch(Range&& range, Less& less, const D& deadline) {
    std::optional<Guards> batch(Guards{keys_});
    if (!lock_batch(*batch, std::forward<Range>(range), less, deadline)) batch.reset();
    return batch;
  }

  // Adds guards of all keys to an empty batch. False if the deadline was too early for one of them.
  template <class Guards, class Range, class Less, class D>
  [[nodiscard]] bool lock_batch(Guards& batch, Range&& range, Less& less, const D& deadline) {
    using Guard = typename Guards::value_type;
    Few<HashedKey<Key>> keys;
    if constexpr (std::ranges::sized_range<Range>) keys.reserve(std::ranges::size(range));
    for (auto&& element : range) {
      keys.push_back(keys_.hashed_copy(std::forward<decltype(element)>(element)));
      detail::prefetch_for_writing(&shards_.of(keys.back().hash));  // all misses at once
    }
    if (keys.size() <= most_prefetched && prefetch_pays()) {
      detail::prefetch<Shard>(std::span(keys.data(), keys.size()), [this](const auto& key) {
        return Place<Shard>{key.hash, &shards_.of(key.hash)};
      });
    }
    batch.guards_.reserve(keys.size());
    for (HashedKey<Key>* const key : sorted(keys, less)) {
      Shard& shard = shards_.of(key->hash);
      Section section(shard);
      const Found found = section.find_or_make(*key, std::move(key->key));
      // Duplicates are neighbours, unless KeyEqual is coarser than the order.
      const State state = found.node->state.load(std::memory_order_relaxed);
      const bool may_be_held = Guard::mode == Mode::exclusive
                                   ? state.locked() && state.locked_by(shard.this_owner().id)
                                   : state.sharers() != 0;
      if (may_be_held && batch.holds(*found.node)) continue;
      const Hold hold = detail::lock_found<Guard::mode>(section, found, Touch::use, deadline);
      if (!hold) return false;
      batch.guards_.push_back(Guard(shard, hold));
    }
    batch.make_index();
    return true;
  }

  // The keys of a batch in the order in which they are to be locked. Pointers, so that keys need
  // not be assignable.
  template <class Less>
  [[nodiscard]] static Few<HashedKey<Key>*> sorted(Few<HashedKey<Key>>& keys, Less& less) {
    static_assert(std::predicate<Less&, const Key&, const Key&>,
                  "lockmap: batch_lock takes keys in sorted order, and these cannot be compared by "
                  "std::less<>: pass a comparator as the last argument");
    Few<HashedKey<Key>*> order;
    order.reserve(keys.size());
    for (HashedKey<Key>& key : keys) order.push_back(&key);
    if constexpr (std::predicate<Less&, const Key&, const Key&>) {  // else one error is enough
      std::sort(order.begin(), order.end(),
                [&less](const HashedKey<Key>* a, const HashedKey<Key>* b) {
                  return static_cast<bool>(less(std::as_const(a->key), std::as_const(b->key)));
                });
    }
    return order;
  }

  // -- Walks -------------------------------------------------------------------------------------

  // Calls `visit(guard)` for every key that is there for the whole call and has a value, holding
  // it, until it returns false. Returns how many keys it passed over because they were held.
  template <class Guard, class D, class F>
  size_type visit_all(const D& deadline, const F& visit) const {
    size_type passed_over = 0;
    for (Shard& shard : shards()) {
      typename Shard::Walk walk(shard);
      for (;;) {
        Section section(shard);
        Node* node = nullptr;
        const typename Shard::Step step = walk.step(section, node);
        if (step == Shard::Step::end) break;
        if (step == Shard::Step::more) continue;
        auto guard = lock<Guard>(section, {node}, Touch::quiet, deadline);
        if (!guard.has_value()) {
          ++passed_over;
        } else if (guard->has_value() && !visit(*guard)) {
          return passed_over;
        }
      }
    }
    return passed_over;
  }

  // Calls a visitor; false if that is what it returns.
  template <class F>
  [[nodiscard]] static bool proceed(F& f, const Key& key, const Value& value) {
    if constexpr (std::same_as<std::invoke_result_t<F&, const Key&, const Value&>, bool>) {
      return std::invoke(f, key, value);
    } else {
      std::invoke(f, key, value);
      return true;
    }
  }

  template <class F>
  [[nodiscard]] static auto removal(F& f, size_type& removed) {
    return [&](Entry& entry) {
      if (!std::invoke(f, entry.key(), *entry)) {
        entry.reset();
        ++removed;
      }
      return true;
    };
  }

  // -- Counting ----------------------------------------------------------------------------------

  struct Total {
    size_type values = 0;
    std::uint64_t changes = 0;  // equal in two totals only if nothing changed in between
  };
  static constexpr int most_counts = 64;

  [[nodiscard]] Total count() const noexcept {
    Total total;
    for (const Shard& shard : shards()) {
      const ValueCount::Snapshot values = shard.values();
      total.values += values.count();
      total.changes += values.locked + values.shared;
    }
    return total;
  }

  MapKeys keys_;
  ShardArray<Shard> shards_;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_SHARDED_MAP_HPP
