// batch_lock, try_batch_lock and the Batch they return.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <functional>
#include <iterator>
#include <list>
#include <optional>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "input_range.hpp"
#include "maps.hpp"
#include "threads.hpp"
#include "tracked.hpp"
#include "waiting.hpp"

namespace lockmap {
namespace {

using test::make_map;
using test::MapOf;

// Hashable and comparable, without an order of its own.
struct Point {
  int x;
  int y;

  friend bool operator==(const Point&, const Point&) = default;

  template <class H>
  friend H AbslHashValue(H state, const Point& point) {
    return H::combine(std::move(state), point.x, point.y);
  }
};

struct ByCoordinates {
  bool operator()(const Point& a, const Point& b) const {
    return a.x != b.x ? a.x < b.x : a.y < b.y;
  }
};

// Writes down the order in which keys that were not moved from die.
class LoggedKey {
 public:
  explicit LoggedKey(int number) : number_(number) {}
  LoggedKey(const LoggedKey&) = default;
  LoggedKey(LoggedKey&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  LoggedKey& operator=(const LoggedKey&) = default;
  LoggedKey& operator=(LoggedKey&& other) noexcept {
    number_ = std::exchange(other.number_, -1);
    return *this;
  }
  ~LoggedKey() {
    if (number_ >= 0) died.push_back(number_);
  }

  friend bool operator==(const LoggedKey&, const LoggedKey&) = default;
  friend auto operator<=>(const LoggedKey&, const LoggedKey&) = default;

  template <class H>
  friend H AbslHashValue(H state, const LoggedKey& key) {
    return H::combine(std::move(state), key.number_);
  }

  static inline std::vector<int> died;

 private:
  int number_;
};

template <class Family>
class BatchTest : public ::testing::Test {
 protected:
  using Map = MapOf<Family, int, std::string>;
  using StringMap = MapOf<Family, std::string, int>;
  using PointMap = MapOf<Family, Point, int>;
  using Batch = typename Map::Batch;

  // The keys of a batch, in its order.
  template <class B>
  static auto keys_of(const B& batch) {
    std::vector<std::remove_cvref_t<decltype(batch[0].key())>> keys;
    for (const auto& entry : batch) keys.push_back(entry.key());
    return keys;
  }

