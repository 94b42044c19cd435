// Shard: one slice of a map, and the lock protocol of its keys.

#ifndef LOCKMAP_DETAIL_SHARD_HPP
#define LOCKMAP_DETAIL_SHARD_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "lockmap/detail/config.hpp"
#include "lockmap/detail/hashed_key.hpp"
#include "lockmap/detail/node.hpp"
#include "lockmap/detail/order.hpp"
#include "lockmap/detail/reader_bias.hpp"
#include "lockmap/detail/slab.hpp"
#include "lockmap/detail/state_word.hpp"
#include "lockmap/detail/table_allocator.hpp"
#include "lockmap/detail/this_thread.hpp"
#include "lockmap/detail/wait_graph.hpp"
#include "lockmap/detail/waiter.hpp"

namespace lockmap::detail {

// THE LOCK PROTOCOL
//
// A shard is a mutex, a table of nodes, their slab, their order and a list of waiting threads. A
// node is the state of one key. Its lock, and the pins that keep it alive, are in its state word
// (state_word.hpp). A pin is the right to look at a node while the shard mutex is free: the holder
// of the key has one, and so has each thread that wants to be the holder.
//
// Invariants, cited by number throughout the library:
//
// I1  A node is in its shard's table exactly while it is linked in the shard's order (maps with an
//     order). The table owns it.
// I2  Pins go from 0 to 1 only under the shard mutex. While a node has a pin it is neither removed
//     nor moved.
// I3  The value is touched only by the holder or, while pins are 0, by the holder of the shard
//     mutex; and it is read, while pins are 0, in a reading section (I11).
// I4  When the shard mutex is free, a node without a value has at least one pin. (The last pin of
//     a valueless node is given up only under the shard mutex, together with the node.)
// I5  The shard mutex is a leaf: nothing waits for a key, calls back or blocks while holding it.
//     Two shard mutexes are never held together.
// I6  No user code runs under a shard mutex except KeyEqual, the allocator, and the construction or
//     move of a key or value that is being stored. In particular no callback, no listener, no
//     destructor, and no copy of a value that is not trivially copyable and small.
// I7  A waiter is in the wait list exactly while the node's waiter bit says so; the bit is set and
//     cleared under the shard mutex.
// I8  A thread that sleeps for a key while it holds others is in the wait-for graph for as long as
//     it sleeps; a thread that holds nothing never needs to be.
// I9  The waking bit is set exactly while one thread that was taken out of the wait list for this
//     node, and was not handed the key, is on its way: until it has locked the key, is back in the
//     list, or has given up. Meanwhile releases wake nobody else.
// I10 While a shard is over its bound, because eviction met pinned nodes or was left to the release
//     of one, at least one pinned node has evict_on_release set, so its release evicts. The bit is
//     set and cleared under the shard mutex.
// I11 In a reading section nothing is written, neither in the shard nor in a node. The shard mutex
//     is not held while one lasts, except by other readers (reader_bias.hpp), so what needs it to
//     happen does not: no key is locked, and pins that are 0 stay 0.
//
// Transitions of the state word (M: under the shard mutex; H: by the holder; P: by a thread whose
// pin is counted). A plain store suffices where nobody else may write: with M while pins are 0
// (I2), and with M and H, because all else that may happen to a locked word needs M.
//
//   what                      when                             how               who   order
//   lock a free node          pins 0                           store             M     (1)
//   lock a node in passing    pins > 0, not locked             compare-exchange  M, P  acquire
//   pin                       locked                           fetch-add         M     relaxed (2)
//   note a waiter             locked                           compare-exchange  M, P  relaxed (2)
//   stop waking               locked                           compare-exchange  M, P  relaxed (2)
//   withdraw a waiter         its deadline passed              fetch-and         M, P  relaxed (2)
//   ask for eviction          pins > 0                         fetch-or          M     acquire
//   release, fast             nobody to wake, no request to    compare-exchange  H     release
//                             evict, a value or other pins
//   release, hand over, wake  otherwise                        store             M, H  release
//   give up a pin             deadline passed, or deadlock     fetch-sub         M, P  acq_rel
//
//   (1) Relaxed: the load that saw pins 0 was an acquire, paired with the last holder's release.
//   (2) Relaxed: says nothing about the value; the lock is acquired later.
//
// After a release the thread never touches the node again.
//
// Atomic read-modify-writes of an uncontended operation, by code path. Locking the shard mutex is
// one, unlocking it is a store. A reading section is one as well, or, if the mutex is biased, a
// seq_cst store to a line of the thread's own instead, which x86 makes an exchange.
//
//   1  get of a value that is copied in place (see below), contains, peek; insert, remove and
//      get_or_insert_with of such a value; insert of a new key; try_insert; whatever meets an absent
//      key and stores nothing
//   2  a guard taken and released; so also get, and insert over an old value, of all other values;
//      remove of those: the second gives the node back to its slab
//   +1 for a value that a guard stores where there was none, or removes (it counts in `size`)
//   +1 for a guard that leaves no value, if the key is not trivially destructible

// A value that is copied and replaced under the shard mutex (I6) rather than under its key's lock.
template <class Value>
inline constexpr bool copied_in_place =
    sizeof(Value) <= 64 &&
    std::conjunction_v<std::is_trivially_copyable<Value>, std::is_copy_constructible<Value>>;

template <class Key, class Value, class KeyEqual, class Allocator, class Order>
class alignas(cache_line) Shard {
 public:
  using key_type = Key;
  using mapped_type = Value;
  using allocator_type = Allocator;
  using Node = detail::Node<Key, Value, typename Order::Links>;

