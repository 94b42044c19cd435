// Without assertions, an entry that is released on another thread than the one that acquired it
// harms nothing: not the key, nor the threads that it came from and went to, whose deadlocks are
// found as ever.

#include <gtest/gtest.h>

#include <barrier>
#include <latch>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "test_access.hpp"
#include "threads.hpp"
#include "waiting.hpp"

#ifndef NDEBUG
#error "This program is built without assertions."
#endif

namespace lockmap::test {
namespace {

using Map = LockMap<int, int>;
using Entry = Map::Entry;

constexpr int shards = 3;

bool gets_deadlock(Map& map, int key) {
  try {
    (void)map.entry(key);
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::resource_deadlock_would_occur);
    return true;
  }
  return false;
}

// Two threads that do something first, and then ask for each other's keys.
template <class First, class Second>
void expect_deadlock_is_found(Map& map, First first, Second second) {
  std::barrier both(2);
  bool found[2] = {false, false};
  const auto work = [&](int self) {
    const auto own = map.entry(self);
    both.arrive_and_wait();
    found[self] = gets_deadlock(map, 1 - self);
  };
  {
    Worker zero([&] {
      first();
      work(0);
    });
    Worker one([&] {
      second();
      work(1);
    });
  }
  EXPECT_TRUE(found[0] != found[1]);
}

class ReleasedElsewhereTest : public testing::Test {
 protected:
  // Moves `count` entries from the thread that runs give() to the one that runs take().
  void give(int count) {
    for (int i = 0; i < count; ++i) moved_.push_back(map_.entry(given + i));
    given_.count_down();
    taken_.wait();
  }
  void take() {
    given_.wait();
    for (Entry& entry : moved_) entry.insert(1);
    moved_.clear();
    taken_.count_down();
  }

  void expect_all_free(int count) {
    for (int i = 0; i < count; ++i) {
      EXPECT_TRUE(is_free(map_, given + i));
      EXPECT_EQ(map_.get(given + i), 1);
    }
    expect_quiet(map_);
  }

