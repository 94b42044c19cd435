// Hold: a key that an owner has locked; how it comes and goes.

#ifndef LOCKMAP_DETAIL_HOLD_HPP
#define LOCKMAP_DETAIL_HOLD_HPP

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lockmap/detail/config.hpp"
#include "lockmap/detail/deadline.hpp"
#include "lockmap/detail/describe.hpp"
#include "lockmap/detail/eviction_policy.hpp"
#include "lockmap/detail/key_lock.hpp"
#include "lockmap/detail/owner.hpp"
#include "lockmap/detail/registry.hpp"
#include "lockmap/detail/task_owner.hpp"
#include "lockmap/detail/wait_graph.hpp"

namespace lockmap::detail {

[[nodiscard]] LOCKMAP_NOINLINE inline std::system_error deadlock_error(const std::string& key,
                                                                       const std::string& why) {
  return {std::make_error_code(std::errc::resource_deadlock_would_occur),
          absl::StrCat("lockmap: waiting for key ", key, " would never end: ", why)};
}

[[noreturn]] LOCKMAP_NOINLINE inline void throw_held_by_this_thread(const std::string& key) {
  throw deadlock_error(key, "it is held by the calling thread itself: use the guard that it has");
}

[[noreturn]] LOCKMAP_NOINLINE inline void throw_held_by_this_task(const std::string& key) {
  throw deadlock_error(key, "it is held by the owner that asks for it: use the guard that it has");
}

[[nodiscard]] LOCKMAP_NOINLINE inline std::system_error cycle_error(const std::string& key,
                                                                    const WaitGraph::Cycle& cycle) {
  std::string why = absl::StrCat("a cycle of ", cycle.size(), " owners was found (");
  for (const OwnerId owner : cycle) absl::StrAppend(&why, why.back() == '(' ? "" : " ", owner);
  absl::StrAppend(&why,
                  "), each waiting for a key that the next one holds: "
                  "release what you hold and begin anew");
  return deadlock_error(key, why);
}

// A key locked by an owner, in one mode or the other: by a thread or, if `Holder` says so, by a
// task or, null, by nobody. Two words: it is returned in registers.
template <class Node, class Holder = Owner>
class Hold {
 public:
  Hold() noexcept = default;
  Hold(Node& node, Holder& owner, bool had_value) noexcept
      : node_(&node),
        owner_(reinterpret_cast<std::uintptr_t>(&owner) | (had_value ? had_value_bit : 0U)) {}
  Hold(Node& node, Holder* owner, bool had_value) noexcept
      : node_(&node),
        owner_(reinterpret_cast<std::uintptr_t>(owner) | (had_value ? had_value_bit : 0U)) {}

  // The same hold, now another owner's.
  template <class Other>
  Hold(const Hold<Node, Other>& hold, Holder* owner) noexcept
      : node_(hold.node_), owner_((hold.owner_ & bits) | reinterpret_cast<std::uintptr_t>(owner)) {}

  // From a node and what `owner_and_bits` returned.
  Hold(Node* node, std::uintptr_t owner_and_bits) noexcept : node_(node), owner_(owner_and_bits) {}
  [[nodiscard]] std::uintptr_t owner_and_bits() const noexcept { return owner_; }

  // Null if the key was not locked.
  [[nodiscard]] Node* node() const noexcept { return node_; }
  [[nodiscard]] explicit operator bool() const noexcept { return node_ != nullptr; }

  // Of the map's registry, whichever thread and module run.
  [[nodiscard]] bool belongs_to(const Holder& owner) const noexcept {
    return (owner_ & ~bits) == reinterpret_cast<std::uintptr_t>(&owner);
  }
  // NOLINTNEXTLINE(performance-no-int-to-ptr): one word for both, see the class.
  [[nodiscard]] Holder* owner() const noexcept { return reinterpret_cast<Holder*>(owner_ & ~bits); }

  // As the state word says until the release.
  [[nodiscard]] bool had_value() const noexcept { return (owner_ & had_value_bit) != 0; }

