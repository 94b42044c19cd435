// WritableEntry: what all exclusive guards of one key have in common.

#ifndef LOCKMAP_DETAIL_WRITABLE_ENTRY_HPP
#define LOCKMAP_DETAIL_WRITABLE_ENTRY_HPP

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

namespace lockmap::detail {

// An exclusive guard's other half.
template <class Shard, class Holder>
class WritableEntry : public ReadableEntry<Shard, Holder, Mode::exclusive> {
  using Base = ReadableEntry<Shard, Holder, Mode::exclusive>;

 public:
  using typename Base::key_type;
  using typename Base::mapped_type;

  using Base::get;
  using Base::has_value;
  using Base::key;
  using Base::unlock;
  using Base::value;
  using Base::value_or;
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
  std::optional<mapped_type> store(mapped_type&& value, const Expiry& expires) {
    std::optional<mapped_type> previous;
    if (!has_value()) {
      construct(expires, std::move(value));
      return previous;
    }
    prepare_for(expires);
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
    prepare_for(expires);
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

  // A time of the value's own needs a ledger, also in a cache that has had none so far.
  void prepare_for(const Expiry& expires) {
    if constexpr (cached) {
      if (expires.has_value()) keep_ledger();
    }
  }
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

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_WRITABLE_ENTRY_HPP
