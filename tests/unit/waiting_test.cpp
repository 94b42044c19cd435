// Waiting for a held key: who gets it, in which order, and what is there when they do.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <latch>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "stress_operations.hpp"
#include "test_access.hpp"
#include "threads.hpp"

namespace lockmap::test {
namespace {

using detail::TestAccess;
using std::chrono::milliseconds;

// The design hands a key over, in order, to a waiter that has waited for longer than this.
constexpr milliseconds patience(1);

template <class Family>
class WaitingTest : public testing::Test {
 public:
  using TestedMap = MapOf<Family, int, int>;

 protected:
  void await_waiters(int key, std::size_t count) {
    await([&] { return TestAccess::waiters(map_, key) == count; }, "the threads to want the key");
  }
  void await_parked(int key, std::size_t count) {
    await([&] { return TestAccess::parked(map_, key) == count; }, "the threads to wait");
  }

  // One shard: every key shares its mutex and its wait list with every other.
  TestedMap map_ = make_map<TestedMap>(1);
};

LOCKMAP_TEST_BOTH(WaitingTest, EveryOperationWaitsForTheHolder) {
  using Map = typename TestFixture::TestedMap;
  auto& map = this->map_;
  for (const auto& operation : operations_on_a_key<Map>()) {
    for (const bool present : {false, true}) {
      SCOPED_TRACE(operation.name);
      map.clear();
      if (present) map.insert(1, 10);
      Holder<Map> holder(map, 1);
      Worker waiter([&] { operation.run(map, 1); });
      this->await_parked(1, 1);
      EXPECT_FALSE(waiter.done());
      // The wait is for one key only.
      map.insert(2, 20);
      EXPECT_EQ(map.get(2), 20);
      EXPECT_EQ(map.remove(2), 20);
      holder.release();
      waiter.join();
      EXPECT_EQ(TestAccess::waiters(map, 1), 0U);
      EXPECT_TRUE(is_free(map, 1));
      expect_quiet(map);
    }
  }
}

// Waits for a key when its thread ends.
template <class Map>
struct LastWish {
  ~LastWish() {
    if (map != nullptr) map->entry(1).or_insert(10);
  }

