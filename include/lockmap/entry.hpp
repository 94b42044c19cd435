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

namespace detail {

// An exclusive guard's other half.
template <class Shard, class Holder>
class WritableEntry : public ReadableEntry<Shard, Holder, Mode::exclusive> {
  using Base = ReadableEntry<Shard, Holder, Mode::exclusive>;

 public:
  using typename Base::mapped_type;

  using Base::get;
  using Base::has_value;
  using Base::value;
  using Base::operator*;
  using Base::operator->;

  /// The value; null if there is none.
  [[nodiscard]] mapped_type* get() noexcept LOCKMAP_LIFETIMEBOUND {
    return has_value() ? std::addressof(hold_.node()->value) : nullptr;
  }

  /// The value. Throws std::bad_optional_access if there is none.
  [[nodiscard]] mapped_type& value() LOCKMAP_LIFETIMEBOUND {
    if (!has_value()) throw std::bad_optional_access();
    return hold_.node()->value;
  }

  /// The value. Precondition: there is one.
  [[nodiscard]] mapped_type& operator*() noexcept LOCKMAP_LIFETIMEBOUND {
    LOCKMAP_ASSERT(has_value());
    return hold_.node()->value;
  }
  /// The same.
  [[nodiscard]] mapped_type* operator->() noexcept LOCKMAP_LIFETIMEBOUND {
    return std::addressof(**this);
  }

  /// Stores a value and returns the previous one. Throws what the value's move throws; then the
  /// previous value is in place again (lost only if moving it back throws as well).
  std::optional<mapped_type> insert(mapped_type value) {
    return store(std::move(value), std::nullopt);
  }

  /// Constructs a value in place, after destroying the one that is there. Throws what the
  /// constructor throws; then there is no value.
  template <class... Args>
  mapped_type& emplace(Args&&... args) LOCKMAP_LIFETIMEBOUND {
    if (!has_value()) {
      construct(std::nullopt, std::forward<Args>(args)...);
      return hold_.node()->value;
    }
    hold_.node()->destroy_value();
    try {
      hold_.node()->construct_value(shard_->allocator(), std::forward<Args>(args)...);
    } catch (...) {
      note_removed();
      throw;
    }
    enter_or_destroy(std::nullopt);
    return hold_.node()->value;
  }

  /// The value; if there is none, stores the given one first. Throws what the value's move throws;
  /// then there is still none.
  mapped_type& or_insert(mapped_type value) LOCKMAP_LIFETIMEBOUND {
    if (!has_value()) construct(std::nullopt, std::move(value));
    return hold_.node()->value;
  }

  /// The value; if there is none, stores what `make()` returns first: a value or, in a cache, an
  /// Expiring one. `make` may use other keys of the map. Throws what it throws; then there is still
  /// no value.
  template <detail::MakerOf<mapped_type, Shard::policy_type::enabled> F>
  mapped_type& or_insert_with(F&& make) LOCKMAP_LIFETIMEBOUND {
    if (!has_value()) {
      make_way();
      if constexpr (detail::makes_expiring<F, mapped_type>) {
        Expiring<mapped_type> made = std::invoke(std::forward<F>(make));
        construct(made.expires_in, std::move(made.value));
      } else {
        hold_.node()->construct_value_from(shard_->allocator(), std::forward<F>(make));
        note_stored();
        enter_or_destroy(std::nullopt);
      }
    }
    return hold_.node()->value;
  }

  /// Removes the value and returns it. Throws what its move throws; then it is still there.
  std::optional<mapped_type> remove() {
    std::optional<mapped_type> previous;
    if (has_value()) {
      previous.emplace(std::move(hold_.node()->value));
      reset();
    }
    return previous;
  }

  /// Stores a value, or removes it for an empty `value`; returns the previous one. Throws as
  /// `insert` and `remove` do.
  std::optional<mapped_type> swap(std::optional<mapped_type> value) {
    return value.has_value() ? insert(std::move(*value)) : remove();
  }

  /// The value expires so long from now, instead of when the cache's `time_to_live` says. Never
  /// waits for a key. Throws std::bad_optional_access if there is no value, and what the allocator
  /// throws; then nothing has changed. Logarithmic in the keys of the shard.
  void expire_in(ExpiresIn time) requires(Shard::policy_type::enabled) {
    if (!has_value()) throw std::bad_optional_access();
    keep_ledger();
    shard_->expire_in(*hold_.node(), time);
  }

