// for_each, retain, clear, size and empty.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <future>
#include <map>
#include <string>
#include <tuple>
#include <type_traits>
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

// Inserts new keys whenever it is called: at first enough to grow the table under the walk, then
// one for each visit, so that a walk that comes to every new key never ends.
template <class Map>
class InsertingCallback {
 public:
  InsertingCallback(Map& map, int first_new_key) : map_(map), next_(first_new_key) {}

  void operator()(int key) {
    EXPECT_EQ(++seen_[key], 1) << "visited twice: " << key;
    const int end = seen_.size() == 1 ? next_ + 2000 : next_ + 1;
    while (next_ < std::min(end, limit)) map_.insert(next_++, 0);
  }

  bool endless() const { return next_ == limit; }
  int times(int key) const { return seen_.contains(key) ? seen_.at(key) : 0; }
  std::size_t keys() const { return static_cast<std::size_t>(next_); }

 private:
  static constexpr int limit = 50'000;

  Map& map_;
  int next_;
  std::map<int, int> seen_;
};

template <class Family>
class WholeMapTest : public ::testing::Test {
 protected:
  using Map = MapOf<Family, int, std::string>;
  using IntMap = MapOf<Family, int, int>;

  static void fill(IntMap& map, int keys) {
    for (int key = 0; key < keys; ++key) map.insert(key, key * 10);
  }

  // How often for_each came to each key.
  static std::map<int, int> visits(const IntMap& map) {
    std::map<int, int> count;
    map.for_each([&](int key, int) { ++count[key]; });
    return count;
  }
};

LOCKMAP_TEST_BOTH(WholeMapTest, ResultTypes) {
  using TestedMap = typename TestFixture::Map;
  TestedMap* map = nullptr;
  const TestedMap* constant = nullptr;
  const auto look = [](const int&, const std::string&) {};
  const auto keep = [](const int&, std::string&) { return true; };
  static_assert(std::same_as<decltype(constant->for_each(look)), void>);
  static_assert(std::same_as<decltype(map->retain(keep)), std::size_t>);
  static_assert(std::same_as<decltype(map->clear()), void>);
  static_assert(std::same_as<decltype(constant->size()), std::size_t>);
  static_assert(std::same_as<decltype(constant->empty()), bool>);
}

LOCKMAP_TEST_BOTH(WholeMapTest, CallbacksGetWhatTheyMayChange) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "one");
  map.for_each([](auto&& key, auto&& value) {
    static_assert(std::same_as<decltype(key), const int&>);
    static_assert(std::same_as<decltype(value), const std::string&>);
  });
  map.retain([](auto&& key, auto&& value) {
    static_assert(std::same_as<decltype(key), const int&>);
    static_assert(std::same_as<decltype(value), std::string&>);
    return true;
  });
}

LOCKMAP_TEST_BOTH(WholeMapTest, ForEachVisitsEveryValueOnce) {
  for (std::size_t shards : {1u, 3u, 256u}) {
    auto map = make_map<typename TestFixture::IntMap>(shards);
    TestFixture::fill(map, 1000);
    std::map<int, int> seen;
    map.for_each([&](const int& key, const int& value) {
      EXPECT_TRUE(seen.emplace(key, value).second) << "visited twice: " << key;
    });
    ASSERT_EQ(seen.size(), 1000u);
    for (const auto& [key, value] : seen) ASSERT_EQ(value, key * 10);
    test::expect_quiet(map);
  }
}

