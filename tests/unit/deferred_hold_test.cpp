// Shared holds that are announced in their thread's slot instead of counted in the key's word: when
// they are, when they come to be counted, and that nobody can tell the difference otherwise.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <latch>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "bare_lock.hpp"
#include "fake_clock.hpp"
#include "maps.hpp"
#include "test_access.hpp"
#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap::test::deferred {
namespace {

using detail::Bias;
using detail::DeferredHold;
using detail::DeferredHolds;
using detail::Mode;
using detail::ReaderSlot;
using detail::State;
using detail::StateWord;
using detail::TestAccess;

class DeferredHoldTest : public testing::Test {
 protected:
  using Map = LockMap<int, std::string>;

  void SetUp() override {
    for (const int key : {1, 2, 3}) map_.insert(key, std::to_string(key));
    TestAccess::let_read(map_);
  }

  [[nodiscard]] State state(int key) const { return TestAccess::state(map_, key); }
  // So that each hold comes to be counted.
  void end_bias() { map_.insert(9, "nine"); }

  Map map_{Options{.shard_count = 1}};
};

// -- One place ------------------------------------------------------------------------------------

TEST(DeferredHoldPlaceTest, HasRoomForTwoHoldsOfAThread) {
  DeferredHolds holds;
  StateWord words[3];
  const int lock = 0;
  EXPECT_TRUE(holds.begin(words[0], &lock));
  EXPECT_TRUE(holds.begin(words[1], &lock));
  EXPECT_FALSE(holds.begin(words[2], &lock));
  EXPECT_TRUE(holds.contains(words[0]));
  EXPECT_TRUE(holds.contains(words[1]));
  EXPECT_FALSE(holds.contains(words[2]));
  EXPECT_EQ(holds.end(words[2]), DeferredHold::End::not_here);
  EXPECT_EQ(holds.end(words[0]), DeferredHold::End::released);
  EXPECT_TRUE(holds.begin(words[2], &lock));
}

TEST(DeferredHoldPlaceTest, IsCountedOnceAndOnlyUnderItsOwnLock) {
  DeferredHolds holds;
  StateWord words[2];
  const int locks[2] = {};
  ASSERT_TRUE(holds.begin(words[0], &locks[0]));
  ASSERT_TRUE(holds.begin(words[1], &locks[1]));
  for (int times = 0; times < 3; ++times) holds.count(&locks[0]);
  EXPECT_EQ(words[0].load(std::memory_order_relaxed).sharers(), 1U);
  EXPECT_EQ(words[1].load(std::memory_order_relaxed).sharers(), 0U);
  EXPECT_TRUE(holds.contains(words[0])) << "its owner still holds it";
  EXPECT_EQ(holds.end(words[0]), DeferredHold::End::counted);
  EXPECT_EQ(holds.end(words[1]), DeferredHold::End::released);
  EXPECT_TRUE(holds.empty());
}

// -- Beginning and ending -------------------------------------------------------------------------

TEST_F(DeferredHoldTest, AReadLeavesTheWordAlone) {
  EXPECT_TRUE(map_.read(1, [&](const std::string& value) {
    EXPECT_EQ(value, "1");
    EXPECT_FALSE(state(1).pinned());
    EXPECT_EQ(TestAccess::held(), 1U);
  }));
  EXPECT_EQ(TestAccess::held(), 0U);
  EXPECT_EQ(TestAccess::biased_shards(map_), 1U);
  TestAccess::check_invariants(map_);
}

TEST_F(DeferredHoldTest, EveryKindOfSharedHoldIsOne) {
  const auto entry = map_.shared_entry(1);
  EXPECT_FALSE(state(1).pinned());
  const auto tried = map_.try_shared_entry(2);
  ASSERT_TRUE(tried.has_value());
  EXPECT_FALSE(state(2).pinned());
  in_another_thread([&] {
    EXPECT_EQ(map_.get(1), "1");
    EXPECT_EQ(map_.read(2, [](const std::string& value) { return value.size(); }), 1U);
    EXPECT_EQ(map_.get_or_insert_with(3, [] { return std::string("made"); }), "3");
    EXPECT_EQ(map_.read(7, [](const std::string&) { return 0; }), std::nullopt);
  });
  EXPECT_EQ(TestAccess::biased_shards(map_), 1U);
}

TEST_F(DeferredHoldTest, WhoEndsTheBiasCountsIt) {
  auto first = map_.shared_entry(1);
  auto second = map_.shared_entry(2);
  in_another_thread([&] { end_bias(); });
  EXPECT_EQ(state(1).sharers(), 1U);
  EXPECT_EQ(state(2).sharers(), 1U);
  in_another_thread([&] { EXPECT_FALSE(map_.try_entry(1).has_value()); });
  first.unlock();
  EXPECT_FALSE(state(1).pinned());
  EXPECT_EQ(state(2).sharers(), 1U);
  second.unlock();
  EXPECT_TRUE(map_.try_entry(1).has_value());
  EXPECT_EQ(TestAccess::held(), 0U);
  TestAccess::check_invariants(map_);
}

TEST_F(DeferredHoldTest, MoreThanAThreadHasRoomForAreCountedAtOnceAndTheBiasStays) {
  std::vector<Map::SharedEntry> entries;
  for (const int key : {1, 2, 3, 3}) entries.push_back(map_.shared_entry(key));
  EXPECT_EQ(state(1).sharers() + state(2).sharers(), 0U);
  EXPECT_EQ(state(3).sharers(), 2U);
  EXPECT_EQ(TestAccess::biased_shards(map_), 1U);
  entries.erase(entries.begin());
  entries.push_back(map_.shared_entry(2));
  EXPECT_EQ(state(2).sharers(), 0U);
  entries.clear();
  EXPECT_EQ(state(3).sharers(), 0U);
  TestAccess::check_invariants(map_);
}

TEST_F(DeferredHoldTest, HoldsOfOneKeyAreReleasedInAnyOrder) {
  for (const bool first_one_first : {true, false}) {
    TestAccess::let_read(map_);
    auto first = std::optional(map_.shared_entry(1));
    in_another_thread([&] { end_bias(); });
    TestAccess::let_read(map_);
    auto second = std::optional(map_.shared_entry(1));
    EXPECT_EQ(state(1).sharers(), 1U);
    (first_one_first ? first : second).reset();
    in_another_thread([&] { EXPECT_FALSE(map_.try_entry(1).has_value()); });
    first.reset();
    second.reset();
    in_another_thread([&] { EXPECT_TRUE(map_.try_entry(1).has_value()); });
  }
}

TEST_F(DeferredHoldTest, AnExceptionReleasesIt) {
  EXPECT_THROW(map_.read(1, [](const std::string&) { throw 1; }), int);
  EXPECT_EQ(TestAccess::held(), 0U);
  EXPECT_TRUE(map_.try_entry(1).has_value());
}

// -- Beside others --------------------------------------------------------------------------------

TEST_F(DeferredHoldTest, AWriterWaitsForIt) {
  std::atomic<bool> stored{false};
  std::optional<Worker> writer;
  map_.read(1, [&](const std::string& value) {
    writer.emplace([&] {
      map_.entry(1)->assign("new");
      stored = true;
    });
    await([&] { return state(1).has_waiters(); }, "the writer to wait");
    EXPECT_EQ(value, "1");
    EXPECT_FALSE(stored);
  });
  writer.reset();
  EXPECT_EQ(map_.get(1), "new");
}

TEST_F(DeferredHoldTest, RemovingAndClearingWaitForIt) {
  auto entry = std::optional(map_.shared_entry(1));
  Worker remover([&] { EXPECT_EQ(map_.remove(1), "1"); });
  await([&] { return state(1).has_waiters(); }, "the remover to wait");
  EXPECT_EQ(**entry, "1");
  entry.reset();
  remover.join();
  EXPECT_FALSE(map_.contains(1));
}

TEST_F(DeferredHoldTest, ItsOwnerReadsAgainWhileAWriterWaits) {
  auto entry = std::optional(map_.shared_entry(1));
  Worker writer([&] { map_.entry(1)->assign("new"); });
  await([&] { return state(1).has_waiters(); }, "the writer to wait");
  EXPECT_EQ(map_.get(1), "1");
  EXPECT_TRUE(map_.read(1, [](const std::string& value) { EXPECT_EQ(value, "1"); }));
  in_another_thread([&] { EXPECT_FALSE(map_.try_shared_entry(1).has_value()); });
  entry.reset();
  writer.join();
  EXPECT_EQ(map_.get(1), "new");
}

TEST_F(DeferredHoldTest, NobodyDefersAHoldOfAKeyThatSomebodyHasOrWantsExclusively) {
  std::optional<Map::Entry> exclusive(map_.entry(1));
  TestAccess::let_read(map_);
  in_another_thread([&] { EXPECT_FALSE(map_.try_shared_entry(1).has_value()); });
  exclusive.reset();
  auto shared = std::optional(map_.shared_entry(1));
  Worker writer([&] { (void)map_.entry(1); });
  await([&] { return state(1).has_waiters(); }, "the writer to wait");
  TestAccess::let_read(map_);
  in_another_thread([&] { EXPECT_FALSE(map_.try_shared_entry(1).has_value()); });
  shared.reset();
}

TEST_F(DeferredHoldTest, AskingForItExclusivelyIsADeadlock) {
  const auto entry = map_.shared_entry(1);
  EXPECT_THROW((void)map_.entry(1), std::system_error);
  EXPECT_FALSE(map_.try_entry(1).has_value());
  EXPECT_EQ(*entry, "1");
  EXPECT_EQ(TestAccess::held(), 1U);
}

TEST_F(DeferredHoldTest, ADeadlockThroughItIsFound) {
  std::optional<Map::SharedEntry> mine(map_.shared_entry(1));
  std::latch held(1);
  Worker other([&] {
    const auto theirs = map_.shared_entry(2);
    held.count_down();
    (void)map_.entry(1);
  });
  held.wait();
  await([&] { return TestAccess::blocked_owners() == 1; }, "the other thread to block");
  EXPECT_THROW((void)map_.entry(2), std::system_error);
  mine.reset();
}

TEST_F(DeferredHoldTest, BecomesExclusiveIfItIsTheOnlyOne) {
  auto shared = std::optional(map_.shared_entry(1));
  {
    const Map::SharedEntry another = map_.shared_entry(1);
    EXPECT_FALSE(std::move(*shared).try_upgrade().has_value());
    EXPECT_EQ(**shared, "1");
  }
  TestAccess::let_read(map_);
  auto exclusive = std::move(*shared).try_upgrade();
  ASSERT_TRUE(exclusive.has_value());
  EXPECT_TRUE(state(1).locked());
  exclusive.reset();
  shared.reset();
  EXPECT_EQ(TestAccess::held(), 0U);
  TestAccess::check_invariants(map_);
}

TEST_F(DeferredHoldTest, MovesToAnotherOwner) {
  Owner owner;
  auto task = std::optional(map_.shared_entry(1).detach(owner));
  EXPECT_EQ(TestAccess::held(), 0U);
  in_another_thread([&] {
    EXPECT_FALSE(map_.try_entry(1).has_value());
    task.reset();
    EXPECT_TRUE(map_.try_entry(1).has_value());
  });
  TestAccess::check_invariants(map_);
}

TEST_F(DeferredHoldTest, OfAKeyWithoutAValueKeepsItsNode) {
  auto first = std::optional(map_.shared_entry(5));
  TestAccess::let_read(map_);
  std::optional<Map::SharedEntry> second;
  std::latch both(1);
  std::latch may_go(1);
  Worker other([&] {
    second.emplace(map_.shared_entry(5));
    both.count_down();
    may_go.wait();
    EXPECT_FALSE(second->has_value());
    second.reset();
  });
  both.wait();
  EXPECT_EQ(state(5).sharers(), 1U);
  first.reset();  // the last counted one: it would take the node along
  EXPECT_EQ(state(5).sharers(), 1U);
  may_go.count_down();
  other.join();
  EXPECT_EQ(TestAccess::node_count(map_), 3U);
}

// -- The bias -------------------------------------------------------------------------------------

TEST(SharedHoldsBiasTest, SharedHoldsOfPresentKeysBringTheReadersBias) {
  LockMap<int, std::string> map{Options{.shard_count = 1}};
  map.insert(1, "one");
  await(
      [&] {
        (void)map.shared_entry(1);
        return TestAccess::biased_shards(map) == 1;
      },
      "the bias");
  (void)map.entry(1);
  EXPECT_EQ(TestAccess::biased_shards(map), 0U);
  await(
      [&] {
        map.read(1, [](const std::string&) {});
        return TestAccess::biased_shards(map) == 1;
      },
      "the bias again");
}

TEST(SharedHoldsBiasTest, HoldsThatMakeNodesDoNot) {
  LockMap<int, std::string> map{Options{.shard_count = 1}};
  for (int i = 0; i < 10'000; ++i) (void)map.shared_entry(i);
  EXPECT_EQ(TestAccess::biased_shards(map), 0U);
}

TEST(SharedHoldsBiasTest, TheCacheThatPromotesEachHitDoesNotGetIt) {
  LruLockMap<int, std::string> cache(
      LruOptions{.max_size = 10, .shard_count = 1, .recency = Recency::exact});
  cache.insert(1, "one");
  for (int i = 0; i < 10'000; ++i) cache.read(1, [](const std::string&) {});
  EXPECT_EQ(TestAccess::biased_shards(cache), 0U);
}

TEST(SharedHoldsBiasTest, ThePinningBiasGivesWayToManySharedHoldsInARow) {
  if (!has_barrier()) GTEST_SKIP() << "no process barriers here";
  LockMap<int, std::string> map{Options{.shard_count = 1}};
  map.insert(1, "one");
  ASSERT_TRUE(TestAccess::let_pin(map));
  for (std::uint32_t i = 0; i < 3 * ReaderSlot::per_barrier; ++i) {
    map.read(1, [](const std::string&) {});
    if (i % 1'000 == 0) (void)map.entry(1);
  }
  EXPECT_EQ(TestAccess::pinning_shards(map), 1U) << "somebody also writes";
  for (std::uint32_t i = 0; i < 2 * ReaderSlot::per_barrier; ++i) {
    map.read(1, [](const std::string&) {});
  }
  EXPECT_EQ(TestAccess::biased_shards(map), 1U);
}

// -- Caches ---------------------------------------------------------------------------------------

TEST(DeferredHoldOfCacheTest, KeepsItsKeyFromEviction) {
  LruLockMap<int, std::string> cache(
      LruOptions{.max_size = 2, .shard_count = 1, .recency = Recency::relaxed});
  cache.insert(1, "one");
  cache.insert(2, "two");
  TestAccess::let_read(cache);
  auto entry = std::optional(cache.shared_entry(1));
  EXPECT_FALSE(TestAccess::state(cache, 1).pinned());
  in_another_thread([&] {
    for (int key = 3; key < 20; ++key) cache.insert(key, "more");
  });
  EXPECT_EQ(**entry, "one");
  entry.reset();
  EXPECT_LE(cache.size(), 2U);
  TestAccess::check_invariants(cache);
}

TEST(DeferredHoldOfCacheTest, EachLookupIsCountedOnce) {
  LruLockMap<int, std::string> cache(
      LruOptions{.max_size = 9, .shard_count = 1, .recency = Recency::relaxed});
  cache.insert(1, "one");
  const auto biased = [&cache] { TestAccess::let_read(cache); };
  biased();
  cache.read(1, [](const std::string&) {});
  cache.read(2, [](const std::string&) {});
  (void)cache.get(1);
  (void)cache.get(2);
  (void)cache.get_or_insert_with(1, [] { return std::string(); });
  (void)cache.get_or_insert_with(3, [] { return std::string(); });
  biased();
  (void)cache.shared_entry(1);
  (void)cache.shared_entry(4);
  const LruStats stats = cache.stats();
  EXPECT_EQ(stats.hits, 3U);
  EXPECT_EQ(stats.misses, 3U);
}

TEST(DeferredHoldOfCacheTest, IsNotHadOfAValueThatHasExpired) {
  LruLockMap<int, std::string> cache(LruOptions{.max_size = 9,
                                                .shard_count = 1,
                                                .time_to_live = std::chrono::seconds(1),
                                                .recency = Recency::relaxed,
                                                .now = &FakeClock::now});
  cache.insert(1, "one");
  TestAccess::let_read(cache);
  EXPECT_TRUE(cache.read(1, [](const std::string&) {}));
  FakeClock::advance(std::chrono::seconds(2));
  EXPECT_FALSE(cache.read(1, [](const std::string&) { ADD_FAILURE(); }));
  EXPECT_FALSE(cache.shared_entry(1).has_value());
}

}  // namespace
}  // namespace lockmap::test::deferred