  /// When the value expires, if its key is not touched again; empty: never, or there is no value.
  /// Constant time.
  [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> expires_at() const noexcept
      requires(Shard::policy_type::enabled) {
    return has_value() ? shard_->expires_at(*hold_.node()) : std::nullopt;
  }

 protected:
  using Base::Base;
  using Base::cached;
  using Base::has_value_;
  using Base::hold_;
  using Base::shard_;

  WritableEntry() noexcept = default;
  WritableEntry(WritableEntry&& other) noexcept = default;
  WritableEntry& operator=(WritableEntry&& other) noexcept = default;
  LOCKMAP_ALWAYS_INLINE ~WritableEntry() = default;

  using Expiry = std::optional<ExpiresIn>;

  // Stores a value, with a time of its own or the cache's, and returns the previous one.
  std::optional<mapped_type> store(mapped_type value, const Expiry& expires) {
    std::optional<mapped_type> previous;
    if (!has_value()) {
      construct(expires, std::move(value));
      return previous;
    }
    const std::size_t weight = weight_of(value);
    previous.emplace(std::move(hold_.node()->value));
    hold_.node()->destroy_value();
    if constexpr (std::is_nothrow_move_constructible_v<mapped_type>) {
      hold_.node()->construct_value(shard_->allocator(), std::move(value));
    } else {
      try {
        hold_.node()->construct_value(shard_->allocator(), std::move(value));
      } catch (...) {
        restore(*previous);
        throw;
      }
    }
    enter(weight, expires);
    return previous;  // never moved: a move that throws would lose it
  }

  // Constructs a value where there is none.
  template <class... Args>
  void construct(const Expiry& expires, Args&&... args) {
    make_way();
    hold_.node()->construct_value(shard_->allocator(), std::forward<Args>(args)...);
    note_stored();
    enter_or_destroy(expires);
  }

  // -- The ledger of a cache, which has the times and weights of values ---------------------------

  [[nodiscard]] std::size_t weight_of(mapped_type& value) const {
    if constexpr (cached) {
      if (hold_.in_ledger()) return shard_->weight_of(*hold_.node(), value);
    }
    return 0;
  }

  // Enters the value that was just stored.
  void enter(std::size_t weight, const Expiry& expires) noexcept {
    if constexpr (cached) {
      if (hold_.in_ledger()) shard_->enter(*hold_.node(), weight, expires);
    }
  }

  // The same; if its weigher throws, the value goes.
  void enter_or_destroy(const Expiry& expires) {
    if constexpr (cached) {
      if (!hold_.in_ledger()) return;
      try {
        enter(weight_of(hold_.node()->value), expires);
      } catch (...) {
        reset();
        throw;
      }
    }
  }

  // Before a value is constructed: one that has expired may still be there.
  void make_way() {
    if constexpr (cached) {
      if (!hold_.has_expired_value()) return;
      shard_->displace_expired(*hold_.node());
      hold_.set_expired_value(false);
    }
  }

  // For a cache that has had no ledger so far.
  void keep_ledger() requires(cached) {
    if (hold_.in_ledger()) return;
    shard_->keep_ledger();
    hold_.set_in_ledger();
  }

  void note_stored() noexcept {
    has_value_ = true;
    shard_->on_value_stored();
  }

  void note_removed() noexcept {
    has_value_ = false;
    shard_->on_value_removed();
    if constexpr (cached) {
      if (hold_.in_ledger()) shard_->enter_removal(*hold_.node());
    }
  }

  // Puts a value back where there is none but was one.
  void restore(mapped_type& value) noexcept {
    try {
      hold_.node()->construct_value(shard_->allocator(), std::move(value));
    } catch (...) {
      note_removed();
    }
  }

  // Destroys the value, if there is one.
  void reset() noexcept {
    if (!has_value()) return;
    note_removed();
    hold_.node()->destroy_value();
  }
};

}  // namespace detail

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
  using typename Base::key_type;     ///< of the key
  using typename Base::mapped_type;  ///< of the value

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
  using typename Base::key_type;     ///< of the key
  using typename Base::mapped_type;  ///< of the value

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