 private:
  using Table =
      absl::flat_hash_set<Node*, NodeHash, NodeEqual<KeyEqual>, TableAllocator<Node*, Allocator>>;

 public:
  using Walk = typename Slab<Node, Allocator>::Walk;

  // `equal` must outlive the shard.
  Shard(const KeyEqual& equal, const Allocator& allocator)
      : allocator_(allocator),
        table_(0, NodeHash{}, NodeEqual<KeyEqual>(equal),
               TableAllocator<Node*, Allocator>(allocator_)),
        slab_(allocator) {}
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;
  ~Shard() = default;

  // The time during which a thread holds the shard mutex. What must not happen under it (I5, I6) is
  // noted in the shard and done when the section is left: waking a thread, listeners, destructors.
  //
  // Functions that need the shard mutex take the section as a parameter; those that take it by
  // value leave it.
  class Section {
   public:
    explicit Section(Shard& shard) noexcept : shard_(&shard) { shard.mutex_.lock(); }
    Section(Section&& other) noexcept : shard_(std::exchange(other.shard_, nullptr)) {}
    Section(const Section&) = delete;
    Section& operator=(const Section&) = delete;
    Section& operator=(Section&&) = delete;
    ~Section() { leave(); }

    void leave() noexcept {
      if (shard_ == nullptr) return;
      Shard& shard = *std::exchange(shard_, nullptr);
      if (!shard.has_aftermath_) [[likely]] {
        shard.mutex_.unlock();
      } else {
        shard.unlock_with_aftermath();
      }
    }

   private:
    Shard* shard_;  // null: left
  };

  // The time during which a thread looks into the shard and changes nothing (I11).
  class ReadSection {
   public:
    explicit ReadSection(Shard& shard) noexcept
        : mutex_(shard.mutex_), slot_(mutex_.lock_shared()) {}
    ReadSection(const ReadSection&) = delete;
    ReadSection& operator=(const ReadSection&) = delete;
    ~ReadSection() { mutex_.unlock_shared(slot_); }

   private:
    ReaderBiasedMutex& mutex_;
    ReaderSlot* slot_;
  };

  // -- Finding and making nodes ------------------------------------------------------------------

  using Position = typename Table::iterator;

  // Null if the key has no node.
  template <class T>
  [[nodiscard]] Node* find(Section& section, const HashedKey<T>& probe) {
    const Position position = find_position(section, probe);
    return position == absent() ? nullptr : *position;
  }
  template <class T>
  [[nodiscard]] const Node* find(const ReadSection& /*section*/, const HashedKey<T>& probe) const {
    table_.prefetch(probe);
    const auto position = table_.find(probe);
    return position == table_.end() ? nullptr : *position;
  }