  // The node has a value that had expired: for this hold, there is none.
  [[nodiscard]] bool has_expired_value() const noexcept { return (owner_ & expired_bit) != 0; }
  void set_expired_value(bool expired) noexcept { set(expired_bit, expired); }

  // The release is to go into the ledger; and whether the value's weight is there already.
  [[nodiscard]] bool in_ledger() const noexcept { return (owner_ & in_ledger_bit) != 0; }
  void set_in_ledger() noexcept { set(in_ledger_bit, true); }
  [[nodiscard]] bool is_weighed() const noexcept { return (owner_ & weighed_bit) != 0; }
  void set_weighed() noexcept { set(weighed_bit, true); }

  // Of a shared hold: it was begun in its owner's slot (deferred_hold.hpp).
  [[nodiscard]] bool is_deferred() const noexcept { return (owner_ & deferred_bit) != 0; }
  void set_deferred(bool deferred) noexcept { set(deferred_bit, deferred); }

  // Whether the key has a value when the hold begins.
  [[nodiscard]] bool has_value() const noexcept {
    return (owner_ & (had_value_bit | expired_bit)) == had_value_bit;
  }

 private:
  static constexpr std::uintptr_t had_value_bit = 1;
  static constexpr std::uintptr_t expired_bit = 2;
  static constexpr std::uintptr_t in_ledger_bit = 4;
  static constexpr std::uintptr_t weighed_bit = 8;
  static constexpr std::uintptr_t deferred_bit = 8;  // a shared hold is not weighed
  static constexpr std::uintptr_t bits = 15;
  static_assert(alignof(Holder) > bits);

  template <class N, class H>
  friend class Hold;

  void set(std::uintptr_t bit, bool value) noexcept {
    owner_ = value ? owner_ | bit : owner_ & ~bit;
  }

