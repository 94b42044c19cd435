// Shard: the storage of one slice of a map.

#ifndef LOCKMAP_DETAIL_SHARD_HPP
#define LOCKMAP_DETAIL_SHARD_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "lockmap/detail/config.hpp"
#include "lockmap/detail/construct.hpp"
#include "lockmap/detail/eviction_policy.hpp"
#include "lockmap/detail/hashed_key.hpp"
#include "lockmap/detail/key_lock.hpp"
#include "lockmap/detail/load_waiter.hpp"
#include "lockmap/detail/node.hpp"
#include "lockmap/detail/registry.hpp"
#include "lockmap/detail/section.hpp"
#include "lockmap/detail/slab.hpp"
#include "lockmap/detail/table_allocator.hpp"
#include "lockmap/detail/value_count.hpp"
#include "lockmap/detail/victim_queue.hpp"
#include "lockmap/expiry.hpp"
#include "lockmap/unlimited.hpp"

namespace lockmap::detail {

// A table of nodes, their slab, and the eviction policy's order. How nodes are locked is
// key_lock.hpp's; the invariants cited here are stated there.
//
// GIVING MEMORY BACK
//
// A node's end has three steps. It is unlinked from table and order, under the shard mutex; its key
// and value are destroyed, outside unless that is trivial; and its memory is freed to the slab.
// Room that the slab and the table do not need goes back to the allocator when the shard has become
// sparse: when its keys take less than a quarter of its room, they are moved together into room for
// half as many again, with the shard mutex held, if key and value can be moved without an
// exception. Chunks with nodes that cannot be moved (they are pinned, or a move might throw) stay
// until a later time; so does everything while a walk is under way. A shard that such chunks keep
// sparse tries again after as many removals as there are of them, so each removal pays a constant
// for it, and churn nothing. Room reserved by `initial_capacity` stays until `shrink_to_fit`.
template <class Key, class Value, class KeyEqual, class Allocator, class Policy>
class alignas(cache_line) Shard : private StructureLock {
 public:
  using key_type = Key;
  using mapped_type = Value;
  using allocator_type = Allocator;
  using policy_type = Policy;
  using Node = detail::Node<Key, Value, typename Policy::Links>;

 private:
  using Nodes = Slab<Node, Allocator>;
  using Table =
      absl::flat_hash_set<Node*, NodeHash, NodeEqual<KeyEqual>, TableAllocator<Node*, Allocator>>;

 public:
  using Position = typename Table::iterator;
  using Step = typename Nodes::Step;

  // `registry` and `equal` must outlive the shard.
  Shard(Registry& registry, const KeyEqual& equal, const Allocator& allocator)
      : StructureLock(registry),
        allocator_(allocator),
        table_(0, NodeHash{}, NodeEqual<KeyEqual>(equal),
               TableAllocator<Node*, Allocator>(allocator_)),
        slab_(allocator),
        policy_(allocator) {}
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;
  ~Shard() = default;

  struct Found {
    Node* node;
    bool made = false;
  };

  // A look into the shard that changes nothing but marks of touches (I11).
  class ReadSection : public SharedSection {
   public:
    LOCKMAP_ALWAYS_INLINE explicit ReadSection(Shard& shard) noexcept
        : SharedSection(shard), shard_(shard) {}

    // Null if the key has no node.
    template <class T>
    [[nodiscard]] Node* find(const HashedKey<T>& key) const {
      return shard_.find_node(key);
    }

    // One whose value has expired stays: its removal changes the shard.
    template <class T>
    [[nodiscard]] Node* find_live(const HashedKey<T>& key) const {
      return find(key);
    }

    // Whether the value may be read in this section (I3); there is one, then (I4).
    [[nodiscard]] static bool may_read(const Node& node) noexcept { return is_unpinned(node); }

    [[nodiscard]] Shard& shard() const noexcept { return shard_; }
    [[nodiscard]] static constexpr bool has_order() noexcept { return Policy::enabled; }
    [[nodiscard]] bool keeps_ledger() const noexcept { return shard_.policy_.keeps_ledger(); }
    [[nodiscard]] bool is_expired(const Node& node) const noexcept {
      return shard_.policy_.is_expired(node);
    }
    // The calling thread has got hold of a key whose value has not expired.
    [[nodiscard]] static constexpr bool on_hold(Node& /*node*/, bool /*has_value*/,
                                                Mode /*mode*/) noexcept {
      return false;
    }

    // An unpinned key, whose value has not expired, is touched; or there is none to touch.
    void touch([[maybe_unused]] Node& node, [[maybe_unused]] Touch touch) const noexcept {
      if constexpr (Policy::enabled) {
        if (this->is_alone()) {
          shard_.policy_.on_touch(node, touch, true, shard_.table_.size());
        } else {
          shard_.policy_.on_touch_shared(node, touch, shard_.table_.size(), this->slot_number());
        }
      }
    }
    void touch_unpinned(Node& node, Touch how) const noexcept { touch(node, how); }
    void miss([[maybe_unused]] Touch touch) const noexcept {
      if constexpr (Policy::enabled) {
        if (this->is_alone()) {
          shard_.policy_.on_miss(touch);
        } else {
          shard_.policy_.on_miss_shared(touch, this->slot_number());
        }
      }
    }