  template <class T>
  [[nodiscard]] Position find_position(Section& /*section*/, const HashedKey<T>& probe) {
    table_.prefetch(probe);
    return table_.find(probe);
  }
  [[nodiscard]] Position absent() { return table_.end(); }

  struct Found {
    Node* node;
    bool made = false;
  };

  // Finds the key's node or makes one, from `key`, that has neither value nor pin: before the
  // section is left it must get one of them or be discarded (I4). One probe. Throws what the
  // allocator, KeyEqual or the key's constructor throws; then nothing has changed.
  template <class T, class K>
  [[nodiscard]] Found find_or_make(Section& section, const HashedKey<T>& probe, K&& key) {
    // From the moment that the table makes room for the node, nothing may throw. What throws is
    // done here, and only if the key turns out to be new.
    if (!slab_.has_room()) [[unlikely]] {
      if (Node* const node = find(section, probe)) return {node};
      make_room();
    }
    table_.prefetch(probe);
    Node* made = nullptr;
    const Position position = table_.lazy_emplace(probe, [&](const auto& construct) {
      made = slab_.take();
      made->hash = probe.hash;
      construct(made);
    });
    if (made == nullptr) return {*position, false};
    try {
      made->construct_key(std::forward<K>(key));
    } catch (...) {
      table_.erase(position);
      slab_.put(made);
      throw;
    }
    order_.on_insert(*made);
    return {made, true};
  }

  // Gives a node that `find_or_make` has just made its first value.
  void store_first(Section& /*section*/, Node& node, Value&& value) noexcept {
    node.construct_value(std::move(value));
    node.state.store(State(State::has_value_bit), std::memory_order_relaxed);
    values_.add_exclusively(1);
    order_.on_store_exclusively();
  }

  [[nodiscard]] static bool is_pinned(const Node& node) noexcept {
    return node.state.load(std::memory_order_acquire).pins() != 0;
  }

  void touch(Section& /*section*/, Node& node, Touch touch, bool hit) noexcept {
    order_.on_touch(node, touch, hit);
  }
  void miss(Section& /*section*/, Touch touch) noexcept { order_.on_miss(touch); }

  // Takes an unpinned node out of the table. It is the caller's to end: its memory goes back
  // through `end_nodes` or, still in the section, `recycle`.
  void unlink(Section& /*section*/, Position position) noexcept {
    take_out(position);
    values_.add_exclusively(-1);
  }
  void unlink(Section& section, Node& node) noexcept { unlink(section, table_.find(&node)); }

  // Takes back the memory of an unlinked node that needs no destruction.
  void recycle(Section& /*section*/, Node* node) noexcept { slab_.put(node); }

  // Destroys a list of unlinked nodes with values, outside of every section.
  void end_nodes(Node* first) noexcept {
    for (Node* node = first; node != nullptr; node = node->next) {
      node->destroy_value();
      node->destroy_key();
    }
    slab_.give_back(first);
  }

  // -- Locking keys ------------------------------------------------------------------------------

  // What a thread has when it has locked a key.
  struct Lock {
    Node* node = nullptr;    // null: it has not locked it
    bool has_value = false;  // as the state word says until the release
  };

  // Locks the key of a node for the calling thread if nobody holds or wants it.
  [[nodiscard]] Lock lock_if_free(Section& section, Found found, Touch touch) noexcept {
    Node& node = *found.node;
    if (is_pinned(node)) [[unlikely]] {
      return {};
    }
    const Lock lock{&node, !found.made};  // I4
    node.state.store(State::of_sole_holder(ThisThread::id(), lock.has_value),
                     std::memory_order_relaxed);
    ThisThread::key_acquired();
    this->touch(section, node, touch, lock.has_value);
    return lock;
  }

  // Locks it whoever has it, waiting as long as `deadline` allows. Throws std::system_error if
  // waiting would never end; then the thread has neither lock nor pin.
  template <class D>
  [[nodiscard]] LOCKMAP_NOINLINE Lock lock_key(Section section, Node& node, Touch touch,
                                               const D& deadline) {
    if (try_lock_in_passing(section, node)) {
      const Lock lock{&node, has_value(node)};
      this->touch(section, node, touch, lock.has_value);
      return lock;
    }
    if constexpr (std::is_same_v<D, Immediately>) {
      return {};
    } else {
      if (is_held_by_this_thread(node)) {
        section.leave();
        if (deadline.expired()) return {};
        throw_held_by_this_thread();
      }
      node.state.add_pin(std::memory_order_relaxed);
      section.leave();
      if (!lock_key_pinned(node, deadline)) return {};
      const Lock lock{&node, has_value(node)};
      if constexpr (Order::enabled) {
        Section again(*this);
        this->touch(again, node, touch, lock.has_value);
      }
      return lock;
    }
  }

