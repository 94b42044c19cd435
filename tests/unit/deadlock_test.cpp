// Waits that would never end are errors: on a key of the thread's own, or in a cycle of threads.

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <deque>
#include <functional>
#include <latch>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
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
using std::chrono::hours;
using std::chrono::steady_clock;

constexpr std::string_view self_message = "calling thread itself: use the guard that it has";

std::string cycle_message(int threads) {
  return std::to_string(threads) + " owners";
}

bool is_deadlock(const std::system_error& error) {
  return error.code() == std::errc::resource_deadlock_would_occur;
}

void expect_message(const std::system_error& error, std::string_view part) {
  EXPECT_TRUE(is_deadlock(error)) << error.code();
  EXPECT_NE(std::string_view(error.what()).find(part), std::string_view::npos)
      << "'" << error.what() << "' does not say '" << part << "'";
}

// True if `action` got the deadlock error, with `part` in its message.
template <class Action>
bool gets_deadlock(Action action, std::string_view part) {
  try {
    action();
  } catch (const std::system_error& error) {
    expect_message(error, part);
    return true;
  }
  return false;
}

template <class Map>
void expect_no_waiters(const Map& map, int key) {
  EXPECT_EQ(TestAccess::waiters(map, key), 0U) << "key " << key;
  EXPECT_EQ(TestAccess::parked(map, key), 0U) << "key " << key;
}

// Whether another thread could take the key now.
template <class Map>
bool free_for_others(Map& map, int key) {
  bool result = false;
  in_another_thread([&] { result = is_free(map, key); });
  return result;
}

template <class Family>
class SelfDeadlockTest : public testing::Test {
 public:
  using TestedMap = MapOf<Family, int, int>;
};

LOCKMAP_TEST_BOTH(SelfDeadlockTest, EveryOperationOnAPresentKey) {
  using Map = typename TestFixture::TestedMap;
  for (const auto& operation : operations_on_a_key<Map>()) {
    SCOPED_TRACE(operation.name);
    auto map = make_map<Map>();
    map.insert(1, 10);
    {
      auto own = map.entry(1);
      EXPECT_TRUE(gets_deadlock([&] { operation.run(map, 1); }, self_message));
      EXPECT_EQ(own.value(), 10);
      EXPECT_FALSE(free_for_others(map, 1));
      EXPECT_EQ(map.size(), 1U);
      EXPECT_EQ(TestAccess::node_count(map), 1U);
      expect_no_waiters(map, 1);
    }
    EXPECT_TRUE(free_for_others(map, 1));
    EXPECT_EQ(map.get(1), 10);
    expect_quiet(map);
  }
}

LOCKMAP_TEST_BOTH(SelfDeadlockTest, EveryOperationOnAnAbsentKey) {
  using Map = typename TestFixture::TestedMap;
  for (const auto& operation : operations_on_a_key<Map>()) {
    SCOPED_TRACE(operation.name);
    auto map = make_map<Map>();
    {
      auto own = map.entry(1);
      EXPECT_TRUE(gets_deadlock([&] { operation.run(map, 1); }, self_message));
      EXPECT_FALSE(own.has_value());
      EXPECT_FALSE(free_for_others(map, 1));
      EXPECT_EQ(TestAccess::node_count(map), 1U);
      expect_no_waiters(map, 1);
    }
    EXPECT_TRUE(free_for_others(map, 1));
    expect_quiet(map);
    EXPECT_TRUE(map.empty());
  }
}

LOCKMAP_TEST_BOTH(SelfDeadlockTest, OperationsOnTheWholeMap) {
  using Map = typename TestFixture::TestedMap;
  for (const auto& operation : operations_on_the_whole_map<Map>()) {
    SCOPED_TRACE(operation.name);
    auto map = make_map<Map>();
    for (int key = 0; key < 10; ++key) map.insert(key, key);
    {
      auto own = map.entry(4);
      EXPECT_TRUE(gets_deadlock([&] { operation.run(map, 0); }, self_message));
      EXPECT_EQ(own.value(), 4);
      for (int key = 0; key < 10; ++key) {
        expect_no_waiters(map, key);
        EXPECT_EQ(free_for_others(map, key), key != 4) << key;
      }
    }
    EXPECT_EQ(map.get(4), 4);
    expect_quiet(map);
    operation.run(map, 0);
    expect_quiet(map);
  }
}

