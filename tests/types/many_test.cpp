// get_many, read_many, insert_many: many keys at a time, none held while another is waited for.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <list>
#include <map>
#include <optional>
#include <ranges>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "counting_functors.hpp"
#include "input_range.hpp"
#include "maps.hpp"
#include "threads.hpp"
#include "throw_on.hpp"
#include "tracked.hpp"
#include "waiting.hpp"

namespace lockmap::test::many {
namespace {

template <class Family>
class ManyTest : public ::testing::Test {
 protected:
  using Map = MapOf<Family, int, std::string>;
  using IntMap = MapOf<Family, int, int>;
  using StringMap = MapOf<Family, std::string, int>;

  template <class M>
  static void fill(M& map, int count) {
    for (int key = 0; key < count; ++key) {
      if constexpr (std::same_as<typename M::mapped_type, int>) {
        map.insert(key, 10 * key);
      } else {
        map.insert(key, std::to_string(10 * key));
      }
    }
  }
};

// More than a few groups, in no order, with duplicates and absent keys.
std::vector<int> mixed_keys(int count) {
  std::vector<int> keys;
  for (int i = 0; i < count; ++i) keys.push_back(i * 37 % (count + 20));
  if (count != 0) keys.push_back(keys.front());
  return keys;
}

template <class Map>
auto one_by_one(const Map& map, const std::vector<int>& keys) {
  std::vector<std::optional<typename Map::mapped_type>> values;
  for (const int key : keys) values.push_back(map.get(key));
  return values;
}

LOCKMAP_TEST_BOTH(ManyTest, ResultTypes) {
  using Tested = typename TestFixture::Map;
  const Tested* map = nullptr;
  Tested* changed = nullptr;
  const std::vector<int> keys;
  const std::vector<std::pair<int, std::string>> pairs;
  using Values = std::vector<std::optional<std::string>>;
  static_assert(std::same_as<decltype(map->get_many(keys)), Values>);
  static_assert(std::same_as<decltype(map->get_many({1, 2})), Values>);
  static_assert(std::same_as<decltype(map->read_many(keys, [](std::size_t, const std::string&) {})),
                             std::size_t>);
  static_assert(std::same_as<decltype(changed->insert_many(pairs)), std::size_t>);
}

LOCKMAP_TEST_BOTH(ManyTest, GetsWhatGetGets) {
  for (const int count : {0, 1, 2, 15, 16, 17, 33, 200}) {
    auto map = make_map<typename TestFixture::Map>();
    auto numbers = make_map<typename TestFixture::IntMap>();
    TestFixture::fill(map, count);
    TestFixture::fill(numbers, count);
    const std::vector<int> keys = mixed_keys(count);
    EXPECT_EQ(map.get_many(keys), one_by_one(map, keys));
    EXPECT_EQ(numbers.get_many(keys), one_by_one(numbers, keys));
    expect_quiet(map);
    expect_quiet(numbers);
  }
}

LOCKMAP_TEST_BOTH(ManyTest, GetsWhatGetGetsInALargeMap) {
  constexpr int count = 300'000;
  auto map = make_map<typename TestFixture::IntMap>();
  TestFixture::fill(map, count);
  const std::vector<int> keys = mixed_keys(1000);
  EXPECT_EQ(map.get_many(keys), one_by_one(map, keys));
  std::vector<std::pair<int, int>> pairs;
  for (int i = -500; i < 500; ++i) pairs.emplace_back(i, i);
  EXPECT_EQ(map.insert_many(pairs), 500u);
  EXPECT_EQ(map.get(-500), -500);
  EXPECT_EQ(map.get(499), 499);
  EXPECT_EQ(map.get(500), 5000);

  // Groups, too, leave what is held for the end.
  std::optional<typename TestFixture::IntMap::Entry> held = map.entry(3);
  std::vector<std::size_t> order;
  std::size_t added = 0;
  {
    Worker reader([&] {
      map.read_many(std::views::iota(0, 40),
                    [&](std::size_t index, int /*value*/) { order.push_back(index); });
    });
    Worker writer([&] {
      added = map.insert_many(std::views::iota(-1000, 40) |
                              std::views::transform([](int i) { return std::pair(i, i); }));
    });
    await_waiters(map, 3, 2);
    EXPECT_EQ(order.size(), 39U);
    EXPECT_EQ(map.get(39), 39);
    held.reset();
  }
  EXPECT_EQ(order.back(), 3U);
  EXPECT_EQ(added, 500U);
  EXPECT_EQ(map.get(3), 3);
}

LOCKMAP_TEST_BOTH(ManyTest, TakesBracedLists) {
  auto map = make_map<typename TestFixture::StringMap>();
  map.insert("one", 1);
  map.insert("two", 2);
  using Values = std::vector<std::optional<int>>;
  EXPECT_EQ(map.get_many({"two", "three", "one"}), (Values{2, std::nullopt, 1}));
  EXPECT_EQ(map.get_many({std::string("one"), "two", std::string_view("three")}),
            (Values{1, 2, std::nullopt}));
  MapOf<TypeParam, unsigned, int> numbers(make_map<MapOf<TypeParam, unsigned, int>>());
  numbers.insert(1, 10);
  EXPECT_EQ(numbers.get_many({1, 2}), (Values{10, std::nullopt}));
  EXPECT_EQ(numbers.get_many({1, 2U}), (Values{10, std::nullopt}));
}

LOCKMAP_TEST_BOTH(ManyTest, TakesSinglePassRanges) {
  auto map = make_map<typename TestFixture::Map>();
  TestFixture::fill(map, 50);
  const std::vector<int> keys = mixed_keys(50);
  EXPECT_EQ(map.get_many(InputRange(keys)), one_by_one(map, keys));
  std::size_t seen = 0;
  EXPECT_EQ(map.read_many(InputRange(keys),
                          [&](std::size_t index, const std::string& value) {
                            EXPECT_EQ(value, std::to_string(10 * keys[index]));
                            ++seen;
                          }),
            seen);
  auto copy = make_map<typename TestFixture::Map>();
  std::vector<std::pair<int, std::string>> pairs;
  for (int key = 0; key < 50; ++key) pairs.emplace_back(key, std::to_string(10 * key));
  EXPECT_EQ(copy.insert_many(InputRange(pairs)), 50u);
  EXPECT_EQ(copy.get_many(keys), map.get_many(keys));
}

// Whose elements are in one place, one after the other.
LOCKMAP_TEST_BOTH(ManyTest, KeepsNothingOfAStreamsElements) {
  auto map = make_map<typename TestFixture::StringMap>();
  map.insert("an apple that is too long to be stored in place", 1);
  map.insert("pear", 2);
  std::istringstream text("pear plum orange\n");
  EXPECT_EQ(map.get_many(std::ranges::istream_view<std::string>(text)),
            (std::vector<std::optional<int>>{2, std::nullopt, std::nullopt}));
}

LOCKMAP_TEST_BOTH(ManyTest, TakesViewsThatMakeTheirElements) {
  auto map = make_map<typename TestFixture::StringMap>();
  for (int i = 0; i < 40; ++i) map.insert("key " + std::to_string(i), i);
  const auto names = std::views::iota(0, 40) |
                     std::views::transform([](int i) { return "key " + std::to_string(i); });
  const auto values = map.get_many(names);
  for (int i = 0; i < 40; ++i) EXPECT_EQ(values[static_cast<std::size_t>(i)], i);
  EXPECT_EQ(map.insert_many(names | std::views::transform([](std::string name) {
                              return std::pair(std::move(name), 7);
                            })),
            0u);
  EXPECT_EQ(map.get("key 39"), 7);
}

LOCKMAP_TEST_BOTH(ManyTest, ReadsEachElementWithAValueOnce) {
  auto map = make_map<typename TestFixture::Map>();
  TestFixture::fill(map, 60);
  const std::vector<int> keys = mixed_keys(60);
  std::vector<int> reads(keys.size());
  const std::size_t count = map.read_many(keys, [&](std::size_t index, const std::string& value) {
    ++reads[index];
    EXPECT_EQ(value, map.get(keys[index]));  // a reader may read again
  });
  std::size_t expected = 0;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const int present = map.contains(keys[i]) ? 1 : 0;
    EXPECT_EQ(reads[i], present);
    expected += static_cast<std::size_t>(present);
  }
  EXPECT_EQ(count, expected);
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(ManyTest, ReadsUnderASharedHoldOfThatKeyAlone) {
  auto map = make_map<typename TestFixture::IntMap>();
  TestFixture::fill(map, 3);
  (void)map.read_many(std::array{0, 1, 2}, [&](std::size_t index, int /*value*/) {
    const int key = static_cast<int>(index);
    EXPECT_FALSE(map.try_entry(key).has_value());
    EXPECT_TRUE(map.try_entry((key + 1) % 3).has_value());
    EXPECT_TRUE(map.try_entry((key + 2) % 3).has_value());
  });
}

LOCKMAP_TEST_BOTH(ManyTest, InsertsPairsOfAnyKind) {
  auto map = make_map<typename TestFixture::StringMap>();
  EXPECT_EQ(map.insert_many(std::map<std::string, int>{{"a", 1}, {"b", 2}}), 2u);
  const std::list<std::tuple<const char*, short, double>> tuples{{"b", short{3}, 0.5},
                                                                 {"c", short{4}, 0.5}};
  EXPECT_EQ(map.insert_many(tuples), 1u);
  EXPECT_EQ(map.get_many({"a", "b", "c"}), (std::vector<std::optional<int>>{1, 3, 4}));
  auto numbers = make_map<typename TestFixture::IntMap>();
  EXPECT_EQ(numbers.insert_many(std::vector<std::array<int, 2>>{{1, 2}, {3, 4}}), 2u);
  EXPECT_EQ(numbers.get(3), 4);
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(ManyTest, OfEqualKeysTheLastWins) {
  auto map = make_map<typename TestFixture::Map>();
  std::vector<std::pair<int, std::string>> pairs;
  for (int i = 0; i < 100; ++i) pairs.emplace_back(i % 7, std::to_string(i));
  EXPECT_EQ(map.insert_many(pairs), 7u);
  EXPECT_EQ(map.insert_many(pairs), 0u);
  for (int i = 93; i < 100; ++i) EXPECT_EQ(map.get(i % 7), std::to_string(i));
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(ManyTest, MovesFromRvaluesOnly) {
  using Tracking = MapOf<TypeParam, Tracked, Tracked>;
  auto map = make_map<Tracking>();
  std::vector<std::pair<Tracked, Tracked>> pairs;
  for (int i = 0; i < 20; ++i) pairs.emplace_back(Tracked(i), Tracked(10 * i));
  const auto expected = pairs;
  EXPECT_EQ(map.insert_many(pairs), 20u);
  EXPECT_EQ(map.insert_many(std::as_const(pairs)), 0u);
  EXPECT_EQ(map.insert_many(std::span(pairs)), 0u);
  EXPECT_EQ(pairs, expected);

  std::vector<Tracked> keys;
  for (int i = 0; i < 20; ++i) keys.emplace_back(i);
  const auto same = keys;
  (void)map.get_many(keys);
  (void)map.get_many(std::move(keys));  // an rvalue range of lvalues
  EXPECT_EQ(keys, same);                // NOLINT(bugprone-use-after-move)

  auto fresh = make_map<Tracking>();
  Tracked::reset();
  EXPECT_EQ(fresh.insert_many(std::ranges::subrange(std::move_iterator(pairs.begin()),
                                                    std::move_iterator(pairs.end()))),
            20u);
  EXPECT_EQ(Tracked::copies(), 0);
  EXPECT_EQ(pairs.front().first, Tracked(-1));
  EXPECT_EQ(pairs.front().second, Tracked(-1));
}

LOCKMAP_TEST_BOTH(ManyTest, CopiesAKeyOnlyToStoreIt) {
  using Tracking = MapOf<TypeParam, Tracked, int>;
  auto map = make_map<Tracking>();
  std::vector<std::pair<Tracked, int>> pairs;
  for (int i = 0; i < 20; ++i) pairs.emplace_back(Tracked(i), i);
  std::vector<Tracked> keys;
  for (int i = 0; i < 40; ++i) keys.emplace_back(i);
  Tracked::reset();
  EXPECT_EQ(map.insert_many(pairs), 20u);
  EXPECT_EQ(Tracked::copies(), 20);
  (void)map.get_many(keys);
  EXPECT_EQ(map.insert_many(pairs), 0u);
  EXPECT_EQ(Tracked::copies(), 20);
}

LOCKMAP_TEST_BOTH(ManyTest, StoresMoveOnlyKeysAndValues) {
  using Moving = MapOf<TypeParam, MoveOnly, MoveOnly>;
  auto map = make_map<Moving>();
  EXPECT_EQ(map.insert_many(std::views::iota(0, 30) | std::views::transform([](int i) {
                              return std::pair(MoveOnly(i), MoveOnly(-i));
                            })),
            30u);
  std::vector<MoveOnly> keys;
  for (int i = 0; i < 31; ++i) keys.emplace_back(i);
  int sum = 0;
  EXPECT_EQ(map.read_many(keys, [&](std::size_t, const MoveOnly& value) { sum += value.number(); }),
            30u);
  EXPECT_EQ(sum, -435);
}

// -- Keys that others hold ------------------------------------------------------------------------

// Waits in a thread of its own for one held key; what can be done before was done.
LOCKMAP_TEST_BOTH(ManyTest, AHeldKeyDoesNotStallTheOthers) {
  auto map = make_map<typename TestFixture::Map>();
  auto numbers = make_map<typename TestFixture::IntMap>();
  TestFixture::fill(map, 40);
  TestFixture::fill(numbers, 40);
  std::vector<int> keys;
  for (int key = 0; key < 40; ++key) keys.push_back(key);

  std::optional<typename TestFixture::Map::Entry> held = map.entry(3);
  std::vector<std::size_t> order;
  {
    Worker reader([&] {
      (void)map.read_many(
          keys, [&](std::size_t index, const std::string& /*value*/) { order.push_back(index); });
    });
    await_waiters(map, 3, 1);
    EXPECT_EQ(order.size(), 39u);
    EXPECT_EQ(std::ranges::count(order, 3U), 0);
    held->insert("new");
    held.reset();
  }
  ASSERT_EQ(order.size(), 40u);
  EXPECT_EQ(order.back(), 3u);

  std::optional<typename TestFixture::IntMap::Entry> number = numbers.entry(3);
  std::vector<std::optional<int>> values;
  {
    Worker reader([&] { values = numbers.get_many(keys); });
    await_waiters(numbers, 3, 1);
    EXPECT_TRUE(numbers.try_entry(39).has_value());  // the reader holds nothing
    number->insert(-1);
    number.reset();
  }
  for (int key = 0; key < 40; ++key) {
    EXPECT_EQ(values[static_cast<std::size_t>(key)], key == 3 ? -1 : 10 * key);
  }
}

LOCKMAP_TEST_BOTH(ManyTest, AHeldKeyIsStoredLastAndEqualOnesInTheirOrder) {
  auto map = make_map<typename TestFixture::Map>();
  std::optional<typename TestFixture::Map::Entry> held = map.entry(3);
  std::vector<std::pair<int, std::string>> pairs;
  for (int i = 0; i < 40; ++i) pairs.emplace_back(i, "first");
  pairs.emplace_back(3, "second");
  pairs.emplace_back(4, "second");
  pairs.emplace_back(3, "third");
  std::size_t added = 0;
  {
    Worker writer([&] { added = map.insert_many(pairs); });
    await_waiters(map, 3, 1);
    EXPECT_EQ(map.size(), 39u);
    EXPECT_EQ(map.get(39), "first");
    EXPECT_EQ(map.get(4), "second");
    held.reset();
  }
  EXPECT_EQ(added, 40u);
  EXPECT_EQ(map.get(3), "third");
  expect_quiet(map);
}

// The key is let go between two pairs with it: the first one waits for its turn, and so must the
// second.
LOCKMAP_TEST_BOTH(ManyTest, AKeyThatIsLetGoMeanwhileStillGetsItsLastValue) {
  auto map = make_map<typename TestFixture::Map>();
  std::optional<Holder<typename TestFixture::Map>> holder;
  holder.emplace(map, 3);
  const auto pairs = std::views::iota(0, 40) | std::views::transform([&](int i) {
                       if (i == 20) holder->release();
                       return std::pair(i % 20 == 3 ? 3 : 100 + i, std::to_string(i));
                     });
  EXPECT_EQ(map.insert_many(pairs), 39u);
  EXPECT_EQ(map.get(3), "23");
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(ManyTest, AKeyThatThisThreadHoldsIsADeadlock) {
  auto map = make_map<typename TestFixture::Map>();
  auto numbers = make_map<typename TestFixture::IntMap>();
  TestFixture::fill(map, 3);
  TestFixture::fill(numbers, 3);
  const std::array keys{0, 1, 2};
  const std::array<std::pair<int, const char*>, 3> pairs{{{0, "a"}, {1, "b"}, {2, "c"}}};
  {
    const auto held = map.entry(0);
    const auto number = numbers.entry(0);
    EXPECT_THROW((void)map.get_many(keys), std::system_error);
    EXPECT_THROW((void)numbers.get_many(keys), std::system_error);
    EXPECT_THROW((void)map.insert_many(pairs), std::system_error);
    EXPECT_EQ(map.get(2), "c");  // the others were done before
    int reads = 0;
    EXPECT_THROW((void)map.read_many(keys, [&](std::size_t, const std::string&) { ++reads; }),
                 std::system_error);
    EXPECT_EQ(reads, 2);
  }
  {
    const auto shared = map.shared_entry(0);
    EXPECT_EQ(map.get_many(keys).front(), "0");
    EXPECT_THROW((void)map.insert_many(pairs), std::system_error);
  }
  expect_quiet(map);
  expect_quiet(numbers);
}

// -- Exceptions -----------------------------------------------------------------------------------

LOCKMAP_TEST_BOTH(ManyTest, AThrowingReadHoldsNothingAfterwards) {
  auto map = make_map<typename TestFixture::Map>();
  TestFixture::fill(map, 20);
  const std::vector<int> keys = mixed_keys(20);
  int reads = 0;
  EXPECT_THROW((void)map.read_many(keys,
                                   [&](std::size_t, const std::string&) {
                                     if (++reads == 5) throw std::runtime_error("fifth");
                                   }),
               std::runtime_error);
  EXPECT_EQ(reads, 5);
  for (int key = 0; key < 20; ++key) EXPECT_TRUE(is_free(map, key));
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(ManyTest, AThrowingCopyLeavesTheMapAsItWas) {
  using FaultyMap = MapOf<TypeParam, int, Faulty>;
  auto map = make_map<FaultyMap>();
  for (int key = 0; key < 20; ++key) map.insert(key, Faulty(key));
  std::vector<int> keys(20);
  for (int key = 0; key < 20; ++key) keys[static_cast<std::size_t>(key)] = key;
  {
    const FaultInjector fault(Step::copy, 7);
    EXPECT_THROW((void)map.get_many(keys), Injected);
  }
  for (const int key : keys) EXPECT_TRUE(is_free(map, key));

  std::vector<std::pair<int, Faulty>> pairs;
  for (int key = 10; key < 50; ++key) pairs.emplace_back(key, Faulty(100 + key));
  for (const Step step : {Step::copy, Step::move}) {
    for (int nth = 1; nth <= 40; nth += 3) {
      const FaultInjector fault(step, nth);
      EXPECT_THROW((void)map.insert_many(pairs), Injected);
    }
  }
  for (int key = 0; key < 50; ++key) EXPECT_TRUE(is_free(map, key));
  expect_quiet(map);
}

// -- What lookups do to a cache -------------------------------------------------------------------

TEST(ManyInACacheTest, CountsAndPromotesAsLookupsDo) {
  for (const bool large : {false, true}) {
    LruLockMap<int, std::string> strings({.max_size = 100, .shard_count = 1});
    LruLockMap<int, int> numbers({.max_size = 100, .shard_count = 1});
    const std::vector<int> keys{7, 3, 200, 5, 3};
    const auto check = [&](auto& cache, auto make) {
      for (int key = 0; key < 10; ++key) cache.insert(key, make(key));
      if (large) {
        EXPECT_EQ(cache.read_many(keys, [](std::size_t, const auto&) {}), 4u);
      } else {
        (void)cache.get_many(keys);
      }
      EXPECT_EQ(cache.stats().hits, 4u);
      EXPECT_EQ(cache.stats().misses, 1u);
      std::vector<int> order;
      detail::TestAccess::visit_order(cache, [&](std::size_t, int key) { order.push_back(key); });
      EXPECT_EQ(order, (std::vector{0, 1, 2, 4, 6, 8, 9, 7, 5, 3}));
      EXPECT_EQ(cache.insert_many(std::vector<std::pair<int, decltype(make(0))>>{
                    {0, make(0)}, {11, make(11)}, {1, make(1)}}),
                1u);
      order.clear();
      detail::TestAccess::visit_order(cache, [&](std::size_t, int key) { order.push_back(key); });
      EXPECT_EQ(order, (std::vector{2, 4, 6, 8, 9, 7, 5, 3, 0, 11, 1}));
      EXPECT_EQ(cache.stats().insertions, 11u);
    };
    check(strings, [](int key) { return std::to_string(key); });
    check(numbers, [](int key) { return key; });
  }
}

TEST(ManyInACacheTest, ManyInsertionsKeepTheBound) {
  std::vector<int> evicted;
  LruLockMap<int, int> cache({.max_size = 10, .shard_count = 1},
                             [&](int key, int& /*value*/) { evicted.push_back(key); });
  std::vector<std::pair<int, int>> pairs;
  for (int key = 0; key < 50; ++key) pairs.emplace_back(key, key);
  EXPECT_EQ(cache.insert_many(pairs), 50u);
  EXPECT_EQ(cache.size(), 10u);
  ASSERT_EQ(evicted.size(), 40u);
  EXPECT_TRUE(std::ranges::is_sorted(evicted));
  expect_quiet(cache);
}

// -- Beside other threads -------------------------------------------------------------------------

LOCKMAP_TEST_BOTH(ManyTest, EachKeyByItselfIsAtomic) {
  using Pairs = MapOf<TypeParam, int, std::pair<long, long>>;
  auto map = make_map<Pairs>();
  constexpr int keys = 64;
  const auto range = std::views::iota(0, keys);
  run_together(3, [&](int thread) {
    for (int round = 0; round < scaled(2000); ++round) {
      if (thread == 0) {
        (void)map.insert_many(range | std::views::transform([&](int key) {
                                return std::pair(key, std::pair<long, long>(round, -round));
                              }));
      } else if (thread == 1) {
        for (const auto& value : map.get_many(range)) {
          EXPECT_EQ(value.value_or(std::pair(0L, 0L)).first,
                    -value.value_or(std::pair(0L, 0L)).second);
        }
      } else {
        (void)map.read_many(range, [](std::size_t, const std::pair<long, long>& value) {
          EXPECT_EQ(value.first, -value.second);
        });
        map.remove(round % keys);
      }
    }
  });
  expect_quiet(map);
}

}  // namespace
}  // namespace lockmap::test::many