  Node* node_ = nullptr;
  std::uintptr_t owner_ = 0;  // its address, and the bits
};

template <class Node>
using TaskHold = Hold<Node, TaskOwner>;

// A hold of an owner that has just got it, in a section. `has_value`: as the state word says.
template <class Section, class Node, class Holder>
[[nodiscard]] LOCKMAP_ALWAYS_INLINE Hold<Node, Holder> make_hold(Section& section, Node& node,
                                                                 Holder* owner, Mode mode,
                                                                 bool has_value) noexcept {
  Hold<Node, Holder> hold(node, owner, has_value);
  if (section.keeps_ledger()) [[unlikely]] {
    hold.set_in_ledger();
    hold.set_expired_value(section.on_hold(node, has_value, mode));
  }
  return hold;
}

// The keys that a release may evict.
enum class Eviction : std::uint8_t {
  any,         // if it has to evict, any key
  others,      // if it has to evict, other keys: the operation has just stored a value
  others_now,  // other keys if the shard is over its bound: the operation has not evicted yet
};

// The holds that an owner knows of.
LOCKMAP_ALWAYS_INLINE void add_hold(Owner& owner, const StateWord& word, Mode mode) noexcept {
  ++owner.held;
  if (mode == Mode::shared) owner.shared.add(word);
}
template <class Node>
LOCKMAP_ALWAYS_INLINE void remove_hold(Owner& owner, const Hold<Node>& hold, Mode mode) noexcept {
  --owner.held;
  if (mode == Mode::shared && !hold.is_deferred()) owner.shared.remove(hold.node()->state);
}

// Locks the key of a node if nobody holds or wants it.
template <Mode mode, class Section, class Found>
[[nodiscard]] LOCKMAP_ALWAYS_INLINE auto try_hold(Section& section, const Found& found,
                                                  Touch touch) noexcept
    -> Hold<std::remove_pointer_t<decltype(found.node)>> {
  auto& node = *found.node;
  if (!Section::may_read(node)) [[unlikely]] {
    return {};
  }
  Owner& owner = section.owner_for_hold(found.made);
  if (mode == Mode::shared) section.count_read(!found.made && !section.policy().changes_on(touch));
  const bool has_value = !found.made;  // I4
  section.shard().lock_of(node).lock_unpinned(section, owner.id, mode, has_value);
  detail::add_hold(owner, node.state, mode);
  const auto hold = detail::make_hold(section, node, &owner, mode, has_value);
  section.touch(node, touch, hold.has_value());
  return hold;
}

// Locks the key of a node if nobody holds or wants it, in a pinning section.
template <Mode mode, class Section, class Node>
[[nodiscard]] Hold<Node> try_hold_announced(Section& section, Node& node) noexcept {
  Owner& owner = section.shard().this_owner();
  if (!section.shard().lock_of(node).try_lock_unpinned(section, owner.id, mode)) return {};
  detail::add_hold(owner, node.state, mode);
  return {node, owner, true};
}

// Locks the key of a node shared, beside other readers of the shard, if nobody has or wants it
// exclusively, and touching it changes no order: a cache moves keys without values.
template <class Section, class Node>
[[nodiscard]] Hold<Node> try_hold_beside_readers(const Section& section, Node& node,
                                                 Touch touch) noexcept {
  auto& shard = section.shard();
  const State state = node.state.load(std::memory_order_acquire);
  if (!state.at_most_shared() || (section.has_order() && !state.has_value())) return {};
  if (section.is_expired(node)) return {};
  Owner& owner = ThisModule::record(shard.registry()).owner;
  const bool deferred = section.defer(node.state);
  if (deferred) {
    ++owner.held;
  } else {
    if (!shard.lock_of(node).try_share(section)) return {};
    detail::add_hold(owner, node.state, Mode::shared);
  }
  Hold<Node> hold = detail::make_hold(section, node, &owner, Mode::shared, state.has_value());
  hold.set_deferred(deferred);
  section.touch(node, touch);
  return hold;
}

// Ends a deferred hold; false if it has been counted, and is yet to be released.
template <class Shard, class Node>
[[nodiscard]] LOCKMAP_ALWAYS_INLINE bool end_deferred(const Shard& shard,
                                                      const Node& node) noexcept {
  ReaderSlot& mine = *ThisModule::record(shard.registry()).slot;
  DeferredHold::End end = mine.deferred.end(node.state);
  if (end == DeferredHold::End::not_here) [[unlikely]] {
    end = shard.registry().readers.end_deferred(node.state);
  }
  return end == DeferredHold::End::released;
}

// Makes it a hold that is counted in the word.
template <class Shard, class Node>
void count_deferred(Shard& shard, Hold<Node>& hold) noexcept {
  if (!hold.is_deferred()) return;
  { const typename Shard::Section section(shard); }  // in which no hold is deferred (B5)
  (void)detail::end_deferred(shard, *hold.node());
  hold.set_deferred(false);
  Owner& mine = shard.this_owner();
  if (hold.belongs_to(mine)) mine.shared.add(hold.node()->state);
}

// Locks a key that is pinned if that takes no waiting. Throws std::system_error if waiting would
// never end, for the owner itself holds the key; then the section was left.
template <class Section, class Node>
[[nodiscard]] bool try_hold_pinned(Section& section, Node& node, const Owner& owner, Mode mode,
                                   bool may_wait) {
  KeyLock lock = section.shard().lock_of(node);
  if (lock.pin_and_try_lock(section, owner.id, mode)) return true;
  const bool shares = owner.shares(node.state);
  if (shares && mode == Mode::shared) {
    lock.lock_again();
    return true;
  }
  if (may_wait && (shares || node.state.load(std::memory_order_relaxed).locked_by(owner.id))) {
    section.leave();
    detail::throw_held_by_this_thread(detail::describe(node.key));
  }
  return false;
}

// Locks it whoever has it, waiting as long as `deadline` allows. Throws std::system_error if
// waiting would never end; then the thread has neither lock nor pin.
template <class Section, class Node, class D>
[[nodiscard]] LOCKMAP_NOINLINE Hold<Node> hold_contended(typename Section::InTransit in_transit,
                                                         Node& node, Mode mode, Touch touch,
                                                         const D& deadline) {
  Section section(in_transit);
  auto& shard = section.shard();
  Owner& owner = shard.this_owner();
  const auto has_value = [&node] { return node.state.load(std::memory_order_relaxed).has_value(); };
  const auto held_in = [&](auto& in_section) {
    detail::add_hold(owner, node.state, mode);
    const Hold<Node> hold = detail::make_hold(in_section, node, &owner, mode, has_value());
    in_section.touch_pinned(node, touch, hold.has_value());
    return hold;
  };
  if (detail::try_hold_pinned(section, node, owner, mode, !deadline.expired())) {
    return held_in(section);
  }
  if constexpr (std::is_same_v<D, Immediately>) {
    return {};
  } else {
    KeyLock lock = shard.lock_of(node);
    lock.pin(section);
    section.leave();
    WaitGraph::Cycle cycle;
    const KeyLock::Wait wait = lock.wait(owner, mode, deadline, cycle);
    if constexpr (!std::remove_reference_t<decltype(shard)>::policy_type::enabled) {
      if (wait == KeyLock::Wait::locked) {  // nothing to touch: no section
        detail::add_hold(owner, node.state, mode);
        return {node, owner, has_value()};
      }
    }
    std::string key;
    if (wait == KeyLock::Wait::deadlock) key = detail::describe_noexcept(node.key);
    typename std::remove_reference_t<decltype(shard)>::Section again(shard);
    // Giving up, it looks once more.
    if (wait != KeyLock::Wait::locked &&
        (wait == KeyLock::Wait::deadlock || !lock.try_lock_pinned(owner.id, mode))) {
      again.finish(node, lock.unpin(again), nullptr);
      again.leave();
      if (wait == KeyLock::Wait::deadlock) throw detail::cycle_error(key, cycle);
      return {};
    }
    return held_in(again);
  }
}

// The weight of a value that is given up, where values have one. The weigher must not throw here:
// the release of a key cannot fail.
template <class Shard, class Node>
[[nodiscard]] std::size_t weight_at_release(const Shard& shard, Node& node) noexcept {
  return shard.weight_of(node, node.value);
}

// Releases a key of a cache that keeps times and weights.
template <class Shard, class Node, class Holder>
LOCKMAP_NOINLINE void release_in_ledger(Shard& shard, const Hold<Node, Holder>& hold,
                                        bool has_value, Eviction eviction) noexcept {
  if constexpr (Shard::policy_type::enabled) {
    Node& node = *hold.node();
    const bool weigh = has_value && !hold.is_weighed();
    const std::size_t weight = weigh ? detail::weight_at_release(shard, node) : 0;
    typename Shard::Section section(shard);
    if (weigh) section.set_weight(node, weight);
    const Released released =
        shard.lock_of(node).release(section, has_value || hold.has_expired_value());
    const Node* const kept = eviction == Eviction::any || released.unused ? nullptr : &node;
    section.finish(node, released, kept);
    if (released.unused || released.put_back) return;
    section.settle(node);
    section.shrink(kept);
  }
}

template <class Shard, class Node>
LOCKMAP_NOINLINE LOCKMAP_FLATTEN void release_slow(Shard& shard, Node& node, bool has_value,
                                                   Eviction eviction) noexcept {
  constexpr bool evicts = Shard::policy_type::enabled;
  const bool now = evicts && eviction == Eviction::others_now;
  KeyLock lock = shard.lock_of(node);
  if (!now && lock.try_release(has_value)) return;
  typename Shard::Section section(shard);
  const Released released = lock.release(section, has_value);
  const Node* const kept =
      evicts && (eviction == Eviction::any || released.unused) ? nullptr : &node;
  section.finish(node, released, kept);
  if (now) section.shrink(kept);
}

// Takes a hold off the count of an owner that this module's record does not tell: the thread's in
// the map's own registry.
template <class Shard, class Node>
LOCKMAP_NOINLINE void count_release(const Shard& shard, const Hold<Node>& hold,
                                    Mode mode) noexcept {
  Owner& mine = shard.this_owner();
  LOCKMAP_ASSERT(hold.belongs_to(mine) &&
                 "lockmap: an Entry is released by the thread that acquired it");
  // Else the owner's count stays too high, which costs time and misses no deadlock.
  if (hold.belongs_to(mine)) detail::remove_hold(mine, hold, mode);
}

// Takes a hold that is to go off what its owner knows, and returns who that is in the state word; 0
// if that is not known.
template <Mode mode, class Shard, class Node>
LOCKMAP_ALWAYS_INLINE OwnerId forget_hold(const Shard& shard, const Hold<Node>& hold) noexcept {
  Owner& mine = ThisModule::owner();
  if (hold.belongs_to(mine)) [[likely]] {
    detail::remove_hold(mine, hold, mode);
    return mine.id;
  }
  detail::count_release(shard, hold, mode);
  return 0;
}
template <Mode mode, class Shard, class Node>
OwnerId forget_hold(const Shard& shard, const TaskHold<Node>& hold) noexcept {
  TaskOwner* const owner = hold.owner();
  if (owner == nullptr) return nobody;
  const OwnerId id = owner->id_in(shard.registry());
  owner->remove(hold.node()->state, mode);
  return id;
}

// Releases a key. `has_value` says whether the holder leaves a value there.
template <class Shard, class Node, class Holder>
LOCKMAP_ALWAYS_INLINE void release(Shard& shard, Hold<Node, Holder> hold, bool has_value,
                                   Eviction eviction) noexcept {
  Node& node = *hold.node();
  const OwnerId id = detail::forget_hold<Mode::exclusive>(shard, hold);
  if (id != 0 && has_value && eviction != Eviction::others_now &&
      !(Shard::policy_type::enabled && hold.in_ledger()) &&
      shard.lock_of(node).try_release_unwanted(id, hold.had_value())) [[likely]] {
    return;
  }
  if constexpr (Shard::policy_type::enabled) {
    if (hold.in_ledger()) [[unlikely]] {
      detail::release_in_ledger(shard, hold, has_value, eviction);
      return;
    }
  }
  detail::release_slow(shard, node, has_value, eviction);
}

template <class Shard, class Node>
LOCKMAP_NOINLINE void release_shared_slow(Shard& shard, Node& node) noexcept {
  typename Shard::Section section(shard);
  section.finish(node, shard.lock_of(node).release_shared(section), nullptr);
}

// Releases a key that is held shared.
template <class Shard, class Node, class Holder>
LOCKMAP_ALWAYS_INLINE void release_shared(Shard& shard, Hold<Node, Holder> hold) noexcept {
  (void)detail::forget_hold<Mode::shared>(shard, hold);
  if constexpr (std::is_same_v<Holder, Owner>) {
    if (hold.is_deferred() && detail::end_deferred(shard, *hold.node())) [[likely]] {
      return;
    }
  }
  if (!shard.lock_of(*hold.node()).try_release_shared()) [[unlikely]] {
    detail::release_shared_slow(shard, *hold.node());
  }
}

template <class Shard, class Node, class Holder>
LOCKMAP_NOINLINE void downgrade_in_ledger(Shard& shard, const Hold<Node, Holder>& shared) noexcept {
  if constexpr (Shard::policy_type::enabled) {
    Node& node = *shared.node();
    const bool weigh = shared.has_value();
    const std::size_t weight = weigh ? detail::weight_at_release(shard, node) : 0;
    typename Shard::Section section(shard);
    if (weigh) section.set_weight(node, weight);
    section.finish(node, shard.lock_of(node).downgrade(section, shared.had_value()), nullptr);
    section.settle(node);
    section.shrink(nullptr);
  }
}

// For a hold that becomes a shared one.
template <class Shard, class Node>
void record_as_shared(const Shard& shard, const Hold<Node>& hold) noexcept {
  Owner& mine = shard.this_owner();
  LOCKMAP_ASSERT(hold.belongs_to(mine) &&
                 "lockmap: an Entry is downgraded by the thread that acquired it");
  mine.shared.add(hold.node()->state);
}
template <class Shard, class Node>
void record_as_shared(const Shard& /*shard*/, const TaskHold<Node>& hold) noexcept {
  if (hold.owner() != nullptr) hold.owner()->add_shared(hold.node()->state);
}

// Makes an exclusive hold a shared one. `has_value` says whether the holder leaves a value there.
template <class Shard, class Node, class Holder>
[[nodiscard]] Hold<Node, Holder> downgrade(Shard& shard, const Hold<Node, Holder>& hold,
                                           bool has_value) noexcept {
  Node& node = *hold.node();
  detail::record_as_shared(shard, hold);
  KeyLock lock = shard.lock_of(node);
  Hold<Node, Holder> shared(node, hold.owner(), has_value || hold.has_expired_value());
  if (hold.in_ledger()) [[unlikely]] {
    shared.set_in_ledger();
    shared.set_expired_value(hold.has_expired_value());
    detail::downgrade_in_ledger(shard, shared);
  } else if (!lock.try_downgrade(has_value)) {
    typename Shard::Section section(shard);
    section.finish(node, lock.downgrade(section, has_value), nullptr);
  }
  return shared;
}

template <class Shard, class AnyHold>
void note_upgrade(Shard& shard, const AnyHold& hold) noexcept {
  if constexpr (Shard::policy_type::enabled) {
    if (!hold.in_ledger()) return;
    typename Shard::Section section(shard);
    section.policy().on_exclusive_hold(*hold.node());
  }
}

template <class Shard, class Node>
[[nodiscard]] bool try_upgrade_word(Shard& shard, Node& node, OwnerId id) noexcept {
  const typename Shard::Section section(shard);  // in which all holds are in the word (I14)
  return shard.lock_of(node).try_upgrade(section, id);
}

// Makes a shared hold an exclusive one, if the key has no other hold; else it stays shared.
template <class Shard, class Node>
[[nodiscard]] bool try_upgrade(Shard& shard, Hold<Node>& hold) noexcept {
  detail::count_deferred(shard, hold);
  Owner& mine = shard.this_owner();
  LOCKMAP_ASSERT(hold.belongs_to(mine) &&
                 "lockmap: a SharedEntry is upgraded by the thread that acquired it");
  if (!detail::try_upgrade_word(shard, *hold.node(), mine.id)) return false;
  mine.shared.remove(hold.node()->state);
  detail::note_upgrade(shard, hold);
  return true;
}
template <class Shard, class Node>
[[nodiscard]] bool try_upgrade(Shard& shard, const TaskHold<Node>& hold) noexcept {
  TaskOwner* const owner = hold.owner();
  const OwnerId id = owner != nullptr ? owner->id_in(shard.registry()) : nobody;
  if (!detail::try_upgrade_word(shard, *hold.node(), id)) return false;
  if (owner != nullptr) owner->remove_shared(hold.node()->state);
  detail::note_upgrade(shard, hold);
  return true;
}

// Makes a hold of the calling thread that of a task, or of nobody (null).
template <class Shard, class Node>
[[nodiscard]] TaskHold<Node> detach(Shard& shard, Hold<Node> hold, Mode mode,
                                    TaskOwner* to) noexcept {
  if (mode == Mode::shared) detail::count_deferred(shard, hold);
  Node& node = *hold.node();
  detail::count_release(shard, hold, mode);
  const OwnerId id = to != nullptr ? to->id_in(shard.registry()) : nobody;
  if (to != nullptr) to->add(node.state, mode);
  if (mode == Mode::exclusive) shard.lock_of(node).reassign(id);
  return {hold, to};
}

// -- Acquiring for a task ------------------------------------------------------------------------

// On whose behalf a key is acquired: a task's, or nobody's (null).
struct Task {
  TaskOwner* owner = nullptr;
  OwnerId id = nobody;  // in the map's registry

