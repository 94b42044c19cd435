// async_get_or_insert_with: one coroutine loads, the others wait for its result.

#include <gtest/gtest.h>

#include <coroutine>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "coroutines.hpp"
#include "maps.hpp"
#include "test_access.hpp"
#include "threads.hpp"

namespace lockmap::test {
namespace async_load_test {

using detail::TestAccess;

// A value that a test lets come, or fail.
struct Source {
  int loads = 0;
  std::coroutine_handle<> loading;
  std::string value;
  bool fails = false;

  struct Awaiter {
    static bool await_ready() noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) const {
      ++source->loads;
      source->loading = handle;
    }
    std::string await_resume() const {
      if (std::exchange(source->fails, false)) throw std::runtime_error("no value");
      return source->value;
    }
    Source* source;
  };
  auto load() {
    return [this] { return Awaiter{this}; };
  }
  void come(std::string loaded) {
    value = std::move(loaded);
    std::exchange(loading, nullptr).resume();
  }
  void fail() {
    fails = true;
    std::exchange(loading, nullptr).resume();
  }
};

template <class Map>
Coroutine get(Map& map, int key, Source& source, std::vector<std::string>& results,
              AsyncOptions options = {}) {
  results.push_back(co_await map.async_get_or_insert_with(key, source.load(), std::move(options)));
}

template <class Family>
class AsyncLoadTest : public testing::Test {
 public:
  using TestedMap = MapOf<Family, int, std::string>;
  void TearDown() override { TestAccess::check_invariants(map_); }
  TestedMap map_ = make_map<TestedMap>();
  Source source_;
  std::vector<std::string> results_;

  Coroutine get_one(AsyncOptions options = {}) {
    return get(map_, 1, source_, results_, std::move(options));
  }
};

LOCKMAP_TEST_BOTH(AsyncLoadTest, APresentValueIsNotLoaded) {
  this->map_.insert(1, "a");
  auto reader = this->get_one();
  ASSERT_TRUE(reader.done());
  reader.check();
  EXPECT_EQ(this->results_, (std::vector<std::string>{"a"}));
  EXPECT_EQ(this->source_.loads, 0);
  const auto held = this->map_.shared_entry(1);
  EXPECT_TRUE(this->get_one().done()) << "beside other readers";
}

LOCKMAP_TEST_BOTH(AsyncLoadTest, OneLoadsAndTheOthersWait) {
  std::vector<Coroutine> coroutines;
  for (int i = 0; i < 4; ++i) coroutines.push_back(this->get_one());
  EXPECT_EQ(this->source_.loads, 1);
  EXPECT_EQ(TestAccess::waiters(this->map_, 1), 3U);
  this->source_.come("a");
  for (const Coroutine& coroutine : coroutines) {
    ASSERT_TRUE(coroutine.done());
    coroutine.check();
  }
  EXPECT_EQ(this->source_.loads, 1);
  EXPECT_EQ(this->results_, std::vector<std::string>(4, "a"));
  EXPECT_EQ(this->map_.get(1), "a");
}

LOCKMAP_TEST_BOTH(AsyncLoadTest, AfterAFailureTheNextLoads) {
  auto first = this->get_one();
  auto second = this->get_one();
  auto third = this->get_one();
  this->source_.fail();
  ASSERT_TRUE(first.done());
  EXPECT_THROW(first.check(), std::runtime_error);
  EXPECT_EQ(this->source_.loads, 2);
  EXPECT_FALSE(second.done());
  this->source_.come("b");
  EXPECT_TRUE(second.done());
  EXPECT_TRUE(third.done());
  EXPECT_EQ(this->results_, std::vector<std::string>(2, "b"));
}

LOCKMAP_TEST_BOTH(AsyncLoadTest, AfterTheEndOfALoaderTheNextLoads) {
  auto first = this->get_one();
  auto second = this->get_one();
  auto third = this->get_one();
  third.destroy();
  first.destroy();
  EXPECT_EQ(this->source_.loads, 2);
  this->source_.come("b");
  EXPECT_TRUE(second.done());
  EXPECT_EQ(this->results_, std::vector<std::string>(1, "b"));
}

LOCKMAP_TEST_BOTH(AsyncLoadTest, AStopEndsWaitingAndNotLoading) {
  std::stop_source stop;
  auto loading = this->get_one({.stop = stop.get_token()});
  auto waiting = this->get_one({.stop = stop.get_token()});
  stop.request_stop();
  ASSERT_TRUE(waiting.done());
  EXPECT_THROW(waiting.check(), std::system_error);
  EXPECT_FALSE(loading.done());
  this->source_.come("a");
  EXPECT_TRUE(loading.done());
  loading.check();
  EXPECT_EQ(this->map_.get(1), "a");
}

LOCKMAP_TEST_BOTH(AsyncLoadTest, AThreadWaitsForALoad) {
  auto loading = this->get_one();
  Worker reader([&] { EXPECT_EQ(this->map_.get(1), "a"); });
  await([&] { return TestAccess::waiters(this->map_, 1) == 1; }, "the reader");
  this->source_.come("a");
}

LOCKMAP_TEST_BOTH(AsyncLoadTest, AnOwnerThatAsksForItsOwnKey) {
  Owner owner;
  const auto twice = [](auto& map, Owner& o) -> Coroutine {
    auto entry = co_await map.async_entry(1, {.owner = &o});
    Source none;
    (void)co_await map.async_get_or_insert_with(1, none.load(), {.owner = &o});
  };
  auto coroutine = twice(this->map_, owner);
  ASSERT_TRUE(coroutine.done());
  EXPECT_THROW(coroutine.check(), std::system_error);
}

LOCKMAP_TEST_BOTH(AsyncLoadTest, ManyLoadsOnThreads) {
  Executor executor(2);
  std::vector<Coroutine> coroutines;
  std::atomic<int> loads{0};
  const auto run = [](auto& map, Executor& threads, std::atomic<int>& count, int key) -> Coroutine {
    co_await threads.schedule();
    const auto load = [&]() {
      struct Slow {
        static bool await_ready() noexcept { return false; }
        void await_suspend(std::coroutine_handle<> handle) const { executor->post(handle); }
        std::string await_resume() const { return "a"; }
        Executor* executor;
      };
      ++count;
      return Slow{&threads};
    };
    const std::string value =
        co_await map.async_get_or_insert_with(key, load, {.resume = threads.resume()});
    EXPECT_EQ(value, "a");
  };
  const int count = scaled(2000);
  for (int i = 0; i < count; ++i) {
    coroutines.push_back(run(this->map_, executor, loads, i % 50));
  }
  for (const Coroutine& coroutine : coroutines) {
    await([&] { return coroutine.done(); }, "a load");
    coroutine.check();
  }
  EXPECT_EQ(loads.load(), 50);
}

TEST(AsyncLoadExpiryTest, ALoadedValueMayExpire) {
  LruLockMap<int, int> map(10);
  const auto run = [](auto& m) -> Coroutine {
    struct Ready {
      static bool await_ready() noexcept { return true; }
      static void await_suspend(std::coroutine_handle<> /*handle*/) noexcept {}
      static Expiring<int> await_resume() { return {5, std::chrono::seconds(0)}; }
    };
    EXPECT_EQ(co_await m.async_get_or_insert_with(1, [] { return Ready{}; }), 5);
  };
  auto coroutine = run(map);
  ASSERT_TRUE(coroutine.done());
  coroutine.check();
  EXPECT_FALSE(map.contains(1));
}

}  // namespace async_load_test
}  // namespace lockmap::test
