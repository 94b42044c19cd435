// get_or_refresh: one caller makes a new value while the others are served the old one.

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "caches.hpp"
#include "fake_clock.hpp"
#include "maps.hpp"
#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap::test {
namespace {
namespace refresh {

using namespace std::chrono_literals;
using Cache = LruLockMap<int, std::string>;

std::string make_new() {
  return "new";
}
std::string fail() {
  throw std::runtime_error("maker");
}
std::string never() {
  ADD_FAILURE() << "the maker was called";
  return {};
}

class LruRefreshTest : public testing::Test {
 protected:
  // A value that is due after more than 5 s.
  void SetUp() override {
    cache_.insert(1, "old");
    FakeClock::advance(5s);
    EXPECT_EQ(cache_.get_or_refresh(1, 5s, never), "old");
    FakeClock::advance(1ns);
  }

  Cache cache_{{.max_size = 10, .shard_count = 1, .now = &FakeClock::now}};
};

TEST_F(LruRefreshTest, AnAbsentKeyIsLoaded) {
  EXPECT_EQ(cache_.get_or_refresh(2, 5s, make_new), "new");
  EXPECT_EQ(cache_.get_or_refresh(2, 5s, never), "new");
  EXPECT_EQ(cache_.stats().loads, 1U);
  EXPECT_THROW((void)cache_.get_or_refresh(3, 5s, fail), std::runtime_error);
  EXPECT_EQ(cache_.stats().load_failures, 1U);
}

TEST_F(LruRefreshTest, TheOneThatRefreshesReturnsTheNewValue) {
  EXPECT_EQ(cache_.get_or_refresh(1, 5s,
                                  [&] {
                                    FakeClock::advance(2s);
                                    // It holds nothing, and everybody else gets the old value.
                                    EXPECT_TRUE(cache_.try_shared_entry(1).has_value());
                                    EXPECT_EQ(cache_.get_or_refresh(1, 5s, never), "old");
                                    return std::string("new");
                                  }),
            "new");
  EXPECT_EQ(cache_.get_or_refresh(1, 5s, never), "new");
  EXPECT_EQ(cache_.stats().load_time, 2s);
  EXPECT_EQ(cache_.stats().insertions, 1U);
}

TEST_F(LruRefreshTest, AFailureLeavesTheOldValueAndTheNextCallerTries) {
  EXPECT_EQ(cache_.get_or_refresh(1, 5s, fail), "old");
  EXPECT_EQ(cache_.stats().load_failures, 1U);
  EXPECT_EQ(cache_.get_or_refresh(1, 5s, make_new), "new");
}

TEST_F(LruRefreshTest, ANewerValueIsNotOverwritten) {
  const auto while_refreshing = [&](FunctionRef<void()> change) {
    cache_.insert(1, "old");
    FakeClock::advance(6s);
    EXPECT_EQ(cache_.get_or_refresh(1, 5s,
                                    [&] {
                                      change();
                                      return std::string("new");
                                    }),
              "new");
    return cache_.get(1);
  };
  EXPECT_EQ(while_refreshing([] {}), "new");
  EXPECT_EQ(while_refreshing([&] { cache_.insert(1, "newer"); }), "newer");
  EXPECT_EQ(while_refreshing([&] { cache_.entry(1)->append("er"); }), "older");
  EXPECT_EQ(while_refreshing([&] { (void)cache_.entry(1); }), "old");
  EXPECT_EQ(while_refreshing([&] { (void)cache_.shared_entry(1); }), "new");
  EXPECT_EQ(while_refreshing([&] { (*cache_.shared_entry(1).try_upgrade())->append("er"); }),
            "older");
  EXPECT_EQ(while_refreshing([&] { cache_.remove(1); }), std::nullopt);
  EXPECT_EQ(while_refreshing([&] {
              cache_.remove(1);
              cache_.insert(1, "another");
            }),
            "another");
  expect_quiet(cache_);
}

TEST_F(LruRefreshTest, OneRefreshAtATimeAlsoForAValueThatIsDueAgain) {
  EXPECT_EQ(cache_.get_or_refresh(1, 5s,
                                  [&] {
                                    cache_.insert(1, "newer");
                                    FakeClock::advance(6s);
                                    EXPECT_EQ(cache_.get_or_refresh(1, 5s, never), "newer");
                                    return std::string("new");
                                  }),
            "new");
  EXPECT_EQ(cache_.get_or_refresh(1, 5s, make_new), "new");
}

TEST_F(LruRefreshTest, WaitsForReadersToStore) {
  std::optional<Cache::SharedEntry> reader(cache_.shared_entry(1));
  {
    const Worker refresher([&] { EXPECT_EQ(cache_.get_or_refresh(1, 5s, make_new), "new"); });
    await_waiters(cache_, 1, 1);
    EXPECT_EQ(reader->value(), "old");
    reader.reset();
  }
  EXPECT_EQ(cache_.get(1), "new");
}

TEST_F(LruRefreshTest, AReaderMayRefreshWhatItHolds) {
  const auto reader = cache_.shared_entry(1);
  EXPECT_EQ(cache_.get_or_refresh(1, 5s, make_new), "new");  // storing would be a deadlock
  EXPECT_EQ(*reader, "old");
}

TEST_F(LruRefreshTest, AnExecutorRunsIt) {
  std::vector<std::function<void()>> posted;
  const auto post = [&](std::function<void()> work) { posted.push_back(std::move(work)); };
  EXPECT_EQ(cache_.get_or_refresh(1, 5s, make_new, post), "old");
  EXPECT_EQ(cache_.get_or_refresh(1, 5s, never, post), "old");
  ASSERT_EQ(posted.size(), 1U);
  posted[0]();
  EXPECT_EQ(cache_.get(1), "new");
  posted[0]();  // once is enough
  FakeClock::advance(6s);
  EXPECT_EQ(cache_.get_or_refresh(1, 5s, fail, post), "new");
  ASSERT_EQ(posted.size(), 2U);
  posted[1]();
  EXPECT_EQ(cache_.stats().load_failures, 1U);
  EXPECT_EQ(cache_.get_or_refresh(1, 5s, make_new, post), "new");
  EXPECT_EQ(posted.size(), 3U);
  posted.clear();  // dropped: the next caller tries
  EXPECT_EQ(cache_.get_or_refresh(1, 5s, make_new, post), "new");
  EXPECT_EQ(posted.size(), 1U);
  EXPECT_EQ(cache_.get_or_refresh(2, 5s, make_new, post), "new");
  EXPECT_EQ(posted.size(), 1U);
}

TEST_F(LruRefreshTest, AnExecutorThatThrowsLetsTheNextCallerTry) {
  const auto refuse = [](const std::function<void()>&) { throw std::runtime_error("executor"); };
  EXPECT_EQ(cache_.get_or_refresh(1, 5s, never, refuse), "old");
  EXPECT_EQ(cache_.get_or_refresh(1, 5s, make_new), "new");
}

TEST_F(LruRefreshTest, MakersMaySayHowLong) {
  EXPECT_EQ(cache_.get_or_refresh(1, 5s, [] { return Expiring<std::string>{"new", 3s}; }), "new");
  EXPECT_EQ(cache_.entry(1).expires_at(), FakeClock::now() + 3s);
}

TEST(LruRefreshOfPlainCacheTest, KnowsThatValuesAreNoOlderThanTheCache) {
  LruLockMap<int, int> cache(10);
  cache.insert(1, 1);
  EXPECT_EQ(cache.get_or_refresh(1, 24h, [] { return 2; }), 1);
  EXPECT_EQ(cache.get_or_refresh(1, 0s, [] { return 2; }), 2);
}

}  // namespace refresh
}  // namespace
}  // namespace lockmap::test
