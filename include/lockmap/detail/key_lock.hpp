// KeyLock: the lock of one key. THE LOCK PROTOCOL.

#ifndef LOCKMAP_DETAIL_KEY_LOCK_HPP
#define LOCKMAP_DETAIL_KEY_LOCK_HPP

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "lockmap/detail/backoff.hpp"
#include "lockmap/detail/config.hpp"
#include "lockmap/detail/deadline.hpp"
#include "lockmap/detail/owner.hpp"
#include "lockmap/detail/registry.hpp"
#include "lockmap/detail/section.hpp"
#include "lockmap/detail/state_word.hpp"
#include "lockmap/detail/wait_graph.hpp"
#include "lockmap/detail/waiter.hpp"

namespace lockmap::detail {

// THE LOCK PROTOCOL
//
// A shard is a structure lock, a table of nodes, their slab, their order and queues of waiters. A
// node is the state of one key. Its lock, and the pins that keep it alive, are in its state word
// (state_word.hpp). A pin is the right to look at a node outside of every section: each hold has
// one, and so has each owner that waits for one.
//
// Invariants, cited by number throughout the library:
//
// I1  A node is in its shard's table exactly while it is linked in the shard's order or set aside
//     there (maps with an order). The table owns it.
// I2  Pins go from 0 to 1 only under the shard mutex, in a pinning section or, for a shared hold,
//     in a shared one. While a node has a pin it is neither removed nor moved.
// I3  The value is touched only by the holder or, while pins are 0, by the holder of the shard
//     mutex; and it is read, if pins were 0, in a shared section (I11).
// I4  When the shard mutex is free, a node without a value has at least one pin. (The last pin of
//     a valueless node is given up only under the shard mutex, together with the node.)
// I5  The shard mutex is a leaf: nothing waits for a key, calls back or blocks while holding it.
//     Two shard mutexes are never held together.
// I6  No user code runs under a shard mutex except KeyEqual, the allocator, and the construction or
//     move of a key or value that is stored. In particular no callback, no listener, no destructor,
//     and no copy of a value that is not trivially copyable and small.
// I7  A waiter is queued exactly while the key's waiter bit says so; the bit is set and cleared
//     under the shard mutex.
// I8  An owner that sleeps for a key while it holds others is in the wait-for graph for as long as
//     it sleeps; an owner that holds nothing never needs to be.
// I9  The waking bit is set exactly while one waiter that was taken out of the queue of this key,
//     and was not granted it, is on its way: until it has locked the key, is back in the queue, or
//     has given up. Meanwhile releases wake nobody else.
// I10 While a shard is over its bound, because eviction met pinned nodes, at least one pinned node
//     has evict_on_release set, or an operation that evicts on release is under way. A node has the
//     bit exactly while it is set aside; then its last release puts it back into the order and
//     evicts. The bit is set and cleared under the shard mutex.
// I11 In a shared section nothing is written, neither in the shard nor in a node, but marks and
//     times of touches, by relaxed atomics that exclusive sections read, and shared holds of keys
//     that nobody waits for. The shard mutex is not held while one lasts, except by other readers
//     (section.hpp), so what needs it to happen does not: no key is locked exclusively. A shared
//     section that has the mutex while there is no bias is alone, and as good as an exclusive one.
// I12 Waiters are admitted in their order: a shared request is queued behind every waiter, and so
//     never overtakes an exclusive one that waits. Whatever takes a hold or a waiter away admits
//     those at the head of the queue that can go on without it.
// I13 In a pinning section nothing in the shard is written, and of nodes only the words. No other
//     section lasts meanwhile but other pinning ones (section.hpp). So whatever is done under the
//     shard mutex finds pins that are 0 to stay 0.
// I14 A shared hold that began in an announced shared section may be deferred: it is in its owner's
//     slot, and not in the word (deferred_hold.hpp). Whoever ends the bias that allowed it counts
//     it in the word first, so in exclusive and in pinning sections all holds are in the words. Nor
//     is the key locked exclusively outside of them: when the hold began, nobody had a pin for it
//     but sharers, which need a section to become exclusive.
//
// Transitions of the state word (M: under the shard mutex; A: in a pinning section; S: in a shared
// section; H: by a holder; P: by an owner whose pin is counted). A plain store suffices where
// nobody else may write: with M while pins are 0 (I2), and with M by the exclusive holder, because
// all else that may happen to a locked word needs M, or A or S, which M excludes (I11, I13).
//
//   function           when                             how               who   order
//   lock_unpinned      pins 0                           store             M     (1)
//   try_lock_unpinned  pins 0, a value                  compare-exchange  A     acquire
//   pin_and_try_lock   the mode is allowed              compare-exchange  M, A  acquire
//   pin                else                             fetch-add         M, A  relaxed (2)
//   try_share          the mode is allowed              compare-exchange  S     acquire
//   add_sharer         deferred, the bias ends          fetch-add         M     relaxed (6)
//   try_lock_pinned    the mode is allowed              compare-exchange  P     acquire
//   lock_or_enqueue    the mode is not allowed: queued  compare-exchange  M, P  relaxed (2)
//   withdraw           time or stop, still queued       fetch-and         M, P  relaxed (2)
//   stop_waking        time or stop, on its way         fetch-and         M, P  relaxed (2)
//   set_aside          pins > 0                         fetch-or          M     acquire
//   try_release        nobody to admit, not set aside,  compare-exchange  H     release
//                      a value or other pins
//   release            otherwise, exclusive             store             M, H  release
//   release            otherwise, shared                compare-exchange  M, H  acq_rel
//   unpin              given up                         compare-exchange  M, P  acq_rel
//
//   (1) Relaxed: the load that saw pins 0 was an acquire, paired with the last holder's release.
//   (2) Relaxed: says nothing about the value; the lock is acquired later.
//
// `release` and `unpin` admit waiters in the same step. After a release outside of a section, and
// after leaving the section of any other, the node is not touched again.
//
// A shared hold is taken once more, made exclusive, or made of an exclusive one, by its holder:
//
//   lock_again         whoever waits                    fetch-add         H     relaxed (3)
//   try_lock_again     held shared, whoever waits       compare-exchange  M, A  acquire (4)
//   reassign           exclusive                        compare-exchange  H     relaxed (5)
//   try_upgrade        no other sharer                  compare-exchange  M, H  acquire
//   try_downgrade      nobody to admit                  compare-exchange  H     release
//   downgrade          otherwise                        store             M, H  release
//
//   (3) Its other hold keeps exclusive owners out, so granting it delays nobody who would not have
//       to wait anyway; and what the value is, it has acquired with that hold.
//   (4) By a task, which may lose that hold meanwhile (task_owner.hpp). Then it gets one beside
//       other sharers', before those who wait: once, as a reader that came a moment earlier.
//   (5) Says only who holds the key, and the new owner's search for deadlocks comes later.
//   (6) By DeferredHold::count; and drop_sharer, if the hold has ended at that moment.
//
// A waiter is a thread's or a task's. A task never looks for itself: whoever admits it grants it
// the key, as it does for a thread that has waited too long, so it is never on its way (I9). It has
// no limit; a stop, or its end, withdraws it:
//
//   cancel             stop, still queued               withdraw, unpin   M     (in one section)
//
// From the section in which a task left the queue until it is resumed, it is in the queue of the
// thread that was in that section (resume_queue.hpp); the key that it was granted is held meanwhile
// by nobody but it, and whoever ends it then releases the key.
//
// No wake-up is lost: a waiter enters the queue, and the waiter bit is set, in one step that finds
// the key held (lock_or_enqueue); whoever takes that hold away later sees the bit, in the same
// word, and admits the head of the queue unless a waiter that was admitted before is still on its
// way. That one then locks the key, or finds it held and clears the waking bit while that is so
// (back in the queue), or clears it and gives up its pin (`unpin` admits): in all three cases a
// step is to come that looks into the queue. A task that is admitted holds the key, so its release
// is to come.

// A release or a withdrawal leaves this to the shard.
struct Released {
  WakeList to_wake;
  bool unused = false;    // the node has neither value nor pin: it is to be unlinked
  bool put_back = false;  // the node was set aside
};

// The lock of one key, for one operation: refers to the key's word and its shard's lock and queues.
class KeyLock {
 public:
  KeyLock(StructureLock& structure, WaitQueues& queues, StateWord& word) noexcept
      : structure_(structure), queues_(queues), word_(word) {}