LOCKMAP_TEST_BOTH(SelfDeadlockTest, TheTryFormsAreEmptyInstead) {
  using Map = typename TestFixture::TestedMap;
  auto map = make_map<Map>();
  map.insert(2, 20);
  auto own = map.batch_lock({1, 2});
  for (const int key : {1, 2}) {
    EXPECT_FALSE(map.try_entry(key).has_value());
    EXPECT_FALSE(map.try_batch_lock({0, key, 3}).has_value());
    EXPECT_FALSE(map.try_entry_for(key, hours(0)).has_value());
    EXPECT_FALSE(map.try_entry_until(key, steady_clock::time_point::min()).has_value());
    expect_no_waiters(map, key);
  }
  EXPECT_EQ(TestAccess::node_count(map), 2U);
}

LOCKMAP_TEST_BOTH(SelfDeadlockTest, AKeyOfABatch) {
  using Map = typename TestFixture::TestedMap;
  auto map = make_map<Map>();
  const auto own = map.batch_lock({1, 2, 3});
  EXPECT_TRUE(gets_deadlock([&] { (void)map.get(2); }, self_message));
  EXPECT_EQ(own.size(), 3U);
  EXPECT_FALSE(free_for_others(map, 2));
}

LOCKMAP_TEST_BOTH(SelfDeadlockTest, ABatchLetsGoOfTheKeysThatItHadTaken) {
  using Map = typename TestFixture::TestedMap;
  auto map = make_map<Map>();
  const auto own = map.entry(5);
  EXPECT_TRUE(gets_deadlock([&] { (void)map.batch_lock({3, 4, 5, 6}); }, self_message));
  EXPECT_EQ(TestAccess::node_count(map), 1U);
  for (const int key : {3, 4, 6}) EXPECT_TRUE(free_for_others(map, key)) << key;
}