  static constexpr int given = 100;  // and the keys after it
  Map map_{Options{.shard_count = shards}};
  std::vector<Entry> moved_;
  std::latch given_{1};
  std::latch taken_{1};
};

TEST_F(ReleasedElsewhereTest, TheKeyIsFree) {
  Worker giver([this] { give(1); });
  take();
  giver.join();
  expect_all_free(1);
}

TEST_F(ReleasedElsewhereTest, AWaiterGetsTheKey) {
  Worker giver([this] { give(1); });
  given_.wait();
  Worker waiter([&] { EXPECT_EQ(map_.get(given), 1); });
  await_waiters(map_, given, 1);
  take();
  waiter.join();
  giver.join();
  expect_all_free(1);
}

TEST_F(ReleasedElsewhereTest, TheDeadlocksOfBothThreadsAreFound) {
  expect_deadlock_is_found(
      map_, [this] { give(1); }, [this] { take(); });
  expect_all_free(1);
}

TEST_F(ReleasedElsewhereTest, ManyEntries) {
  expect_deadlock_is_found(
      map_, [this] { give(10); }, [this] { take(); });
  expect_all_free(10);
}

// The one that took them meets a thread that has nothing to do with it; so does the one that gave.
TEST_F(ReleasedElsewhereTest, TheDeadlocksWithAThirdThreadAreFound) {
  std::optional<Worker> other;
  expect_deadlock_is_found(
      map_, [this] { take(); }, [&] { other.emplace([this] { give(1); }); });
  other.reset();
  expect_all_free(1);
}

TEST_F(ReleasedElsewhereTest, TheGiverMeetsAThirdThread) {
  std::optional<Worker> other;
  expect_deadlock_is_found(
      map_, [this] { give(1); }, [&] { other.emplace([this] { take(); }); });
  other.reset();
  expect_all_free(1);
}

// A thread that gave everything away holds nothing: others never see a deadlock with it.
TEST_F(ReleasedElsewhereTest, NoDeadlockIsMadeUp) {
  Worker giver([&] {
    give(1);
    EXPECT_EQ(map_.get(0), 7);
  });
  {
    auto own = map_.entry(0);
    own.insert(7);
    take();
    await_waiters(map_, 0, 1);
    EXPECT_FALSE(gets_deadlock(map_, given));
    EXPECT_FALSE(gets_deadlock(map_, given + 1));
  }
  giver.join();
  expect_all_free(1);
}

TEST_F(ReleasedElsewhereTest, AfterTheThreadThatAcquiredItHasEnded) {
  std::vector<Entry> orphans;
  in_another_thread([&] { orphans.push_back(map_.entry(given)); });
  orphans.front().insert(1);
  orphans.clear();
  expect_all_free(1);
  expect_deadlock_is_found(
      map_, [] {}, [] {});
}

TEST_F(ReleasedElsewhereTest, BackAndForth) {
  for (int round = 0; round < 100; ++round) {
    std::vector<Entry> entries;
    entries.push_back(map_.entry(given));
    in_another_thread([&] {
      entries.front().insert(1);
      entries.clear();
      entries.push_back(map_.entry(given));
    });
    entries.clear();
  }
  expect_deadlock_is_found(
      map_, [this] { give(1); }, [this] { take(); });
  expect_all_free(1);
}

TEST_F(ReleasedElsewhereTest, ABatch) {
  std::optional<Map::Batch> batch;
  expect_deadlock_is_found(
      map_,
      [&] {
        batch.emplace(map_.batch_lock({given}));
        given_.count_down();
        taken_.wait();
      },
      [&] {
        given_.wait();
        for (Entry& entry : *batch) entry.insert(1);
        batch.reset();
        taken_.count_down();
      });
  expect_all_free(1);
}

// Holds that are announced in their threads' slots, instead of counted with the key.
class DeferredElsewhereTest : public testing::Test {
 protected:
  void SetUp() override {
    map_.insert(given, 1);
    detail::TestAccess::let_read(map_);
  }
  std::optional<Map::SharedEntry> shared() { return map_.shared_entry(given); }
  void expect_free() {
    EXPECT_TRUE(is_free(map_, given));
    expect_quiet(map_);
  }

  static constexpr int given = 100;
  Map map_{Options{.shard_count = shards}};
};

TEST_F(DeferredElsewhereTest, AfterTheThreadThatAcquiredItHasEnded) {
  for (const bool counted : {false, true}) {
    detail::TestAccess::let_read(map_);
    std::optional<Map::SharedEntry> orphan;
    in_another_thread([&] { orphan = shared(); });
    if (counted) {
      EXPECT_FALSE(is_free(map_, given));
    }
    orphan.reset();
    expect_free();
  }
}

TEST_F(DeferredElsewhereTest, BesideAHoldOfTheThreadsOwn) {
  auto mine = shared();
  std::optional<Map::SharedEntry> theirs;
  std::latch both(1);
  std::latch may_end(1);
  Worker other([&] {
    theirs = shared();
    both.count_down();
    may_end.wait();
    mine.reset();
  });
  both.wait();
  theirs.reset();
  EXPECT_FALSE(is_free(map_, given));
  may_end.count_down();
  other.join();
  expect_free();
}

TEST_F(DeferredElsewhereTest, ASlotThatIsTakenOverStillHasIt) {
  std::vector<Map::SharedEntry> orphans;
  for (int i = 0; i < 100; ++i) {
    detail::TestAccess::let_read(map_);
    in_another_thread([&] { orphans.push_back(map_.shared_entry(given)); });
  }
  while (!orphans.empty()) {
    EXPECT_FALSE(is_free(map_, given));
    detail::TestAccess::let_read(map_);
    orphans.pop_back();
  }
  expect_free();
}

}  // namespace
}  // namespace lockmap::test
