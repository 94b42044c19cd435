// Entry, SharedEntry: the guards of one key.

#ifndef LOCKMAP_ENTRY_HPP
#define LOCKMAP_ENTRY_HPP

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "lockmap/detail/concepts.hpp"
#include "lockmap/detail/config.hpp"
#include "lockmap/detail/hold.hpp"
#include "lockmap/detail/readable_entry.hpp"
#include "lockmap/detail/writable_entry.hpp"
#include "lockmap/expiry.hpp"
#include "lockmap/owner.hpp"

namespace lockmap {

namespace detail {
template <class Key, class Value, class Hash, class KeyEqual, class Allocator, class Policy>
class ShardedMap;
template <class Shard, class T>
class Refresh;
}  // namespace detail

template <class Shard>
class SharedEntry;
template <class Shard>
class TaskEntry;
template <class Shard>
class SharedTaskEntry;

/// The exclusive guard of one key of a LockMap or LruLockMap, whether the key has a value or not: a
/// locked std::optional<Value> with its key. The destructor unlocks; a key that is then without a
/// value leaves no trace in the map.
///
/// Entries come from `entry` and its variants; the name of the type is `Map::Entry`. An entry
/// belongs to the thread that acquired it, as std::unique_lock<std::mutex> does: that thread must
/// release it, and no two threads may use one entry at the same time. It must not outlive its map.
///
/// No member waits for anything, and none but `unlock`, the destructor and the assignment, which
/// may take a shard's internal lock for a moment, touches what other threads use. Destructors and
/// copies of values run while this key, and no internal lock, is held. Every member takes constant
/// time, unless it releases a key and that wakes a waiter or evicts. After a move from the entry,
/// or `unlock`, only destruction and assignment are allowed.
template <class Shard>
class [[nodiscard]] Entry : private detail::WritableEntry<Shard, detail::Owner> {
  using Base = detail::WritableEntry<Shard, detail::Owner>;

 public:
  using typename Base::key_type;
  using typename Base::mapped_type;

  /// Takes over the key that the other entry holds.
  Entry(Entry&& other) noexcept = default;
  /// Releases the key that this entry holds, then takes over the other's.
  Entry& operator=(Entry&& other) noexcept = default;
  /// Releases the key.
  LOCKMAP_ALWAYS_INLINE ~Entry() = default;

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

  /// Goes on to hold the key, shared instead of exclusively: nobody comes in between, and readers
  /// that wait get in. Never waits. Afterwards as after `unlock`.
  [[nodiscard]] SharedEntry<Shard> downgrade() && noexcept {
    LOCKMAP_ASSERT(hold_);
    return {*shard_, detail::downgrade(*shard_, std::exchange(hold_, {}), has_value_)};
  }

  /// The same hold, no longer this thread's: the guard may be moved to, used and released on any
  /// thread. It is nobody's: waits for it are part of no deadlock that is found. Never waits.
  /// Afterwards as after `unlock`.
  [[nodiscard]] TaskEntry<Shard> detach() && noexcept { return detach_to(nullptr); }
  /// The same hold as one of a task's, which must not be waiting for a key.
  [[nodiscard]] TaskEntry<Shard> detach(lockmap::Owner& owner) && noexcept {
    return detach_to(detail::OwnerAccess::task(&owner));
  }

 private:
  template <class Key, class Value, class Hash, class KeyEqual, class Allocator, class Policy>
  friend class detail::ShardedMap;
  template <class S, class T>
  friend class detail::Refresh;
  template <class Guard, class KeyTraits>
  friend class Batch;
  friend class SharedEntry<Shard>;

  using Base::construct;
  using Base::eviction_;
  using Base::has_value_;
  using Base::hold_;
  using Base::mode;
  using Base::node;
  using Base::reset;
  using Base::shard_;
  using Base::store;
  using typename Base::Hold;
  using typename Base::Node;

