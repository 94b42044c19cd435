// Keys that are locked by announcement, without the shard mutex: when that begins and ends, and
// that nobody can tell the difference otherwise.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <system_error>
#include <tuple>

#include <lockmap/lockmap.hpp>

#include "bare_lock.hpp"
#include "maps.hpp"
#include "test_access.hpp"
#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap::test::announced {
namespace {

using detail::Bias;
using detail::PinningSection;
using detail::ReaderSlot;
using detail::Registry;
using detail::TestAccess;
using std::chrono::hours;
using std::chrono::milliseconds;

class AnnouncedSectionTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_barrier()) GTEST_SKIP() << "no process barriers here";
    map_.insert(1, "one");
    map_.insert(2, "two");
    ASSERT_TRUE(TestAccess::let_pin(map_));
  }

  bool pinning() const { return TestAccess::pinning_shards(map_) == 1; }

  LockMap<int, std::string> map_{Options{.shard_count = 1}};
};

// -- The sections ---------------------------------------------------------------------------------

TEST_F(AnnouncedSectionTest, AWriterWaitsForIt) {
  BareLock lock;
  EXPECT_FALSE(PinningSection(lock)) << "nobody lets it begin";
  TestAccess::let_pin_under(lock);
  std::optional<PinningSection> section(std::in_place, lock);
  ASSERT_TRUE(*section);
  std::atomic<bool> inside{false};
  Worker writer([&] {
    lock.lock();
    inside = true;
    lock.unlock();
  });
  await([&] { return TestAccess::bias(lock) == Bias::none; }, "the end of the bias");
  EXPECT_FALSE(inside);
  EXPECT_FALSE(result_in_another_thread([&] { return bool{PinningSection(lock)}; }));
  section.reset();
  writer.join();
  EXPECT_TRUE(inside);
}

TEST_F(AnnouncedSectionTest, AReaderWithoutALockWaitsForItToo) {
  BareLock lock;
  TestAccess::let_pin_under(lock);
  std::optional<PinningSection> section(std::in_place, lock);
  ASSERT_TRUE(*section);
  std::atomic<bool> inside{false};
  Worker reader([&] {
    ReaderSlot* const slot = lock.lock_shared();
    inside = true;
    lock.unlock_shared(slot);
  });
  await([&] { return TestAccess::bias(lock) == Bias::none; }, "the end of the bias");
  EXPECT_FALSE(inside);
  section.reset();
  reader.join();
  EXPECT_TRUE(inside);
}

TEST_F(AnnouncedSectionTest, SeveralAtATime) {
  BareLock lock;
  TestAccess::let_pin_under(lock);
  const PinningSection mine(lock);
  ASSERT_TRUE(mine);
  EXPECT_TRUE(result_in_another_thread([&] { return bool{PinningSection(lock)}; }));
}

// -- When it begins and ends ----------------------------------------------------------------------

TEST_F(AnnouncedSectionTest, BeginsWhereOwnersTakeTurnsAndHavePaid) {
  LockMap<int, int> map(Options{.shard_count = 1});
  map.insert(1, 0);
  const auto pay = [&map] {
    for (std::uint32_t i = 0; i < Registry::enough_holds; ++i) ++*map.entry(1);
  };
  for (int i = 0; i < 4; ++i) {
    pay();
    EXPECT_EQ(TestAccess::pinning_shards(map), 0U) << "for one owner alone, the mutex is faster";
  }
  Worker other([&] {
    for (int i = 0; i < 2; ++i) pay();
    EXPECT_EQ(TestAccess::pinning_shards(map), 0U) << "another one, alone";
  });
  other.join();
  for (int i = 0; i < 2; ++i) {
    pay();
    in_another_thread([&] {
      pay();
      pay();
    });
  }
  EXPECT_EQ(TestAccess::pinning_shards(map), 1U);
  map.insert(2, 0);
  EXPECT_EQ(TestAccess::pinning_shards(map), 0U);
  EXPECT_EQ(map.get(1), static_cast<int>(12 * Registry::enough_holds));
}

TEST_F(AnnouncedSectionTest, NeverInACache) {
  TestAccess::pin_eagerly(1);
  LruLockMap<int, int> cache(LruOptions{.max_size = 8, .shard_count = 1});
  cache.insert(1, 0);
  for (int i = 0; i < 100; ++i) ++*cache.entry(1);
  EXPECT_EQ(TestAccess::pinning_shards(cache), 0U);
  TestAccess::pin_eagerly(Registry::enough_holds);
}

TEST_F(AnnouncedSectionTest, OperationsOnAPresentKeyGoOn) {
  EXPECT_EQ(map_.entry(1)->size(), 3U);
  EXPECT_TRUE(map_.try_entry(1).has_value());
  EXPECT_TRUE(map_.try_entry_for(1, hours(1)).has_value());
  EXPECT_TRUE(map_.find_entry(1).has_value());
  EXPECT_TRUE(map_.shared_entry(1).has_value());
  EXPECT_TRUE(map_.try_shared_entry(1).has_value());
  EXPECT_TRUE(map_.find_shared_entry(1).has_value());
  EXPECT_EQ(map_.read(1, [](const std::string& value) { return value; }), "one");
  EXPECT_EQ(map_.get(1), "one");
  *map_.entry(1) = "ONE";
  map_.entry(2).insert("TWO");
  EXPECT_TRUE(pinning());
  EXPECT_EQ(map_.get(1), "ONE");
  EXPECT_EQ(map_.get(2), "TWO");
  EXPECT_TRUE(pinning());
}

