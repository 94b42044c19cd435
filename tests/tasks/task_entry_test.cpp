// TaskEntry and SharedTaskEntry: holds that belong to no thread.

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "test_access.hpp"
#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap::test {
namespace task_entry_test {
namespace {

using detail::TestAccess;

template <class Family>
class TaskEntryTest : public testing::Test {
 public:
  using TestedMap = MapOf<Family, int, int>;
  using TaskEntry = typename TestedMap::TaskEntry;
  using SharedTaskEntry = typename TestedMap::SharedTaskEntry;
  void TearDown() override { TestAccess::check_invariants(map_); }
  TestedMap map_ = make_map<TestedMap>();
};

LOCKMAP_TEST_BOTH(TaskEntryTest, ADetachedHoldIsReleasedOnAnotherThread) {
  this->map_.insert(1, 10);
  std::optional<typename TestFixture::TaskEntry> task(this->map_.entry(1).detach());
  in_another_thread([&] {
    EXPECT_EQ(task->key(), 1);
    EXPECT_EQ(**task, 10);
    task->insert(11);
    EXPECT_FALSE(this->map_.try_entry(1).has_value());
    task.reset();
    EXPECT_TRUE(this->map_.try_entry(1).has_value());
  });
  EXPECT_EQ(this->map_.get(1), 11);
}

LOCKMAP_TEST_BOTH(TaskEntryTest, ItHasWhatAnEntryHas) {
  auto task = this->map_.entry(1).detach();
  EXPECT_FALSE(task.has_value());
  EXPECT_EQ(task.get(), nullptr);
  EXPECT_EQ(task.value_or(7), 7);
  EXPECT_THROW((void)task.value(), std::bad_optional_access);
  EXPECT_EQ(task.or_insert(1), 1);
  EXPECT_EQ(task.emplace(2), 2);
  EXPECT_EQ(task.or_insert_with([] { return 3; }), 2);
  EXPECT_EQ(task.swap(4), 2);
  EXPECT_EQ(task.remove(), 4);
  task.insert(5);
  auto moved = std::move(task);
  EXPECT_EQ(*moved.operator->(), 5);
  moved = this->map_.entry(2).detach();
  EXPECT_EQ(this->map_.get(1), 5) << "the assignment has released it";
  moved.unlock();
  EXPECT_TRUE(this->map_.try_entry(2).has_value());
}

LOCKMAP_TEST_BOTH(TaskEntryTest, AnAbsentKeyLeavesNoTrace) {
  this->map_.entry(1).detach().unlock();
  this->map_.shared_entry(2).detach().unlock();
  EXPECT_EQ(TestAccess::node_count(this->map_), 0U);
}

LOCKMAP_TEST_BOTH(TaskEntryTest, TheThreadDoesNotHoldItAnyMore) {
  const auto task = this->map_.entry(1).detach();
  EXPECT_EQ(detail::ThisModule::owner().held, 0U);
  const auto shared = this->map_.shared_entry(2).detach();
  EXPECT_EQ(detail::ThisModule::owner().held, 0U);
  // Not its own, so no deadlock: it would wait.
  EXPECT_FALSE(this->map_.try_entry_for(1, std::chrono::milliseconds(1)).has_value());
  EXPECT_FALSE(this->map_.try_entry_for(2, std::chrono::milliseconds(1)).has_value());
}

LOCKMAP_TEST_BOTH(TaskEntryTest, AThreadWaitsForATasksHold) {
  std::optional<typename TestFixture::TaskEntry> task(this->map_.entry(1).detach());
  Worker waiting([&] { EXPECT_EQ(*this->map_.entry(1), 5); });
  await_waiters(this->map_, 1, 1);
  task->insert(5);
  task.reset();
}

LOCKMAP_TEST_BOTH(TaskEntryTest, SharedHoldsAreReleasedOnAnotherThread) {
  this->map_.insert(1, 10);
  std::optional<typename TestFixture::SharedTaskEntry> task(this->map_.shared_entry(1).detach());
  std::optional<typename TestFixture::SharedTaskEntry> other(this->map_.shared_entry(1).detach());
  in_another_thread([&] {
    EXPECT_EQ(**task, 10);
    EXPECT_FALSE(std::move(*task).try_upgrade().has_value());
    other.reset();
    EXPECT_FALSE(this->map_.try_entry(1).has_value());
    auto upgraded = std::move(*task).try_upgrade();
    ASSERT_TRUE(upgraded.has_value());
    upgraded->insert(11);
    auto shared = std::move(*upgraded).downgrade();
    EXPECT_EQ(*shared, 11);
    EXPECT_EQ(this->map_.get(1), 11);
    EXPECT_FALSE(this->map_.try_entry(1).has_value());
    shared.unlock();
    EXPECT_TRUE(this->map_.try_entry(1).has_value());
  });
}

LOCKMAP_TEST_BOTH(TaskEntryTest, AnOwnerMayEndAfterItsHolds) {
  for (int i = 0; i < 3; ++i) {
    Owner owner;
    auto exclusive = this->map_.entry(1).detach(owner);
    auto shared = this->map_.shared_entry(2).detach(owner);
    auto upgraded = std::move(shared).try_upgrade();
    ASSERT_TRUE(upgraded.has_value());
    auto again = std::move(*upgraded).downgrade();
    in_another_thread([&] { exclusive.unlock(); });
    again.unlock();
  }
}

LOCKMAP_TEST_BOTH(TaskEntryTest, ATasksHoldsAreReleasedByManyThreads) {
  // Sanitizers see whether they may be.
  for (int round = 0; round < scaled(200); ++round) {
    Owner owner;
    std::vector<typename TestFixture::SharedTaskEntry> holds;
    for (int i = 0; i < 16; ++i) holds.push_back(this->map_.shared_entry(i % 8).detach(owner));
    run_together(4, [&](int i) {
      for (int j = 0; j < 4; ++j) holds[static_cast<std::size_t>(4 * i + j)].unlock();
    });
  }
}

LOCKMAP_TEST_BOTH(TaskEntryTest, AnUnreleasedHoldKeepsItsNode) {
  if constexpr (is_lru<typename TestFixture::TestedMap>) {
    typename TestFixture::TestedMap map(LruOptions{.max_size = 1, .shard_count = 1});
    auto task = map.entry(1).detach();
    task.insert(10);
    map.insert(2, 20);
    EXPECT_EQ(*task, 10);
    task.unlock();
    EXPECT_EQ(map.size(), 1U);
    TestAccess::check_invariants(map);
  }
}

#ifndef NDEBUG
void end_an_owner_that_holds_a_key() {
  LockMap<int, int> map;
  std::optional<Owner> owner(std::in_place);
  auto task = map.entry(1).detach(*owner);
  owner.reset();
}

TEST(TaskEntryDeathTest, AnOwnerThatHoldsAKeyMustNotEnd) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(end_an_owner_that_holds_a_key(), "an Owner is destroyed while it holds a key");
}
#endif

}  // namespace
}  // namespace task_entry_test
}  // namespace lockmap::test