  [[nodiscard]] static bool is_held_by_this_thread(const Node& node) noexcept {
    return node.state.load(std::memory_order_relaxed).locked_by(ThisThread::id());
  }

  // Lets go of the key. `has_value` says whether the holder leaves a value there. If the release
  // has to evict, it passes over this key if `keep` says so: for an operation that has just stored
  // a value there.
  void release(const Lock& lock, bool has_value, bool keep) noexcept {
    ThisThread::key_released();
    Node& node = *lock.node;
    LOCKMAP_ASSERT(is_held_by_this_thread(node));
    // As it is unless somebody has come meanwhile: then the compare-exchange finds out.
    State state = State::of_sole_holder(ThisThread::id(), lock.has_value);
    while (!state.wants_wake_up() && !state.evict_on_release() && (has_value || state.pins() > 1)) {
      if (node.state.compare_exchange(state, state.release(has_value), std::memory_order_release)) {
        return;
      }
    }
    release_slow(node, has_value, keep);
  }

  // The holder has stored a value where there was none, or removed one.
  void on_value_stored() noexcept {
    values_.add(1);
    order_.on_store();
  }
  void on_value_removed() noexcept { values_.add(-1); }

  // -- Keeping the bound -------------------------------------------------------------------------

  // Evicts from the least recently used key on while the shard is over its bound, but no key that
  // is held or waited for (I2), and not `keep`.
  void shrink(Section& section, const Node* keep) noexcept {
    if constexpr (Order::enabled) {
      if (order_.excess(table_.size()) != 0) [[unlikely]] {
        shrink_slow(section, keep);
      }
    }
  }

  // Leaves that to the release of a pinned node.
  void shrink_on_release(Section& /*section*/, Node& node) noexcept {
    if constexpr (Order::enabled) {
      if (order_.excess(table_.size()) != 0) ask_for_eviction(node);
    }
  }

  // The least recently used node that nobody holds or waits for; null if there is none.
  [[nodiscard]] Node* oldest_unpinned(Section& /*section*/) noexcept requires(Order::enabled) {
    Node* node = order_.template oldest<Node>();
    while (node != nullptr && is_pinned(*node)) node = order_.newer(*node);
    return node;
  }

  // -- The shard as a whole ----------------------------------------------------------------------

  void reserve(std::size_t keys) {
    if (keys == 0) return;
    rebuild_table(keys);
    slab_.grow(keys);
  }

  [[nodiscard]] std::uint64_t size() const noexcept { return values_.load(); }

  using Step = typename Slab<Node, Allocator>::Step;

  // One step of a walk over all keys that are in the shard from the walk's beginning to its end.
  [[nodiscard]] Step step(Section& /*section*/, Walk& walk, Node*& node) const noexcept {
    return slab_.step(walk, node);
  }

  // Gives memory back if the shard has no key left. The table keeps its room for as long as the slab
  // has nodes (see `make_room`).
  void release_memory_if_empty(Section& /*section*/) noexcept {
    if (!table_.empty() || !slab_.release_if_unused()) return;
    Table(0, table_.hash_function(), table_.key_eq(), table_.get_allocator()).swap(table_);
    table_limit_ = 0;
  }

  // For the end of the map: ends all nodes at once, with the shard mutex free (a value's
  // destructor may use the map). Returns false if there was none. Precondition: no key is held.
  bool end_all_nodes() noexcept {
    Node* first = nullptr;
    {
      const Section section(*this);
      values_.add_exclusively(-static_cast<std::int64_t>(table_.size()));
      // One by one, so that the table keeps its room (see `make_room`).
      for (Position position = table_.begin(); position != table_.end();) {
        Node* const node = *position;
        take_out(position++);
        node->next = std::exchange(first, node);
      }
    }
    if (first != nullptr) end_nodes(first);
    return first != nullptr;
  }