LOCKMAP_TEST_BOTH(SelfDeadlockTest, InsideACallbackThatHoldsTheKey) {
  using Map = typename TestFixture::TestedMap;
  auto map = make_map<Map>();
  map.insert(1, 10);
  const auto ask = [&] { (void)map.get(1); };
  EXPECT_FALSE(
      gets_deadlock([&] { map.for_each([&](const int&, const int&) { ask(); }); }, self_message))
      << "it only reads";
  EXPECT_TRUE(gets_deadlock(
      [&] { map.for_each([&](const int& key, const int&) { (void)map.entry(key); }); },
      self_message));
  EXPECT_TRUE(gets_deadlock(
      [&] {
        (void)map.retain([&](const int&, int&) {
          ask();
          return false;
        });
      },
      self_message));
  EXPECT_EQ(map.get(1), 10);

  const auto load = [&] { return *map.get(2); };
  EXPECT_TRUE(gets_deadlock([&] { (void)map.get_or_insert_with(2, load); }, self_message));
  EXPECT_TRUE(gets_deadlock([&] { (void)map.entry(2).or_insert_with(load); }, self_message));
  EXPECT_FALSE(map.contains(2));
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(SelfDeadlockTest, ManyErrorsLeaveNoPin) {
  using Map = typename TestFixture::TestedMap;
  auto map = make_map<Map>();
  {
    const auto own = map.entry(1);
    for (int i = 0; i < 1000; ++i) EXPECT_THROW((void)map.entry(1), std::system_error);
    expect_no_waiters(map, 1);
  }
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(SelfDeadlockTest, AGuardThatWasLetGoIsForgotten) {
  using Map = typename TestFixture::TestedMap;
  auto map = make_map<Map>();
  auto own = map.entry(1);
  own.unlock();
  EXPECT_EQ(map.get(1), std::nullopt);
  own = map.entry(2);
  own = map.entry(1);
  EXPECT_EQ(map.get(2), std::nullopt);
  EXPECT_TRUE(gets_deadlock([&] { (void)map.get(1); }, self_message));
}

template <class Family>
class DeadlockCycleTest : public testing::Test {
 public:
  using TestedMap = MapOf<Family, int, int>;

  // Thread i holds key i and then asks for key i + 1, the last one for key 0, with `ask`, which
  // takes the map and a key. Exactly one may get the error.
  template <class Ask>
  static void run_ring(int threads, Ask ask) {
    auto map = make_map<TestedMap>();
    std::barrier all_hold(threads);
    std::atomic<int> errors = 0;
    std::atomic<int> granted = 0;
    run_together(threads, [&](int thread) {
      const int next = (thread + 1) % threads;
      auto own = map.entry(thread);
      own.insert(thread);
      all_hold.arrive_and_wait();
      const bool failed = gets_deadlock(
          [&] {
            ask(map, next);
            ++granted;
          },
          cycle_message(threads));
      if (!failed) return;
      // The others still wait, each for the next: nothing moves until this thread lets go.
      EXPECT_EQ(++errors, 1);
      EXPECT_EQ(granted, 0);
      EXPECT_EQ(own.value(), thread);
      EXPECT_FALSE(free_for_others(map, thread));
      EXPECT_EQ(TestAccess::waiters(map, thread), 1U);
      expect_no_waiters(map, next);
    });
    EXPECT_EQ(errors, 1);
    EXPECT_EQ(granted, threads - 1);
    for (int key = 0; key < threads; ++key) expect_no_waiters(map, key);
    expect_quiet(map);
  }
};

LOCKMAP_TEST_BOTH(DeadlockCycleTest, OneThreadOfTheCycleGetsTheError) {
  for (const int threads : {2, 3, 8}) {
    SCOPED_TRACE(threads);
    for (int round = 0; round < scaled(50); ++round) {
      this->run_ring(threads, [](auto& map, int key) { (void)map.entry(key); });
    }
  }
}

LOCKMAP_TEST_BOTH(DeadlockCycleTest, EveryOperationThatWaits) {
  using Map = typename TestFixture::TestedMap;
  for (const auto& operation : operations_on_a_key<Map>()) {
    SCOPED_TRACE(operation.name);
    this->run_ring(3, operation.run);
  }
}

// The limits are so long that only the error can end the wait of the thread that gets it.
LOCKMAP_TEST_BOTH(DeadlockCycleTest, WaitsWithALimit) {
  this->run_ring(
      2, [](auto& map, int key) { EXPECT_TRUE(map.try_entry_for(key, hours(24)).has_value()); });
  this->run_ring(
      3, [](auto& map, int key) { EXPECT_TRUE(map.try_entry_for(key, hours::max()).has_value()); });
  this->run_ring(3, [](auto& map, int key) {
    EXPECT_TRUE(map.try_entry_until(key, steady_clock::time_point::max()).has_value());
  });
}

LOCKMAP_TEST_BOTH(DeadlockCycleTest, ABatchInTheCycleLetsGoOfTheKeysThatItHadTaken) {
  for (int round = 0; round < scaled(20); ++round) {
    this->run_ring(3, [](auto& map, int key) {
      const int taken_before = -1 - key;
      try {
        (void)map.batch_lock({taken_before, key, key + 1000});
      } catch (const std::system_error&) {
        EXPECT_TRUE(free_for_others(map, taken_before));
        EXPECT_TRUE(free_for_others(map, key + 1000));
        throw;
      }
    });
  }
}

LOCKMAP_TEST_BOTH(DeadlockCycleTest, TheTryFormsAreEmptyInstead) {
  using Map = typename TestFixture::TestedMap;
  auto map = make_map<Map>();
  auto own = map.entry(0);
  Holder<Map> other(map, 1, [&](auto&) { (void)map.get(0); });
  Worker release([&] { other.release(); });
  await([&] { return TestAccess::parked(map, 0) == 1; }, "the other thread to wait");
  EXPECT_FALSE(map.try_entry(1).has_value());
  EXPECT_FALSE(map.try_batch_lock({1, 2}).has_value());
  EXPECT_FALSE(map.try_entry_for(1, hours(0)).has_value());
  EXPECT_FALSE(map.try_entry_for(1, hours(-1)).has_value());
  expect_no_waiters(map, 1);
  own.unlock();
}

// A thread that waits for a member of the cycle is not part of it.
LOCKMAP_TEST_BOTH(DeadlockCycleTest, OnlookersGetNoError) {
  using Map = typename TestFixture::TestedMap;
  auto map = make_map<Map>();
  std::atomic<int> errors = 0;
  std::atomic<int> granted = 0;
  const auto ask = [&](int key, int threads) {
    if (gets_deadlock([&] { (void)map.entry(key); }, cycle_message(threads))) {
      ++errors;
    } else {
      ++granted;
    }
  };
  {
    std::optional<typename Map::Entry> own = map.entry(0);
    std::deque<Worker> onlookers;
    for (const int key : {10, 11, 12}) {
      onlookers.emplace_back([&, key] {
        const auto held = map.entry(key);
        ask(0, 0);
      });
    }
    // One that waits for an onlooker, and one that holds nothing.
    await([&] { return TestAccess::parked(map, 0) == 3; }, "the onlookers to wait");
    onlookers.emplace_back([&] { ask(10, 0); });
    await([&] { return TestAccess::parked(map, 10) == 1; }, "the last onlooker to wait");
    Worker partner([&] {
      const auto held = map.entry(1);
      ask(0, 2);
    });
    await([&] { return TestAccess::parked(map, 0) == 4; }, "the partner to wait");
    ask(1, 2);
    own.reset();
  }
  EXPECT_EQ(errors, 1);
  EXPECT_EQ(granted, 5);
  expect_quiet(map);
}

// The thread that got the error may try again, and gets it again as long as the cycle is there.
LOCKMAP_TEST_BOTH(DeadlockCycleTest, TheErrorCanBeRepeated) {
  using Map = typename TestFixture::TestedMap;
  auto map = make_map<Map>();
  auto own = map.entry(0);
  std::atomic<int> errors_of_other = 0;
  Worker other([&] {
    for (bool granted = false; !granted;) {
      const auto held = map.entry(1);
      granted = !gets_deadlock([&] { (void)map.entry(0); }, cycle_message(2));
      if (!granted) ++errors_of_other;
    }
  });
  int errors = 0;
  while (errors + errors_of_other < 100) {
    if (gets_deadlock([&] { (void)map.entry(1); }, cycle_message(2))) ++errors;
  }
  own.unlock();
  other.join();
  EXPECT_GE(errors + errors_of_other, 100);
  expect_quiet(map);
}

// Thread 0 waits inside a callback for a key of thread 1, which waits for the callback's key.
LOCKMAP_TEST_BOTH(DeadlockCycleTest, CallbacksHoldTheirKey) {
  using Map = typename TestFixture::TestedMap;
  using Ask = std::function<void()>;
  const std::vector<std::pair<const char*, std::function<void(Map&, const Ask&)>>> callbacks = {
      {"for_each",
       [](Map& map, const Ask& ask) { map.for_each([&](const int&, const int&) { ask(); }); }},
      {"retain",
       [](Map& map, const Ask& ask) {
         (void)map.retain([&](const int&, int&) {
           ask();
           return true;
         });
       }},
      {"get_or_insert_with",
       [](Map& map, const Ask& ask) {
         map.remove(0);
         (void)map.get_or_insert_with(0, [&] {
           ask();
           return 1;
         });
       }},
      {"or_insert_with",
       [](Map& map, const Ask& ask) {
         map.remove(0);
         auto entry = map.entry(0);
         entry.or_insert_with([&] {
           ask();
           return 1;
         });
       }},
  };
  for (const auto& [name, run] : callbacks) {
    SCOPED_TRACE(name);
    auto map = make_map<Map>();
    map.insert(0, 0);
    std::latch inside(1);
    std::barrier both_hold(2);
    std::atomic<int> errors = 0;
    run_together(2, [&, &callback = run](int thread) {
      const bool failed = gets_deadlock(
          [&] {
            if (thread == 0) {
              callback(map, [&] {
                inside.count_down();
                both_hold.arrive_and_wait();
                (void)map.entry(1);
              });
            } else {
              inside.wait();
              const auto held = map.entry(1);
              both_hold.arrive_and_wait();
              (void)map.entry(0);
            }
          },
          cycle_message(2));
      if (failed) ++errors;
    });
    EXPECT_EQ(errors, 1);
    expect_quiet(map);
  }
}

class DeadlockAcrossMapsTest : public testing::Test {
 protected:
  LockMap<std::string, int> names_{Options{.shard_count = 2}};
  LruLockMap<int, std::string> cache_{LruOptions{.max_size = 100, .shard_count = 3}};
};

TEST_F(DeadlockAcrossMapsTest, OneKeyInEach) {
  for (int round = 0; round < scaled(50); ++round) {
    std::barrier both_hold(2);
    std::atomic<int> errors = 0;
    run_together(2, [&](int thread) {
      const bool failed = gets_deadlock(
          [&] {
            if (thread == 0) {
              const auto held = names_.entry("key");
              both_hold.arrive_and_wait();
              (void)cache_.get(1);
            } else {
              const auto held = cache_.entry(1);
              both_hold.arrive_and_wait();
              (void)names_.get("key");
            }
          },
          cycle_message(2));
      if (failed) ++errors;
    });
    EXPECT_EQ(errors, 1);
  }
  expect_quiet(names_);
  expect_quiet(cache_);
}

TEST_F(DeadlockAcrossMapsTest, FourThreadsThroughBatches) {
  for (int round = 0; round < scaled(20); ++round) {
    std::barrier all_hold(4);
    std::atomic<int> errors = 0;
    run_together(4, [&](int thread) {
      // Even threads hold a name and ask for a number, odd ones the other way round.
      const int next = (thread + 1) % 4;
      const bool failed = gets_deadlock(
          [&] {
            if (thread % 2 == 0) {
              const auto held = names_.entry(std::to_string(thread));
              all_hold.arrive_and_wait();
              (void)cache_.batch_lock({-next, next});
            } else {
              const auto held = cache_.entry(thread);
              all_hold.arrive_and_wait();
              const std::string name = std::to_string(next);
              (void)names_.batch_lock({"!" + name, name});
            }
          },
          cycle_message(4));
      if (failed) ++errors;
    });
    EXPECT_EQ(errors, 1);
  }
  expect_quiet(names_);
  expect_quiet(cache_);
}

TEST_F(DeadlockAcrossMapsTest, WholeMapOperations) {
  names_.insert("key", 1);
  std::barrier both_hold(2);
  std::atomic<int> errors = 0;
  run_together(2, [&](int thread) {
    const bool failed = gets_deadlock(
        [&] {
          if (thread == 0) {
            auto held = cache_.entry(1);
            held.insert("one");
            both_hold.arrive_and_wait();
            names_.for_each([](const std::string&, const int&) {});
          } else {
            const auto held = names_.entry("key");
            both_hold.arrive_and_wait();
            cache_.clear();
          }
        },
        cycle_message(2));
    if (failed) ++errors;
  });
  EXPECT_EQ(errors, 1);
  expect_quiet(names_);
  expect_quiet(cache_);
}

TEST_F(DeadlockAcrossMapsTest, EqualKeysOfDifferentMapsAreDifferentKeys) {
  LockMap<int, int> numbers;
  const auto held = cache_.entry(1);
  const auto other = numbers.entry(1);
  EXPECT_EQ(numbers.get(2), std::nullopt);
  EXPECT_EQ(cache_.get(2), std::nullopt);
}

// The graph alone, for a moment that threads meet too seldom: handed the key, not awake yet.
TEST(WaitGraphTest, AThreadThatWasHandedItsKeyIsNotWaiting) {
  using detail::State;
  constexpr detail::OwnerId first_holder = 1;
  constexpr detail::OwnerId woken = 2;
  constexpr detail::OwnerId other = 3;
  detail::WaitGraph graph;
  detail::StateWord word;
  const auto hold_by = [&word](detail::OwnerId owner) {
    word.store(State::of_sole_holder(owner, detail::Mode::exclusive, false),
               std::memory_order_release);
  };
  const detail::WaitGraph::Edge::Look look = [](const detail::WaitGraph::Edge& edge) noexcept {
    return edge.awaited().load(std::memory_order_acquire);
  };
  const detail::Owner woken_owner{woken, 1};
  const detail::Owner other_owner{other, 1};
  hold_by(first_holder);
  detail::WaitGraph::Edge edge(graph, woken_owner, word, look);
  EXPECT_TRUE(edge.add());
  hold_by(woken);
  detail::WaitGraph::Edge waits_for_woken(graph, other_owner, word, look);
  EXPECT_TRUE(waits_for_woken.add());
}

// Acquisitions nested in one order never meet a cycle, so whatever throws is a false alarm.
TEST(DeadlockFalseAlarmTest, AMillionNestedAcquisitionsInOneOrder) {
  constexpr int threads = 8;
  constexpr int keys = 64;
  constexpr int depth = 3;
  constexpr int rounds = scaled(1'000'000) / (threads * depth);
  LockMap<int, int> map(Options{.shard_count = 4});
  LruLockMap<int, int> cache(LruOptions{.max_size = keys, .shard_count = 4});
  std::vector<int> acquisitions(threads, 0);
  run_together(threads, [&](int thread) {
    std::mt19937 random(static_cast<unsigned>(thread));
    int& acquired = acquisitions[static_cast<std::size_t>(thread)];
    for (int round = 0; round < rounds; ++round) {
      // Three ranks, the middle one in another map: the rank orders the acquisitions.
      const int first = static_cast<int>(random() % keys);
      const int second = static_cast<int>(random() % keys);
      const int third = keys + static_cast<int>(random() % keys);
      auto outer = map.entry(first);
      auto middle = cache.try_entry_for(second, hours(1));
      auto inner = map.entry(third);
      ASSERT_TRUE(middle.has_value());
      ++outer.or_insert(0);
      ++inner.or_insert(0);
      acquired += depth;
    }
  });
  int total = 0;
  for (const int acquired : acquisitions) total += acquired;
  EXPECT_EQ(total, rounds * threads * depth);
  int stored = 0;
  map.for_each([&](const int&, const int& count) { stored += count; });
  EXPECT_EQ(stored, rounds * threads * 2);
  expect_quiet(map);
  expect_quiet(cache);
}

}  // namespace
}  // namespace lockmap::test