  // -- Locking without waiting -------------------------------------------------------------------

  // Locks a key that nobody holds or wants.
  void lock_unpinned(ExclusiveAccess /*access*/, OwnerId owner, Mode mode,
                     bool has_value) noexcept {
    word_.store(State::of_sole_holder(owner, mode, has_value), std::memory_order_relaxed);
  }

  // Locks a key that has a value and that nobody holds or wants, beside others that try to. False
  // if there is somebody, or for no reason.
  [[nodiscard]] bool try_lock_unpinned(PinAccess /*access*/, OwnerId owner, Mode mode) noexcept {
    State state(State::has_value_bit);
    return word_.compare_exchange(state, State::of_sole_holder(owner, mode, true),
                                  std::memory_order_acquire);
  }

  // For a key that others want, and perhaps one of them has.
  [[nodiscard]] bool pin_and_try_lock(PinAccess /*access*/, OwnerId owner, Mode mode) noexcept {
    return pin_and_lock_if_allowed(owner, mode);
  }

  // For a key that is there, beside others that read.
  [[nodiscard]] bool try_share(ShareAccess /*access*/) noexcept {
    return pin_and_lock_if_allowed(0, Mode::shared);
  }

  // For an owner that is to wait: from now on the node stays (I2).
  void pin(PinAccess /*access*/) noexcept { word_.add_pin(std::memory_order_relaxed); }

