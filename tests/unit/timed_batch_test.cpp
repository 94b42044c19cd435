// try_batch_lock_for and try_batch_lock_until: all of the keys within the limit, or none.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <limits>
#include <optional>
#include <system_error>
#include <type_traits>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "input_range.hpp"
#include "maps.hpp"
#include "test_access.hpp"
#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap::test::timed_batch {
namespace {

using detail::TestAccess;
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;

using Seconds = std::chrono::duration<double>;

template <class Family>
class TimedBatchTest : public testing::Test {
 protected:
  using Map = MapOf<Family, int, int>;
  using Attempt = std::function<std::optional<typename Map::Batch>(std::vector<int>)>;

  template <class Limit>
  Attempt within(Limit limit) {
    return [this, limit](std::vector<int> keys) { return map_.try_batch_lock_for(keys, limit); };
  }
  template <class Time>
  Attempt until(Time time) {
    return [this, time](std::vector<int> keys) { return map_.try_batch_lock_until(keys, time); };
  }

  std::vector<Attempt> patient() {
    return {within(hours(1)),
            within(hours::max()),
            within(Seconds(std::numeric_limits<double>::infinity())),
            until(steady_clock::now() + hours(1)),
            until(steady_clock::time_point::max()),
            until(system_clock::now() + hours(1))};
  }
  std::vector<Attempt> impatient() {
    return {within(milliseconds(0)),
            within(hours(-1)),
            within(hours::min()),
            within(Seconds(std::numeric_limits<double>::quiet_NaN())),
            within(microseconds(50)),
            until(steady_clock::time_point()),
            until(steady_clock::time_point::min()),
            until(system_clock::now() - hours(1)),
            until(steady_clock::now() + milliseconds(1)),
            until(std::chrono::time_point<steady_clock, Seconds>(
                Seconds(std::numeric_limits<double>::quiet_NaN())))};
  }

  // Nothing is left of a batch that failed, but what others hold.
  void expect_none_held(const std::vector<int>& held) {
    in_another_thread([&] {
      for (int key = 1; key <= 5; ++key) {
        const bool is_held = std::find(held.begin(), held.end(), key) != held.end();
        EXPECT_EQ(is_free(map_, key), !is_held) << "key " << key;
        EXPECT_EQ(TestAccess::waiters(map_, key), 0U) << "key " << key;
      }
    });
    EXPECT_EQ(TestAccess::node_count(map_), map_.size() + held.size());
  }