    // How many keys are held.
    [[nodiscard]] std::size_t count_held() const noexcept {
      return to_size(std::count_if(
          shard_.table_.begin(), shard_.table_.end(),
          [](const Node* node) { return !node->state.load(std::memory_order_relaxed).free(); }));
    }

    // Begin to fetch where the table has the key's tag; once that is here, the node; and then what
    // the node's key has elsewhere.
    void prefetch_tag(std::uint64_t hash) const noexcept {
      shard_.table_.prefetch(NodePrefetch{hash});
    }
    void prefetch_node(std::uint64_t hash) const noexcept {
      (void)shard_.table_.find(NodePrefetch{hash});
    }
    void prefetch_text(std::uint64_t hash) const noexcept requires(is_string<Key>) {
      (void)shard_.table_.find(TextPrefetch{hash});
    }

   private:
    Shard& shard_;
  };

  // The time during which a thread may change the shard. What must not happen under the shard mutex
  // (I5, I6) is left behind as Deferred, and done when the section is left.
  class Section {
   public:
    LOCKMAP_ALWAYS_INLINE explicit Section(Shard& shard) noexcept : shard_(&shard) { shard.lock(); }
    // To lock a key in one mode or the other.
    LOCKMAP_ALWAYS_INLINE Section(Shard& shard, Mode mode) noexcept : shard_(&shard) {
      if (mode == Mode::exclusive) {
        shard.lock();
      } else {
        shard.lock_to_share();
      }
    }
    Section(const Section&) = delete;
    Section& operator=(const Section&) = delete;
    LOCKMAP_ALWAYS_INLINE ~Section() { leave(); }

    LOCKMAP_ALWAYS_INLINE void leave() noexcept {
      if (shard_ == nullptr) return;
      Shard& shard = *std::exchange(shard_, nullptr);
      if (!shard.has_deferred_) [[likely]] {
        shard.unlock();
      } else {
        shard.unlock_and_do_deferred();
      }
    }

    // A section on its way to a function that leaves it: unlike a section, it travels in a
    // register.
    struct InTransit {
      Shard* shard;
    };
    explicit Section(InTransit section) noexcept : shard_(section.shard) {}
    [[nodiscard]] InTransit hand_over() noexcept { return {std::exchange(shard_, nullptr)}; }

    // NOLINTNEXTLINE(google-explicit-constructor): a section is access.
    operator ExclusiveAccess() const noexcept { return {}; }

    [[nodiscard]] Shard& shard() const noexcept { return *shard_; }
    [[nodiscard]] Policy& policy() const noexcept { return shard().policy_; }
    [[nodiscard]] LoadWaiters& load_waiters() const noexcept { return shard().load_waiters_; }

    // The calling thread, which is about to lock a key of a node that was `made` for it or not.
    [[nodiscard]] Owner& owner_for_hold(bool made) noexcept {
      Owner& owner = ThisModule::record(shard().registry()).owner;
      if (--owner.holds_to_barrier == 0) [[unlikely]] {
        shard().on_holds_paid(owner, made);
      }
      return owner;
    }
    // It is to hold the key shared. `was_read`: a shared section would have done.
    void count_read(bool was_read) noexcept {
      if (shard().StructureLock::count_read(was_read)) [[unlikely]] {
        shard().deferred_.bias = Bias::ordered;
        shard().has_deferred_ = true;
      }
    }

    // -- Finding and making nodes ----------------------------------------------------------------

    // Null if the key has no node.
    template <class T>
    [[nodiscard]] Node* find(const HashedKey<T>& key) const {
      return shard().find_node(key);
    }
    template <class T>
    [[nodiscard]] Position find_position(const HashedKey<T>& key) const {
      return shard().find_position(key);
    }
    [[nodiscard]] Position absent() const noexcept { return shard().table_.end(); }

    // Whether the value may be read, and replaced, in this section (I3); there is one, then (I4).
    [[nodiscard]] static bool may_read(const Node& node) noexcept { return is_unpinned(node); }

    // Finds the key's node or makes one, from `stored_key`, that has neither value nor pin: before
    // the section is left it must get one of them (I4). One probe. Throws what the allocator,
    // KeyEqual or the key's constructor throws; then nothing has changed.
    template <class T, class K>
    [[nodiscard]] Found find_or_make(const HashedKey<T>& key, K&& stored_key) {
      return shard().find_or_make(key, std::forward<K>(stored_key));
    }

    // Gives a node that `find_or_make` has just made its first value, and evicts for it: before it
    // counts, so that no count is over the bound.
    void store_first(Node& node, Value&& value) noexcept {
      node.construct_value(shard().allocator_, std::move(value));
      node.state.store(State(State::has_value_bit), std::memory_order_relaxed);
      shrink(&node);
      shard().values_.add_locked(ValueCount::one_more);
      policy().on_store_locked();
    }

    void touch(Node& node, Touch touch, bool hit) noexcept {
      policy().on_touch(node, touch, hit, shard().table_.size());
    }

    void touch_unpinned(Node& node, Touch how) noexcept { touch(node, how, true); }
    void miss(Touch touch) noexcept { policy().on_miss(touch); }

