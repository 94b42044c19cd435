// TestAccess: what only tests may see of a map.

#ifndef LOCKMAP_TESTS_SUPPORT_TEST_ACCESS_HPP
#define LOCKMAP_TESTS_SUPPORT_TEST_ACCESS_HPP

#include <cstddef>
#include <cstdint>
#include <limits>
#include <lockmap/lockmap.hpp>
#include <sstream>
#include <stdexcept>
#include <string>

namespace lockmap::detail {

struct TestAccess {
  // Throws std::logic_error if a shard contradicts an invariant of the lock protocol (shard.hpp) or
  // its own counts. May be called while keys are held and waited for, but no operation may be
  // under way otherwise.
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
      return static_cast<std::size_t>(state.pins() - (state.locked() ? 1 : 0));
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

  // Whether readers of the mutex may announce themselves instead of taking it.
  static bool is_biased(const ReaderBiasedMutex& mutex) { return mutex.biased_.load(); }

  template <class Map>
  static std::size_t biased_shards(const Map& map) {
    std::size_t count = 0;
    for (const auto& shard : base_of(map).shards()) count += is_biased(shard.mutex_) ? 1U : 0U;
    return count;
  }

  static std::size_t reader_slots() { return ReaderSlots::count(); }

  // Calls `visit(index of the shard, key)` for a cache's keys, the least recently used first.
  template <class Map, class F>
  static void visit_order(const Map& map, F visit) {
    std::size_t index = 0;
    for (auto& shard : base_of(map).shards()) {
      typename Map::Base::Section section(shard);
      const auto& ends = shard.order_.ends_;
      for (const auto* link = ends.newer; link != &ends; link = link->newer) {
        visit(index, static_cast<const typename Map::Base::Shard::Node*>(link)->key);
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
    const auto probe = base.keys_.hashed(key);
    auto& shard = base.shard_of(probe.hash);
    typename Map::Base::Section section(shard);
    const auto* node = shard.find(section, probe);
    return node == nullptr ? 0 : f(shard, *node);
  }

  static std::size_t count_waiters(const WaitList& waiters, const StateWord& word) {
    std::size_t count = 0;
    for (const Waiter* waiter = waiters.first_; waiter != nullptr; waiter = waiter->next_) {
      if (waiter->word_ == &word) ++count;
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
      require(state.locked() || state.owner() == 0, "an owner without the lock");
      require(&base.shard_of(node->hash) == &shard, "a node in the wrong shard");
      const std::size_t waiting = count_waiters(shard.waiters_, node->state);
      require(state.has_waiters() == (waiting != 0), "I7: the waiter bit contradicts the list");
      require(state.pins() >= waiting + (state.locked() ? 1 : 0), "I2: a waiter without a pin");
      require((state.bits() & State::waking_bit) == 0, "I9: nobody is on its way");
      require(state.pins() != 0 || !state.evict_on_release(), "I10: a request without a pin");
      eviction_is_due = eviction_is_due || state.evict_on_release();
      listed += waiting;
      locked += state.locked() ? 1U : 0U;
      values += !state.locked() && state.has_value() ? 1U : 0U;
    }
    std::size_t all_listed = 0;
    for (const Waiter* waiter = shard.waiters_.first_; waiter != nullptr; waiter = waiter->next_) {
      require(waiter->linked_, "a waiter in the list that says it is in none");
      require(
          (waiter->next_ != nullptr ? waiter->next_->previous_ : shard.waiters_.last_) == waiter,
          "the wait list is broken");
      ++all_listed;
    }
    require(listed == all_listed, "a waiter for a node that is not in the table");
    // Whether a held key has a value only its holder knows.
    require(values <= shard.size() && shard.size() <= values + locked, "size() is wrong");

    std::size_t in_use = 0;
    typename Shard::Walk walk;
    for (;;) {
      typename Shard::Node* node = nullptr;
      const auto step = shard.slab_.step(walk, node);
      if (step == Shard::Step::end) break;
      if (step == Shard::Step::node) ++in_use;
    }
    require(in_use == shard.table_.size(), "slab and table disagree about the nodes in use");

    if constexpr (requires { shard.order_.ends_; }) {
      const auto& order = shard.order_;
      std::size_t linked = 0;
      for (const auto* link = order.ends_.newer; link != &order.ends_; link = link->newer) {
        require(link->newer->older == link && link->older->newer == link, "the order is broken");
        const auto* node = static_cast<const typename Shard::Node*>(link);
        require(shard.table_.contains(const_cast<typename Shard::Node*>(node)),
                "I1: a node in the order that is not in the table");
        ++linked;
      }
      require(linked == shard.table_.size(), "I1: a node in the table that is not in the order");
      require(shard.table_.size() <= order.bound_ || eviction_is_due ||
                  order.max_evict_ != std::numeric_limits<std::size_t>::max(),
              "I10: over the bound, and no release will evict");
    }
  }
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_TESTS_SUPPORT_TEST_ACCESS_HPP