LOCKMAP_TEST_BOTH(WholeMapTest, NothingToDoInAnEmptyMap) {
  auto map = make_map<typename TestFixture::IntMap>();
  map.for_each([](int, int) { ADD_FAILURE(); });
  EXPECT_EQ(map.retain([](int, int&) {
    ADD_FAILURE();
    return false;
  }),
            0u);
  map.clear();
  EXPECT_TRUE(map.empty());
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(WholeMapTest, CallbacksHoldTheirKey) {
  auto map = make_map<typename TestFixture::IntMap>();
  TestFixture::fill(map, 5);
  const auto held = [&](int key) {
    return !test::result_in_another_thread([&] { return test::is_free(map, key); });
  };
  map.for_each([&](int key, int) { EXPECT_TRUE(held(key)); });
  map.retain([&](int key, int&) {
    EXPECT_TRUE(held(key));
    return true;
  });
  for (int key = 0; key < 5; ++key) EXPECT_TRUE(test::is_free(map, key));
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(WholeMapTest, RetainKeepsAndCounts) {
  for (std::size_t shards : {1u, 3u, 256u}) {
    auto map = make_map<typename TestFixture::IntMap>(shards);
    TestFixture::fill(map, 1000);
    EXPECT_EQ(map.retain([](int key, int&) { return key % 4 == 0; }), 750u);
    EXPECT_EQ(map.size(), 250u);
    for (int key = 0; key < 1000; ++key) ASSERT_EQ(map.contains(key), key % 4 == 0);
    EXPECT_EQ(map.retain([](int, int&) { return true; }), 0u);
    EXPECT_EQ(map.size(), 250u);
    EXPECT_EQ(map.retain([](int, int&) { return false; }), 250u);
    EXPECT_TRUE(map.empty());
    test::expect_quiet(map);
  }
}

LOCKMAP_TEST_BOTH(WholeMapTest, RetainMayChangeValues) {
  auto map = make_map<typename TestFixture::IntMap>();
  TestFixture::fill(map, 100);
  map.retain([](int key, int& value) {
    value += 1;
    return key < 50;
  });
  EXPECT_EQ(map.size(), 50u);
  for (int key = 0; key < 50; ++key) ASSERT_EQ(map.get(key), key * 10 + 1);
}

LOCKMAP_TEST_BOTH(WholeMapTest, RetainVisitsEveryValueOnce) {
  auto map = make_map<typename TestFixture::IntMap>();
  TestFixture::fill(map, 500);
  std::map<int, int> seen;
  map.retain([&](int key, int&) {
    ++seen[key];
    return key % 2 == 0;
  });
  EXPECT_EQ(seen.size(), 500u);
  for (const auto& [key, times] : seen) EXPECT_EQ(times, 1) << key;
}

LOCKMAP_TEST_BOTH(WholeMapTest, ClearRemovesEverything) {
  auto map = make_map<MapOf<TypeParam, int, Tracked>>();
  Tracked::reset();
  for (int round = 0; round < 3; ++round) {
    for (int key = 0; key < 500; ++key) map.insert(key, Tracked(key));
    EXPECT_EQ(Tracked::alive(), 500);
    map.clear();
    EXPECT_EQ(map.size(), 0u);
    EXPECT_TRUE(map.empty());
    EXPECT_EQ(Tracked::alive(), 0);
    EXPECT_FALSE(map.contains(1));
    test::expect_quiet(map);
  }
}

LOCKMAP_TEST_BOTH(WholeMapTest, NoValueIsCopied) {
  auto map = make_map<MapOf<TypeParam, int, Tracked>>();
  for (int key = 0; key < 100; ++key) map.insert(key, Tracked(key));
  Tracked::reset();
  map.for_each([](int key, const Tracked& value) { EXPECT_EQ(value.number(), key); });
  map.retain([](int key, Tracked&) { return key < 50; });
  map.clear();
  EXPECT_EQ(Tracked::copies(), 0);
}

// Whether a walk waits for a key that is locked and has no value is its own business.
LOCKMAP_TEST_BOTH(WholeMapTest, KeysOnlyLockedAreNotVisited) {
  auto map = make_map<typename TestFixture::IntMap>();
  TestFixture::fill(map, 3);
  std::future<std::map<int, int>> seen;
  {
    auto guard = map.entry(7);
    seen = std::async(std::launch::async, [&] { return TestFixture::visits(map); });
    const auto waits_or_ended = [&] {
      return detail::TestAccess::waiters(map, 7) == 1 ||
             seen.wait_for(std::chrono::seconds{0}) == std::future_status::ready;
    };
    test::await(waits_or_ended, "for_each to wait or to end");
    EXPECT_EQ(map.size(), 3u);
  }
  EXPECT_EQ(seen.get(), (std::map<int, int>{{0, 1}, {1, 1}, {2, 1}}));
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(WholeMapTest, ForEachWaitsForAHeldKey) {
  auto map = make_map<typename TestFixture::IntMap>();
  TestFixture::fill(map, 20);
  std::map<int, int> seen;
  test::expect_waits(
      map, 7, [&] { map.for_each([&](int key, int value) { seen[key] = value; }); },
      [](auto& guard) { guard.insert(-1); });
  ASSERT_EQ(seen.size(), 20u);
  for (const auto& [key, value] : seen) EXPECT_EQ(value, key == 7 ? -1 : key * 10);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(WholeMapTest, RetainWaitsForAHeldKey) {
  auto map = make_map<typename TestFixture::IntMap>();
  TestFixture::fill(map, 20);
  const auto removed = test::expect_waits(
      map, 7, [&] { return map.retain([](int, int& value) { return value == -1; }); },
      [](auto& guard) { guard.insert(-1); });
  EXPECT_EQ(removed, 19u);
  EXPECT_EQ(map.size(), 1u);
  EXPECT_EQ(map.get(7), -1);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(WholeMapTest, ClearWaitsForAHeldKey) {
  auto map = make_map<typename TestFixture::IntMap>();
  TestFixture::fill(map, 20);
  test::expect_waits(
      map, 7, [&] { map.clear(); },
      [&](auto& guard) {
        EXPECT_TRUE(guard.has_value());
        EXPECT_GE(map.size(), 1u);
      });
  EXPECT_TRUE(map.empty());
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(WholeMapTest, KeyRemovedByItsHolderIsNotVisited) {
  auto map = make_map<typename TestFixture::IntMap>();
  TestFixture::fill(map, 20);
  std::map<int, int> seen;
  test::expect_waits(
      map, 7, [&] { seen = TestFixture::visits(map); }, [](auto& guard) { guard.remove(); });
  EXPECT_EQ(seen.size(), 19u);
  EXPECT_FALSE(seen.contains(7));
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(WholeMapTest, ForEachEndsThoughItsCallbackInserts) {
  for (std::size_t shards : {1u, 3u}) {
    auto map = make_map<typename TestFixture::IntMap>(shards);
    TestFixture::fill(map, 10);
    InsertingCallback callback(map, 10);
    map.for_each([&](int key, int) { callback(key); });
    EXPECT_FALSE(callback.endless());
    for (int key = 0; key < 10; ++key) EXPECT_EQ(callback.times(key), 1);
    EXPECT_EQ(map.size(), callback.keys());
    test::expect_quiet(map);
  }
}

LOCKMAP_TEST_BOTH(WholeMapTest, RetainEndsThoughItsCallbackInserts) {
  for (std::size_t shards : {1u, 3u}) {
    auto map = make_map<typename TestFixture::IntMap>(shards);
    TestFixture::fill(map, 10);
    InsertingCallback callback(map, 10);
    const auto removed = map.retain([&](int key, int&) {
      callback(key);
      return false;
    });
    EXPECT_FALSE(callback.endless());
    for (int key = 0; key < 10; ++key) {
      EXPECT_EQ(callback.times(key), 1);
      EXPECT_FALSE(map.contains(key));
    }
    EXPECT_EQ(map.size() + removed, callback.keys());
    test::expect_quiet(map);
  }
}

LOCKMAP_TEST_BOTH(WholeMapTest, CallbackMayRemoveOtherKeys) {
  for (std::size_t shards : {1u, 3u}) {
    auto map = make_map<typename TestFixture::IntMap>(shards);
    TestFixture::fill(map, 100);
    int visited = 0;
    map.for_each([&](int key, int) {
      ++visited;
      map.remove(key ^ 1);
    });
    EXPECT_EQ(visited, 50);
    EXPECT_EQ(map.size(), 50u);
    test::expect_quiet(map);
  }
}

LOCKMAP_TEST_BOTH(WholeMapTest, KeysThatStayAreVisitedOnceUnderChange) {
  constexpr int stable = 200;
  auto map = make_map<typename TestFixture::IntMap>();
  TestFixture::fill(map, stable);
  std::atomic<bool> done = false;
  test::run_together(2, [&](int thread) {
    if (thread == 0) {
      for (int round = 0; round < 20; ++round) {
        const auto count = TestFixture::visits(map);
        for (int key = 0; key < stable; ++key) {
          const auto found = count.find(key);
          EXPECT_EQ(found == count.end() ? 0 : found->second, 1) << key;
        }
      }
      done = true;
    } else {
      for (int i = 0; !done; ++i) {
        const int key = stable + i % 1000;
        if (!map.try_insert(key, 0)) map.remove(key);
        std::ignore = map.get(i % stable);
      }
    }
  });
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(WholeMapTest, ConcurrentRetainsRemoveEachKeyOnce) {
  auto map = make_map<typename TestFixture::IntMap>();
  TestFixture::fill(map, 1000);
  std::atomic<std::size_t> removed = 0;
  test::run_together(
      3, [&](int) { removed += map.retain([](int key, int&) { return key % 10 == 0; }); });
  EXPECT_EQ(removed, 900u);
  EXPECT_EQ(map.size(), 100u);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(WholeMapTest, SizeFollowsEveryChange) {
  auto map = make_map<typename TestFixture::IntMap>();
  std::size_t expected = 0;
  for (int key = 0; key < 300; ++key) {
    map.insert(key, key);
    ASSERT_EQ(map.size(), ++expected);
  }
  for (int key = 0; key < 300; key += 3) {
    map.remove(key);
    ASSERT_EQ(map.size(), --expected);
  }
  map.get_or_insert_with(1000, [] { return 1; });
  EXPECT_EQ(map.size(), ++expected);
  map.clear();
  EXPECT_EQ(map.size(), 0u);
}

}  // namespace
}  // namespace lockmap
