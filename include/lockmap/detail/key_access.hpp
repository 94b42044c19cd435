// How an operation gets at its key: it looks, or locks, in as small a section as will do.

#ifndef LOCKMAP_DETAIL_KEY_ACCESS_HPP
#define LOCKMAP_DETAIL_KEY_ACCESS_HPP

#include <cstdint>
#include <utility>

#include "lockmap/detail/config.hpp"
#include "lockmap/detail/deadline.hpp"
#include "lockmap/detail/eviction_policy.hpp"
#include "lockmap/detail/hashed_key.hpp"
#include "lockmap/detail/hold.hpp"
#include "lockmap/detail/state_word.hpp"

namespace lockmap::detail {

// -- Looking -------------------------------------------------------------------------------------

enum class Look : std::uint8_t { absent, read, needs_hold };

// Calls `visit(node)`, in the section, if the key has a value that may be read there. `absent`: as
// what a look is counted that finds no key.
template <class Section, class T, class F>
[[nodiscard]] LOCKMAP_ALWAYS_INLINE Look look_in(Section& section, const HashedKey<T>& key,
                                                 Touch touch, Touch absent, const F& visit) {
  auto* const node = section.find_live(key);
  if (node == nullptr) {
    section.miss(absent);
    return Look::absent;
  }
  if (!section.may_read(*node) || section.is_expired(*node)) return Look::needs_hold;
  section.touch_unpinned(*node, touch);
  visit(std::as_const(*node));
  return Look::read;
}

// The same in a section of its own. Out of line to keep the fast path inlinable.
template <class Shard, class T, class F>
[[nodiscard]] LOCKMAP_NOINLINE Look look_exclusively(Shard& shard, const HashedKey<T>& key,
                                                     Touch touch, const F& visit) {
  typename Shard::Section section(shard);
  return detail::look_in(section, key, touch, touch, visit);
}

// The same; others may look at the same time, if the touch allows that.
template <Touch touch, class Shard, class T, class F>
[[nodiscard]] LOCKMAP_ALWAYS_INLINE Look look(Shard& shard, const HashedKey<T>& key,
                                              const F& visit) {
  if constexpr (Shard::policy_type::enabled) {
    if (shard.policy().changes_on(touch)) return detail::look_exclusively(shard, key, touch, visit);
  }
  const typename Shard::ReadSection section(shard);
  return detail::look_in(section, key, touch, touch, visit);
}

// -- Locking -------------------------------------------------------------------------------------

// Locks the key of a node, and evicts if the node was made for it. None if the deadline was too
// early. The section may be left by it, and must be before an entry is released.
template <Mode mode, class Section, class Found, class D>
[[nodiscard]] LOCKMAP_ALWAYS_INLINE auto lock_found(Section& section, Found found, Touch touch,
                                                    const D& deadline) {
  const auto hold = detail::try_hold<mode>(section, found, touch);
  if (!hold) [[unlikely]] {
    // Never a node that was just made: nobody else knows of it.
    return detail::hold_contended<Section>(section.hand_over(), *found.node, mode, touch, deadline);
  }
  if (found.made) section.shrink(found.node);
  return hold;
}

// Why a key was not locked without the shard mutex, though that could have been.
enum class Missed : std::uint8_t { nothing, key, deadline };

template <Mode mode, class Shard>
[[nodiscard]] LOCKMAP_ALWAYS_INLINE bool allows_hold_without_mutex(const Shard& shard) noexcept {
  return (mode == Mode::shared && shard.allows_announced_reads()) ||
         shard.allows_announced_sections();
}

template <class Shard, class T>
[[nodiscard]] Hold<typename Shard::Node> hold_beside_readers(Shard& shard, const HashedKey<T>& key,
                                                             Touch touch, Touch absent,
                                                             Missed& missed) {
  if (shard.policy().changes_on(touch)) return {};
  const typename Shard::ReadSection section(shard);
  auto* const node = section.find(key);
  if (node != nullptr) return detail::try_hold_beside_readers(section, *node, touch);
  section.miss(absent);
  missed = Missed::key;
  return {};
}

template <Mode mode, class Shard, class T, class D>
[[nodiscard]] LOCKMAP_NOINLINE Hold<typename Shard::Node> hold_announced(Shard& shard,
                                                                         HashedKey<T> key,
                                                                         const D& deadline,
                                                                         Missed& missed) {
  using AnnouncedSection = typename Shard::AnnouncedSection;
  AnnouncedSection section(shard);
  if (!section) return {};
  auto* const node = section.find(key);
  if (node == nullptr) {
    missed = Missed::key;
    return {};
  }
  auto hold = detail::try_hold_announced<mode>(section, *node);
  if (!hold) {
    hold = detail::hold_contended<AnnouncedSection>(section.hand_over(), *node, mode, Touch::use,
                                                    deadline);
    if (!hold) missed = Missed::deadline;
  } else if (section.count_hold(mode)) [[unlikely]] {
    section.leave();
    shard.let_read_instead_of_pin();
  }
  return hold;
}

// Locks a key that is there without the shard mutex, as far as the shard's bias allows it.
// `absent`: as for `look_in`.
template <Mode mode, class Shard, class T, class D>
[[nodiscard]] LOCKMAP_ALWAYS_INLINE Hold<typename Shard::Node> hold_without_mutex(
    Shard& shard, const HashedKey<T>& key, Touch touch, Touch absent, const D& deadline,
    Missed& missed) {
  if constexpr (mode == Mode::shared) {
    if (shard.allows_announced_reads()) {
      return detail::hold_beside_readers(shard, key, touch, absent, missed);
    }
  }
  return detail::hold_announced<mode>(shard, key.borrowed(), deadline, missed);
}

// Locks a key if it has a node. `*too_early`: it has one, but the deadline was too early.
template <Mode mode, class Shard, class T, class D = NoDeadline>
[[nodiscard]] LOCKMAP_ALWAYS_INLINE Hold<typename Shard::Node> hold_existing(
    Shard& shard, const HashedKey<T>& key, Touch touch, const D& deadline = {},
    bool* too_early = nullptr) {
  if (detail::allows_hold_without_mutex<mode>(shard)) {
    Missed missed = Missed::nothing;
    const auto hold = detail::hold_without_mutex<mode>(shard, key, touch, touch, deadline, missed);
    if (missed == Missed::deadline && too_early != nullptr) *too_early = true;
    if (hold || missed != Missed::nothing) return hold;
  }
  typename Shard::Section section(shard, mode);
  auto* const node = section.find_live(key);
  if (node == nullptr) {
    section.miss(touch);
    return {};
  }
  const auto hold = detail::lock_found<mode>(section, typename Shard::Found{node}, touch, deadline);
  if (!hold && too_early != nullptr) *too_early = true;
  return hold;
}

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_KEY_ACCESS_HPP
