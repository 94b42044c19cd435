// TestAccess: what only tests may see of a map.

#ifndef LOCKMAP_TESTS_SUPPORT_TEST_ACCESS_HPP
#define LOCKMAP_TESTS_SUPPORT_TEST_ACCESS_HPP

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <lockmap/lockmap.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace lockmap::detail {

struct TestAccess {
  // Throws std::logic_error if a shard contradicts an invariant of the lock protocol (key_lock.hpp)
  // or of the ledger (ledger.hpp), or its own counts. May be called while keys are held and waited
  // for, but no operation may be under way otherwise.
  template <class Map>
  static void check_invariants(const Map& map) {
    const auto& base = base_of(map);
    std::size_t index = 0;
    for (auto& shard : base.shards()) {
      typename Map::Base::Section section(shard);
      check(base, shard, index++);
    }
  }

  // How many threads want the key that another thread holds, whether they spin or sleep.
  template <class Map, class Q>
  static std::size_t waiters(const Map& map, const Q& key) {
    return with_node(map, key, [](auto& /*shard*/, const auto& node) {
      const State state = node.state.load(std::memory_order_relaxed);
      return static_cast<std::size_t>(state.pins() - (state.locked() ? 1 : state.sharers()));
    });
  }

  // How many of them are in the wait list.
  template <class Map, class Q>
  static std::size_t parked(const Map& map, const Q& key) {
    return with_node(map, key, [](auto& shard, const auto& node) {
      return count_waiters(shard.waiters_, node.state);
    });
  }

  // How many keys have a node, those without a value included.
  template <class Map>
  static std::size_t node_count(const Map& map) {
    std::size_t count = 0;
    for (auto& shard : base_of(map).shards()) {
      typename Map::Base::Section section(shard);
      count += shard.table_.size();
    }
    return count;
  }

  // How many nodes the slabs have room for.
  template <class Map>
  static std::size_t slab_capacity(const Map& map) {
    std::size_t capacity = 0;
    for (auto& shard : base_of(map).shards()) {
      typename Map::Base::Section section(shard);
      capacity += shard.slab_.capacity_;
    }
    return capacity;
  }

  // Whether readers may announce themselves instead of taking the mutex.
  static std::uint32_t sleepers(const ShardMutex& mutex) { return mutex.sleepers_.load(); }
  static Bias bias(const StructureLock& lock) { return lock.bias_.load(); }
  static bool is_biased(const StructureLock& lock) { return bias(lock) > Bias::pinning; }

  // The lock's sections, by hand.
  // From now on, this thread and those that have not held keys before let others pin keys by
  // announcement after so many holds, contested or not.
  static void pin_eagerly(std::uint32_t holds) {
    ThisModule::registry().holds_per_barrier = holds;
    ThisModule::owner().holds_to_barrier = 1;
  }
  template <class Map>
  static std::size_t pinning_shards(const Map& map) {
    std::size_t count = 0;
    for (const auto& shard : base_of(map).shards()) {
      count += bias(shard) == Bias::pinning ? 1U : 0U;
    }
    return count;
  }
  // Until somebody ends it. False if the system has no process barriers.
  template <class Map>
  static bool let_pin(const Map& map) {
    for (auto& shard : base_of(map).shards()) {
      shard.lock();
      shard.let_pin();
      shard.unlock();
    }
    return pinning_shards(map) == map.shard_count();
  }
  template <class Map>
  static constexpr bool has_shards() {
    return requires(const Map& map) {
      base_of(map).shards();
    };
  }
  // Readers have the bias until somebody ends it.
  template <class Map>
  static void let_read(const Map& map) {
    for (auto& shard : base_of(map).shards()) {
      shard.lock();
      shard.let_read();
      shard.unlock();
    }
  }
  // The key's word, as it is while holds are deferred: outside of every section, so the key must
  // be there to stay.
  template <class Map, class Q>
  static State state(const Map& map, const Q& key) {
    const auto hashed = base_of(map).keys_.hashed(key);
    return base_of(map)
        .shards_.of(hashed.hash)
        .find_node(hashed)
        ->state.load(std::memory_order_acquire);
  }
  static void let_pin_under(StructureLock& lock) {
    lock.lock();
    lock.let_pin();
    lock.unlock();
  }
  // With nobody inside.
  static void set_bias(StructureLock& lock, Bias bias) { lock.bias_.store(bias); }
  static bool announce(StructureLock& lock, ReaderSlot& slot, Bias bias) {
    return lock.announce(slot, bias);
  }
  static ReaderSlot* lock_shared(StructureLock& lock) { return lock.lock_shared(); }
  static void unlock_shared(StructureLock& lock, ReaderSlot* slot) { lock.unlock_shared(slot); }

  template <class Map>
  static std::size_t biased_shards(const Map& map) {
    std::size_t count = 0;
    for (const auto& shard : base_of(map).shards()) count += is_biased(shard) ? 1U : 0U;
    return count;
  }

  // While one lives, no shard of this module's maps gets a bias: every operation takes the mutex,
  // once writers have ended the biases that are there. One at a time.
  class WithoutBias {
   public:
    WithoutBias()
        : registry_(ThisModule::registry()), had_barrier_(registry_.has_barrier.exchange(false)) {
      registry_.readers.count_ += so_many_readers;
    }
    WithoutBias(const WithoutBias&) = delete;
    WithoutBias& operator=(const WithoutBias&) = delete;
    ~WithoutBias() {
      registry_.readers.count_ -= so_many_readers;
      registry_.has_barrier = had_barrier_;
    }

   private:
    // Nobody reads so often in a row that a bias would pay.
    static constexpr std::size_t so_many_readers = std::size_t{1} << 28U;

    Registry& registry_;
    bool had_barrier_;
  };

  static std::size_t reader_slots() { return ThisModule::registry().readers.count(); }

  // How many owners block on a key while they hold others.
  static std::size_t blocked_owners() { return ThisModule::registry().graph.count(); }

  // How many keys the calling thread holds in the maps of this module.
  static std::size_t held() { return ThisModule::owner(ThisModule::registry()).held; }

  // As if the waiter had begun to wait at another time: says whether it starves.
  static void set_waiting_since(Waiter& waiter, std::chrono::steady_clock::time_point since) {
    waiter.since_ = since;
  }

  // Throws std::logic_error if wait queues contradict themselves or have not `listed` waiters.
  static void check_queues(const WaitQueues& queues, std::size_t listed) {
    check_queues(queues, listed, [](bool condition, const char* what) {
      if (!condition) throw std::logic_error(what);
    });
  }
  static std::size_t bucket_count(const WaitQueues& queues) { return queues.bucket_count_; }

  // Calls `visit(index of the shard, key)` for a cache's keys, the least recently used first.
  template <class Map, class F>
  static void visit_order(const Map& map, F visit) {
    std::size_t index = 0;
    for (auto& shard : base_of(map).shards()) {
      typename Map::Base::Section section(shard);
      using Node = typename Map::Base::Shard::Node;
      for (const IntrusiveList* list : {&shard.policy_.set_aside_, &shard.policy_.order_}) {
        for (const auto* node = list->template front<Node>(); node != nullptr;
             node = list->template after<Node>(*node)) {
          visit(index, node->key);
        }
      }
      ++index;
    }
  }

  // The state of every shard with a key in use, for a watchdog.
  template <class Map>
  static std::string dump(const Map& map) {
    std::ostringstream out;
    std::size_t index = 0;
    for (auto& shard : base_of(map).shards()) {
      typename Map::Base::Section section(shard);
      out << "shard " << index++ << ": " << shard.table_.size() << " nodes\n";
      for (const auto* node : shard.table_) {
        const State state = node->state.load(std::memory_order_relaxed);
        if (state.pins() == 0) continue;
        out << "  hash " << std::hex << node->hash << std::dec << ": value " << state.has_value()
            << " locked " << state.locked() << " owner " << state.owner() << " pins "
            << state.pins() << " has_waiters " << state.has_waiters() << " in list "
            << count_waiters(shard.waiters_, node->state) << '\n';
      }
    }
    return out.str();
  }

 private:
  template <class Map>
  static const typename Map::Base& base_of(const Map& map) {
    return map;
  }

  template <class Map, class Q, class F>
  static std::size_t with_node(const Map& map, const Q& key, const F& f) {
    const auto& base = base_of(map);
    const auto hashed = base.keys_.hashed(key);
    auto& shard = base.shards_.of(hashed.hash);
    typename Map::Base::Section section(shard);
    const auto* node = section.find(hashed);
    return node == nullptr ? 0 : f(shard, *node);
  }

  static std::size_t count_waiters(const WaitQueues& queues, const StateWord& word) {
    std::size_t count = 0;
    const Waiter* const first = queues.first(word);
    for (const Waiter* waiter = first; waiter != nullptr;
         waiter = WaitQueues::after(*first, *waiter)) {
      ++count;
    }
    return count;
  }

  template <class Base, class Shard>
  static void check(const Base& base, const Shard& shard, std::size_t index) {
    const auto require = [index](bool condition, const char* what) {
      if (!condition) {
        throw std::logic_error("shard " + std::to_string(index) + ": " + what);
      }
    };
    std::size_t values = 0;
    std::size_t locked = 0;
    std::size_t listed = 0;
    bool eviction_is_due = false;
    for (const auto* node : shard.table_) {
      const State state = node->state.load(std::memory_order_acquire);
      require(state.in_table(), "a node in the table says that it is in none");
      require(state.pins() != 0 || state.has_value(), "I4: neither value nor pin");
      require(state.pins() != 0 || !state.locked(), "a locked node without a pin");
      require(!state.locked() || state.owner() != 0, "locked by nobody");
      require(state.pins() >= state.sharers(), "I2: a shared hold without a pin");
      require(&base.shards_.of(node->hash) == &shard, "a node in the wrong shard");
      const std::size_t waiting = count_waiters(shard.waiters_, node->state);
      require(state.has_waiters() == (waiting != 0), "I7: the waiter bit contradicts the list");
      require(state.pins() >= waiting + state.sharers() + (state.locked() ? 1 : 0),
              "I2: a waiter without a pin");
      require((state.bits() & State::waking_bit) == 0, "I9: nobody is on its way");
      require(state.pins() != 0 || !state.evict_on_release(), "I10: a request without a pin");
      eviction_is_due = eviction_is_due || state.evict_on_release();
      listed += waiting;
      locked += state.locked() ? 1U : 0U;
      values += !state.locked() && state.has_value() ? 1U : 0U;
    }
    check_queues(shard.waiters_, listed, require);
    // Whether a held key has a value only its holder knows.
    const std::size_t size = shard.values().count();
    require(values <= size && size <= values + locked, "size() is wrong");

    std::size_t in_use = 0;
    shard.for_each_node([&in_use](const auto& /*node*/) { ++in_use; });
    require(in_use == shard.table_.size(), "slab and table disagree about the nodes in use");

    if constexpr (Shard::policy_type::enabled) {
      using Node = typename Shard::Node;
      std::size_t linked = 0;
      for (const IntrusiveList* list : {&shard.policy_.set_aside_, &shard.policy_.order_}) {
        const bool set_aside = list == &shard.policy_.set_aside_;
        for (auto* node = list->template front<Node>(); node != nullptr;
             node = list->template after<Node>(*node)) {
          const ListLinks& links = *node;
          require(links.next->previous == &links && links.previous->next == &links,
                  "the order is broken");
          require(shard.table_.contains(node), "I1: a node in the order that is not in the table");
          require(node->state.load(std::memory_order_relaxed).evict_on_release() == set_aside,
                  "I10: set aside without the bit, or the bit without");
          ++linked;
        }
      }
      require(linked == shard.table_.size(), "I1: a node in the table that is not in the order");
      require(shard.table_.size() <= shard.policy_.bound_ || eviction_is_due ||
                  shard.policy_.max_evict_ != unlimited,
              "I10: over the bound, and no release will evict");
      check_ledger(shard, eviction_is_due || locked != 0, require);
    }
  }

  // `release_is_due`: somebody holds a key, and its release may have to evict.
  template <class Shard, class Require>
  static void check_ledger(const Shard& shard, bool release_is_due, const Require& require) {
    const auto& policy = shard.policy_;
    const auto& ledger = policy.ledger_;
    const auto& records = ledger.records_;
    const auto& heap = ledger.heap_;
    if (!ledger.is_kept()) {
      require(records.size() <= 1 && heap.empty(), "a ledger that is not kept, with records");
      return;
    }
    require(records.capacity() > shard.slab_.capacity_ && heap.capacity() >= shard.slab_.capacity_,
            "L1: fewer places than nodes");
    std::vector<bool> in_use(records.size(), false);
    in_use.at(0) = true;  // stands for none
    const auto use = [&](std::size_t index) {
      require(index < records.size() && !in_use[index], "a record of nobody, or of two");
      in_use[index] = true;
    };
    std::size_t total = 0;
    std::size_t in_heap = 0;
    for (const auto* node : shard.table_) {
      if (node->record == 0) continue;
      use(node->record);
      const auto& record = records[node->record];
      total += record.weight;
      const auto due = ledger.due(record, policy.rules_->time_to_idle);
      if (record.place != ledger.nowhere) {
        ++in_heap;
        require(record.place < heap.size() && heap[record.place].links == node,
                "L2: the heap's place is another key's");
        require(heap[record.place].time <= due, "L2: the heap's time is no lower bound");
      }
      const State state = node->state.load(std::memory_order_relaxed);
      require(record.refresh <= ledger.tickets_, "a refresh that nobody began");
      require(record.weight == 0 || !record.too_heavy, "L3: a weight that is not to count");
      require(state.pins() != 0 || (record.displaced == nullptr && !record.too_heavy),
              "a key that nobody holds is not settled");
      for (const auto* links = record.displaced; links != nullptr;) {
        const auto& displaced = static_cast<const typename Shard::Node&>(*links);
        require(displaced.state.load(std::memory_order_relaxed).bits() == expired_state.bits(),
                "a displaced value that has not expired");
        links = displaced.next;
      }
      // Whether a held key has a value only its holder knows.
      if (state.locked() || !state.has_value() || state.evict_on_release()) continue;
      require(due == ledger.never || record.place != ledger.nowhere,
              "L2: a key with a due time is not in the heap");
    }
    require(in_heap == heap.size(), "L2: the heap has what is no key");
    for (std::size_t i = 1; i < heap.size(); ++i) {
      require(heap[(i - 1) / 2].time <= heap[i].time, "the heap is out of order");
    }
    for (std::size_t i = ledger.free_; i != 0; i = records[i].place) {
      use(i);
      require(records[i].weight == 0, "L3: a free record with a weight");
    }
    require(std::find(in_use.begin(), in_use.end(), false) == in_use.end(), "a lost record");
    require(total == ledger.total(), "L3: the total is not the sum of the weights");
    require(total <= ledger.bound_ || release_is_due || policy.max_evict_ != unlimited,
            "over the bound of weights, and no release will evict");
  }

  template <class Require>
  static void check_queues(const WaitQueues& queues, std::size_t listed, const Require& require) {
    std::size_t all_listed = 0;
    std::size_t keys = 0;
    for (std::size_t i = 0; i < queues.bucket_count_; ++i) {
      const IntrusiveList& bucket =
          queues.buckets_ == nullptr ? queues.bucket_ : queues.buckets_[i];
      for (const Waiter* first = bucket.front<Waiter>(); first != nullptr;
           first = bucket.after<Waiter>(*first)) {
        require(&queues.bucket_of(first->word_) == &bucket, "a waiter in the wrong bucket");
        require(first->is_first_, "a first waiter that does not say so");
        ++keys;
        for (const Waiter* waiter = first; waiter != nullptr;
             waiter = WaitQueues::after(*first, *waiter)) {
          require(waiter->queued_, "a waiter in a queue that says it is in none");
          require(&waiter->word_ == &first->word_, "a waiter in the queue of another key");
          require(waiter->next->previous == waiter && waiter->previous->next == waiter,
                  "a wait queue is broken");
          ++all_listed;
        }
      }
    }
    require(listed == all_listed, "a waiter for a node that is not in the table");
    require(keys == queues.keys_, "the number of keys with waiters is wrong");
  }
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_TESTS_SUPPORT_TEST_ACCESS_HPP