  Map map_ = make_map<Map>();
};

LOCKMAP_TEST_BOTH(TimedBatchTest, FreeKeysAreTakenWhateverTheLimit) {
  auto attempts = this->patient();
  for (auto& attempt : this->impatient()) attempts.push_back(attempt);
  for (const auto& attempt : attempts) {
    auto batch = attempt({3, 1, 2, 3, 1});
    ASSERT_TRUE(batch.has_value());
    ASSERT_EQ(batch->size(), 3U);
    EXPECT_EQ((*batch)[0].key(), 1);
    EXPECT_EQ((*batch)[2].key(), 3);
    EXPECT_EQ(batch->at(2).key(), 2);
  }
  expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(TimedBatchTest, OfNothing) {
  const std::vector<int> none;
  const auto batch = this->map_.try_batch_lock_for(none, milliseconds(0));
  static_assert(
      std::is_same_v<decltype(batch), const std::optional<typename TestFixture::Map::Batch>>);
  ASSERT_TRUE(batch.has_value());
  EXPECT_TRUE(batch->empty());
}

LOCKMAP_TEST_BOTH(TimedBatchTest, NoneIfOneIsHeldTooLong) {
  for (const int held : {1, 3, 5}) {
    Holder holder(this->map_, held);
    for (const auto& attempt : this->impatient()) {
      EXPECT_FALSE(attempt({1, 2, 3, 4, 5}).has_value());
    }
    this->expect_none_held({held});
  }
  expect_quiet(this->map_);
  EXPECT_TRUE(this->map_.empty());
}

LOCKMAP_TEST_BOTH(TimedBatchTest, WaitsForEachOfTheKeys) {
  for (const auto& attempt : this->patient()) {
    Holder first(this->map_, 2, [](auto& entry) { entry.insert(20); });
    Holder second(this->map_, 4, [](auto& entry) { entry.insert(40); });
    Worker waiter([&] {
      auto batch = attempt({4, 2, 1});
      ASSERT_TRUE(batch.has_value());
      EXPECT_EQ(batch->at(2).remove(), 20);
      EXPECT_EQ(batch->at(4).remove(), 40);
    });
    await_waiters(this->map_, 2, 1);
    first.release();
    await_waiters(this->map_, 4, 1);
    EXPECT_FALSE(waiter.done());
    second.release();
    waiter.join();
    expect_quiet(this->map_);
    EXPECT_TRUE(this->map_.empty());
  }
}

// The keys before the one that is waited for are held meanwhile, and free when the time is over.
LOCKMAP_TEST_BOTH(TimedBatchTest, GivesBackWhatItHeldWhenTheTimeIsOver) {
  Holder holder(this->map_, 3);
  std::atomic<bool> over = false;
  Worker waiter([&] {
    EXPECT_FALSE(this->map_.try_batch_lock_for(std::vector<int>{1, 2, 3}, milliseconds(30)));
    over = true;
  });
  {
    const auto one = this->map_.entry(1);  // before the batch or after it
    EXPECT_EQ(one.key(), 1);
  }
  waiter.join();
  EXPECT_TRUE(over);
  this->expect_none_held({3});
}

LOCKMAP_TEST_BOTH(TimedBatchTest, ADeadlockIsReportedAtOnce) {
  {
    const auto own = this->map_.entry(3);
    for (const auto& attempt : this->patient()) {
      try {
        (void)attempt({1, 3, 5});
        ADD_FAILURE() << "no error";
      } catch (const std::system_error& error) {
        EXPECT_EQ(error.code(), std::errc::resource_deadlock_would_occur);
      }
      this->expect_none_held({3});
    }
  }
  // A cycle: the other waits for what this thread holds, and holds what this thread wants.
  auto own = this->map_.entry(1);
  Worker other([&] {
    auto theirs = this->map_.entry(5);
    theirs.insert(50);
    EXPECT_EQ(this->map_.entry(1).remove(), 10);
  });
  await([&] { return detail::TestAccess::parked(this->map_, 1) == 1; }, "the other to sleep");
  EXPECT_THROW((void)this->map_.try_batch_lock_for(std::vector<int>{4, 5}, hours(1)),
               std::system_error);
  own.insert(10);
  own.unlock();
  other.join();
  EXPECT_EQ(this->map_.remove(5), 50);
  expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(TimedBatchTest, TakesAnyRangeAndAComparator) {
  auto& map = this->map_;
  InputRange<int> range({3, 1, 2});
  const auto of_input = map.try_batch_lock_for(range, hours(1));
  ASSERT_TRUE(of_input.has_value());
  EXPECT_EQ(of_input->size(), 3U);
  in_another_thread([&] {
    auto batch = map.try_batch_lock_until(std::vector<int>{11, 13, 12},
                                          steady_clock::now() + hours(1), std::greater<>());
    ASSERT_TRUE(batch.has_value());
    EXPECT_EQ((*batch)[0].key(), 13);
    EXPECT_FALSE(map.try_batch_lock_for({14, 1}, microseconds(1)).has_value());
    EXPECT_TRUE(map.try_batch_lock_for({14, 15}, microseconds(1)).has_value());
    EXPECT_TRUE(map.try_batch_lock_for({15, 14}, hours(1), std::greater<>()).has_value());
    EXPECT_FALSE(map.try_batch_lock_until({14, 2}, steady_clock::time_point()).has_value());
  });
}

// Batches in opposite orders of one another, with limits: each is all or nothing.
LOCKMAP_TEST_BOTH(TimedBatchTest, ManyThreads) {
  auto& map = this->map_;
  for (int key = 0; key < 6; ++key) map.insert(key, 0);
  std::atomic<int> successes = 0;
  run_together(4, [&](int thread) {
    for (int i = 0; i < scaled(2000); ++i) {
      const std::vector<int> keys = {(thread + i) % 6, (thread + 2 * i + 1) % 6, (5 * i) % 6};
      if (auto batch = map.try_batch_lock_for(keys, microseconds(i % 20))) {
        const int value = batch->begin()->value();
        for (auto& entry : *batch) entry.value() += 1;
        EXPECT_EQ(batch->begin()->value(), value + 1);
        successes += static_cast<int>(batch->size());
      }
    }
  });
  int sum = 0;
  map.for_each([&](const int&, const int& value) { sum += value; });
  EXPECT_EQ(sum, successes);
  EXPECT_GT(sum, 0);
  expect_quiet(map);
}

}  // namespace
}  // namespace lockmap::test::timed_batch
