// TaskEntry, SharedTaskEntry: the guards of one key that belong to no thread.

#ifndef LOCKMAP_TASK_ENTRY_HPP
#define LOCKMAP_TASK_ENTRY_HPP

#include <optional>
#include <utility>

#include "lockmap/detail/config.hpp"
#include "lockmap/detail/hold.hpp"
#include "lockmap/detail/readable_entry.hpp"
#include "lockmap/detail/task_owner.hpp"
#include "lockmap/entry.hpp"

namespace lockmap {

namespace detail {
template <class Map, class Result, bool may_make>
class HoldAwaiter;
template <class Map, class Q, class F>
class LoadAwaiter;

// For results that need a guard where there is none: one that was released.
struct EmptyGuard {
  template <class Guard>
  [[nodiscard]] static Guard make() noexcept {
    return Guard();
  }
};
}  // namespace detail

/// An Entry that belongs to no thread: it may be moved to, used and released on any, by one at a
/// time. What it holds belongs to the Owner that it was acquired with, or to nobody.
///
/// Task entries come from `async_entry` and its variants and from `Entry::detach`; the name of the
/// type is `Map::TaskEntry`. It must outlive neither its map nor its owner. All that is said of an
/// Entry's members holds, and: a release hands the key to whoever waits for it, and may resume a
/// coroutine that waits before it returns. So do not release under a mutex that such a coroutine
/// may want.
template <class Shard>
class [[nodiscard]] TaskEntry : private detail::WritableEntry<Shard, detail::TaskOwner> {
  using Base = detail::WritableEntry<Shard, detail::TaskOwner>;

 public:
  using typename Base::key_type;
  using typename Base::mapped_type;

  /// Takes over the key that the other entry holds.
  TaskEntry(TaskEntry&& other) noexcept = default;
  /// Releases the key that this entry holds, then takes over the other's.
  TaskEntry& operator=(TaskEntry&& other) noexcept = default;
  /// Releases the key.
  LOCKMAP_ALWAYS_INLINE ~TaskEntry() = default;

  // Reading
  using Base::get;
  using Base::has_value;
  using Base::key;
  using Base::value;
  using Base::value_or;
  using Base::operator*;
  using Base::operator->;

  // Writing
  using Base::emplace;
  using Base::insert;
  using Base::or_insert;
  using Base::or_insert_with;
  using Base::remove;
  using Base::swap;

  // Of a cache only
  using Base::expire_in;
  using Base::expires_at;

  // Releasing
  using Base::unlock;

  /// Goes on to hold the key, shared instead of exclusively, as `Entry::downgrade`.
  [[nodiscard]] SharedTaskEntry<Shard> downgrade() && noexcept {
    LOCKMAP_ASSERT(hold_);
    return {*shard_, detail::downgrade(*shard_, std::exchange(hold_, {}), has_value_)};
  }

 private:
  template <class Key, class Value, class Hash, class KeyEqual, class Allocator, class Policy>
  friend class detail::ShardedMap;
  template <class Map, class Result, bool may_make>
  friend class detail::HoldAwaiter;
  template <class Map, class Q, class F>
  friend class detail::LoadAwaiter;
  friend struct detail::EmptyGuard;
  friend class Entry<Shard>;
  friend class SharedTaskEntry<Shard>;

  using Base::eviction_;
  using Base::has_value_;
  using Base::hold_;
  using Base::mode;
  using Base::shard_;
  using typename Base::Hold;

  TaskEntry() noexcept = default;
  TaskEntry(Shard& shard, const Hold& hold) noexcept : Base(shard, hold) {}
  TaskEntry(Shard& shard, const Hold& hold, bool has, detail::Eviction eviction) noexcept
      : Base(shard, hold, has, eviction) {}
};

/// A SharedEntry that belongs to no thread, as TaskEntry is an Entry that does not. The name of the
/// type is `Map::SharedTaskEntry`.
template <class Shard>
class [[nodiscard]] SharedTaskEntry
    : private detail::ReadableEntry<Shard, detail::TaskOwner, detail::Mode::shared> {
  using Base = detail::ReadableEntry<Shard, detail::TaskOwner, detail::Mode::shared>;

 public:
  using typename Base::key_type;
  using typename Base::mapped_type;

  /// Takes over the key that the other entry holds.
  SharedTaskEntry(SharedTaskEntry&& other) noexcept = default;
  /// Releases the key that this entry holds, then takes over the other's.
  SharedTaskEntry& operator=(SharedTaskEntry&& other) noexcept = default;
  /// Releases the key.
  ~SharedTaskEntry() = default;

  // Reading
  using Base::get;
  using Base::has_value;
  using Base::key;
  using Base::value;
  using Base::value_or;
  using Base::operator*;
  using Base::operator->;

  // Releasing
  using Base::unlock;

  /// The exclusive guard instead of this one, if the key has no other hold, as
  /// `SharedEntry::try_upgrade`.
  [[nodiscard]] std::optional<TaskEntry<Shard>> try_upgrade() && noexcept {
    LOCKMAP_ASSERT(hold_);
    std::optional<TaskEntry<Shard>> entry;
    if (detail::try_upgrade(*shard_, hold_)) {
      entry.emplace(TaskEntry<Shard>(*shard_, std::exchange(hold_, {})));
    }
    return entry;
  }

 private:
  template <class Key, class Value, class Hash, class KeyEqual, class Allocator, class Policy>
  friend class detail::ShardedMap;
  template <class Map, class Result, bool may_make>
  friend class detail::HoldAwaiter;
  template <class Map, class Q, class F>
  friend class detail::LoadAwaiter;
  friend struct detail::EmptyGuard;
  friend class SharedEntry<Shard>;
  friend class TaskEntry<Shard>;

  using Base::hold_;
  using Base::mode;
  using Base::shard_;
  using typename Base::Hold;

  SharedTaskEntry() noexcept = default;
  SharedTaskEntry(Shard& shard, const Hold& hold) noexcept : Base(shard, hold) {}
};

}  // namespace lockmap

#endif  // LOCKMAP_TASK_ENTRY_HPP