  // For an owner whose pin is counted; `mine` is the waking bit of a waiter that is on its way.
  [[nodiscard]] bool try_lock_pinned(OwnerId owner, Mode mode, std::uint64_t mine = 0) noexcept {
    State state = word_.load(std::memory_order_relaxed);
    // The waiter on its way was at the head of the queue: it need not queue behind the others.
    while (mine != 0 ? state.free() : state.allows(mode)) {
      if (word_.compare_exchange(state, state.lock(owner, mode).clear(mine),
                                 std::memory_order_acquire)) {
        return true;
      }
    }
    return false;
  }

  // For an owner that holds the key shared: it is not to wait for those who wait for it.
  void lock_again() noexcept { word_.add_sharer(std::memory_order_relaxed); }

  // The same for an owner whose hold may go meanwhile. False if the key is not held shared any
  // more.
  [[nodiscard]] bool try_lock_again() noexcept {
    State state = word_.load(std::memory_order_relaxed);
    while (state.sharers() != 0) {
      if (word_.compare_exchange(state, state.pin().lock(0, Mode::shared),
                                 std::memory_order_acquire)) {
        return true;
      }
    }
    return false;
  }

  // Gives the exclusive hold to another owner.
  void reassign(OwnerId owner) noexcept {
    State state = word_.load(std::memory_order_relaxed);
    while (!word_.compare_exchange(state, state.reassign(owner), std::memory_order_relaxed)) {
    }
  }

  // Makes the shared hold exclusive, if it is the only one.
  [[nodiscard]] bool try_upgrade(ExclusiveAccess /*access*/, OwnerId owner) noexcept {
    State state = word_.load(std::memory_order_relaxed);
    while (state.sharers() == 1) {
      if (word_.compare_exchange(state, state.upgrade(owner), std::memory_order_acquire)) {
        return true;
      }
    }
    return false;
  }

  // -- Waiting, in steps -------------------------------------------------------------------------

  // Locks the key or, in the same step, queues the waiter, so that the release of whoever has the
  // key admits it. `on_its_way`: it was admitted before and met a barging owner.
  [[nodiscard]] bool lock_or_enqueue(ExclusiveAccess /*access*/, Waiter& waiter,
                                     bool on_its_way) noexcept {
    const std::uint64_t mine = on_its_way ? State::waking_bit : 0;
    for (;;) {
      if (try_lock_pinned(waiter.owner(), waiter.mode(), mine)) return true;
      State state = word_.load(std::memory_order_relaxed);
      if (mine != 0 ? state.free() : state.allows(waiter.mode())) continue;
      if (!word_.compare_exchange(state, state.clear(mine).set(State::has_waiters_bit),
                                  std::memory_order_relaxed)) {
        continue;
      }
      if (on_its_way) {
        queues_.push_front(waiter);
      } else {
        queues_.push_back(waiter);
      }
      return false;
    }
  }

  // Takes a waiter out of the queue; false if it is not there any more, for it was admitted.
  [[nodiscard]] bool withdraw(ExclusiveAccess /*access*/, Waiter& waiter) noexcept {
    if (!WaitQueues::contains(waiter)) return false;
    queues_.remove(waiter);
    if (queues_.first(word_) == nullptr) {
      word_.clear(State::has_waiters_bit, std::memory_order_relaxed);  // I7
    }
    return true;
  }