  LOCKMAP_ALWAYS_INLINE Task(TaskOwner* task, Registry& registry) noexcept
      : owner(task), id(task != nullptr ? task->id_in(registry) : nobody) {}

  [[nodiscard]] bool shares(const StateWord& word) const noexcept {
    return owner != nullptr && owner->shares(word);
  }
  // Whether it holds a key, so that waiting may close a cycle (I8).
  [[nodiscard]] bool holds() const noexcept {
    return owner != nullptr && id != nobody && owner->holds();
  }
};

// Each as its namesake for a thread.

inline void add_hold(const Task& task, const StateWord& word, Mode mode) noexcept {
  if (task.owner != nullptr) task.owner->add(word, mode);
}

template <Mode mode, class Section, class Found>
[[nodiscard]] LOCKMAP_ALWAYS_INLINE auto try_hold(Section& section, const Found& found, Touch touch,
                                                  const Task& task) noexcept
    -> TaskHold<std::remove_pointer_t<decltype(found.node)>> {
  auto& node = *found.node;
  if (!Section::may_read(node)) [[unlikely]] {
    return {};
  }
  (void)section.owner_for_hold(found.made);  // it is threads that take turns
  const bool has_value = !found.made;        // I4
  section.shard().lock_of(node).lock_unpinned(section, task.id, mode, has_value);
  detail::add_hold(task, node.state, mode);
  const auto hold = detail::make_hold(section, node, task.owner, mode, has_value);
  section.touch(node, touch, hold.has_value());
  return hold;
}

template <Mode mode, class Section, class Node>
[[nodiscard]] TaskHold<Node> try_hold_announced(Section& section, Node& node,
                                                const Task& task) noexcept {
  if (!section.shard().lock_of(node).try_lock_unpinned(section, task.id, mode)) return {};
  detail::add_hold(task, node.state, mode);
  return {node, task.owner, true};
}

// A task may lose its shared hold meanwhile (T2).
template <class Section, class Node>
[[nodiscard]] bool try_hold_pinned(Section& section, Node& node, const Task& task, Mode mode,
                                   bool may_wait) {
  KeyLock lock = section.shard().lock_of(node);
  if (lock.pin_and_try_lock(section, task.id, mode)) return true;
  const bool shares = task.shares(node.state);
  if (shares && mode == Mode::shared && lock.try_lock_again()) return true;
  const State state = node.state.load(std::memory_order_relaxed);
  const bool has_it =
      (shares && mode == Mode::exclusive) || (task.id != nobody && state.locked_by(task.id));
  if (may_wait && has_it) {
    section.leave();
    detail::throw_held_by_this_task(detail::describe(node.key));
  }
  return false;
}

// A hold that was just got, in a section.
template <class Section, class Node>
[[nodiscard]] TaskHold<Node> note_hold(Section& section, Node& node, const Task& task, Mode mode,
                                       Touch touch) noexcept {
  detail::add_hold(task, node.state, mode);
  const bool has_value = node.state.load(std::memory_order_relaxed).has_value();
  const auto hold = detail::make_hold(section, node, task.owner, mode, has_value);
  section.touch_pinned(node, touch, hold.has_value());
  return hold;
}

// Releases a hold that its owner has not come to know of, and that has changed nothing.
template <class Shard, class Node>
void release_unused(Shard& shard, Node& node, Mode mode) noexcept {
  if (mode == Mode::exclusive) {
    const bool has_value = node.state.load(std::memory_order_relaxed).has_value();
    detail::release_slow(shard, node, has_value, Eviction::any);
  } else if (!shard.lock_of(node).try_release_shared()) {
    detail::release_shared_slow(shard, node);
  }
}

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_HOLD_HPP
