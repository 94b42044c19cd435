// Exceptions of the user's types and functions pass through, and leave the map as it should be:
// valid, nothing locked, nothing leaked, nothing left of an insertion that failed. Every operation
// meets every fault that it can meet, in many states.

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "fault_driver.hpp"
#include "fault_world.hpp"
#include "maps.hpp"
#include "operations.hpp"
#include "throw_on.hpp"

namespace lockmap::test {
namespace {

template <class Tested>
class FaultsTest : public testing::Test {
 protected:
  using Operations = test::Operations<Tested>;

  // Returns the kinds of faults that there were.
  static std::set<Step> expect_no_harm(const Operations& operations) {
    std::set<Step> kinds;
    const std::vector<Start> all_starts = starts<Tested>();
    for (const Operation<Tested>& operation : operations) {
      for (const Start& start : all_starts) {
        for (const Step kind : all_steps) {
          const int faults = for_every_fault(start, operation, kind, Repeat::once);
          if (faults == 0) continue;
          kinds.insert(kind);
          if (start.keys == 10) for_every_fault(start, operation, kind, Repeat::always);
        }
      }
    }
    return kinds;
  }

  static void expect_kinds(const std::set<Step>& kinds, const std::set<Step>& expected) {
    for (const Step kind : expected) EXPECT_EQ(kinds.count(kind), 1U) << name_of(kind);
  }
};

using Worlds =
    testing::Types<World<LockMaps, Faulty, Faulty>, World<LockMaps, SafelyMoved, SafelyMoved>,
                   World<LockMaps, CopyOnly, CopyOnly>, World<LockMaps, Trivial, Trivial>,
                   World<LockMaps, Faulty, Trivial>, World<LruLockMaps, Faulty, Faulty>,
                   World<LruLockMaps, SafelyMoved, SafelyMoved>,
                   World<LruLockMaps, CopyOnly, CopyOnly>, World<LruLockMaps, Trivial, Trivial>,
                   World<LruLockMaps, Faulty, Trivial>>;

TYPED_TEST_SUITE(FaultsTest, Worlds, WorldNames);

TYPED_TEST(FaultsTest, OperationsThatStore) {
  const auto kinds = this->expect_no_harm(storing_operations<TypeParam>());
  this->expect_kinds(kinds, {Step::hash, Step::equal, Step::construct, Step::allocate,
                             Step::callback, Step::heap});
}

// Removing needs no memory, so it works when there is none.
TYPED_TEST(FaultsTest, LookingUpAndRemoving) {
  const auto kinds = this->expect_no_harm(lookups<TypeParam>());
  this->expect_kinds(kinds, {Step::hash, Step::equal, Step::construct});
  EXPECT_EQ(kinds.count(Step::allocate) + kinds.count(Step::heap), 0U);
}

// Nor does storing where there is a key.
TYPED_TEST(FaultsTest, StoringOverAKeyNeedsNoMemory) {
  for (const Start& start : starts<TypeParam>()) {
    if (start.target != present) continue;
    for (const auto& operation : storing_operations<TypeParam>()) {
      EXPECT_EQ(for_every_fault(start, operation, Step::heap, Repeat::once), 0);
    }
  }
}

TYPED_TEST(FaultsTest, OperationsOfEntry) {
  const auto kinds = this->expect_no_harm(operations_of_entry<TypeParam>());
  this->expect_kinds(kinds, {Step::construct, Step::callback});
}

TYPED_TEST(FaultsTest, OperationsOfSharedEntry) {
  const auto kinds = this->expect_no_harm(operations_of_shared_entry<TypeParam>());
  this->expect_kinds(kinds, {Step::hash, Step::equal});
}

TYPED_TEST(FaultsTest, OperationsOfBatch) {
  const auto kinds = this->expect_no_harm(operations_of_batch<TypeParam>());
  this->expect_kinds(kinds, {Step::hash, Step::equal, Step::construct, Step::allocate,
                             Step::compare, Step::callback, Step::heap});
}

TYPED_TEST(FaultsTest, OperationsOnTheWholeMap) {
  const auto kinds = this->expect_no_harm(operations_on_the_whole_map<TypeParam>());
  this->expect_kinds(kinds, {Step::callback});
}

}  // namespace
}  // namespace lockmap::test