  // For a waiter that is on its way and gives up: its `unpin` must follow, which admits others.
  void stop_waking(ExclusiveAccess /*access*/) noexcept {
    word_.clear(State::waking_bit, std::memory_order_relaxed);  // I9
  }

  // Lets a task's waiter that is queued no longer go on without the key, behind those that can go
  // on instead of it. Its pin is gone then. False if it has been admitted.
  [[nodiscard]] bool cancel(ExclusiveAccess access, TaskWaiter& waiter,
                            Released& released) noexcept {
    if (!withdraw(access, waiter)) return false;
    released = unpin(access);
    put_in_queue(waiter);
    released.to_wake.note_tasks();
    return true;
  }

  // The edge of an owner that waits here.
  class Edge : public WaitGraph::Edge {
   public:
    template <class AnyOwner>
    Edge(const KeyLock& lock, const AnyOwner& owner, const Waiter& waiter) noexcept
        : WaitGraph::Edge(lock.structure_.registry().graph, owner, waiter.owner(), lock.word_,
                          &look),
          structure_(lock.structure_),
          waiter_(waiter) {}

   private:
    [[nodiscard]] static State look(const WaitGraph::Edge& edge) noexcept {
      const auto& self = static_cast<const Edge&>(edge);
      // Had an exclusive request got the key, the word would say so; and as long as a thread's
      // edge is there, it has a pin.
      if (self.waiter_.mode() == Mode::exclusive && !self.waiter_.is_task()) {
        return self.awaited().load(std::memory_order_acquire);
      }
      const ExclusiveSection section(self.structure_);
      if (!WaitQueues::contains(self.waiter_)) return {};
      return self.awaited().load(std::memory_order_acquire);
    }

    StructureLock& structure_;
    const Waiter& waiter_;
  };

  // For waiters of other kinds than a thread's.
  [[nodiscard]] std::uint64_t generation() const noexcept {
    return structure_.registry().generation.load(std::memory_order_relaxed);
  }

  // -- Waiting, for a thread ---------------------------------------------------------------------

  enum class Wait { locked, expired, deadlock };

  // For an owner whose pin is counted, outside of every section. Unless it returns `locked`, the
  // pin is to be given up. If waiting would never end, fills in the cycle (as far as there is
  // memory).
  template <class D>
  [[nodiscard]] Wait wait(const Owner& owner, Mode mode, const D& deadline,
                          WaitGraph::Cycle& cycle) noexcept {
    if (deadline.expired()) return Wait::expired;
    if (spin(owner.id, mode)) return Wait::locked;
    ThisModule::record(structure_.registry()).to_resume.run_before_blocking();
    ThreadWaiter waiter(word_, owner.id, mode, generation());
    std::optional<Edge> edge;
    if (owner.held != 0 && mode == Mode::exclusive) {  // I8
      if (!add(edge.emplace(*this, owner, waiter), cycle)) return Wait::deadlock;
    }
    for (bool on_its_way = false;; on_its_way = true) {
      {
        const ExclusiveSection section(structure_);
        if (lock_or_enqueue(section, waiter, on_its_way)) return Wait::locked;
      }
      if (owner.held != 0 && mode == Mode::shared &&
          !add(edge.emplace(*this, owner, waiter), cycle)) {
        return give_up(waiter) ? Wait::locked : Wait::deadlock;
      }
      if (!waiter.sleep(deadline)) return give_up(waiter) ? Wait::locked : Wait::expired;
      if (waiter.granted() || spin(owner.id, mode, State::waking_bit)) return Wait::locked;
    }
  }

  // -- Releasing ---------------------------------------------------------------------------------

  // Releases a key that nobody else wants, and leaves a value. `had_value` says how the word was
  // left before.
  [[nodiscard]] bool try_release_unwanted(OwnerId owner, bool had_value) noexcept {
    // As it is unless somebody has come meanwhile: then the compare-exchange finds out.
    State state = State::of_sole_holder(owner, Mode::exclusive, had_value);
    return word_.compare_exchange(state, State(State::has_value_bit), std::memory_order_release);
  }

  // Releases the key if that takes no section.
  [[nodiscard]] bool try_release(bool has_value) noexcept {
    return try_leave([has_value](State state) { return state.release(has_value); });
  }
  [[nodiscard]] bool try_release_shared() noexcept {
    return try_leave([](State state) { return state.release_shared(); });
  }

