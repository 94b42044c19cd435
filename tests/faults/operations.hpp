#pragma once

// Every public operation of both maps, of guards and of Batch, as tables for the fault driver.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <numeric>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "fault_world.hpp"
#include "maps.hpp"
#include "throw_on.hpp"

namespace lockmap::test {

// A range of elements that are moved from. (std::ranges::subrange does not compile with clang 14.)
template <class Iterator>
struct Moving {
  Iterator first;
  Iterator last;

  Iterator begin() const { return first; }
  Iterator end() const { return last; }
};
template <class Iterator>
Moving(Iterator, Iterator) -> Moving<Iterator>;

template <class World>
using Operations = std::vector<Operation<World>>;

template <class World>
auto faulty_maker(World& world) {
  return [&world] {
    FaultInjector::step(Step::callback);
    return world.make_stored();
  };
}

// -- One key, which Q is the form of: `const Key&` is copied if it is stored, `Key` moved, and what
// is no key is converted to one. ------------------------------------------------------------------

template <class World, class Q>
void append_lookups(Operations<World>& all, const std::string& form) {
  using Value = typename World::ValueType;
  using Given = std::remove_cvref_t<Q>;
  const auto add = [&](const char* name, void (*run)(World&, const Given&),
                       Leaves on_success = Leaves::old_value) {
    all.push_back({name + form,
                   [run](World& world) {
                     const Given key(world.target);
                     world.arm();
                     run(world, key);
                   },
                   on_success, Leaves::old_value, false});
  };
  add("get of ", [](World& world, const Given& key) { world.expect_old(world.map.get(key)); });
  add("contains of ", [](World& world, const Given& key) {
    EXPECT_EQ(world.map.contains(key), world.old_number().has_value());
  });
  // Its result is copied while the key is held.
  add("read of ", [](World& world, const Given& key) {
    world.expect_old(world.map.read(key, [](const Value& value) -> const Value& {
      FaultInjector::step(Step::callback);
      return value;
    }));
  });
  add("read_many of ", [](World& world, const Given& key) {
    const std::size_t count = world.map.read_many(
        std::span(&key, 1),
        [](std::size_t /*index*/, const Value& /*value*/) { FaultInjector::step(Step::callback); });
    EXPECT_EQ(count, world.old_number().has_value() ? 1U : 0U);
  });
  add("find_shared_entry of ", [](World& world, const Given& key) {
    EXPECT_EQ(world.map.find_shared_entry(key).has_value(), world.old_number().has_value());
  });
  add(
      "remove of ", [](World& world, const Given& key) { world.expect_old(world.map.remove(key)); },
      Leaves::nothing);
  if constexpr (is_lru<typename World::Map>) {
    add("peek of ", [](World& world, const Given& key) { world.expect_old(world.map.peek(key)); });
  }
}

template <class World, class Q>
void append_storing(Operations<World>& all, const std::string& form) {
  using Value = typename World::ValueType;
  using Given = std::remove_cvref_t<Q>;
  using std::chrono::hours;
  using std::chrono::steady_clock;
  const auto add = [&](const char* name, void (*run)(World&, Given&), Operation<World> traits) {
    traits.name = name + form;
    traits.run = [run](World& world) {
      Given key(world.target);
      run(world, key);
    };
    all.push_back(std::move(traits));
  };
  add("insert of ",
      [](World& world, Given& key) {
        Value value(new_number);
        world.arm();
        world.expect_old(world.map.insert(std::forward<Q>(key), std::move(value)));
      },
      {.on_success = Leaves::new_value, .locks = false, .restores = true});
  add("insert_many of ",
      [](World& world, Given& key) {
        std::vector<std::pair<Given, Value>> pairs;
        pairs.emplace_back(std::move(key), Value(new_number));
        const Moving moved{std::move_iterator(pairs.begin()), std::move_iterator(pairs.end())};
        world.arm();
        EXPECT_EQ(
            std::is_reference_v<Q> ? world.map.insert_many(pairs) : world.map.insert_many(moved),
            world.old_number().has_value() ? 0U : 1U);
      },
      {.on_success = Leaves::new_value, .locks = false, .restores = true});
  add("try_insert of ",
      [](World& world, Given& key) {
        Value value(new_number);
        world.arm();
        EXPECT_EQ(world.map.try_insert(std::forward<Q>(key), std::move(value)),
                  !world.old_number().has_value());
      },
      {.on_success = Leaves::first_value, .locks = false});
  add("entry of ",
      [](World& world, Given& key) {
        world.arm();
        const auto entry = world.map.entry(std::forward<Q>(key));
        EXPECT_EQ(entry.has_value(), world.old_number().has_value());
      },
      {});
  add("try_entry of ",
      [](World& world, Given& key) {
        world.arm();
        EXPECT_TRUE(world.map.try_entry(std::forward<Q>(key)));
      },
      {.waits = false});
  add("try_entry_for of ",
      [](World& world, Given& key) {
        world.arm();
        EXPECT_TRUE(world.map.try_entry_for(std::forward<Q>(key), hours(1)));
      },
      {});
  add("try_entry_until of ",
      [](World& world, Given& key) {
        world.arm();
        EXPECT_TRUE(
            world.map.try_entry_until(std::forward<Q>(key), steady_clock::now() + hours(1)));
      },
      {});
  add("shared_entry of ",
      [](World& world, Given& key) {
        world.arm();
        const auto entry = world.map.shared_entry(std::forward<Q>(key));
        EXPECT_EQ(entry.has_value(), world.old_number().has_value());
      },
      {});
  add("try_shared_entry of ",
      [](World& world, Given& key) {
        world.arm();
        EXPECT_TRUE(world.map.try_shared_entry(std::forward<Q>(key)));
      },
      {.waits = false});
  add("try_shared_entry_for of ",
      [](World& world, Given& key) {
        world.arm();
        EXPECT_TRUE(world.map.try_shared_entry_for(std::forward<Q>(key), hours(1)));
      },
      {});
  add("try_shared_entry_until of ",
      [](World& world, Given& key) {
        world.arm();
        EXPECT_TRUE(
            world.map.try_shared_entry_until(std::forward<Q>(key), steady_clock::now() + hours(1)));
      },
      {});
  add("get_or_insert_with of ",
      [](World& world, Given& key) {
        world.arm();
        const Value value = world.map.get_or_insert_with(std::forward<Q>(key), faulty_maker(world));
        EXPECT_EQ(value.number(), world.first_number());
      },
      {.on_success = Leaves::first_value});
}

template <class World>
Operations<World> lookups() {
  Operations<World> all;
  append_lookups<World, const typename World::KeyType&>(all, "a key");
  append_lookups<World, int>(all, "what converts to a key");
  return all;
}

template <class World>
Operations<World> storing_operations() {
  using Key = typename World::KeyType;
  Operations<World> all;
  append_storing<World, const Key&>(all, "a copied key");
  append_storing<World, Key>(all, "a moved key");
  append_storing<World, int>(all, "what converts to a key");
  return all;
}

// -- Entry ----------------------------------------------------------------------------------------

template <class World>
Operations<World> operations_of_entry() {
  using Value = typename World::ValueType;
  using Entry = typename World::Map::Entry;
  Operations<World> all;
  // The fault comes while the key is held.
  const auto add = [&](const char* name, void (*run)(World&, Entry&, Value&),
                       Operation<World> traits) {
    traits.name = std::string("Entry::") + name;
    traits.run = [run](World& world) {
      Value value(new_number);
      auto entry = world.map.entry(world.target);
      world.arm();
      try {
        run(world, entry, value);
      } catch (const Injected&) {
        EXPECT_EQ(entry.key().number(), world.target);
        EXPECT_EQ(entry.get() != nullptr, entry.has_value());
        throw;
      }
    };
    all.push_back(std::move(traits));
  };
  add("value_or",
      [](World& world, Entry& entry, Value& value) {
        EXPECT_EQ(entry.value_or(std::move(value)).number(), world.first_number());
      },
      {});
  add("insert",
      [](World& world, Entry& entry, Value& value) {
        world.expect_old(entry.insert(std::move(value)));
      },
      {.on_success = Leaves::new_value, .restores = true});
  add("swap for a value",
      [](World& world, Entry& entry, Value& value) {
        world.expect_old(entry.swap(std::move(value)));
      },
      {.on_success = Leaves::new_value, .restores = true});
  add("swap for nothing",
      [](World& world, Entry& entry, Value&) { world.expect_old(entry.swap(std::nullopt)); },
      {.on_success = Leaves::nothing});
  add("remove", [](World& world, Entry& entry, Value&) { world.expect_old(entry.remove()); },
      {.on_success = Leaves::nothing});
  add("emplace",
      [](World&, Entry& entry, Value&) {
        EXPECT_EQ(entry.emplace(new_number).number(), new_number);
      },
      {.on_success = Leaves::new_value, .on_fault = Leaves::nothing});
  add("emplace of a copy",
      [](World&, Entry& entry, Value& value) {
        EXPECT_EQ(entry.emplace(std::as_const(value)).number(), new_number);
      },
      {.on_success = Leaves::new_value, .on_fault = Leaves::nothing});
  add("or_insert",
      [](World& world, Entry& entry, Value& value) {
        EXPECT_EQ(entry.or_insert(std::move(value)).number(), world.first_number());
      },
      {.on_success = Leaves::first_value});
  // The maker's result has still to be moved, maybe: nothing is stored before that.
  add("or_insert_with",
      [](World& world, Entry& entry, Value& value) {
        EXPECT_EQ(entry
                      .or_insert_with([&value] {
                        FaultInjector::step(Step::callback);
                        return std::move(value);
                      })
                      .number(),
                  world.first_number());
      },
      {.on_success = Leaves::first_value});
  return all;
}

// -- SharedEntry ----------------------------------------------------------------------------------

template <class World>
Operations<World> operations_of_shared_entry() {
  using Value = typename World::ValueType;
  using Entry = typename World::Map::SharedEntry;
  Operations<World> all;
  // The fault comes while the key is held.
  const auto add = [&](const char* name, void (*run)(World&, Entry, Value&),
                       Operation<World> traits) {
    traits.name = std::string("SharedEntry::") + name;
    traits.run = [run](World& world) {
      Value value(new_number);
      auto entry = world.map.shared_entry(world.target);
      world.arm();
      run(world, std::move(entry), value);
    };
    all.push_back(std::move(traits));
  };
  add("value_or",
      [](World& world, Entry entry, Value& value) {
        EXPECT_EQ(entry.value_or(std::move(value)).number(), world.first_number());
      },
      {});
  add("key, to get it again",
      [](World& world, Entry entry, Value&) { world.expect_old(world.map.get(entry.key())); }, {});
  add("try_upgrade, to insert",
      [](World& world, Entry entry, Value& value) {
        world.expect_old(std::move(entry).try_upgrade().value().insert(std::move(value)));
      },
      {.on_success = Leaves::new_value, .restores = true});
  add("try_upgrade and downgrade",
      [](World& world, Entry entry, Value& value) {
        entry = std::move(entry).try_upgrade().value().downgrade();
        EXPECT_EQ(entry.value_or(std::move(value)).number(), world.first_number());
      },
      {});
  return all;
}

// -- Batch ----------------------------------------------------------------------------------------

// Numbers that make a key each, in a range whose every step may throw.
class FaultyRange {
 public:
  class Iterator {
   public:
    using value_type = int;
    using difference_type = std::ptrdiff_t;

