// find_entry: the guard of a key that has a value; for any other key nothing, and nothing is made.

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "test_access.hpp"
#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap::test::find_entry {
namespace {

using detail::TestAccess;

template <class Family>
class FindEntryTest : public testing::Test {
 protected:
  using Map = MapOf<Family, std::string, int>;

  void SetUp() override { map_.insert("present", 1); }

  Map map_ = make_map<Map>();
};

LOCKMAP_TEST_BOTH(FindEntryTest, APresentKey) {
  auto& map = this->map_;
  {
    auto entry = map.find_entry("present");
    static_assert(std::is_same_v<decltype(entry), std::optional<typename TestFixture::Map::Entry>>);
    ASSERT_TRUE(entry.has_value());
    EXPECT_EQ(entry->key(), "present");
    EXPECT_EQ(entry->value(), 1);
    in_another_thread([&] { EXPECT_FALSE(is_free(map, "present")); });
    entry->value() = 2;
  }
  EXPECT_EQ(map.get("present"), 2);
  EXPECT_EQ(map.find_entry(std::string_view("present"))->remove(), 2);
  EXPECT_FALSE(map.find_entry(std::string("present")).has_value());
  expect_quiet(map);
  EXPECT_TRUE(map.empty());
}

LOCKMAP_TEST_BOTH(FindEntryTest, AnAbsentKeyLeavesNoTrace) {
  auto& map = this->map_;
  for (int key = 0; key < 1000; ++key) {
    ASSERT_FALSE(map.find_entry(std::to_string(key)).has_value());
  }
  EXPECT_EQ(TestAccess::node_count(map), 1U);
  const auto entry = map.find_entry("absent");
  EXPECT_FALSE(entry.has_value());
  EXPECT_EQ(TestAccess::node_count(map), 1U);
  in_another_thread([&] { EXPECT_TRUE(is_free(map, "absent")); });
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(FindEntryTest, WaitsForAHolderAndSeesWhatItLeaves) {
  auto& map = this->map_;
  EXPECT_EQ(expect_waits(
                map, "present", [&] { return map.find_entry("present")->value(); },
                [](auto& guard) { guard.value() = 5; }),
            5);
  EXPECT_FALSE(expect_waits(
      map, "present", [&] { return map.find_entry("present").has_value(); },
      [](auto& guard) { guard.remove(); }));
  // A key that somebody has only locked has no value yet.
  EXPECT_EQ(expect_waits(
                map, "absent", [&] { return map.find_entry("absent")->value(); },
                [](auto& guard) { guard.insert(7); }),
            7);
  EXPECT_FALSE(expect_waits(map, "nothing", [&] { return map.find_entry("nothing").has_value(); }));
  EXPECT_EQ(map.size(), 1U);
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(FindEntryTest, AKeyOfTheThreadsOwnIsADeadlock) {
  auto& map = this->map_;
  for (const char* const key : {"present", "absent"}) {
    const auto own = map.entry(key);
    try {
      (void)map.find_entry(key);
      ADD_FAILURE() << "no error";
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code(), std::errc::resource_deadlock_would_occur);
    }
  }
  expect_quiet(map);
}

// -- The cache -----------------------------------------------------------------------------------

class FindEntryInCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const int key : {1, 2, 3}) cache_.insert(key, 10 * key);
  }

  LruLockMap<int, int> cache_{LruOptions{.max_size = 3, .shard_count = 1}};
};

TEST_F(FindEntryInCacheTest, AnAbsentKeyEvictsNothing) {
  for (int key = 4; key < 100; ++key) EXPECT_FALSE(cache_.find_entry(key).has_value());
  EXPECT_EQ(cache_.size(), 3U);
  EXPECT_EQ(cache_.stats().evictions, 0U);
  EXPECT_EQ(TestAccess::node_count(cache_), 3U);
  for (const int key : {1, 2, 3}) {
    EXPECT_EQ(cache_.pop_lru(), (std::pair<int, int>(key, 10 * key)));
  }
}

TEST_F(FindEntryInCacheTest, APresentKeyIsUsed) {
  { const auto entry = cache_.find_entry(1); }
  for (const int key : {2, 3, 1}) {
    EXPECT_EQ(cache_.pop_lru(), (std::pair<int, int>(key, 10 * key)));
  }
}

TEST_F(FindEntryInCacheTest, GuardsCountNoHitAndNoMiss) {
  const LruStats before = cache_.stats();
  (void)cache_.find_entry(1);
  (void)cache_.find_entry(4);
  EXPECT_EQ(cache_.stats().hits, before.hits);
  EXPECT_EQ(cache_.stats().misses, before.misses);
}

}  // namespace
}  // namespace lockmap::test::find_entry
