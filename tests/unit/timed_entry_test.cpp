// try_entry_for and try_entry_until: what a limit means, and that a wait which ends without the key
// leaves nothing behind.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <ratio>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "test_access.hpp"
#include "threads.hpp"

namespace lockmap::test {
namespace {

using detail::TestAccess;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;

// Stands still until a test moves it.
struct ManualClock {
  using duration = milliseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<ManualClock>;
  [[maybe_unused]] static constexpr bool is_steady = false;

  static time_point now() { return time_point(duration(ticks.load())); }
  static void advance(duration step) { ticks += step.count(); }

  static inline std::atomic<rep> ticks = 0;
};

// Runs at half the speed of the steady clock, in 32 bits, and begins long before its epoch.
struct SlowClock {
  using duration = std::chrono::duration<std::int32_t, std::milli>;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<SlowClock>;
  [[maybe_unused]] static constexpr bool is_steady = true;

  static time_point now() {
    static const steady_clock::time_point begin = steady_clock::now();
    const auto elapsed = std::chrono::floor<milliseconds>(steady_clock::now() - begin) / 2;
    return time_point(duration(static_cast<rep>(elapsed.count()) - 2'000'000'000));
  }
};

template <class Family>
class TimedEntryTest : public testing::Test {
 public:
  using TestedMap = MapOf<Family, int, int>;

  template <class Attempt>
  void expect_refused(Attempt attempt) {
    EXPECT_FALSE(attempt(present).has_value());
    EXPECT_FALSE(attempt(absent).has_value());
    for (const int key : {present, absent}) {
      EXPECT_EQ(TestAccess::waiters(map_, key), 0U);
      EXPECT_EQ(TestAccess::parked(map_, key), 0U);
    }
  }

  // `attempt` must wait, and get the key once it is let go.
  template <class Attempt>
  void expect_granted_in_the_end(Attempt attempt) {
    Holder<TestedMap> holder(map_, present, [](auto& entry) { entry.insert(11); });
    std::atomic<bool> granted = false;
    Worker waiter([&] {
      auto entry = attempt(present);
      ASSERT_TRUE(entry.has_value());
      EXPECT_EQ(entry->value(), 11);
      granted = true;
    });
    await([&] { return TestAccess::parked(map_, present) == 1 || waiter.done(); },
          "the thread to wait");
    EXPECT_FALSE(waiter.done());
    holder.release();
    waiter.join();
    EXPECT_TRUE(granted);
    expect_quiet(map_);
  }

 protected:
  static constexpr int present = 1;
  static constexpr int absent = 2;

  void SetUp() override { map_.insert(present, 10); }

  TestedMap map_ = make_map<TestedMap>();
};

LOCKMAP_TEST_BOTH(TimedEntryTest, AFreeKeyIsTakenWhateverTheLimit) {
  auto& map = this->map_;
  for (const int key : {this->present, this->absent}) {
    const bool has_value = key == this->present;
    const auto expect_taken = [&](auto entry) {
      static_assert(
          std::is_same_v<decltype(entry), std::optional<typename TestFixture::TestedMap::Entry>>);
      ASSERT_TRUE(entry.has_value());
      EXPECT_EQ(entry->key(), key);
      EXPECT_EQ(entry->has_value(), has_value);
    };
    expect_taken(map.try_entry_for(key, nanoseconds(0)));
    expect_taken(map.try_entry_for(key, hours(-1)));
    expect_taken(map.try_entry_for(key, hours::min()));
    expect_taken(map.try_entry_for(key, hours(1)));
    expect_taken(map.try_entry_for(key, hours::max()));
    expect_taken(map.try_entry_until(key, steady_clock::time_point::min()));
    expect_taken(map.try_entry_until(key, steady_clock::time_point()));
    expect_taken(map.try_entry_until(key, steady_clock::time_point::max()));
    expect_taken(map.try_entry_until(key, system_clock::now() - hours(1)));
    expect_taken(map.try_entry_until(key, system_clock::time_point::max()));
    expect_taken(map.try_entry_until(key, ManualClock::now()));
    expect_taken(map.try_entry_until(key, SlowClock::time_point::min()));
    expect_taken(map.try_entry_until(key, SlowClock::time_point::max()));
  }
  expect_quiet(map);
  EXPECT_EQ(map.size(), 1U);
}

LOCKMAP_TEST_BOTH(TimedEntryTest, ZeroAndNegativeDurationsDoNotWait) {
  auto& map = this->map_;
  Holder holder(map, this->present);
  Holder other(map, this->absent);
  const auto refused = [&](auto limit) {
    SCOPED_TRACE(limit.count());
    this->expect_refused([&](int key) { return map.try_entry_for(key, limit); });
  };
  refused(nanoseconds(0));
  refused(nanoseconds(-1));
  refused(nanoseconds::min());
  refused(milliseconds::min());
  refused(hours(-1));
  refused(hours::min());
  refused(std::chrono::duration<double>(0.0));
  refused(std::chrono::duration<double>(-1e300));
  refused(std::chrono::duration<double>(-std::numeric_limits<double>::infinity()));
}

LOCKMAP_TEST_BOTH(TimedEntryTest, PastTimePointsDoNotWait) {
  auto& map = this->map_;
  Holder holder(map, this->present);
  Holder other(map, this->absent);
  const auto refused = [&](auto limit) {
    SCOPED_TRACE(limit.time_since_epoch().count());
    this->expect_refused([&](int key) { return map.try_entry_until(key, limit); });
  };
  refused(steady_clock::now());
  refused(steady_clock::now() - hours(1));
  refused(steady_clock::time_point());
  refused(steady_clock::time_point::min());
  refused(system_clock::now());
  refused(system_clock::now() - hours(1));
  refused(system_clock::time_point::min());
  refused(ManualClock::now());
  refused(ManualClock::now() - milliseconds(1));
  refused(ManualClock::time_point::min());
  refused(SlowClock::now());
  refused(SlowClock::time_point::min());
}

LOCKMAP_TEST_BOTH(TimedEntryTest, ATimeOutIsNeverEarlyAndLeavesNoTrace) {
  auto& map = this->map_;
  Holder holder(map, this->present);
  Holder other(map, this->absent);
  const auto steady = steady_clock::now() + milliseconds(2);
  this->expect_refused([&](int key) { return map.try_entry_for(key, milliseconds(2)); });
  EXPECT_GE(steady_clock::now(), steady);
  this->expect_refused(
      [&](int key) { return map.try_entry_for(key, std::chrono::duration<float>(0.001F)); });
  this->expect_refused([&](int key) {
    const auto limit = steady_clock::now() + milliseconds(2);
    auto entry = map.try_entry_until(key, limit);
    EXPECT_GE(steady_clock::now(), limit);
    return entry;
  });
  this->expect_refused(
      [&](int key) { return map.try_entry_until(key, system_clock::now() + milliseconds(2)); });
  EXPECT_EQ(TestAccess::node_count(map), 2U);
  holder.release();
  other.release();
  EXPECT_EQ(map.get(this->present), 10);
  EXPECT_EQ(map.size(), 1U);
  expect_quiet(map);
}

// As with std::condition_variable, the limit's own clock says when the time is over.
LOCKMAP_TEST_BOTH(TimedEntryTest, AUserClockDecides) {
  auto& map = this->map_;
  Holder holder(map, this->present);
  Holder other(map, this->absent);
  this->expect_refused([&](int key) {
    const auto limit = SlowClock::now() + milliseconds(2);
    auto entry = map.try_entry_until(key, limit);
    EXPECT_GE(SlowClock::now(), limit);
    return entry;
  });

  std::atomic<bool> refused = false;
  const auto limit = ManualClock::now() + milliseconds(3);
  Worker waiter([&] {
    EXPECT_FALSE(map.try_entry_until(this->present, limit).has_value());
    EXPECT_GE(ManualClock::now(), limit);
    refused = true;
  });
  await([&] { return TestAccess::parked(map, this->present) == 1; }, "the thread to wait");
  pass_time(milliseconds(10));
  EXPECT_FALSE(refused);
  ManualClock::advance(milliseconds(3));
  waiter.join();
  EXPECT_TRUE(refused);
  EXPECT_EQ(TestAccess::waiters(map, this->present), 0U);
}

LOCKMAP_TEST_BOTH(TimedEntryTest, HugeDurationsWait) {
  auto& map = this->map_;
  const auto granted = [&](auto limit) {
    SCOPED_TRACE(limit.count());
    this->expect_granted_in_the_end([&](int key) { return map.try_entry_for(key, limit); });
  };
  granted(hours(1));
  granted(hours::max());
  granted(milliseconds::max());
  granted(nanoseconds::max());
  granted(std::chrono::duration<std::int64_t, std::ratio<86'400>>::max());
  granted(std::chrono::duration<std::uint64_t, std::ratio<3'600>>::max());
  granted(std::chrono::duration<float>(1e30F));
  granted(std::chrono::duration<double>::max());
  granted(std::chrono::duration<double>(std::numeric_limits<double>::infinity()));
}

LOCKMAP_TEST_BOTH(TimedEntryTest, DistantTimePointsWait) {
  auto& map = this->map_;
  const auto granted = [&](auto limit) {
    SCOPED_TRACE(limit.time_since_epoch().count());
    this->expect_granted_in_the_end([&](int key) { return map.try_entry_until(key, limit); });
  };
  granted(steady_clock::now() + hours(1));
  granted(steady_clock::time_point::max());
  granted(system_clock::now() + hours(1));
  granted(system_clock::time_point::max());
  granted(std::chrono::time_point<system_clock, std::chrono::duration<double>>::max());
  granted(ManualClock::now() + hours(1));
  granted(ManualClock::time_point::max());
  granted(SlowClock::now() + std::chrono::minutes(1));
  granted(SlowClock::time_point::max());
}

// Time points in coarse units reach further than the clock's own unit can say.
LOCKMAP_TEST_BOTH(TimedEntryTest, TimePointsThatTheClockCannotReach) {
  using std::chrono::seconds;
  using std::chrono::time_point;
  auto& map = this->map_;
  const auto granted = [&](auto limit) {
    SCOPED_TRACE(limit.time_since_epoch().count());
    this->expect_granted_in_the_end([&](int key) { return map.try_entry_until(key, limit); });
  };
  granted(time_point<steady_clock, hours>::max());
  granted(time_point<steady_clock, milliseconds>::max());
  granted(time_point<system_clock, seconds>::max());
  granted(time_point<system_clock, hours>(hours(10'000'000)));

  Holder holder(map, this->present);
  Holder other(map, this->absent);
  const auto refused = [&](auto limit) {
    SCOPED_TRACE(limit.time_since_epoch().count());
    this->expect_refused([&](int key) { return map.try_entry_until(key, limit); });
  };
  refused(time_point<steady_clock, hours>::min());
  refused(time_point<system_clock, seconds>::min());
  refused(time_point<system_clock, hours>(hours(-10'000'000)));
}

// One that gives up in the middle of the wait list must not take the others with it.
LOCKMAP_TEST_BOTH(TimedEntryTest, AWaiterInTheMiddleGivesUp) {
  using Map = typename TestFixture::TestedMap;
  for (const int key : {this->present, this->absent}) {
    auto& map = this->map_;
    Holder<Map> holder(map, key);
    std::vector<int> order;
    const auto parked = [&](std::size_t count) {
      await([&] { return TestAccess::parked(map, key) == count; }, "the threads to wait");
    };
    const auto enter = [&](int number) {
      const auto entry = map.entry(key);
      order.push_back(number);
    };
    const auto limit = ManualClock::now() + milliseconds(1);
    Worker first([&] { enter(1); });
    parked(1);
    Worker second([&] { EXPECT_FALSE(map.try_entry_until(key, limit).has_value()); });
    parked(2);
    Worker third([&] { enter(3); });
    parked(3);
    ManualClock::advance(milliseconds(1));
    second.join();
    EXPECT_EQ(TestAccess::waiters(map, key), 2U);
    EXPECT_EQ(TestAccess::parked(map, key), 2U);
    holder.release();
    first.join();
    third.join();
    EXPECT_EQ(order.size(), 2U);
    expect_quiet(map);
  }
}

LOCKMAP_TEST_BOTH(TimedEntryTest, TheLastWaiterGivesUpAndTheHolderLeavesNothing) {
  auto& map = this->map_;
  for (int round = 0; round < scaled(20); ++round) {
    Holder holder(map, this->absent);
    run_together(3, [&](int thread) {
      const std::chrono::microseconds limit(50 * thread);
      EXPECT_FALSE(map.try_entry_for(this->absent, limit).has_value());
    });
    EXPECT_EQ(TestAccess::waiters(map, this->absent), 0U);
    holder.release();
    EXPECT_EQ(TestAccess::node_count(map), 1U);
  }
}

// The limit may run out at the very moment at which the key is handed over: either outcome is
// right, and neither may lose the key.
LOCKMAP_TEST_BOTH(TimedEntryTest, ReleaseAndTimeOutAtTheSameMoment) {
  auto& map = this->map_;
  int granted = 0;
  for (int round = 0; round < scaled(100); ++round) {
    const auto limit = ManualClock::now() + milliseconds(1);
    Holder holder(map, this->absent);
    Worker waiter([&] {
      if (map.try_entry_until(this->absent, limit).has_value()) ++granted;
    });
    await([&] { return TestAccess::waiters(map, this->absent) == 1; }, "the thread to wait");
    ManualClock::advance(milliseconds(1));
    holder.release();
    waiter.join();
    EXPECT_TRUE(is_free(map, this->absent));
    EXPECT_EQ(TestAccess::node_count(map), 1U);
  }
  this->RecordProperty("granted", granted);
}

LOCKMAP_TEST_BOTH(TimedEntryTest, KeysMayBeLookedUpByAnotherType) {
  auto map = make_map<MapOf<TypeParam, std::string, int>>();
  map.insert("key", 1);
  auto entry = map.try_entry_for(std::string_view("key"), milliseconds(1));
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->value(), 1);
  EXPECT_EQ(map.try_entry_until("other", steady_clock::now())->key(), "other");
  in_another_thread([&] {
    EXPECT_FALSE(map.try_entry_for(std::string_view("key"), milliseconds(1)).has_value());
  });
}

}  // namespace
}  // namespace lockmap::test