  // A map must not be destroyed while one of its keys is held or waited for.
  void assert_unused() const noexcept {
#ifndef NDEBUG
    for (const Node* const node : table_) {
      LOCKMAP_ASSERT(!is_pinned(*node) && "lockmap: a map is destroyed while a key is held");
    }
#endif
  }

  [[nodiscard]] Order& order(Section& /*section*/) noexcept {
    return order_;
  }
  // For what an order offers to any thread.
  [[nodiscard]] const Order& order() const noexcept {
    return order_;
  }

 private:
  friend struct TestAccess;

  // What is to be done when the section is left.
  struct Aftermath {
    Waiter* to_wake = nullptr;
    Node* ended = nullptr;          // a node without a value
    Node* first_evicted = nullptr;  // a list of nodes with values, in the order of eviction
    Node* last_evicted = nullptr;
  };

  LOCKMAP_NOINLINE void unlock_with_aftermath() noexcept {
    const Aftermath aftermath = std::exchange(aftermath_, {});
    has_aftermath_ = false;
    mutex_.unlock();
    if (aftermath.to_wake != nullptr) aftermath.to_wake->wake();
    if (aftermath.ended != nullptr) {
      aftermath.ended->destroy_key();
      slab_.give_back(aftermath.ended);
    }
    if (aftermath.first_evicted != nullptr) end_evicted(aftermath.first_evicted);
  }

  // Sees to it that one more node can be made without an allocation. Throws what the allocator
  // throws; then nothing has changed.
  LOCKMAP_NOINLINE void make_room() {
    slab_.append_given_back();
    if (slab_.has_room()) return;
    // The table first: it has room for all nodes of the slab at any time, so only the slab needs to
    // be asked.
    const std::size_t count = slab_.increment();
    if (slab_.capacity() + count > table_limit_) rebuild_table(slab_.capacity() + count);
    slab_.grow(count);
  }

  // Gives the table room for `keys` keys and more.
  void rebuild_table(std::size_t keys) {
    // Not destroyed if its allocation fails: it is lost then, and owns nothing.
    union Storage {
      Storage() noexcept {}
      ~Storage() {}
      Table table;
    } storage;
    Table& table = *std::construct_at(std::addressof(storage.table), 0, table_.hash_function(),
                                      table_.key_eq(), table_.get_allocator());
    table.reserve(std::max<std::size_t>(keys + keys / 6 + 8, 24));
    // In the order of memory: hashes are in the nodes, and reading those at random would cost more
    // than the rest.
    Walk walk;
    Node* node = nullptr;
    for (Step step{}; (step = slab_.step(walk, node)) != Step::end;) {
      if (step == Step::node) table.insert(node);
    }
    table.swap(table_);
    std::destroy_at(std::addressof(table));
    table_limit_ = (table_.capacity() - 8) * 3 / 4;
  }

  // How often a thread looks again before it sleeps: about as long as falling asleep takes.
  static constexpr int spins = 100;

  // What the holder finds when it has just locked the key.
  [[nodiscard]] static bool has_value(const Node& node) noexcept {
    return node.state.load(std::memory_order_relaxed).has_value();
  }

  // For a key that others want, and perhaps one of them has.
  [[nodiscard]] static bool try_lock_in_passing(Section& /*section*/, Node& node) noexcept {
    State state = node.state.load(std::memory_order_relaxed);
    while (!state.locked()) {
      if (node.state.compare_exchange(state, state.pin().lock(ThisThread::id()),
                                      std::memory_order_acquire)) {
        ThisThread::key_acquired();
        return true;
      }
    }
    return false;
  }

  // For a thread whose pin is counted already. `mine` is the waking bit of a waiter that was woken.
  [[nodiscard]] static bool try_lock_pinned(Node& node, std::uint64_t mine = 0) noexcept {
    State state = node.state.load(std::memory_order_relaxed);
    while (!state.locked()) {
      if (node.state.compare_exchange(state, state.lock(ThisThread::id()).clear(mine),
                                      std::memory_order_acquire)) {
        ThisThread::key_acquired();
        return true;
      }
    }
    return false;
  }

