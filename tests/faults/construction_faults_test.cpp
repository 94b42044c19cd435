// A map that cannot be constructed leaves nothing behind.

#include <gtest/gtest.h>

#include <cstddef>
#include <utility>

#include <lockmap/lockmap.hpp>

#include "counting_allocator.hpp"
#include "fault_driver.hpp"
#include "maps.hpp"
#include "throw_on.hpp"

namespace lockmap::test {
namespace {

// Functors whose copies and moves are steps.
struct StatefulHash : Faulty {
  StatefulHash() : Faulty(0) {}
  std::size_t operator()(int key) const { return static_cast<std::size_t>(key); }
};
struct StatefulEqual : Faulty {
  StatefulEqual() : Faulty(0) {}
  bool operator()(int a, int b) const { return a == b; }
};

template <class Family>
class ConstructionFaultsTest : public testing::Test {
 protected:
  using Allocator = CountingAllocator<std::pair<const int, int>>;
  using TestedMap = MapOf<Family, int, int, StatefulHash, StatefulEqual, Allocator>;

  // Whether the nth step of the kind was met.
  static bool construct(Step kind, int nth, AllocationCount& memory) {
    const Options options{.initial_capacity = 1000, .shard_count = 4};
    const FaultInjector fault(kind, nth);
    try {
      auto map =
          make_map_with<TestedMap>(options, StatefulHash{}, StatefulEqual{}, Allocator(memory));
      EXPECT_EQ(map.shard_count(), 4U);
    } catch (const Injected&) {
      return true;
    }
    return false;
  }
};

LOCKMAP_TEST_BOTH(ConstructionFaultsTest, LeaveNothingBehind) {
  for (const Step kind : {Step::move, Step::allocate, Step::heap}) {
    SCOPED_TRACE(name_of(kind));
    const int alive = LiveObject::count();
    AllocationCount memory;
    int faults = 0;
    while (this->construct(kind, faults + 1, memory)) {
      ++faults;
      EXPECT_EQ(LiveObject::count(), alive);
      EXPECT_EQ(memory.bytes, 0U);
    }
    EXPECT_GT(faults, 3);
  }
}

}  // namespace
}  // namespace lockmap::test