  [[nodiscard]] Released release(ExclusiveAccess access, bool has_value) noexcept {
    const State left = word_.load(std::memory_order_relaxed).release(has_value);
    if (left.pinned()) [[unlikely]] {
      return release_wanted(access, has_value);
    }
    word_.store(left.clear(State::evict_on_release_bit), std::memory_order_release);
    return {{}, !has_value, left.evict_on_release()};
  }

  // Makes the exclusive hold a shared one; false if waiters are to be admitted to it.
  [[nodiscard]] bool try_downgrade(bool has_value) noexcept {
    State state = word_.load(std::memory_order_relaxed);
    while (!state.has_waiters()) {
      if (word_.compare_exchange(state, state.downgrade(has_value), std::memory_order_release)) {
        return true;
      }
    }
    return false;
  }
  [[nodiscard]] Released downgrade(ExclusiveAccess /*access*/, bool has_value) noexcept {
    return leave_exclusive([has_value](State state) { return state.downgrade(has_value); });
  }

  [[nodiscard]] Released release_shared(ExclusiveAccess access) noexcept {
    return leave(access, [](State state) { return state.release_shared(); });
  }

  // For an owner that gives up waiting.
  [[nodiscard]] Released unpin(ExclusiveAccess access) noexcept {
    return leave(access, [](State state) { return state.unpin(); });
  }

  // -- Eviction ----------------------------------------------------------------------------------

  // Lets the last release of a pinned key put it back (I10). False if the last pin has just gone.
  [[nodiscard]] bool set_aside(ExclusiveAccess /*access*/) noexcept {
    const State state = word_.set(State::evict_on_release_bit, std::memory_order_acquire);
    if (state.pinned()) return true;
    word_.store(state.clear(State::evict_on_release_bit), std::memory_order_relaxed);
    return false;
  }

  // For a key that is back in the order while it has pins.
  void clear_set_aside(ExclusiveAccess /*access*/) noexcept {
    word_.clear(State::evict_on_release_bit, std::memory_order_relaxed);
  }

 private:
  // How often a thread looks again before it sleeps: about as long as falling asleep takes.
  static constexpr int spins = 100;

  [[nodiscard]] bool pin_and_lock_if_allowed(OwnerId owner, Mode mode) noexcept {
    State state = word_.load(std::memory_order_relaxed);
    while (state.allows(mode)) {
      if (word_.compare_exchange(state, state.pin().lock(owner, mode), std::memory_order_acquire)) {
        return true;
      }
    }
    return false;
  }

  [[nodiscard]] bool spin(OwnerId owner, Mode mode, std::uint64_t mine = 0) noexcept {
    for (int i = 0; i < spins; ++i) {
      if (try_lock_pinned(owner, mode, mine)) return true;
      cpu_pause();
    }
    return false;
  }

  // For a waiter that is to wait no longer. True if it has got the key just now.
  [[nodiscard]] bool give_up(ThreadWaiter& waiter) noexcept {
    {
      const ExclusiveSection section(structure_);
      if (withdraw(section, waiter)) return false;
    }
    // Admitted just now: `waiter` must not die before the wake-up has arrived.
    (void)waiter.sleep(NoDeadline{});
    if (waiter.granted()) return true;
    const ExclusiveSection section(structure_);
    if (try_lock_pinned(waiter.owner(), waiter.mode(), State::waking_bit)) return true;
    stop_waking(section);
    return false;
  }

  // False, and fills in the cycle, if waiting would never end.
  [[nodiscard]] static bool add(Edge& edge, WaitGraph::Cycle& cycle) noexcept {
    if (edge.add()) return true;
    try {
      cycle = edge.cycle();
    } catch (...) {
      cycle.clear();
    }
    return false;
  }

  LOCKMAP_NOINLINE Released release_wanted(ExclusiveAccess /*access*/, bool has_value) noexcept {
    return leave_exclusive([has_value](State state) { return state.release(has_value); });
  }

  // A key's state after waiters at the head of its queue were let go on, and how many.
  struct Admission {
    State state;
    std::size_t waiters = 0;
    bool granted = false;   // the key is locked for them; else the one may barge for it
    bool put_back = false;  // the last pin of a node that was set aside goes
  };

