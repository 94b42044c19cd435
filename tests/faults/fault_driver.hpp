#pragma once

// Every fault that an operation can meet, one by one.

#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "fault_world.hpp"

namespace lockmap::test {

inline constexpr Step all_steps[] = {Step::hash,    Step::equal,     Step::copy,
                                     Step::move,    Step::construct, Step::allocate,
                                     Step::compare, Step::callback,  Step::heap};

inline const char* name_of(Step kind) {
  static constexpr const char* names[] = {"hash",     "equal",   "copy",     "move", "construct",
                                          "allocate", "compare", "callback", "heap"};
  return names[static_cast<std::size_t>(kind)];
}

// Runs the operation on maps in the given state: in one the first step of the kind throws, in the
// next the second, and so on, until none throws any more. After each fault the map has to be as it
// should, and the operation, repeated, to succeed. Returns how many faults there were.
template <class World>
int for_every_fault(const Start& start, const Operation<World>& operation, Step kind,
                    Repeat repeat) {
  for (int nth = 1;; ++nth) {
    SCOPED_TRACE(operation.name + ", " + start.name + ": " + name_of(kind) + " " +
                 std::to_string(nth) + (repeat == Repeat::always ? " and later ones" : ""));
    const int alive = LiveObject::count();
    AllocationCount memory;
    bool faulted = false;
    {
      World world(start, memory);
      {
        std::optional<FaultInjector> fault;
        faulted = world.run(operation, [&] { fault.emplace(kind, nth, repeat); });
      }
      if (faulted) {
        world.expect_after_fault(operation, repeat);
        EXPECT_FALSE(world.run(operation, nullptr));
      }
      world.expect_after_success(operation);
    }
    EXPECT_EQ(LiveObject::count(), alive);
    EXPECT_EQ(memory.bytes, 0U);
    if (!faulted || ::testing::Test::HasFailure()) return nth - 1;
  }
}

// How many keys a map has when the next one makes it allocate: nodes, a table, or both.
template <class World>
std::vector<int> sizes_before_growth() {
  std::vector<int> sizes;
  AllocationCount memory;
  World world({"empty", 0, 0}, memory);
  for (int key = 0; key < 40; ++key) {  // so many that the slab and the table both grow
    const std::size_t before = memory.allocations;
    world.map.insert(key, typename World::ValueType(key));
    if (memory.allocations != before) sizes.push_back(key);
  }
  return sizes;
}

// The target collides with other keys.
inline constexpr int present = 3;
inline constexpr int absent = 803;

template <class World>
std::vector<Start> starts() {
  std::vector<Start> all = {
      {"key absent", 10, absent},
      {"key present", 10, present},
      {"key present, three shards", 10, present, large_bound, false, 3},
  };
  for (const int size : sizes_before_growth<World>()) {
    const std::string name = "about to grow from " + std::to_string(size);
    all.push_back({name, size, absent});
    if (size > 10) all.push_back({name + ", key present", size, present});
  }
  if constexpr (is_lru<typename World::Map>) {
    all.push_back({"at its bound, key absent", 10, absent, 10});
    all.push_back({"at its bound, key absent, listener", 10, absent, 10, true});
    all.push_back({"at its bound, key present, listener", 10, present, 10, true});
    // Eight are a full slab, too.
    all.push_back({"at its bound, about to grow, listener", 8, absent, 8, true});
  }
  return all;
}

}  // namespace lockmap::test
