// The keys that a thread knows that it shares, one test for each way of forgetting it: what
// shared holds are for is in shared_entry_test.cpp.

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <system_error>
#include <utility>

#include <lockmap/lockmap.hpp>

#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap::test::shared_mutants {
namespace {

using Map = LockMap<int, int>;

// Only a deadlock that is not found waits for so long.
constexpr std::chrono::seconds limit{10};

class SharedMutantsTest : public testing::Test {
 protected:
  SharedMutantsTest() { map_.insert(1, 10); }

  // Whether this thread is told that waiting for the key would be waiting for itself.
  bool holds_the_key() {
    try {
      (void)map_.try_entry_for(1, limit);
    } catch (const std::system_error& error) {
      return error.code() == std::errc::resource_deadlock_would_occur;
    }
    return false;
  }

  // Whether it gets in beside another thread's exclusive hold.
  bool gets_in_beside_another() {
    const Holder<Map> other(map_, 1);
    return map_.try_shared_entry(1).has_value();
  }

  Map map_;
};

TEST_F(SharedMutantsTest, ASharedHoldIsRecordedUntilItsRelease) {
  std::optional<Map::SharedEntry> entry = map_.shared_entry(1);
  EXPECT_TRUE(holds_the_key());
  entry.reset();
  EXPECT_FALSE(holds_the_key());
  EXPECT_FALSE(gets_in_beside_another());
}

TEST_F(SharedMutantsTest, AnUpgradedHoldIsRecordedNoMore) {
  std::optional<Map::Entry> entry = map_.shared_entry(1).try_upgrade();
  ASSERT_TRUE(entry.has_value());
  entry.reset();
  EXPECT_FALSE(gets_in_beside_another());
}

TEST_F(SharedMutantsTest, ADowngradedHoldIsRecorded) {
  std::optional<Map::SharedEntry> entry = map_.entry(1).downgrade();
  EXPECT_TRUE(holds_the_key());
  entry.reset();
  EXPECT_FALSE(gets_in_beside_another());
}

TEST_F(SharedMutantsTest, AReaderReadsAgainWhoeverWaits) {
  std::optional<Map::SharedEntry> entry = map_.shared_entry(1);
  Worker writer([&] { *map_.entry(1) = 11; });
  await_waiters(map_, 1, 1);
  EXPECT_NO_THROW(EXPECT_EQ(*map_.shared_entry(1), 10));
  EXPECT_NO_THROW(EXPECT_EQ(map_.get(1), 10));
  entry.reset();
  writer.join();
  EXPECT_EQ(map_.get(1), 11);
}

}  // namespace
}  // namespace lockmap::test::shared_mutants