  // For a thread whose pin is counted, outside of every section. If it returns false or throws, the
  // pin is given up.
  template <class D>
  [[nodiscard]] bool lock_key_pinned(Node& node, const D& deadline) {
    std::size_t cycle_length = 0;
    if (!deadline.expired()) {
      if (spin(node)) return true;
      if (ThisThread::held() == 0) {
        if (wait_in_list(node, deadline)) return true;
      } else {
        const WaitGraph::Edge edge(ThisThread::id(), node.state);  // I8
        cycle_length = edge.cycle_length();
        if (cycle_length == 0 && wait_in_list(node, deadline)) return true;
      }
    }
    // The edge is gone before the pin is: giving up may evict, and listeners may wait for keys.
    Section section(*this);
    const bool locked = cycle_length == 0 && try_lock_pinned(node);
    if (!locked) give_up_pin(section, node);
    section.leave();
    if (cycle_length != 0) throw_cycle(cycle_length);
    return locked;
  }

  [[nodiscard]] static bool spin(Node& node, std::uint64_t mine = 0) noexcept {
    for (int i = 0; i < spins; ++i) {
      if (try_lock_pinned(node, mine)) return true;
      cpu_pause();
    }
    return false;
  }

  // Sleeps until the key is handed over to this thread, or found free when it is woken, or until
  // the deadline; then it returns false.
  //
  // No wake-up is lost: a release takes a waiter out of the list unless one that was taken out
  // before is still on its way. That one then locks the key, or finds that another thread has it
  // and clears the waking bit while that is so: in both cases a release is to come that will look
  // into the list.
  template <class D>
  [[nodiscard]] bool wait_in_list(Node& node, const D& deadline) {
    Waiter waiter(node.state, ThisThread::id());
    for (std::uint64_t mine = 0;; mine = State::waking_bit) {
      {
        Section section(*this);
        if (try_lock_or_note(section, node, mine, State::has_waiters_bit)) return true;
        if (mine == 0) {
          waiters_.push_back(waiter);
        } else {
          waiters_.push_front(waiter);
        }
      }
      const bool woken = waiter.sleep(deadline);
      if (!woken) {
        if (withdraw(node, waiter)) return false;
        // Taken out of the list just now: `waiter` must not die before the wake-up has arrived.
        waiter.sleep(NoDeadline{});
      }
      if (node.state.load(std::memory_order_acquire).locked_by(waiter.thread())) {
        ThisThread::key_acquired();
        return true;
      }
      if (!woken) {
        Section section(*this);
        return try_lock_or_note(section, node, State::waking_bit, 0);
      }
      if (spin(node, State::waking_bit)) return true;
    }
  }

  // Takes a waiter out of the list whose deadline has passed; false if it is not there any more.
  [[nodiscard]] bool withdraw(Node& node, Waiter& waiter) noexcept {
    const Section section(*this);
    if (!WaitList::contains(waiter)) return false;
    waiters_.remove(waiter);
    if (waiters_.first(node.state) == nullptr) {
      node.state.clear(State::has_waiters_bit, std::memory_order_relaxed);  // I7
    }
    return true;
  }

  // For a waiter: either locks the key or, in the same step, sees to it that the release of whoever
  // has it will look into the wait list. `mine` is the waking bit of a waiter that was woken, and
  // `noted` the waiter bit of one that is to be in the list.
  [[nodiscard]] static bool try_lock_or_note(Section& /*section*/, Node& node, std::uint64_t mine,
                                             std::uint64_t noted) noexcept {
    for (;;) {
      if (try_lock_pinned(node, mine)) return true;
      State state = node.state.load(std::memory_order_relaxed);
      if (state.locked() && node.state.compare_exchange(state, state.clear(mine).set(noted),
                                                        std::memory_order_relaxed)) {
        return false;
      }
    }
  }