    // As `touch`, for a node that may be set aside.
    void touch_pinned(Node& node, Touch touch, bool hit) noexcept {
      if constexpr (Policy::enabled) {
        const bool was_set_aside =
            touch != Touch::quiet && node.state.load(std::memory_order_relaxed).evict_on_release();
        if (was_set_aside && is_unsettled(node)) {
          policy().on_touch_set_aside(node, touch, hit);  // there is more to do than to evict
          return;
        }
        if (was_set_aside) policy().promote(node);
        policy().on_touch(node, touch, hit, shard().table_.size());
        if (was_set_aside) {
          policy().reschedule(node);
          shard().lock_of(node).clear_set_aside(*this);
          shrink(nullptr);  // I10: somebody else may have to be set aside
        }
      }
    }

    // -- Times and weights -----------------------------------------------------------------------

    // Whether keys have times and weights: then values are stored by holders only.
    [[nodiscard]] bool keeps_ledger() const noexcept { return policy().keeps_ledger(); }

    // From now on they have. Throws what the allocator throws; then nothing has changed.
    void keep_ledger() requires(Policy::enabled) {
      if (keeps_ledger()) return;
      policy().ledger().reserve(shard().slab_.capacity());
      policy().ledger().keep();
    }

    [[nodiscard]] bool is_expired(const Node& node) const noexcept {
      return policy().is_expired(node);
    }

    // The key's node, unless its value has expired; if nobody holds or wants that, it goes.
    template <class T>
    [[nodiscard]] Node* find_live(const HashedKey<T>& key) {
      Node* const node = find(key);
      if constexpr (Policy::enabled) {
        if (node != nullptr && keeps_ledger() && is_unpinned(*node) && is_expired(*node)) {
          shard().evict(*node, Removal::expired);
          return nullptr;
        }
      }
      return node;
    }

    // The calling thread has got hold of the key. Returns whether its value has expired: then it is
    // absent for this hold, and stays so.
    [[nodiscard]] bool on_hold([[maybe_unused]] Node& node, [[maybe_unused]] bool has_value,
                               [[maybe_unused]] Mode mode) noexcept {
      if constexpr (Policy::enabled) {
        const bool expired = has_value && is_expired(node);
        if (expired) policy().mark_expired(node);
        if (mode == Mode::exclusive) policy().on_exclusive_hold(node);
        return expired;
      }
      return false;
    }

    void set_weight(Node& node, std::size_t weight) noexcept requires(Policy::enabled) {
      policy().ledger().set_weight(policy().record(node), weight);
    }

    // The key was released: its values that have expired go, and so does one that is too heavy; now
    // or, if somebody else holds or wants it, when the last of them has released it.
    void settle(Node& node) noexcept requires(Policy::enabled) {
      if (!is_unsettled(node)) return;
      if (!is_unpinned(node) && shard().lock_of(node).set_aside(*this)) {
        policy().set_aside(node);
        return;
      }
      shard().take_displaced(node);
      if (is_expired(node)) {
        shard().evict(node, Removal::expired);
      } else if (policy().record(node).too_heavy) {
        shard().evict(node, Removal::evicted);
      }
    }

    // Removes what has expired and nobody holds or wants, up to `most` keys. How many?
    [[nodiscard]] std::size_t purge(std::size_t most) noexcept requires(Policy::enabled) {
      return shard().purge(nullptr, most);
    }

    // -- The end of a node -----------------------------------------------------------------------

    // Unlinks an unpinned node that has a value. The caller is to destroy it: by
    // `Shard::destroy_nodes` or, still in the section, by `free`.
    void unlink(Position position) noexcept {
      shard().unlink_node(position, Removal::removed);
      shard().values_.add_locked(ValueCount::one_less);
    }
    void unlink(Node& node) noexcept { unlink(shard().table_.find(&node)); }

    // Frees an unlinked node that needs no destruction.
    void free(Node& node) noexcept { shard().free_node(node); }

    // Does what the release of a key or the end of a wait has left to do. `kept` is not evicted.
    LOCKMAP_ALWAYS_INLINE void finish(Node& node, Released released, const Node* kept) noexcept {
      Deferred& deferred = shard().deferred_;
      if (!released.to_wake.empty()) {
        deferred.to_wake = released.to_wake;
        shard().has_deferred_ = true;
      }
      if (released.unused) {
        shard().unlink_node(shard().table_.find(&node), Removal::removed);
        if constexpr (std::is_trivially_destructible_v<Key>) {
          free(node);
        } else {
          deferred.unused = &node;
          shard().has_deferred_ = true;
        }
      } else if constexpr (Policy::enabled) {
        if (released.put_back) {
          policy().put_back(node);
          settle(node);
        }
      }
      if (released.put_back) shrink(kept);  // I10
    }

    // -- Keeping the bound -----------------------------------------------------------------------

    // Evicts from the least recently used key on while the shard is over its bound, but no key that
    // is held or waited for (I2), and not `kept`.
    void shrink(const Node* kept) noexcept {
      if constexpr (Policy::enabled) {
        if (policy().wants_eviction(shard().table_.size())) [[unlikely]] {
          shard().shrink_slow(kept);
        }
      }
    }

    // The least recently used node that nobody holds or waits for; null if there is none.
    [[nodiscard]] Node* oldest_unpinned() noexcept requires(Policy::enabled) {
      (void)shard().purge(nullptr, unlimited);
      return shard().oldest_unpinned(nullptr);
    }