    Iterator() = default;
    explicit Iterator(std::vector<int>::const_iterator at) : at_(at) {}

    int operator*() const {
      FaultInjector::step(Step::callback);
      return *at_;
    }
    Iterator& operator++() {
      FaultInjector::step(Step::callback);
      ++at_;
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const Iterator& a, const Iterator& b) {
      FaultInjector::step(Step::callback);
      return a.at_ == b.at_;
    }

   private:
    std::vector<int>::const_iterator at_;
  };

  explicit FaultyRange(std::vector<int> numbers) : numbers_(std::move(numbers)) {}

  Iterator begin() const { return Iterator(numbers_.begin()); }
  Iterator end() const { return Iterator(numbers_.end()); }

 private:
  std::vector<int> numbers_;
};

// The keys of a batch: keys that are in the map and keys that are not, one of them twice.
template <class World>
std::vector<int> numbers_of_batch(const World& world) {
  return {world.target, 5, 900, world.target, 1, 804};
}

template <class World>
Operations<World> operations_of_batch() {
  using Key = typename World::KeyType;
  using Map = typename World::Map;
  using Batch = typename Map::Batch;
  using Less = FaultyLess<Key>;
  Operations<World> all;
  const auto add_range = [&](const std::string& name, auto make_range) {
    all.push_back({"batch_lock of " + name, [make_range](World& world) {
                     const auto range = make_range(numbers_of_batch(world));
                     world.arm();
                     EXPECT_EQ(world.map.batch_lock(range, Less{}).size(), 5U);
                   }});
    all.push_back({"try_batch_lock of " + name, [make_range](World& world) {
                     const auto range = make_range(numbers_of_batch(world));
                     world.arm();
                     EXPECT_TRUE(world.map.try_batch_lock(range, Less{}));
                   }});
    all.push_back({"shared_batch_lock of " + name, [make_range](World& world) {
                     const auto range = make_range(numbers_of_batch(world));
                     world.arm();
                     EXPECT_EQ(world.map.shared_batch_lock(range, Less{}).size(), 5U);
                   }});
    all.push_back({"try_shared_batch_lock of " + name, [make_range](World& world) {
                     const auto range = make_range(numbers_of_batch(world));
                     world.arm();
                     EXPECT_TRUE(world.map.try_shared_batch_lock(range, Less{}));
                   }});
  };
  add_range("numbers", [](std::vector<int> numbers) { return numbers; });
  add_range("keys", [](const std::vector<int>& numbers) {
    return std::vector<Key>(numbers.begin(), numbers.end());
  });
  add_range("a range", [](std::vector<int> numbers) { return FaultyRange(std::move(numbers)); });
  all.push_back({"batch_lock of a list", [](World& world) {
                   const Key key(world.target);
                   const Key other(900);
                   world.arm();
                   EXPECT_EQ(world.map.batch_lock({other, key, other}, Less{}).size(), 2U);
                 }});
  all.push_back({"try_batch_lock of a list", [](World& world) {
                   const Key key(world.target);
                   const Key other(900);
                   world.arm();
                   EXPECT_TRUE(world.map.try_batch_lock({other, key, other}, Less{}));
                 }});
  all.push_back({"get_many of numbers",
                 [](World& world) {
                   const std::vector<int> numbers = numbers_of_batch(world);
                   world.arm();
                   EXPECT_EQ(world.map.get_many(numbers).front().has_value(),
                             world.old_number().has_value());
                 },
                 Leaves::old_value, Leaves::old_value, false});
  // More than an owner can note without memory; it makes do.
  all.push_back({"shared_batch_lock of many", [](World& world) {
                   std::vector<int> numbers(8);
                   std::iota(numbers.begin(), numbers.end(), 900);
                   numbers.push_back(world.target);
                   world.arm();
                   EXPECT_EQ(world.map.shared_batch_lock(numbers, Less{}).size(), 9U);
                 }});
  // The fault comes while the keys are held.
  const auto add_member = [&](const char* name, void (*run)(Batch&, const Key&)) {
    all.push_back({std::string("Batch::") + name, [run](World& world) {
                     const Key key(world.target);
                     Batch batch = world.map.batch_lock(numbers_of_batch(world), Less{});
                     world.arm();
                     run(batch, key);
                   }});
  };
  add_member("find", [](Batch& batch, const Key& key) { EXPECT_NE(batch.find(key), nullptr); });
  add_member("contains", [](Batch& batch, const Key& key) { EXPECT_TRUE(batch.contains(key)); });
  add_member("at", [](Batch& batch, const Key& key) {
    EXPECT_EQ(batch.at(key).key().number(), key.number());
  });
  return all;
}

// -- All keys -------------------------------------------------------------------------------------

template <class World>
Operations<World> operations_on_the_whole_map() {
  using Key = typename World::KeyType;
  using Value = typename World::ValueType;
  Operations<World> all;
  const auto add = [&](const char* name, void (*run)(World&)) {
    all.push_back({name,
                   [run](World& world) {
                     world.arm();
                     run(world);
                   },
                   Leaves::old_value, Leaves::old_value, false});
  };
  add("for_each", [](World& world) {
    std::size_t visited = 0;
    world.map.for_each([&](const Key&, const Value&) {
      FaultInjector::step(Step::callback);
      ++visited;
    });
    EXPECT_EQ(visited, world.map.size());
  });
  add("retain of all", [](World& world) {
    EXPECT_EQ(world.map.retain([](const Key&, Value&) {
      FaultInjector::step(Step::callback);
      return true;
    }),
              0U);
  });
  add("retain of every other", [](World& world) {
    std::size_t removed = 0;
    EXPECT_EQ(world.map.retain([&](const Key& key, Value&) {
      FaultInjector::step(Step::callback);
      if (key.number() % 2 == 0) return true;
      world.note_removed(key.number());
      ++removed;
      return false;
    }),
              removed);
  });
  add("clear", [](World& world) {
    world.map.for_each([&](const Key& key, const Value&) { world.note_removed(key.number()); });
    world.map.clear();
  });
  if constexpr (is_lru<typename World::Map>) {
    add("pop_lru", [](World& world) {
      const bool was_empty = world.map.empty();
      const auto popped = world.map.pop_lru();
      EXPECT_EQ(popped.has_value(), !was_empty);
      if (!popped) return;
      EXPECT_EQ(popped->second.number(), popped->first.number() * 10);
      world.note_removed(popped->first.number());
    });
    all.push_back({"set_max_size", [](World& world) {
                     // Makes the target the last to go.
                     std::ignore = world.map.contains(world.target);
                     world.arm();
                     world.map.set_max_size(std::max<std::size_t>(world.map.size(), 3) - 2);
                   }});
  }
  return all;
}

}  // namespace lockmap::test
