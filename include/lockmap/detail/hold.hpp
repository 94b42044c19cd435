// Hold: a key that an owner has locked; how it comes and goes.

#ifndef LOCKMAP_DETAIL_HOLD_HPP
#define LOCKMAP_DETAIL_HOLD_HPP

#include <atomic>
#include <cstdint>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include "lockmap/detail/config.hpp"
#include "lockmap/detail/deadline.hpp"
#include "lockmap/detail/describe.hpp"
#include "lockmap/detail/eviction_policy.hpp"
#include "lockmap/detail/key_lock.hpp"
#include "lockmap/detail/owner.hpp"
#include "lockmap/detail/wait_graph.hpp"

namespace lockmap::detail {

[[noreturn]] LOCKMAP_NOINLINE inline void throw_deadlock(const std::string& key,
                                                         const std::string& why) {
  throw std::system_error(std::make_error_code(std::errc::resource_deadlock_would_occur),
                          "lockmap: waiting for key " + key + " would never end: " + why);
}

[[noreturn]] LOCKMAP_NOINLINE inline void throw_held_by_this_thread(const std::string& key) {
  throw_deadlock(key, "it is held by the calling thread itself");
}

[[noreturn]] LOCKMAP_NOINLINE inline void throw_cycle(const std::string& key,
                                                      const WaitGraph::Cycle& cycle) {
  std::string why = "a cycle of " + std::to_string(cycle.size()) + " threads was found (owners";
  for (const OwnerId owner : cycle) why += ' ' + std::to_string(owner);
  throw_deadlock(key, why + "), each waiting for a key that the next one holds");
}

// A key locked exclusively by one owner.
template <class Node>
struct Hold {
  Node* node = nullptr;    // null: it was not locked
  OwnerId owner = 0;       // who holds it, whichever thread runs
  bool had_value = false;  // as the state word says until the release
};

// What a release may evict.
enum class Eviction : std::uint8_t {
  any,         // if it has to evict, any key
  others,      // if it has to evict, other keys: the operation has just stored a value
  others_now,  // other keys if the shard is over its bound: the operation has not evicted yet
};

// Locks the key of a node if nobody holds or wants it.
template <class Section, class Found>
[[nodiscard]] auto try_hold(Section& section, const Found& found, Touch touch) noexcept
    -> Hold<std::remove_pointer_t<decltype(found.node)>> {
  auto& node = *found.node;
  if (!Section::may_read(node)) [[unlikely]] {
    return {};
  }
  Owner& owner = section.shard().this_owner();
  const bool has_value = !found.made;  // I4
  section.shard().lock_of(node).lock_unpinned(section, owner.id, Mode::exclusive, has_value);
  ++owner.held;
  section.touch(node, touch, has_value);
  return {&node, owner.id, has_value};
}

// Locks it whoever has it, waiting as long as `deadline` allows. Throws std::system_error if waiting
// would never end; then the thread has neither lock nor pin.
template <class Section, class Node, class D>
[[nodiscard]] LOCKMAP_NOINLINE Hold<Node> hold_contended(Section section, Node& node, Touch touch,
                                                         const D& deadline) {
  auto& shard = section.shard();
  KeyLock lock = shard.lock_of(node);
  Owner& owner = shard.this_owner();
  const auto held = [&](auto& in_section) {
    ++owner.held;
    const bool has_value = node.state.load(std::memory_order_relaxed).has_value();
    in_section.touch_pinned(node, touch, has_value);
    return Hold<Node>{&node, owner.id, has_value};
  };
  if (lock.pin_and_try_lock(section, owner.id, Mode::exclusive)) return held(section);
  if constexpr (std::is_same_v<D, Immediately>) {
    return {};
  } else {
    if (node.state.load(std::memory_order_relaxed).locked_by(owner.id)) {
      section.leave();
      if (deadline.expired()) return {};
      throw_held_by_this_thread(describe(node.key));
    }
    lock.pin(section);
    section.leave();
    WaitGraph::Cycle cycle;
    const KeyLock::Wait wait = lock.wait(owner, Mode::exclusive, deadline, cycle);
    std::string key;
    if (wait == KeyLock::Wait::deadlock) key = describe_noexcept(node.key);
    Section again(shard);
    // Giving up, it looks once more.
    if (wait != KeyLock::Wait::locked &&
        (wait == KeyLock::Wait::deadlock || !lock.try_lock_pinned(owner.id, Mode::exclusive))) {
      again.finish(node, lock.unpin(again), nullptr);
      again.leave();
      if (wait == KeyLock::Wait::deadlock) throw_cycle(key, cycle);
      return {};
    }
    return held(again);
  }
}

template <class Shard, class Node>
LOCKMAP_NOINLINE void release_contended(Shard& shard, Node& node, bool has_value,
                                        Eviction eviction) noexcept {
  typename Shard::Section section(shard);
  const Released released = shard.lock_of(node).release(section, has_value);
  const Node* const kept = eviction == Eviction::any || released.unused ? nullptr : &node;
  section.finish(node, released, kept);
  if (eviction == Eviction::others_now) section.shrink(kept);
}

// Releases a key. `has_value` says whether the holder leaves a value there.
template <class Shard, class Node>
void release(Shard& shard, const Hold<Node>& hold, bool has_value, Eviction eviction) noexcept {
  Owner& owner = shard.this_owner();
  LOCKMAP_ASSERT(owner.id == hold.owner &&
                 "lockmap: an Entry is released by the thread that acquired it");
  // Else the count of the owner stays too high, which costs time and misses no deadlock.
  if (owner.id == hold.owner) [[likely]]
    --owner.held;
  if (eviction != Eviction::others_now &&
      shard.lock_of(*hold.node).try_release(hold.owner, hold.had_value, has_value)) [[likely]] {
    return;
  }
  release_contended(shard, *hold.node, has_value, eviction);
}

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_HOLD_HPP