TEST_F(AnnouncedSectionTest, WhoMakesAnAbsentKeyEndsIt) {
  EXPECT_FALSE(map_.find_entry(3).has_value());
  EXPECT_TRUE(pinning()) << "it makes none";
  EXPECT_FALSE(map_.entry(3).has_value());
  EXPECT_FALSE(pinning());
  ASSERT_TRUE(TestAccess::let_pin(map_));
  map_.entry(3).insert("three");
  EXPECT_EQ(map_.get(3), "three");
  expect_quiet(map_);
}

TEST_F(AnnouncedSectionTest, ARemovalUnderAGuardEndsIt) {
  EXPECT_EQ(map_.entry(1).remove(), "one");
  EXPECT_FALSE(pinning());
  EXPECT_EQ(map_.size(), 1U);
  expect_quiet(map_);
}

TEST_F(AnnouncedSectionTest, ALookUpWithoutALockEndsItAndWaitsForTheHolder) {
  LockMap<int, int> map(Options{.shard_count = 1});
  map.insert(1, 10);
  ASSERT_TRUE(TestAccess::let_pin(map));
  std::optional<int> seen;
  {
    std::optional entry(map.entry(1));
    ASSERT_EQ(TestAccess::pinning_shards(map), 1U);
    Worker reader([&] { seen = map.get(1); });
    await_waiters(map, 1, 1);
    EXPECT_EQ(TestAccess::pinning_shards(map), 0U);
    **entry = 11;
    entry.reset();
    reader.join();
  }
  EXPECT_EQ(seen, 11);
}

// -- Locks all the same ---------------------------------------------------------------------------

TEST_F(AnnouncedSectionTest, HoldsKeepOthersOutAsEver) {
  {
    const auto entry = map_.entry(1);
    EXPECT_TRUE(pinning());
    EXPECT_FALSE(result_in_another_thread([&] { return map_.try_entry(1).has_value(); }));
    EXPECT_FALSE(result_in_another_thread([&] { return map_.try_shared_entry(1).has_value(); }));
    EXPECT_FALSE(result_in_another_thread([&] { return map_.find_entry(7).has_value(); }));
    EXPECT_TRUE(pinning()) << "who comes too early, or for nothing, changes nothing";
    EXPECT_FALSE(result_in_another_thread(
        [&] { return map_.try_entry_for(1, milliseconds(1)).has_value(); }));
    EXPECT_TRUE(result_in_another_thread([&] { return map_.try_entry(2).has_value(); }));
  }
  ASSERT_TRUE(TestAccess::let_pin(map_));
  {
    const auto shared = map_.shared_entry(1);
    EXPECT_TRUE(result_in_another_thread([&] { return map_.try_shared_entry(1).has_value(); }));
    EXPECT_TRUE(pinning());
    EXPECT_FALSE(result_in_another_thread([&] { return map_.try_entry(1).has_value(); }));
  }
  expect_quiet(map_);
}

TEST_F(AnnouncedSectionTest, AWaiterComesToItsTurn) {
  for (const bool shared : {false, true}) {
    ASSERT_TRUE(TestAccess::let_pin(map_));
    std::optional entry(map_.entry(1));
    ASSERT_TRUE(pinning());
    std::deque<Worker> waiters;
    for (int i = 0; i < 3; ++i) {
      waiters.emplace_back([&] {
        if (shared) {
          EXPECT_EQ(*map_.shared_entry(1), "one");
        } else {
          EXPECT_EQ(*map_.entry(1), "one");
        }
      });
    }
    await_waiters(map_, 1, 3);
    ASSERT_TRUE(TestAccess::let_pin(map_));
    entry.reset();
    waiters.clear();
    expect_quiet(map_);
  }
}

TEST_F(AnnouncedSectionTest, DeadlocksAreErrors) {
  const auto expect_deadlock = [](auto lock) {
    try {
      lock();
      ADD_FAILURE() << "no error";
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code(), std::errc::resource_deadlock_would_occur);
    }
  };
  std::optional one(map_.entry(1));
  expect_deadlock([&] { std::ignore = map_.entry(1).has_value(); });
  EXPECT_TRUE(pinning()) << "it has left its section, too";
  expect_deadlock([&] { std::ignore = map_.shared_entry(1).has_value(); });
  Worker other([&] {
    const auto two = map_.entry(2);
    std::ignore = map_.entry(1).has_value();
  });
  await([] { return TestAccess::blocked_owners() == 1; }, "the other thread to wait");
  ASSERT_TRUE(TestAccess::let_pin(map_));
  expect_deadlock([&] { std::ignore = map_.entry(2).has_value(); });
  one.reset();
}

TEST_F(AnnouncedSectionTest, ReadersOfOneThreadMayReadAgain) {
  std::optional shared(map_.shared_entry(1));
  Worker writer([&] { *map_.entry(1) = "changed"; });
  await_waiters(map_, 1, 1);
  ASSERT_TRUE(TestAccess::let_pin(map_));
  EXPECT_EQ(*map_.shared_entry(1), "one") << "whoever waits";
  shared.reset();
}

}  // namespace
}  // namespace lockmap::test::announced