  LOCKMAP_NOINLINE void release_slow(Node& node, bool has_value, bool keep) noexcept {
    Section section(*this);
    const State state = node.state.load(std::memory_order_relaxed);
    if (!has_value && state.pins() == 1) {
      discard(section, node);  // I4
    } else {
      State released = state.release(has_value).clear(State::evict_on_release_bit);
      if (state.wants_wake_up()) {
        Waiter& waiter = *waiters_.first(node.state);
        waiters_.remove(waiter);
        if (waiters_.first(node.state) == nullptr) {
          released = released.clear(State::has_waiters_bit);  // I7
        }
        // Letting others barge keeps throughput up; handing over bounds how long a waiter suffers
        // from it.
        released =
            waiter.is_starving() ? released.lock(waiter.thread()) : released.set(State::waking_bit);
        aftermath_.to_wake = &waiter;
        has_aftermath_ = true;
      }
      node.state.store(released, std::memory_order_release);
    }
    if (state.evict_on_release()) shrink(section, keep ? &node : nullptr);  // I10
  }

  void give_up_pin(Section& section, Node& node) noexcept {
    const State state = node.state.drop_pin(std::memory_order_acq_rel);
    if (state.pins() != 0) return;
    if (!state.has_value()) {
      discard(section, node);
    } else if (state.evict_on_release()) {
      node.state.store(state.clear(State::evict_on_release_bit), std::memory_order_relaxed);
      shrink(section, nullptr);
    }
  }

  // Leaves a node in neither table nor order (I1), and in no list.
  void take_out(Position position) noexcept {
    Node* const node = *position;
    table_.erase(position);
    order_.on_erase(*node);
    node->state.store(State(), std::memory_order_relaxed);
    node->next = nullptr;
  }

  // Removes a node without a value that only the calling thread knows of.
  void discard(Section& /*section*/, Node& node) noexcept {
    take_out(table_.find(&node));
    if constexpr (std::is_trivially_destructible_v<Key>) {
      slab_.put(&node);
    } else {
      aftermath_.ended = &node;
      has_aftermath_ = true;
    }
  }

  LOCKMAP_NOINLINE void shrink_slow(Section& section, const Node* keep) noexcept
      requires(Order::enabled) {
    std::size_t excess = order_.excess(table_.size());
    Node* node = order_.template oldest<Node>();
    while (node != nullptr && excess != 0) {
      Node* const candidate = std::exchange(node, order_.newer(*node));
      if (candidate == keep) {
        if (is_pinned(*keep)) ask_for_eviction(*candidate);
      } else if (!is_pinned(*candidate) || !ask_for_eviction(*candidate)) {
        evict(section, *candidate);
        --excess;
      }
    }
  }

  // Lets the release of a pinned node evict (I10). Returns false if the last pin has just gone.
  static bool ask_for_eviction(Node& node) noexcept {
    const State state = node.state.set(State::evict_on_release_bit, std::memory_order_acquire);
    if (state.pins() != 0) return true;
    node.state.store(state.clear(State::evict_on_release_bit), std::memory_order_relaxed);
    return false;
  }

  void evict(Section& section, Node& node) noexcept requires(Order::enabled) {
    unlink(section, node);
    order_.on_evict();
    if constexpr (Node::trivially_ended) {
      if (order_.listener() == nullptr) {
        slab_.put(&node);
        return;
      }
    }
    (aftermath_.last_evicted != nullptr ? aftermath_.last_evicted->next
                                        : aftermath_.first_evicted) = &node;
    aftermath_.last_evicted = &node;
    has_aftermath_ = true;
  }

  void end_evicted(Node* first) noexcept {
    if constexpr (Order::enabled) {
      if (const auto* const listener = order_.listener()) {
        for (Node* node = first; node != nullptr; node = node->next) {
          (*listener)(std::as_const(node->key), node->value);
        }
      }
    }
    end_nodes(first);
  }

  ReaderBiasedMutex mutex_;
  bool has_aftermath_ = false;
  Allocator allocator_;
  Table table_;
  // How many keys the table takes without allocating. Abseil's table is lost if an allocation fails
  // while it grows. But with more than 16 slots it does not allocate on insertion while at most 25
  // of 32 are full (newer releases first set five aside): then it has room, or makes some by
  // cleaning up in place. Three quarters leave a margin.
  std::size_t table_limit_ = 0;
  Slab<Node, Allocator> slab_;
  Order order_;
  WaitList waiters_;
  Aftermath aftermath_;
  SplitCounter values_;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_SHARD_HPP