  // For a key that the calling thread has locked.
  Entry(Shard& shard, const Hold& hold) noexcept : Base(shard, hold) {}

  [[nodiscard]] TaskEntry<Shard> detach_to(detail::TaskOwner* owner) noexcept {
    LOCKMAP_ASSERT(hold_);
    return {*shard_, detail::detach(*shard_, std::exchange(hold_, {}), mode, owner), has_value_,
            eviction_};
  }
};

/// The shared guard of one key of a LockMap or LruLockMap, whether the key has a value or not: any
/// number of owners hold a key shared, and none beside an exclusive one. The destructor unlocks.
///
/// Shared entries come from `shared_entry` and its variants, and from `Entry::downgrade`; the name
/// of the type is `Map::SharedEntry`. Like an entry, a shared one belongs to the thread that
/// acquired it, and must not outlive its map. A thread that holds a key shared may read it again,
/// whoever waits.
///
/// No member waits for anything, and none but `unlock`, the destructor, the assignment and
/// `try_upgrade` touches what other threads use. Copies of values run while this key, and no
/// internal lock, is held. Every member takes constant time, unless it releases a key and that
/// wakes a waiter or evicts. After a move from the entry, or `unlock`, only destruction and
/// assignment are allowed.
template <class Shard>
class [[nodiscard]] SharedEntry
    : private detail::ReadableEntry<Shard, detail::Owner, detail::Mode::shared> {
  using Base = detail::ReadableEntry<Shard, detail::Owner, detail::Mode::shared>;

 public:
  using typename Base::key_type;
  using typename Base::mapped_type;

  /// Takes over the key that the other entry holds.
  SharedEntry(SharedEntry&& other) noexcept = default;
  /// Releases the key that this entry holds, then takes over the other's.
  SharedEntry& operator=(SharedEntry&& other) noexcept = default;
  /// Releases the key.
  ~SharedEntry() = default;

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

  /// The exclusive guard instead of this one, if the key has no other hold: neither of another
  /// owner nor another one of this owner (a guard, a running `read`); nobody comes in between. Else
  /// empty, and this entry still holds the key. Never waits: to wait, release and take `entry`.
  [[nodiscard]] std::optional<Entry<Shard>> try_upgrade() && noexcept {
    LOCKMAP_ASSERT(hold_);
    std::optional<Entry<Shard>> entry;
    if (detail::try_upgrade(*shard_, hold_)) {
      entry.emplace(Entry<Shard>(*shard_, std::exchange(hold_, {})));
    }
    return entry;
  }

  /// The same hold, no longer this thread's, as `Entry::detach`.
  [[nodiscard]] SharedTaskEntry<Shard> detach() && noexcept { return detach_to(nullptr); }
  /// The same hold as one of a task's, which must not be waiting for a key.
  [[nodiscard]] SharedTaskEntry<Shard> detach(lockmap::Owner& owner) && noexcept {
    return detach_to(detail::OwnerAccess::task(&owner));
  }

 private:
  template <class Key, class Value, class Hash, class KeyEqual, class Allocator, class Policy>
  friend class detail::ShardedMap;
  template <class S, class T>
  friend class detail::Refresh;
  template <class Guard, class KeyTraits>
  friend class Batch;
  friend class Entry<Shard>;

  using Base::hold_;
  using Base::mode;
  using Base::node;
  using Base::shard_;
  using typename Base::Hold;
  using typename Base::Node;

  // For a key that the calling thread has locked.
  SharedEntry(Shard& shard, const Hold& hold) noexcept : Base(shard, hold) {}

  [[nodiscard]] SharedTaskEntry<Shard> detach_to(detail::TaskOwner* owner) noexcept {
    LOCKMAP_ASSERT(hold_);
    return {*shard_, detail::detach(*shard_, std::exchange(hold_, {}), mode, owner)};
  }
};

}  // namespace lockmap

#endif  // LOCKMAP_ENTRY_HPP
