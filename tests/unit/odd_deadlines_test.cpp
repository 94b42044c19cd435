// Deadlines in floating point: not a number is a time in the past, and infinity is no limit.

#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <ratio>
#include <system_error>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "test_access.hpp"
#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap::test::odd_deadlines {
namespace {

using std::chrono::steady_clock;
using std::chrono::system_clock;

using Seconds = std::chrono::duration<double>;
using FloatHours = std::chrono::duration<float, std::ratio<3600>>;

template <class Clock, class Duration>
constexpr std::chrono::time_point<Clock, Duration> never_a_number{
    Duration(std::numeric_limits<typename Duration::rep>::quiet_NaN())};

template <class Clock, class Duration>
constexpr std::chrono::time_point<Clock, Duration> infinitely_late{
    Duration(std::numeric_limits<typename Duration::rep>::infinity())};

template <class Clock, class Duration>
constexpr std::chrono::time_point<Clock, Duration> infinitely_early{
    Duration(-std::numeric_limits<typename Duration::rep>::infinity())};

template <class Family>
class OddDeadlinesTest : public testing::Test {
 protected:
  using TestedMap = MapOf<Family, int, int>;

  // Another thread gives up at once, and the key can be released and taken as ever.
  template <class Attempt>
  void expect_in_the_past(Attempt attempt) {
    {
      auto held = map_.entry(key);
      EXPECT_FALSE(result_in_another_thread([&] { return attempt().has_value(); }));
      EXPECT_EQ(detail::TestAccess::waiters(map_, key), 0U);
      held.insert(1);
      held.unlock();
    }
    EXPECT_TRUE(attempt().has_value());
    EXPECT_EQ(map_.remove(key), 1);
    expect_quiet(map_);
  }

  template <class Attempt>
  void expect_without_limit(Attempt attempt) {
    EXPECT_TRUE(expect_waits(map_, key, [&] { return attempt().has_value(); }));
    EXPECT_TRUE(attempt().has_value());
    expect_quiet(map_);
  }

  template <class Time>
  auto until(Time time) {
    return [this, time] { return map_.try_entry_until(key, time); };
  }

  template <class Limit>
  auto within(Limit limit) {
    return [this, limit] { return map_.try_entry_for(key, limit); };
  }

  static constexpr int key = 1;
  TestedMap map_ = make_map<TestedMap>();
};

LOCKMAP_TEST_BOTH(OddDeadlinesTest, NotANumberIsInThePast) {
  this->expect_in_the_past(this->until(never_a_number<steady_clock, Seconds>));
  this->expect_in_the_past(this->until(never_a_number<system_clock, Seconds>));
  this->expect_in_the_past(this->until(never_a_number<steady_clock, FloatHours>));
  this->expect_in_the_past(this->within(Seconds(std::numeric_limits<double>::quiet_NaN())));
  this->expect_in_the_past(this->within(FloatHours(std::numeric_limits<float>::quiet_NaN())));
}

LOCKMAP_TEST_BOTH(OddDeadlinesTest, MinusInfinityIsInThePast) {
  this->expect_in_the_past(this->until(infinitely_early<steady_clock, Seconds>));
  this->expect_in_the_past(this->until(infinitely_early<system_clock, FloatHours>));
  this->expect_in_the_past(this->within(Seconds(-std::numeric_limits<double>::infinity())));
}

LOCKMAP_TEST_BOTH(OddDeadlinesTest, InfinityIsNoLimit) {
  this->expect_without_limit(this->until(infinitely_late<steady_clock, Seconds>));
  this->expect_without_limit(this->until(infinitely_late<system_clock, FloatHours>));
  this->expect_without_limit(this->within(Seconds(std::numeric_limits<double>::infinity())));
}

// Its owner is told of the deadlock only if it would have waited.
LOCKMAP_TEST_BOTH(OddDeadlinesTest, OnAKeyOfTheThreadsOwn) {
  const auto own = this->map_.entry(this->key);
  EXPECT_FALSE(this->until(never_a_number<steady_clock, Seconds>)().has_value());
  EXPECT_THROW((void)this->until(infinitely_late<steady_clock, Seconds>)(), std::system_error);
}

}  // namespace
}  // namespace lockmap::test::odd_deadlines