  template <class M, class Key>
  static bool free_elsewhere(M& map, const Key& key) {
    return test::result_in_another_thread([&] { return test::is_free(map, key); });
  }
};

using Ints = std::vector<int>;
using Strings = std::vector<std::string>;

LOCKMAP_TEST_BOTH(BatchTest, ResultTypes) {
  using TestedMap = typename TestFixture::Map;
  using TestedBatch = typename TestedMap::Batch;
  using TestedEntry = typename TestedMap::Entry;
  TestedMap* map = nullptr;
  const Ints keys;
  static_assert(std::same_as<decltype(map->batch_lock(keys)), TestedBatch>);
  static_assert(std::same_as<decltype(map->batch_lock({1, 2})), TestedBatch>);
  static_assert(std::same_as<decltype(map->batch_lock(keys, std::greater<>{})), TestedBatch>);
  static_assert(std::same_as<decltype(map->try_batch_lock(keys)), std::optional<TestedBatch>>);
  static_assert(std::same_as<decltype(map->try_batch_lock({1, 2})), std::optional<TestedBatch>>);
  static_assert(std::same_as<decltype(map->try_batch_lock(keys, std::greater<>{})),
                             std::optional<TestedBatch>>);

  TestedBatch* batch = nullptr;
  const TestedBatch* constant = nullptr;
  static_assert(std::same_as<decltype((*batch)[0]), TestedEntry&>);
  static_assert(std::same_as<decltype((*constant)[0]), const TestedEntry&>);
  static_assert(std::same_as<decltype(batch->at(1)), TestedEntry&>);
  static_assert(std::same_as<decltype(constant->at(1)), const TestedEntry&>);
  static_assert(std::same_as<decltype(batch->find(1)), TestedEntry*>);
  static_assert(std::same_as<decltype(constant->find(1)), const TestedEntry*>);
  static_assert(std::same_as<decltype(constant->contains(1)), bool>);
  static_assert(std::same_as<decltype(constant->empty()), bool>);
  static_assert(std::same_as<decltype(constant->size()), std::size_t>);
}

// So they take no allocation. Both kinds can be moved and assigned, onto each other too.
LOCKMAP_TEST_BOTH(BatchTest, AFewGuardsAreInTheBatchItself) {
  auto map = make_map<typename TestFixture::Map>();
  using TestedBatch = typename TestFixture::Batch;
  const auto is_inside = [](const TestedBatch& batch) {
    const auto* const first = reinterpret_cast<const std::byte*>(batch.begin());
    const auto* const begin = reinterpret_cast<const std::byte*>(&batch);
    return !std::less<>{}(first, begin) && std::less<>{}(first, begin + sizeof(batch));
  };
  const Ints few{1, 2, 3, 4, 5, 6, 7, 8};
  const Ints many{11, 12, 13, 14, 15, 16, 17, 18, 19};
  {
    TestedBatch batch = map.batch_lock(few);
    TestedBatch large = map.batch_lock(many);
    EXPECT_TRUE(is_inside(batch));
    EXPECT_FALSE(is_inside(large));
    TestedBatch moved = std::move(batch);
    EXPECT_TRUE(is_inside(moved));
    EXPECT_TRUE(batch.empty());  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(TestFixture::keys_of(moved), few);
    batch = std::move(large);
    EXPECT_TRUE(large.empty());  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(TestFixture::keys_of(batch), many);
    batch = std::move(moved);
    EXPECT_EQ(TestFixture::keys_of(batch), few);
    EXPECT_TRUE(TestFixture::free_elsewhere(map, 15));
    EXPECT_FALSE(TestFixture::free_elsewhere(map, 5));
    large = map.batch_lock(many);
    batch = std::move(large);
    EXPECT_TRUE(TestFixture::free_elsewhere(map, 5));
    EXPECT_FALSE(TestFixture::free_elsewhere(map, 15));
  }
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(BatchTest, IsAMoveOnlyRandomAccessRange) {
  using TestedBatch = typename TestFixture::Batch;
  static_assert(std::ranges::random_access_range<TestedBatch>);
  static_assert(std::ranges::random_access_range<const TestedBatch>);
  static_assert(std::ranges::sized_range<TestedBatch>);
  static_assert(std::ranges::common_range<TestedBatch>);
  static_assert(
      std::same_as<std::ranges::range_value_t<TestedBatch>, typename TestFixture::Map::Entry>);
  static_assert(!std::is_copy_constructible_v<TestedBatch>);
  static_assert(!std::is_copy_assignable_v<TestedBatch>);
  static_assert(std::is_nothrow_move_constructible_v<TestedBatch>);
  static_assert(std::is_move_assignable_v<TestedBatch>);
}

LOCKMAP_TEST_BOTH(BatchTest, HoldsTheKeysInSortedOrder) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "one");
  map.insert(3, "three");
  {
    auto batch = map.batch_lock({3, 1, 2});
    EXPECT_EQ(batch.size(), 3u);
    EXPECT_FALSE(batch.empty());
    EXPECT_EQ(TestFixture::keys_of(batch), (Ints{1, 2, 3}));
    EXPECT_EQ(batch[0].value(), "one");
    EXPECT_FALSE(batch[1].has_value());
    EXPECT_EQ(batch[2].value(), "three");
    for (int key : {1, 2, 3}) EXPECT_FALSE(TestFixture::free_elsewhere(map, key));
    EXPECT_TRUE(TestFixture::free_elsewhere(map, 4));
  }
  for (int key : {1, 2, 3}) EXPECT_TRUE(TestFixture::free_elsewhere(map, key));
  EXPECT_EQ(map.size(), 2u);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(BatchTest, DuplicatesAreTakenOnce) {
  auto map = make_map<typename TestFixture::Map>();
  {
    auto batch = map.batch_lock({2, 1, 2, 1, 1, 2});
    EXPECT_EQ(TestFixture::keys_of(batch), (Ints{1, 2}));
  }
  {
    auto batch = map.try_batch_lock({7, 7, 7});
    ASSERT_TRUE(batch.has_value());
    EXPECT_EQ(TestFixture::keys_of(*batch), (Ints{7}));
  }
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(BatchTest, OfNothingIsEmpty) {
  auto map = make_map<typename TestFixture::Map>();
  auto batch = map.batch_lock(Ints{});
  EXPECT_TRUE(batch.empty());
  EXPECT_EQ(batch.size(), 0u);
  EXPECT_EQ(batch.begin(), batch.end());
  EXPECT_EQ(batch.find(1), nullptr);
  EXPECT_FALSE(batch.contains(1));
  EXPECT_THROW(std::ignore = batch.at(1), std::out_of_range);
  auto tried = map.try_batch_lock(Ints{});
  ASSERT_TRUE(tried.has_value());
  EXPECT_TRUE(tried->empty());
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(BatchTest, OfOneKey) {
  auto map = make_map<typename TestFixture::Map>();
  auto batch = map.batch_lock({5});
  EXPECT_EQ(TestFixture::keys_of(batch), (Ints{5}));
  EXPECT_FALSE(TestFixture::free_elsewhere(map, 5));
}

LOCKMAP_TEST_BOTH(BatchTest, TakesEveryKindOfRange) {
  auto map = make_map<typename TestFixture::Map>();
  const Ints sorted = {1, 2, 3};
  const Ints vector = {3, 1, 2};
  EXPECT_EQ(TestFixture::keys_of(map.batch_lock(vector)), sorted);
  EXPECT_EQ(TestFixture::keys_of(map.batch_lock(Ints{3, 1, 2})), sorted);
  EXPECT_EQ(TestFixture::keys_of(map.batch_lock(std::array{2, 3, 1})), sorted);
  EXPECT_EQ(TestFixture::keys_of(map.batch_lock(std::list<int>{2, 3, 1})), sorted);
  EXPECT_EQ(TestFixture::keys_of(map.batch_lock(std::set<int>{2, 3, 1})), sorted);
  EXPECT_EQ(TestFixture::keys_of(map.batch_lock(test::InputRange<int>({3, 1, 2, 3}))), sorted);
  test::InputRange<int> named({2, 1, 3});
  EXPECT_EQ(TestFixture::keys_of(map.batch_lock(named)), sorted);
  const int array[] = {3, 2, 1, 2};
  EXPECT_EQ(TestFixture::keys_of(map.batch_lock(array)), sorted);
  // Anything a key can be constructed from will do.
  EXPECT_EQ(TestFixture::keys_of(map.batch_lock(std::vector<short>{3, 1, 2})), sorted);
  EXPECT_EQ(vector, (Ints{3, 1, 2}));
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(BatchTest, TryTakesEveryKindOfRange) {
  auto map = make_map<typename TestFixture::Map>();
  const Ints sorted = {1, 2, 3};
  const Ints vector = {3, 1, 2};
  EXPECT_EQ(TestFixture::keys_of(map.try_batch_lock(vector).value()), sorted);
  EXPECT_EQ(TestFixture::keys_of(map.try_batch_lock(std::list<int>{2, 3, 1}).value()), sorted);
  EXPECT_EQ(TestFixture::keys_of(map.try_batch_lock(test::InputRange<int>({3, 1, 2})).value()),
            sorted);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(BatchTest, StringKeysByAnyString) {
  auto map = make_map<typename TestFixture::StringMap>();
  const Strings sorted = {"a", "b", "c"};
  EXPECT_EQ(TestFixture::keys_of(map.batch_lock({"c", "a", "b", "a"})), sorted);
  EXPECT_EQ(TestFixture::keys_of(map.batch_lock(Strings{"c", "a", "b"})), sorted);
  EXPECT_EQ(TestFixture::keys_of(map.batch_lock(std::vector<std::string_view>{"c", "a", "b"})),
            sorted);
  EXPECT_EQ(TestFixture::keys_of(map.batch_lock(std::vector<const char*>{"c", "a", "b"})), sorted);
  EXPECT_EQ(
      TestFixture::keys_of(map.batch_lock(test::InputRange<std::string_view>({"c", "a", "b"}))),
      sorted);
  EXPECT_EQ(TestFixture::keys_of(
                map.try_batch_lock(std::vector<std::string_view>{"c", "a", "b"}).value()),
            sorted);
  EXPECT_EQ(TestFixture::keys_of(map.try_batch_lock({"c", "a", "b"}).value()), sorted);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(BatchTest, KeysOfATemporaryRangeAreKept) {
  auto map = make_map<typename TestFixture::StringMap>();
  const std::string prefix = "a key too long to be stored in place ";
  const auto make_keys = [&] {
    Strings keys;
    for (char c : {'c', 'a', 'b'}) keys.push_back(prefix + c);
    return keys;
  };
  auto batch = map.batch_lock(make_keys());
  EXPECT_EQ(TestFixture::keys_of(batch), (Strings{prefix + "a", prefix + "b", prefix + "c"}));
}

LOCKMAP_TEST_BOTH(BatchTest, ComparatorGivesTheOrder) {
  auto map = make_map<typename TestFixture::Map>();
  const Ints descending = {3, 2, 1};
  EXPECT_EQ(TestFixture::keys_of(map.batch_lock(Ints{1, 3, 2, 3}, std::greater<>{})), descending);
  EXPECT_EQ(TestFixture::keys_of(map.try_batch_lock(Ints{1, 3, 2, 3}, std::greater<>{}).value()),
            descending);
  EXPECT_EQ(TestFixture::keys_of(map.batch_lock({1, 3, 2, 3}, std::greater<>{})), descending);
  EXPECT_EQ(TestFixture::keys_of(map.try_batch_lock({1, 3, 2}, std::greater<int>{}).value()),
            descending);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(BatchTest, ComparatorServesKeysWithoutAnOrder) {
  auto map = make_map<typename TestFixture::PointMap>();
  map.insert(Point{1, 2}, 12);
  auto batch = map.batch_lock(std::vector<Point>{{2, 1}, {1, 2}, {1, 1}, {1, 2}}, ByCoordinates{});
  ASSERT_EQ(batch.size(), 3u);
  EXPECT_EQ(batch[0].key(), (Point{1, 1}));
  EXPECT_EQ(batch[1].key(), (Point{1, 2}));
  EXPECT_EQ(batch[2].key(), (Point{2, 1}));
  EXPECT_EQ(batch.at(Point{1, 2}).value(), 12);
  EXPECT_EQ(batch.find(Point{5, 5}), nullptr);
  EXPECT_TRUE(batch.contains(Point{2, 1}));
  EXPECT_FALSE(batch.contains(Point{2, 2}));
}

LOCKMAP_TEST_BOTH(BatchTest, AtFindAndContains) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(2, "two");
  auto batch = map.batch_lock({4, 2, 6});
  for (int key : {2, 4, 6}) {
    EXPECT_TRUE(batch.contains(key));
    ASSERT_NE(batch.find(key), nullptr);
    EXPECT_EQ(batch.find(key)->key(), key);
    EXPECT_EQ(&batch.at(key), batch.find(key));
  }
  for (int key : {1, 3, 5, 7}) {
    EXPECT_FALSE(batch.contains(key));
    EXPECT_EQ(batch.find(key), nullptr);
    EXPECT_THROW(std::ignore = batch.at(key), std::out_of_range);
  }
  EXPECT_EQ(batch.at(2).value(), "two");
  EXPECT_EQ(&batch.at(2), &batch[0]);
  batch.at(4).insert("four");
  const auto& constant = batch;
  EXPECT_EQ(constant.at(4).value(), "four");
  EXPECT_EQ(constant.find(6), &batch[2]);
  EXPECT_TRUE(constant.contains(6));
  EXPECT_THROW(std::ignore = constant.at(5), std::out_of_range);
}

LOCKMAP_TEST_BOTH(BatchTest, AtTakesAnyStringThatLookupTakes) {
  auto map = make_map<typename TestFixture::StringMap>();
  auto batch = map.batch_lock({"b", "a"});
  batch.at("a").insert(1);
  batch.at(std::string_view("b")).insert(2);
  EXPECT_EQ(batch.at(std::string("a")).value(), 1);
  EXPECT_EQ(batch.find("b")->value(), 2);
  const char* pointer = "a";
  EXPECT_TRUE(batch.contains(pointer));
  EXPECT_FALSE(batch.contains(std::string_view("c")));
}

LOCKMAP_TEST_BOTH(BatchTest, FindWorksInEveryOrderAndSize) {
  auto map = make_map<typename TestFixture::Map>();
  Ints keys;
  for (int key = 0; key < 200; key += 2) keys.push_back(key);
  auto batch = map.batch_lock(keys, std::greater<>{});
  for (int key = 0; key < 200; ++key) {
    ASSERT_EQ(batch.contains(key), key % 2 == 0);
    if (key % 2 == 0) {
      ASSERT_EQ(batch.at(key).key(), key);
    }
  }
}

LOCKMAP_TEST_BOTH(BatchTest, IteratesLikeAnyRange) {
  auto map = make_map<typename TestFixture::Map>();
  {
    auto batch = map.batch_lock({1, 2, 3});
    for (auto& entry : batch) entry.insert("value " + std::to_string(entry.key()));
    EXPECT_EQ(std::distance(batch.begin(), batch.end()), 3);
    EXPECT_EQ((batch.begin() + 2)->key(), 3);
    EXPECT_EQ(batch.begin()[1].key(), 2);
    EXPECT_EQ(std::prev(batch.end())->key(), 3);
    EXPECT_EQ(std::count_if(batch.begin(), batch.end(), [](auto& e) { return e.has_value(); }), 3);
  }
  EXPECT_EQ(map.get(2), "value 2");
  EXPECT_EQ(map.size(), 3u);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(BatchTest, AbsentKeysLeaveNoTrace) {
  auto map = make_map<typename TestFixture::Map>();
  for (int i = 0; i < 50; ++i) {
    auto batch = map.batch_lock({i, i + 1, i + 2});
    EXPECT_EQ(map.size(), 0u);
  }
  EXPECT_EQ(detail::TestAccess::node_count(map), 0u);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(BatchTest, MoveConstructionHandsTheLocksOver) {
  auto map = make_map<typename TestFixture::Map>();
  {
    auto a = map.batch_lock({1, 2});
    {
      auto b = std::move(a);
      EXPECT_EQ(TestFixture::keys_of(b), (Ints{1, 2}));
      EXPECT_TRUE(b.contains(2));
      EXPECT_FALSE(TestFixture::free_elsewhere(map, 1));
    }
    EXPECT_TRUE(TestFixture::free_elsewhere(map, 1));
    EXPECT_TRUE(TestFixture::free_elsewhere(map, 2));
  }
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(BatchTest, MoveAssignmentReleasesWhatWasHeld) {
  auto map = make_map<typename TestFixture::Map>();
  {
    auto a = map.batch_lock({1, 2});
    a = map.batch_lock({3, 4});
    EXPECT_EQ(TestFixture::keys_of(a), (Ints{3, 4}));
    EXPECT_TRUE(TestFixture::free_elsewhere(map, 1));
    EXPECT_TRUE(TestFixture::free_elsewhere(map, 2));
    EXPECT_FALSE(TestFixture::free_elsewhere(map, 3));
    EXPECT_FALSE(TestFixture::free_elsewhere(map, 4));
    a = map.batch_lock(Ints{});
    EXPECT_TRUE(TestFixture::free_elsewhere(map, 3));
  }
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(BatchTest, OneEntryCanBeReleasedEarly) {
  auto map = make_map<typename TestFixture::Map>();
  {
    auto batch = map.batch_lock({1, 2, 3});
    batch[1].unlock();
    EXPECT_TRUE(TestFixture::free_elsewhere(map, 2));
    EXPECT_FALSE(TestFixture::free_elsewhere(map, 1));
    EXPECT_FALSE(TestFixture::free_elsewhere(map, 3));
  }
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(BatchTest, WaitsForAHeldKeyHoldingTheOnesBefore) {
  auto map = make_map<typename TestFixture::Map>();
  test::expect_waits(
      map, 2,
      [&] {
        EXPECT_EQ(TestFixture::keys_of(map.batch_lock({3, 2, 1})), (Ints{1, 2, 3}));
      },
      [&](auto& /*guard*/) {
        EXPECT_FALSE(test::is_free(map, 1));
        EXPECT_TRUE(test::is_free(map, 3));
      });
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(BatchTest, ComparatorGivesTheOrderOfAcquisition) {
  auto map = make_map<typename TestFixture::Map>();
  test::expect_waits(
      map, 2,
      [&] {
        EXPECT_EQ(map.batch_lock(Ints{1, 2, 3}, std::greater<>{}).size(), std::size_t{3});
      },
      [&](auto& /*guard*/) {
        EXPECT_TRUE(test::is_free(map, 1));
        EXPECT_FALSE(test::is_free(map, 3));
      });
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(BatchTest, TryIsAllOrNothing) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(2, "two");
  for (int held : {1, 2, 3}) {
    {
      auto guard = map.entry(held);
      test::in_another_thread([&] {
        EXPECT_FALSE(map.try_batch_lock({3, 1, 2}).has_value());
        EXPECT_FALSE(map.try_batch_lock(Ints{3, 1, 2}, std::greater<>{}).has_value());
        for (int key : {1, 2, 3}) EXPECT_EQ(test::is_free(map, key), key != held);
        EXPECT_TRUE(map.try_batch_lock({4, 5}).has_value());
      });
    }
    EXPECT_TRUE(map.try_batch_lock({3, 1, 2}).has_value());
  }
  EXPECT_EQ(map.size(), 1u);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(BatchTest, TryIsEmptyOnAKeyTheThreadHoldsItself) {
  auto map = make_map<typename TestFixture::Map>();
  {
    auto guard = map.entry(2);
    EXPECT_FALSE(map.try_batch_lock({1, 2, 3}).has_value());
    EXPECT_TRUE(TestFixture::free_elsewhere(map, 1));
    EXPECT_TRUE(TestFixture::free_elsewhere(map, 3));
  }
  test::expect_quiet(map);
}

// Keys that were only locked die when they are released, which shows the order.
LOCKMAP_TEST_BOTH(BatchTest, ReleasesInReverseOrder) {
  auto map = make_map<MapOf<TypeParam, LoggedKey, int>>();
  std::vector<LoggedKey> keys;
  for (int number : {4, 1, 3, 2}) keys.emplace_back(number);
  std::optional<typename MapOf<TypeParam, LoggedKey, int>::Batch> batch = map.batch_lock(keys);
  ASSERT_EQ(batch->size(), 4u);
  LoggedKey::died.clear();
  batch.reset();
  EXPECT_EQ(LoggedKey::died, (Ints{4, 3, 2, 1}));
  test::expect_quiet(map);
}

// The first key is released last: who gets it finds the others free.
LOCKMAP_TEST_BOTH(BatchTest, FirstKeyIsReleasedLast) {
  auto map = make_map<typename TestFixture::Map>();
  for (int key : {1, 2, 3}) map.insert(key, "value");
  for (int round = 0; round < 50; ++round) {
    std::optional<test::Worker> other;
    {
      auto batch = map.batch_lock({1, 2, 3});
      other.emplace([&] {
        auto first = map.entry(1);
        EXPECT_TRUE(test::is_free(map, 2));
        EXPECT_TRUE(test::is_free(map, 3));
      });
      test::await_waiters(map, 1, 1);
    }
    other.reset();
  }
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(BatchTest, CrossingBatchesNeitherDeadlockNorTear) {
  constexpr int accounts = 6;
  constexpr int rounds = 400;
  auto map = make_map<MapOf<TypeParam, int, int>>();
  for (int key = 0; key < accounts; ++key) map.insert(key, 100);
  test::run_together(4, [&](int thread) {
    for (int i = 0; i < rounds; ++i) {
      const int from = (thread + i) % accounts;
      const int to = (thread + i * 5 + 1) % accounts;
      auto batch = map.batch_lock({from, to});
      batch.at(from).value() -= 1;
      batch.at(to).value() += 1;
    }
  });
  int total = 0;
  for (int key = 0; key < accounts; ++key) total += map.get(key).value();
  EXPECT_EQ(total, accounts * 100);
  test::expect_quiet(map);
}

}  // namespace
}  // namespace lockmap