  Map* map = nullptr;
};

LOCKMAP_TEST_BOTH(WaitingTest, AThreadLocalObjectMayWaitWhenItsThreadEnds) {
  using Map = typename TestFixture::TestedMap;
  auto& map = this->map_;
  Holder<Map> first(map, 1);
  Holder<Map> second(map, 2);
  Worker waiter([&map] {
    // Made before the thread waits, so it ends after what that wait may have made.
    static thread_local LastWish<Map> last_wish;
    last_wish.map = &map;
    map.entry(2).or_insert(20);
  });
  this->await_parked(2, 1);
  second.release();
  this->await_parked(1, 1);
  EXPECT_TRUE(waiter.done());
  first.release();
  waiter.join();
  EXPECT_EQ(map.get(1), 10);
  EXPECT_EQ(map.get(2), 20);
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(WaitingTest, OperationsOnTheWholeMapWaitForTheHolder) {
  using Map = typename TestFixture::TestedMap;
  auto& map = this->map_;
  for (const auto& operation : operations_on_the_whole_map<Map>()) {
    SCOPED_TRACE(operation.name);
    map.insert(1, 10);
    Holder<Map> holder(map, 1);
    Worker waiter([&] { operation.run(map, 1); });
    this->await_parked(1, 1);
    EXPECT_FALSE(waiter.done());
    map.insert(2, 20);
    map.remove(2);
    holder.release();
    waiter.join();
    EXPECT_TRUE(is_free(map, 1));
    expect_quiet(map);
  }
}

LOCKMAP_TEST_BOTH(WaitingTest, WaitersSeeWhatTheHolderStored) {
  using Map = typename TestFixture::TestedMap;
  auto& map = this->map_;
  Holder<Map> holder(map, 1, [](auto& entry) { entry.insert(11); });
  std::deque<Worker> waiters;
  waiters.emplace_back([&] { EXPECT_EQ(map.get(1), 11); });
  waiters.emplace_back([&] { EXPECT_TRUE(map.contains(1)); });
  waiters.emplace_back([&] { EXPECT_FALSE(map.try_insert(1, 12)); });
  waiters.emplace_back([&] { EXPECT_EQ(map.insert(1, 11), 11); });
  waiters.emplace_back([&] { EXPECT_EQ(map.entry(1).value(), 11); });
  waiters.emplace_back([&] { EXPECT_EQ(map.batch_lock({1}).at(1).value(), 11); });
  waiters.emplace_back([&] {
    const int value = map.get_or_insert_with(1, []() -> int { throw std::logic_error("called"); });
    EXPECT_EQ(value, 11);
  });
  this->await_waiters(1, waiters.size());
  holder.release();
}

LOCKMAP_TEST_BOTH(WaitingTest, WaitersSeeThatTheHolderRemoved) {
  using Map = typename TestFixture::TestedMap;
  auto& map = this->map_;
  map.insert(1, 10);
  {
    Holder<Map> holder(map, 1, [](auto& entry) { EXPECT_EQ(entry.remove(), 10); });
    std::deque<Worker> waiters;
    waiters.emplace_back([&] { EXPECT_EQ(map.get(1), std::nullopt); });
    waiters.emplace_back([&] { EXPECT_FALSE(map.contains(1)); });
    waiters.emplace_back([&] { EXPECT_EQ(map.remove(1), std::nullopt); });
    waiters.emplace_back([&] { EXPECT_FALSE(map.entry(1).has_value()); });
    waiters.emplace_back([&] { EXPECT_FALSE(map.batch_lock({1}).at(1).has_value()); });
    this->await_waiters(1, waiters.size());
    holder.release();
  }
  EXPECT_TRUE(map.empty());
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(WaitingTest, AWaiterInsertsWhatTheHolderRemoved) {
  using Map = typename TestFixture::TestedMap;
  auto& map = this->map_;
  map.insert(1, 10);
  Holder<Map> holder(map, 1, [](auto& entry) { entry.remove(); });
  Worker waiter([&] { EXPECT_TRUE(map.try_insert(1, 11)); });
  this->await_waiters(1, 1);
  holder.release();
  waiter.join();
  EXPECT_EQ(map.get(1), 11);
  expect_quiet(map);
}

// The waiters do not know each other's plans: each finds what the one before it left.
LOCKMAP_TEST_BOTH(WaitingTest, RemovedAndInsertedFromWaiterToWaiter) {
  using Map = typename TestFixture::TestedMap;
  auto& map = this->map_;
  constexpr int pairs = 6;
  std::atomic<int> inserted = 0;
  std::atomic<int> removed = 0;
  {
    Holder<Map> holder(map, 1);
    std::deque<Worker> waiters;
    for (int i = 0; i < pairs; ++i) {
      waiters.emplace_back([&] {
        if (map.try_insert(1, 1)) ++inserted;
      });
      waiters.emplace_back([&] {
        if (map.remove(1)) ++removed;
      });
    }
    this->await_waiters(1, 2 * pairs);
    holder.release();
  }
  EXPECT_GE(inserted, 1);
  EXPECT_EQ(map.size(), static_cast<std::size_t>(inserted - removed));
  EXPECT_EQ(map.contains(1), inserted == removed + 1);
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(WaitingTest, AnAbsentKeyPassedOnLeavesNoTrace) {
  using Map = typename TestFixture::TestedMap;
  auto& map = this->map_;
  std::atomic<int> granted = 0;
  {
    Holder<Map> holder(map, 1);
    std::deque<Worker> waiters;
    for (int i = 0; i < 7; ++i) {
      waiters.emplace_back([&] {
        const auto entry = map.entry(1);
        EXPECT_FALSE(entry.has_value());
        EXPECT_EQ(map.size(), 0U);
        ++granted;
      });
    }
    this->await_waiters(1, 7);
    EXPECT_EQ(TestAccess::node_count(map), 1U);
    holder.release();
  }
  EXPECT_EQ(granted, 7);
  EXPECT_EQ(TestAccess::node_count(map), 0U);
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(WaitingTest, WaitersHaveTheKeyOneAtATime) {
  using Map = typename TestFixture::TestedMap;
  auto& map = this->map_;
  int inside = 0;  // guarded by the key
  int visits = 0;  // guarded by the key
  {
    Holder<Map> holder(map, 1);
    std::deque<Worker> waiters;
    for (int i = 0; i < 7; ++i) {
      waiters.emplace_back([&] {
        for (int round = 0; round < 100; ++round) {
          const auto entry = map.entry(1);
          EXPECT_EQ(++inside, 1);
          ++visits;
          --inside;
        }
      });
    }
    this->await_waiters(1, 7);
    holder.release();
  }
  EXPECT_EQ(visits, 700);
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(WaitingTest, ThoseWhoWaitedLongGetTheKeyInTheOrderInWhichTheyCame) {
  using Map = typename TestFixture::TestedMap;
  auto& map = this->map_;
  std::vector<int> order;  // guarded by the key
  {
    Holder<Map> holder(map, 1);
    std::deque<Worker> waiters;
    for (int i = 0; i < 6; ++i) {
      waiters.emplace_back([&, i] {
        const auto entry = map.entry(1);
        order.push_back(i);
      });
      this->await_parked(1, waiters.size());
    }
    pass_time(2 * patience);
    holder.release();
  }
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5}));
}

// One thread takes the key again as soon as it has let it go; the others must come to their turn.
LOCKMAP_TEST_BOTH(WaitingTest, AThreadThatComesBackAtOnceStarvesNobody) {
  auto& map = this->map_;
  constexpr int turns = 5;
  std::atomic<int> hungry = 3;
  std::deque<Worker> waiters;
  {
    auto first = map.entry(1);
    first.insert(0);
    for (int i = 0; i < 3; ++i) {
      waiters.emplace_back([&] {
        for (int turn = 0; turn < turns; ++turn) ++map.entry(1).value();
        --hungry;
      });
    }
    this->await_waiters(1, 3);
  }
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (hungry > 0 && std::chrono::steady_clock::now() < give_up) {
    auto again = map.entry(1);
    ASSERT_TRUE(again.has_value());
  }
  EXPECT_EQ(hungry, 0);
  waiters.clear();
  EXPECT_EQ(map.get(1), 3 * turns);
}

LOCKMAP_TEST_BOTH(WaitingTest, WaitersForDifferentKeysOfOneShard) {
  using Map = typename TestFixture::TestedMap;
  auto& map = this->map_;
  constexpr int keys = 3;
  std::deque<Holder<Map>> holders;
  for (int key = 0; key < keys; ++key) holders.emplace_back(map, key);
  // In the wait list the keys alternate: 0 1 2 0 1 2.
  std::map<int, std::atomic<int>> granted;
  for (int key = 0; key < keys; ++key) granted[key] = 0;
  std::deque<Worker> waiters;
  for (std::size_t i = 1; i <= 2; ++i) {
    for (int key = 0; key < keys; ++key) {
      waiters.emplace_back([&map, &count = granted.at(key), key] {
        const auto entry = map.entry(key);
        ++count;
      });
      this->await_parked(key, i);
    }
  }
  for (const int key : {1, 2, 0}) {
    EXPECT_EQ(granted.at(key), 0);
    holders[static_cast<std::size_t>(key)].release();
    await([&] { return granted.at(key) == 2; }, "both waiters of the key");
    EXPECT_EQ(TestAccess::waiters(map, key), 0U);
    for (int other = 0; other < keys; ++other) {
      EXPECT_EQ(TestAccess::parked(map, other), granted.at(other) == 0 ? 2U : 0U);
    }
  }
  waiters.clear();
  EXPECT_EQ(TestAccess::node_count(map), 0U);
}

LOCKMAP_TEST_BOTH(WaitingTest, AWaiterThatHoldsAnotherKeyGetsItsKey) {
  using Map = typename TestFixture::TestedMap;
  auto& map = this->map_;
  Holder<Map> holder(map, 1, [](auto& entry) { entry.insert(1); });
  Worker chain([&] {
    auto own = map.entry(2);
    auto wanted = map.entry(1);
    own.insert(wanted.value() + 1);
  });
  this->await_parked(1, 1);
  Worker end([&] { EXPECT_EQ(map.get(2), 2); });
  this->await_parked(2, 1);
  holder.release();
}

LOCKMAP_TEST_BOTH(WaitingTest, ABatchWaitsForEachOfItsKeys) {
  using Map = typename TestFixture::TestedMap;
  auto& map = this->map_;
  Holder<Map> low(map, 1);
  Holder<Map> high(map, 3);
  Worker waiter([&] {
    const auto batch = map.batch_lock({3, 2, 1});
    EXPECT_EQ(batch.size(), 3U);
  });
  this->await_parked(1, 1);
  EXPECT_EQ(TestAccess::waiters(map, 3), 0U) << "the keys are taken in order";
  EXPECT_TRUE(is_free(map, 2));
  low.release();
  this->await_parked(3, 1);
  EXPECT_FALSE(is_free(map, 1));
  EXPECT_FALSE(is_free(map, 2));
  high.release();
  waiter.join();
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(WaitingTest, ABatchReleasesToTheWaitersOfAllItsKeys) {
  auto& map = this->map_;
  std::deque<Worker> waiters;
  {
    const auto batch = map.batch_lock({1, 2, 3});
    for (const int key : {1, 2, 3}) {
      waiters.emplace_back([&map, key] { map.insert(key, key); });
      this->await_parked(key, 1);
    }
  }
  waiters.clear();
  EXPECT_EQ(map.size(), 3U);
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(WaitingTest, OneCallerLoadsAndTheOthersWaitForItsResult) {
  auto& map = this->map_;
  std::atomic<int> calls = 0;
  std::latch loading(1);
  std::deque<Worker> callers;
  const auto load = [&] {
    ++calls;
    loading.count_down();
    await([&] { return TestAccess::waiters(map, 1) == 6; }, "the other callers to wait");
    return 42;
  };
  callers.emplace_back([&] { EXPECT_EQ(map.get_or_insert_with(1, load), 42); });
  loading.wait();
  for (int i = 0; i < 5; ++i) {
    callers.emplace_back(
        [&] { EXPECT_EQ(map.get_or_insert_with(1, [&] { return 100 * ++calls; }), 42); });
  }
  callers.emplace_back([&] { EXPECT_EQ(map.get(1), 42); });
  callers.clear();
  EXPECT_EQ(calls, 1);
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(WaitingTest, WhenALoaderThrowsTheNextWaiterTries) {
  auto& map = this->map_;
  constexpr int failures = 3;
  constexpr int callers_count = 6;
  std::atomic<int> calls = 0;
  std::atomic<int> errors = 0;
  std::latch loading(1);
  std::deque<Worker> callers;
  const auto load = [&] {
    const int call = ++calls;
    if (call == 1) {
      loading.count_down();
      await([&] { return TestAccess::waiters(map, 1) == callers_count - 1; },
            "the other callers to wait");
    }
    if (call <= failures) throw std::runtime_error("no luck");
    return call;
  };
  const auto caller = [&] {
    try {
      EXPECT_EQ(map.get_or_insert_with(1, load), failures + 1);
    } catch (const std::runtime_error&) {
      ++errors;
    }
  };
  callers.emplace_back(caller);
  loading.wait();
  for (int i = 1; i < callers_count; ++i) callers.emplace_back(caller);
  callers.clear();
  EXPECT_EQ(errors, failures);
  EXPECT_EQ(calls, failures + 1);
  EXPECT_EQ(map.get(1), failures + 1);
  expect_quiet(map);
}

// The key's node cannot go away, or be taken for another key, while somebody wants it.
LOCKMAP_TEST_BOTH(WaitingTest, TheMapGrowsAndShrinksWhileSomebodyWaits) {
  using Map = typename TestFixture::TestedMap;
  auto& map = this->map_;
  Holder<Map> holder(map, -1, [](auto& entry) { entry.insert(5); });
  Worker waiter([&] { EXPECT_EQ(map.entry(-1).value(), 5); });
  this->await_parked(-1, 1);
  for (int key = 0; key < 1000; ++key) map.insert(key, key);
  EXPECT_EQ(TestAccess::parked(map, -1), 1U);
  for (int key = 0; key < 1000; ++key) EXPECT_EQ(map.remove(key), key);
  EXPECT_EQ(TestAccess::parked(map, -1), 1U);
  EXPECT_EQ(map.size(), 0U);
  holder.release();
  waiter.join();
  EXPECT_EQ(map.size(), 1U);
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(WaitingTest, ClearTakesAHeldKeyAfterTheThreadsThatWaitedBefore) {
  using Map = typename TestFixture::TestedMap;
  auto& map = this->map_;
  map.insert(1, 10);
  std::atomic<int> seen = 0;
  Holder<Map> holder(map, 1);
  Worker before([&] { seen = map.entry(1).value(); });
  this->await_parked(1, 1);
  Worker clearing([&] { map.clear(); });
  this->await_parked(1, 2);
  pass_time(2 * patience);
  holder.release();
  before.join();
  clearing.join();
  EXPECT_EQ(seen, 10);
  EXPECT_TRUE(map.empty());
  expect_quiet(map);
}

}  // namespace
}  // namespace lockmap::test