    // -- The shard as a whole --------------------------------------------------------------------

    // Whether there is anything to walk over.
    [[nodiscard]] bool has_nodes() const noexcept { return !shard().table_.empty(); }

    // Gives back all memory that the keys do not need, whatever was reserved.
    void shrink_to_fit() noexcept {
      shard().reserved_ = 0;
      shard().compact(shard().table_.size(), shard().slab_.capacity());
    }

   private:
    // Whether the next time that nobody holds or wants the key, it has to be looked at.
    [[nodiscard]] bool is_unsettled(Node& node) const noexcept requires(Policy::enabled) {
      if (!keeps_ledger()) return false;
      const auto* const record = policy().ledger().find(node);
      return record != nullptr &&
             (record->too_heavy || record->displaced != nullptr || is_expired(node));
    }

    Shard* shard_;  // null: left
  };

  // The time during which a thread may lock keys that are there, by announcement (section.hpp). Not
  // for shards with an order: it would have to change.
  class AnnouncedSection : public PinningSection {
   public:
    explicit AnnouncedSection(Shard& shard) noexcept : PinningSection(shard), shard_(shard) {}

    struct InTransit {
      Shard* shard;
      ReaderSlot* slot;
    };
    explicit AnnouncedSection(InTransit section) noexcept
        : PinningSection(*section.shard, section.slot), shard_(*section.shard) {}
    [[nodiscard]] InTransit hand_over() noexcept { return {&shard_, PinningSection::hand_over()}; }

    [[nodiscard]] Shard& shard() const noexcept { return shard_; }

    // Null if the key has no node.
    template <class T>
    [[nodiscard]] Node* find(const HashedKey<T>& key) const {
      return shard_.find_node(key);
    }

    [[nodiscard]] static constexpr bool keeps_ledger() noexcept { return false; }
    [[nodiscard]] static constexpr bool on_hold(Node& /*node*/, bool /*has_value*/,
                                                Mode /*mode*/) noexcept {
      return false;
    }
    void touch_pinned(Node& /*node*/, Touch /*touch*/, bool /*hit*/) noexcept {}

   private:
    Shard& shard_;
  };

  // Whether a look takes no mutex, for now.
  [[nodiscard]] bool allows_announced_reads() const noexcept { return this->lets_read(); }

  using StructureLock::let_read_instead_of_pin;

  // Whether an announced section can begin, for now.
  [[nodiscard]] bool allows_announced_sections() const noexcept {
    if constexpr (Policy::enabled) return false;
    return lets_pin();
  }

  // A walk over all keys that are in the shard from its beginning to its end. While one is under
  // way, no node is moved and no chunk is freed.
  class Walk {
   public:
    explicit Walk(Shard& shard) noexcept : shard_(shard) {}
    Walk(const Walk&) = delete;
    Walk& operator=(const Walk&) = delete;
    ~Walk() {
      if (state_ != State::under_way) return;
      const Section section(shard_);
      end();
    }

    [[nodiscard]] Step step(Section& /*section*/, Node*& node) noexcept {
      if (state_ == State::not_begun) {
        if (shard_.table_.empty()) return Step::end;
        place_ = shard_.slab_.begin_walk();
        state_ = State::under_way;
        ++shard_.walks_;
      }
      const Step step = shard_.slab_.step(place_, node);
      if (step == Step::end) end();
      return step;
    }

   private:
    enum class State { not_begun, under_way, ended };

    // Needs a section.
    void end() noexcept {
      state_ = State::ended;
      --shard_.walks_;
      shard_.compact_if_sparse();
    }

    Shard& shard_;
    typename Nodes::Walk place_;
    State state_ = State::not_begun;
  };

  [[nodiscard]] KeyLock lock_of(Node& node) noexcept {
    return KeyLock(*this, waiters_, node.state);
  }

  using StructureLock::registry;

  // The calling thread, as the map knows it.
  [[nodiscard]] Owner& this_owner() const noexcept { return ThisModule::owner(registry()); }

  [[nodiscard]] const Allocator& allocator() const noexcept { return allocator_; }

  // Destroys a list of unlinked nodes with values, outside of every section.
  void destroy_nodes(Node* first) noexcept {
    destroy_contents(first);
    slab_.free_remote(first);
    give_memory_back();
  }

  // A holder has stored a value where there was none, or removed one.
  void on_value_stored() noexcept {
    values_.add(ValueCount::one_more);
    policy_.on_store();
  }
  void on_value_removed() noexcept { values_.add(ValueCount::one_less); }

  // -- Times and weights, for the exclusive holder of a key --------------------------------------

  // Throws what the weigher throws.
  [[nodiscard]] std::size_t weight_of(const Node& node, Value& value) const
      requires(Policy::enabled) {
    return policy_.weighs() ? policy_.rules().weigh(node.key, value) : 0;
  }

