// get_or_insert_with: one caller makes the value, the others wait for it.

#include <gtest/gtest.h>

#include <atomic>
#include <concepts>
#include <cstddef>
#include <future>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "maps.hpp"
#include "threads.hpp"
#include "tracked.hpp"
#include "waiting.hpp"

namespace lockmap {
namespace {

using test::make_map;
using test::MapOf;
using test::Tracked;

template <class Family>
class GetOrInsertWithTest : public ::testing::Test {
 protected:
  using Map = MapOf<Family, int, std::string>;
};

LOCKMAP_TEST_BOTH(GetOrInsertWithTest, ResultType) {
  using TestedMap = typename TestFixture::Map;
  static_assert(
      std::same_as<decltype(std::declval<TestedMap&>().get_or_insert_with(1, [] { return ""; })),
                   std::string>);
}

LOCKMAP_TEST_BOTH(GetOrInsertWithTest, MakesTheValueOnce) {
  auto map = make_map<typename TestFixture::Map>();
  int calls = 0;
  const auto make = [&] {
    ++calls;
    return "made " + std::to_string(calls);
  };
  EXPECT_EQ(map.get_or_insert_with(1, make), "made 1");
  EXPECT_EQ(map.get_or_insert_with(1, make), "made 1");
  EXPECT_EQ(map.get(1), "made 1");
  EXPECT_EQ(map.get_or_insert_with(2, make), "made 2");
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(map.size(), 2u);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(GetOrInsertWithTest, PresentValueNeedsNoCall) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "one");
  EXPECT_EQ(map.get_or_insert_with(1,
                                   []() -> std::string {
                                     ADD_FAILURE() << "called for a key with a value";
                                     return "";
                                   }),
            "one");
}

LOCKMAP_TEST_BOTH(GetOrInsertWithTest, SmallAndLargeValues) {
  auto ints = make_map<MapOf<TypeParam, int, int>>();
  EXPECT_EQ(ints.get_or_insert_with(1, [] { return 10; }), 10);
  EXPECT_EQ(ints.get_or_insert_with(1, [] { return 20; }), 10);
  auto vectors = make_map<MapOf<TypeParam, int, std::vector<int>>>();
  const std::vector<int> large(1000, 7);
  EXPECT_EQ(vectors.get_or_insert_with(1, [&] { return large; }), large);
  EXPECT_EQ(vectors.get_or_insert_with(1, [] { return std::vector<int>(); }), large);
}

LOCKMAP_TEST_BOTH(GetOrInsertWithTest, ReturnsACopy) {
  auto map = make_map<MapOf<TypeParam, int, Tracked>>();
  Tracked::reset();
  EXPECT_EQ(map.get_or_insert_with(1, [] { return Tracked(10); }).number(), 10);
  EXPECT_EQ(Tracked::copies(), 1);
  EXPECT_EQ(map.get_or_insert_with(1, [] { return Tracked(20); }).number(), 10);
  EXPECT_EQ(Tracked::copies(), 2);
  EXPECT_EQ(Tracked::alive(), 1);
}

LOCKMAP_TEST_BOTH(GetOrInsertWithTest, RunsTheFunctionUnderTheKeysLock) {
  auto map = make_map<typename TestFixture::Map>();
  map.get_or_insert_with(1, [&] {
    EXPECT_FALSE(map.try_entry(1).has_value());
    EXPECT_FALSE(test::result_in_another_thread([&] { return test::is_free(map, 1); }));
    EXPECT_EQ(map.size(), 0u);
    return "one";
  });
  EXPECT_TRUE(test::is_free(map, 1));
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(GetOrInsertWithTest, OthersWaitForTheOneThatRuns) {
  constexpr std::size_t waiters = 3;
  auto map = make_map<typename TestFixture::Map>();
  std::promise<void> running;
  std::promise<void> finish;
  std::atomic<int> calls = 0;

  auto first = std::async(std::launch::async, [&] {
    return map.get_or_insert_with(1, [&] {
      ++calls;
      running.set_value();
      finish.get_future().wait();
      return "made once";
    });
  });
  running.get_future().wait();
  std::vector<std::future<std::string>> others;
  for (std::size_t i = 0; i < waiters; ++i) {
    others.push_back(std::async(std::launch::async, [&] {
      return map.get_or_insert_with(1, [&] {
        ++calls;
        return "made again";
      });
    }));
  }
  test::await_waiters(map, 1, waiters);
  EXPECT_EQ(map.size(), 0u);
  finish.set_value();

  EXPECT_EQ(first.get(), "made once");
  for (auto& other : others) EXPECT_EQ(other.get(), "made once");
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(map.size(), 1u);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(GetOrInsertWithTest, FunctionThatThrowsStoresNothing) {
  auto map = make_map<typename TestFixture::Map>();
  const auto fail = []() -> std::string { throw std::runtime_error("no value"); };
  EXPECT_THROW(map.get_or_insert_with(1, fail), std::runtime_error);
  EXPECT_FALSE(map.contains(1));
  EXPECT_TRUE(test::is_free(map, 1));
  EXPECT_EQ(detail::TestAccess::node_count(map), 0u);
  EXPECT_EQ(map.get_or_insert_with(1, [] { return "second try"; }), "second try");
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(GetOrInsertWithTest, NextWaiterTriesAfterOneThatThrew) {
  auto map = make_map<typename TestFixture::Map>();
  std::promise<void> running;
  std::promise<void> finish;

  auto first = std::async(std::launch::async, [&] {
    const auto fail = [&]() -> std::string {
      running.set_value();
      finish.get_future().wait();
      throw std::runtime_error("no value");
    };
    EXPECT_THROW(map.get_or_insert_with(1, fail), std::runtime_error);
  });
  running.get_future().wait();
  std::atomic<int> calls = 0;
  std::vector<std::future<std::string>> others;
  for (int i = 0; i < 2; ++i) {
    others.push_back(std::async(std::launch::async, [&] {
      return map.get_or_insert_with(1, [&] {
        ++calls;
        return "second try";
      });
    }));
  }
  test::await_waiters(map, 1, 2);
  finish.set_value();

  first.get();
  for (auto& other : others) EXPECT_EQ(other.get(), "second try");
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(map.size(), 1u);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(GetOrInsertWithTest, WaitsForAGuardAndTakesItsValue) {
  auto map = make_map<typename TestFixture::Map>();
  const auto got = test::expect_waits(
      map, 1, [&] { return map.get_or_insert_with(1, [] { return "made"; }); },
      [](auto& guard) { guard.insert("held"); });
  EXPECT_EQ(got, "held");
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(GetOrInsertWithTest, MakesTheValueAfterAGuardThatStoredNone) {
  auto map = make_map<typename TestFixture::Map>();
  EXPECT_EQ(
      test::expect_waits(map, 1, [&] { return map.get_or_insert_with(1, [] { return "made"; }); }),
      "made");
  EXPECT_EQ(map.get(1), "made");
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(GetOrInsertWithTest, OneCallPerKeyUnderContention) {
  constexpr int keys = 300;
  auto map = make_map<MapOf<TypeParam, int, int>>();
  std::vector<std::atomic<int>> calls(keys);
  test::run_together(4, [&](int) {
    for (int key = 0; key < keys; ++key) {
      const int got = map.get_or_insert_with(key, [&] {
        ++calls[static_cast<std::size_t>(key)];
        return key * 3;
      });
      EXPECT_EQ(got, key * 3);
    }
  });
  for (const auto& count : calls) EXPECT_EQ(count, 1);
  EXPECT_EQ(map.size(), static_cast<std::size_t>(keys));
  test::expect_quiet(map);
}

}  // namespace
}  // namespace lockmap