  // Shared waiters are granted the key together, up to the next exclusive one. Letting an exclusive
  // one barge keeps throughput up; granting the key bounds how long it suffers from others that do.
  [[nodiscard]] Admission admit(State left) const noexcept {
    Admission admission{left};
    if (left.is_set(State::locked_bit | State::waking_bit) || !left.has_waiters()) {
      if (!left.pinned() && left.evict_on_release()) {
        admission.state = left.clear(State::evict_on_release_bit);
        admission.put_back = true;
      }
      return admission;
    }
    const Waiter& first = *queues_.first(word_);
    const Waiter* next = &first;
    if (first.mode() == Mode::exclusive) {
      if (!left.free()) return admission;
      next = WaitQueues::after(first, first);
      // Readers behind it are many turns that cost one: they are worth an early hand-over.
      const bool before_readers = next != nullptr && next->mode() == Mode::shared;
      admission.granted = first.is_starving(before_readers ? 0 : left.pins());
      admission.state = admission.granted ? left.lock(first.owner(), Mode::exclusive)
                                          : left.set(State::waking_bit);
      admission.waiters = 1;
    } else {
      admission.granted = true;
      for (; next != nullptr && next->mode() == Mode::shared;
           next = WaitQueues::after(first, *next)) {
        admission.state = admission.state.lock(next->owner(), Mode::shared);
        ++admission.waiters;
      }
    }
    if (next == nullptr) admission.state = admission.state.clear(State::has_waiters_bit);  // I7
    return admission;
  }

  // Takes the admitted waiters out of the queue, once the word says so.
  [[nodiscard]] Released conclude(const Admission& admission) noexcept {
    Released released{{}, !admission.state.in_table(), admission.put_back};
    WakeList::Builder to_wake(released.to_wake);
    for (std::size_t i = 0; i < admission.waiters; ++i) {
      Waiter& waiter = *queues_.first(word_);
      queues_.remove(waiter);
      if (admission.granted) waiter.grant();
      if (waiter.is_task()) {
        put_in_queue(static_cast<TaskWaiter&>(waiter));
      } else {
        to_wake.push_back(waiter);
      }
    }
    if (admission.waiters != 0) released.to_wake.note_tasks();
    return released;
  }

  // A task that is to go on when the calling thread has left its section.
  void put_in_queue(TaskWaiter& waiter) noexcept {
    Registry& registry = structure_.registry();
    ThisModule::record(registry).to_resume.push_back(waiter.resumption, registry.resume_mutexes);
  }

  // Takes a hold away if nothing else is to be done.
  template <class F>
  [[nodiscard]] bool try_leave(const F& without) noexcept {
    State state = word_.load(std::memory_order_relaxed);
    for (State left = without(state); !left.wants_section(); left = without(state)) {
      if (word_.compare_exchange(state, left, std::memory_order_release)) return true;
    }
    return false;
  }

  // Takes away, or makes shared, the hold that keeps all others out.
  template <class F>
  [[nodiscard]] Released leave_exclusive(const F& without) noexcept {
    forget_dead_waiters();
    const Admission admission = admit(without(word_.load(std::memory_order_relaxed)));
    word_.store(admission.state, std::memory_order_release);
    return conclude(admission);
  }

  // Takes away a hold or a pin beside which there may be others.
  template <class F>
  [[nodiscard]] Released leave(ExclusiveAccess /*access*/, const F& without) noexcept {
    forget_dead_waiters();
    State state = word_.load(std::memory_order_relaxed);
    for (;;) {
      const Admission admission = admit(without(state));
      if (word_.compare_exchange(state, admission.state, std::memory_order_acq_rel)) {
        return conclude(admission);
      }
    }
  }

  // In the child of a fork, waiters whose threads were left behind.
  void forget_dead_waiters() noexcept {
    Waiter* waiter = queues_.first(word_);
    if (waiter == nullptr || waiter->generation() == generation()) [[likely]] {
      return;
    }
    do {
      queues_.remove(*waiter);
      word_.drop_pin(std::memory_order_relaxed);
      waiter = queues_.first(word_);
    } while (waiter != nullptr && waiter->generation() != generation());
    if (waiter == nullptr) word_.clear(State::has_waiters_bit, std::memory_order_relaxed);
  }

  StructureLock& structure_;
  WaitQueues& queues_;
  StateWord& word_;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_KEY_LOCK_HPP