  // A value was stored, of this weight.
  void enter(Node& node, std::size_t weight, const std::optional<ExpiresIn>& expires) noexcept
      requires(Policy::enabled) {
    const Section section(*this);
    policy_.on_store(node, expires);
    policy_.ledger().set_weight(policy_.record(node), weight);
  }
  void expire_in(Node& node, ExpiresIn time) noexcept requires(Policy::enabled) {
    const Section section(*this);
    policy_.expire_in(node, time);
  }
  [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> expires_at(
      const Node& node) noexcept requires(Policy::enabled) {
    const ReadSection section(*this);
    return policy_.expires_at(node);
  }
  void keep_ledger() requires(Policy::enabled) {
    Section section(*this);
    section.keep_ledger();
  }
  void enter_removal(Node& node) noexcept requires(Policy::enabled) {
    const Section section(*this);
    policy_.on_value_removed(node);
  }

  // Makes way for another value where one is that has expired. Its listener is called when the key
  // has been released; but if the key cannot be copied or moving the value may throw, now. Throws
  // what the allocator and the copy throw; then nothing has changed.
  void displace_expired(Node& node) requires(Policy::enabled) {
    if (policy_.listener() != nullptr) {
      if constexpr (std::is_copy_constructible_v<Key> && stored_nothrow<Value, Allocator>) {
        Section section(*this);
        Node& displaced = make_displaced(node);
        auto& record = policy_.record(node);
        displaced.next = static_cast<Node*>(record.displaced);
        record.displaced = &displaced;
      } else {
        (*policy_.listener())(node.key, node.value, EvictionCause::expired);
      }
    }
    node.destroy_value();
    const Section section(*this);
    policy_.on_displaced();
    if (node.state.load(std::memory_order_relaxed).evict_on_release()) policy_.mark_touched(node);
    policy_.on_value_removed(node);
    values_.add_locked(ValueCount::one_less);
  }

  void reserve(std::size_t keys) {
    if (keys == 0) return;
    reserved_ = keys;
    rebuild_table(keys);
    reserve_ledger(keys);
    slab_.grow(keys);
  }

  [[nodiscard]] ValueCount::Snapshot values() const noexcept { return values_.load(); }

  // For the end of the map: destroys all nodes at once, with the shard mutex free (a value's
  // destructor may use the map). Returns false if there was none. Precondition: no key is held.
  bool destroy_all_nodes() noexcept {
    Node* first = nullptr;
    {
      const Section section(*this);
      values_.add_locked(0 - table_.size());
      // One by one, so that the table keeps its room (see `make_room`).
      for (Position position = table_.begin(); position != table_.end();) {
        Node* const node = *position;
        unlink_node(position++, Removal::removed);
        node->next = std::exchange(first, node);
      }
      has_deferred_ = false;
      sparse_.store(false, std::memory_order_relaxed);  // memory goes back with the shard
    }
    if (first != nullptr) destroy_nodes(first);
    return first != nullptr;
  }

  // A map must not be destroyed while one of its keys is held or waited for.
  void assert_unused() noexcept {
#ifndef NDEBUG
    const ExclusiveSection section(*this);  // in which no hold is deferred
    for (const Node* const node : table_) {
      LOCKMAP_ASSERT(is_unpinned(*node) && "lockmap: a map is destroyed while a key is held");
    }
#endif
  }

  // For what a policy offers to any thread.
  [[nodiscard]] const Policy& policy() const noexcept {
    return policy_;
  }
  [[nodiscard]] Policy& policy() noexcept {
    return policy_;
  }

 private:
  friend struct TestAccess;

  // Left to do when the section is left.
  struct Deferred {
    WakeList to_wake;
    Node* unused = nullptr;        // an unlinked node without a value
    Node* first_victim = nullptr;  // a list of evicted nodes, in the order of eviction
    Node* last_victim = nullptr;   // (their listener is told why by their states)
    Node* moved_from = nullptr;    // a list of nodes whose contents have moved
    Bias bias = Bias::none;        // that is to come; one, since none follows another (B5)
  };

  LOCKMAP_NOINLINE void unlock_and_do_deferred() noexcept {
    Deferred deferred = std::exchange(deferred_, {});
    has_deferred_ = false;
    if (deferred.bias == Bias::pinning) let_pin();
    if (deferred.bias == Bias::ordered) let_read();
    unlock();
    deferred.to_wake.wake_all();
    if (deferred.unused != nullptr) {
      deferred.unused->destroy_key();
      slab_.free_remote(deferred.unused);
    }
    if (deferred.moved_from != nullptr) {
      destroy_contents(deferred.moved_from);
      slab_.free_remote(deferred.moved_from);
      const ExclusiveSection section(*this);
      free_empty_chunks();
    }
    give_memory_back();
    if constexpr (Policy::enabled) {
      if (deferred.first_victim != nullptr) {
        VictimQueue::push(&end_victims, this, deferred.first_victim);
      }
    }
    // Last: a task may do anything, and destroy the map once it is the last one.
    if (!deferred.to_wake.empty()) ThisModule::record(registry()).to_resume.run();
  }

  // An owner's holds have paid for a process barrier, or it is yet to be enrolled. Keys are to be
  // pinned by announcement if owners take turns here: for one alone, the mutex costs less.
  LOCKMAP_NOINLINE void on_holds_paid(Owner& owner, bool made) noexcept {
    owner.holds_to_barrier = registry().holds_per_barrier.load(std::memory_order_relaxed);
    if (owner.id == 0) {
      (void)this_owner();  // enrolls it
      return;
    }
    const bool contested = paid_by_ != owner.id && paid_by_ != 0;
    paid_by_ = owner.id;
    const bool pays = std::exchange(contested_, contested) && contested;
    const bool eager = owner.holds_to_barrier < Registry::enough_holds;
    if ((pays || eager) && !made && !Policy::enabled) {
      deferred_.bias = Bias::pinning;
      has_deferred_ = true;
    }
  }

  static void destroy_contents(Node* first) noexcept {
    for (Node* node = first; node != nullptr; node = node->next) {
      node->destroy_value();
      node->destroy_key();
    }
  }

  // Once the nodes that made the shard sparse are free: an unlinked one keeps its chunk.
  void give_memory_back() noexcept {
    if (!sparse_.load(std::memory_order_relaxed)) return;
    const Section section(*this);
    compact_if_sparse();
  }

  // Calls the listener for a list of evicted nodes, and destroys them.
  static void end_victims(void* shard, void* victims) noexcept requires(Policy::enabled) {
    Shard& self = *static_cast<Shard*>(shard);
    auto* const first = static_cast<Node*>(victims);
    if (const auto* const listener = self.policy_.listener()) {
      for (Node* node = first; node != nullptr; node = node->next) {
        const State state = node->state.load(std::memory_order_relaxed);
        (*listener)(std::as_const(node->key), node->value,
                    state == expired_state ? EvictionCause::expired : EvictionCause::capacity);
      }
    }
    self.destroy_nodes(first);
  }

  template <class T>
  [[nodiscard]] Position find_position(const HashedKey<T>& key) {
    table_.prefetch(key);
    return table_.find(key);
  }
  template <class T>
  [[nodiscard]] Node* find_node(const HashedKey<T>& key) {
    const Position position = find_position(key);
    return position == table_.end() ? nullptr : *position;
  }

  [[nodiscard]] static bool is_unpinned(const Node& node) noexcept {
    return !node.state.load(std::memory_order_acquire).pinned();
  }

  // The key by value, so that the caller can have it in registers.
  template <class T>
  [[nodiscard]] LOCKMAP_NOINLINE Node* find_or_make_room(HashedKey<T> key) {
    if (const Position position = table_.find(key); position != table_.end()) return *position;
    make_room();
    return nullptr;
  }

  template <class T, class K>
  [[nodiscard]] Found find_or_make(const HashedKey<T>& key, K&& stored_key) {
    // From the moment that the table makes room for the node, nothing may throw. So room is made
    // here, if the key turns out to be new.
    if (!slab_.has_room()) [[unlikely]] {
      if (Node* const node = find_or_make_room(key.borrowed())) {
        return {node};
      }
    }
    table_.prefetch(key);
    Node* made = nullptr;
    const Position position = table_.lazy_emplace(key, [&](const auto& construct) {
      made = slab_.take();
      made->hash = key.hash;
      construct(made);
    });
    if (made == nullptr) return {*position, false};
    try {
      made->construct_key(allocator_, std::forward<K>(stored_key));
    } catch (...) {
      table_.erase(position);
      slab_.free(made);
      throw;
    }
    policy_.on_insert(*made);
    return {made, true};
  }

  // -- The end of a node -------------------------------------------------------------------------

  void free_node(Node& node) noexcept {
    slab_.free(&node);
    if (sparse_.load(std::memory_order_relaxed)) [[unlikely]] {
      has_deferred_ = true;
    }
  }

  // Leaves a node in neither table nor order (I1), and in no list.
  LOCKMAP_ALWAYS_INLINE void unlink_node(Position position, Removal cause) noexcept {
    Node* const node = *position;
    table_.erase(position);
    State state = unlinked_state;
    if constexpr (Policy::enabled) {
      take_displaced(*node);
      if (cause == Removal::expired) state = expired_state;
    }
    policy_.on_unlink(*node, cause);
    node->state.store(state, std::memory_order_relaxed);
    node->next = nullptr;
    if (table_.size() < compact_below_ && walks_ == 0) [[unlikely]] {
      if (removals_to_next_try_ != 0) --removals_to_next_try_;
      if (removals_to_next_try_ == 0) sparse_.store(true, std::memory_order_relaxed);
    }
  }

  // The least recently used node that nobody holds or waits for; null if there is none. Sets
  // aside those that somebody does. `kept` is passed over.
  [[nodiscard]] Node* oldest_unpinned(const Node* kept) noexcept requires(Policy::enabled) {
    Node* node = policy_.template oldest<Node>();
    while (node != nullptr) {
      Node& candidate = *node;
      node = policy_.newer(candidate);
      if (policy_.promote_marked(candidate)) {
        if (node == nullptr) node = &candidate;  // it was the youngest, and still is
      } else if (take_or_set_aside(candidate) && &candidate != kept) {
        return &candidate;
      }
    }
    return nullptr;
  }

  // A node that has expired and that nobody holds or waits for; null if there is none.
  [[nodiscard]] Node* expired_unpinned(const Node* kept) noexcept requires(Policy::enabled) {
    while (auto* const candidate = static_cast<Node*>(policy_.first_expired())) {
      if (take_or_set_aside(*candidate)) return candidate != kept ? candidate : nullptr;
    }
    return nullptr;
  }

  // True if nobody holds or waits for a key; else it is set aside.
  [[nodiscard]] bool take_or_set_aside(Node& node) noexcept requires(Policy::enabled) {
    if (is_unpinned(node) || !lock_of(node).set_aside(ExclusiveAccess())) return true;
    policy_.set_aside(node);
    return false;
  }

  std::size_t purge(const Node* kept, std::size_t most) noexcept requires(Policy::enabled) {
    std::size_t count = 0;
    while (count < most) {
      Node* const node = expired_unpinned(kept);
      if (node == nullptr) break;
      evict(*node, Removal::expired);
      ++count;
    }
    return count;
  }

  // Some of what has expired goes in any case: so each insertion pays for its own removal, and one
  // more. What is live goes only when nothing else is left.
  LOCKMAP_NOINLINE void shrink_slow(const Node* kept) noexcept requires(Policy::enabled) {
    constexpr std::size_t purged_per_insertion = 2;
    std::size_t most = policy_.max_evict();
    const std::size_t purged = purge(kept, std::min<std::size_t>(most, purged_per_insertion));
    most -= std::min<std::size_t>(most, purged);
    for (; most != 0 && policy_.is_over(table_.size()); --most) {
      Removal cause = Removal::expired;
      Node* victim = expired_unpinned(kept);
      if (victim == nullptr) {
        cause = Removal::evicted;
        victim = oldest_unpinned(kept);
      }
      if (victim == nullptr) return;
      evict(*victim, cause);
    }
  }

  void evict(Node& node, Removal cause) noexcept requires(Policy::enabled) {
    unlink_node(table_.find(&node), cause);
    values_.add_locked(ValueCount::one_less);
    if constexpr (Node::trivially_destroyed) {
      if (policy_.listener() == nullptr) {
        free_node(node);
        return;
      }
    }
    add_victim(node);
  }

  void add_victim(Node& node) noexcept requires(Policy::enabled) {
    node.next = nullptr;
    (deferred_.last_victim != nullptr ? deferred_.last_victim->next : deferred_.first_victim) =
        &node;
    deferred_.last_victim = &node;
    has_deferred_ = true;
  }

  // A node with what was a held key's value. Throws what the allocator and the key's copy throw.
  [[nodiscard]] Node& make_displaced(Node& node) requires(Policy::enabled) {
    if (!slab_.has_room()) make_room();
    Node* const displaced = slab_.take();
    try {
      displaced->construct_key(allocator_, std::as_const(node.key));
    } catch (...) {
      slab_.free(displaced);
      throw;
    }
    displaced->construct_value(allocator_, std::move(node.value));
    displaced->state.store(expired_state, std::memory_order_relaxed);
    return *displaced;
  }

  // Lets the listener hear of a key's values that were displaced, the oldest first.
  void take_displaced(Node& node) noexcept requires(Policy::enabled) {
    auto* const record = policy_.ledger().find(node);
    if (record == nullptr) [[likely]] {
      return;
    }
    Node* in_order = nullptr;
    for (auto* next = static_cast<Node*>(std::exchange(record->displaced, nullptr));
         next != nullptr;) {
      Node* const displaced = std::exchange(next, next->next);
      displaced->next = std::exchange(in_order, displaced);
    }
    while (in_order != nullptr) add_victim(*std::exchange(in_order, in_order->next));
  }

  // -- Memory ------------------------------------------------------------------------------------

  // Ensures that the next node needs no allocation. Throws what the allocator throws; then nothing
  // has changed.
  LOCKMAP_NOINLINE void make_room() {
    slab_.reclaim();
    if (slab_.has_room()) return;
    // The table first: it has room for all nodes of the slab at any time, so only the slab needs to
    // be asked.
    const std::size_t count = slab_.increment();
    if (slab_.capacity() + count > table_limit_) rebuild_table(slab_.capacity() + count);
    reserve_ledger(count);
    slab_.grow(count);
    set_compaction_limit();
  }

  // L1, for so many nodes more.
  void reserve_ledger([[maybe_unused]] std::size_t count) {
    if constexpr (Policy::enabled) {
      if (policy_.keeps_ledger()) policy_.ledger().reserve(slab_.capacity() + count);
    }
  }

  // An empty table with room for `keys` keys and more.
  void reserve(Table& table, std::size_t keys) {
    table.reserve(std::max<std::size_t>(keys + keys / 6 + 8, 24));
  }
  void adopt(Table& table) noexcept {
    table.swap(table_);
    table_limit_ = table_.capacity() < 8 ? 0 : (table_.capacity() - 8) * 3 / 4;
  }

  // A table that is not destroyed if its allocation fails: it is lost then, and owns nothing.
  union NewTable {
    explicit NewTable(const Table& old)
        : table(0, old.hash_function(), old.key_eq(), old.get_allocator()) {}
    NewTable(const NewTable&) = delete;
    NewTable& operator=(const NewTable&) = delete;
    ~NewTable() {}
    Table table;
  };

  // Gives the table room for `keys` keys and more.
  void rebuild_table(std::size_t keys) {
    NewTable fresh(table_);
    reserve(fresh.table, keys);
    // In the order of memory: hashes are in the nodes, and reading those at random would cost more
    // than the rest.
    for_each_node([&](Node& node) { fresh.table.insert(&node); });
    adopt(fresh.table);
    std::destroy_at(std::addressof(fresh.table));
  }

  template <class F>
  void for_each_node(const F& f) const {
    auto walk = slab_.begin_walk();
    Node* node = nullptr;
    for (Step step{}; (step = slab_.step(walk, node)) != Step::end;) {
      if (step == Step::node) f(*node);
    }
  }

  static constexpr bool movable =
      stored_nothrow<Key, Allocator> && stored_nothrow<Value, Allocator>;

  // Fewer nodes than this are never worth it.
  static constexpr std::size_t least_room = 4 * Nodes::first_chunk;

  void set_compaction_limit() noexcept {
    const bool has_much = slab_.capacity() > least_room && worth_moving() > reserved_;
    compact_below_ = has_much ? slab_.capacity() / 4 : 0;
  }

  void compact_if_sparse() noexcept {
    if (table_.size() >= compact_below_ || walks_ != 0) return;
    compact(std::max<std::size_t>(table_.size() + table_.size() / 2, reserved_), worth_moving());
  }

  // Moving pays if the room afterwards is less than this: a quarter less than now.
  [[nodiscard]] std::size_t worth_moving() const noexcept {
    return slab_.capacity() / 4 * 3;
  }

  // Makes room for `keys` keys of what can be moved, if the whole room is then below `limit`.
  LOCKMAP_NOINLINE void compact(std::size_t keys, std::size_t limit) noexcept {
    if (walks_ != 0) return;
    const auto staying =
        slab_.mark([](const Node& node) { return !movable || !is_unpinned(node); });
    const std::size_t grown = movable ? keys : 0;
    std::size_t removals = staying.chunks;
    if (staying.capacity + grown < limit) {
      try {
        move_together(staying.capacity, grown);
      } catch (...) {
        removals = slab_.capacity() / 8;  // later, there may be memory
      }
    }
    await_removals(removals);
  }

  // A shard that is still sparse tries again after as many removals as chunks had to stay: so many
  // are needed to empty them, and enough to pay for looking at their nodes.
  void await_removals(std::size_t removals) noexcept {
    set_compaction_limit();
    sparse_.store(false, std::memory_order_relaxed);
    removals_to_next_try_ = table_.size() < compact_below_ ? removals : 0;
  }

  // Moves all nodes that may be moved into new room for `grown` keys, and frees the chunks without
  // a mark; `kept` nodes are in the others. Throws what the allocator throws; then none moved.
  void move_together(std::size_t kept, std::size_t grown) {
    NewTable fresh(table_);
    if (kept + grown != 0) reserve(fresh.table, kept + grown);
    slab_.withhold();
    try {
      for (std::size_t rest = grown; rest != 0;) {
        const std::size_t count = std::min<std::size_t>(rest, Nodes::largest_chunk);
        reserve_ledger(count);
        slab_.grow(count);
        rest -= count;
      }
    } catch (...) {
      slab_.give_up();
      std::destroy_at(std::addressof(fresh.table));
      throw;
    }
    Node* moved = nullptr;
    for (Node* const node : table_) {
      Node* place = node;
      if constexpr (movable) {
        if (is_unpinned(*node)) {
          place = slab_.take();
          node->move_contents_to(*place);
          place->state.store(State(State::has_value_bit), std::memory_order_relaxed);
          policy_.on_relocate(*node, *place);
          node->state.store(unlinked_state, std::memory_order_relaxed);
          node->next = std::exchange(moved, node);
        }
      }
      fresh.table.insert(place);
    }
    adopt(fresh.table);
    std::destroy_at(std::addressof(fresh.table));
    if constexpr (Policy::enabled) {
      try {
        policy_.ledger().shrink(kept + grown, table_);
      } catch (...) {  // later, there may be memory
      }
    }
    if constexpr (Node::trivially_destroyed) {
      while (moved != nullptr) slab_.free(std::exchange(moved, moved->next));
    }
    if (moved != nullptr) {
      deferred_.moved_from = moved;  // to be destroyed outside (I6); then there is another sweep
      has_deferred_ = true;
    } else {
      slab_.sweep();
    }
  }

  // Frees the chunks without a node.
  void free_empty_chunks() noexcept {
    if (walks_ != 0) return;
    const auto staying = slab_.mark([](const Node& /*node*/) { return true; });
    slab_.withhold();
    slab_.sweep();
    await_removals(staying.chunks);
  }

  bool has_deferred_ = false;
  Allocator allocator_;
  Table table_;
  // How many keys the table takes without allocating. Abseil's table is lost if an allocation fails
  // while it grows. But with more than 16 slots it does not allocate on insertion while at most 25
  // of 32 are full (newer releases first set five aside): then it has room, or makes some by
  // cleaning up in place. Three quarters leave a margin.
  std::size_t table_limit_ = 0;
  std::size_t compact_below_ = 0;  // with fewer keys than this, the shard is sparse
  std::size_t removals_to_next_try_ = 0;
  std::atomic<bool> sparse_{false};  // and memory is to be given back
  Nodes slab_;
  Policy policy_;
  WaitQueues waiters_;
  LoadWaiters load_waiters_;
  Deferred deferred_;
  OwnerId paid_by_ = 0;       // whose holds here last paid for a barrier,
  bool contested_ = false;    // and whether those before were another owner's
  std::size_t reserved_ = 0;  // for so many keys, room stays
  std::size_t walks_ = 0;     // under way
  ValueCount values_;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_SHARD_HPP
