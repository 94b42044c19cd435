// entry and everything that the guard it returns can do.

#include <gtest/gtest.h>

#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "maps.hpp"
#include "threads.hpp"
#include "throw_on.hpp"
#include "tracked.hpp"
#include "waiting.hpp"

namespace lockmap {
namespace {

using test::FaultInjector;
using test::Faulty;
using test::Injected;
using test::make_map;
using test::MapOf;
using test::Step;
using test::Tracked;

template <class Family>
class EntryTest : public ::testing::Test {
 protected:
  using Map = MapOf<Family, int, std::string>;
  using Entry = typename Map::Entry;
  using FaultyMap = MapOf<Family, int, Faulty>;

  // Whether another thread finds the key unlocked.
  static bool free_elsewhere(Map& map, int key) {
    return test::result_in_another_thread([&] { return test::is_free(map, key); });
  }
};

LOCKMAP_TEST_BOTH(EntryTest, ResultTypes) {
  using TestedMap = typename TestFixture::Map;
  using TestedEntry = typename TestFixture::Entry;
  using Value = std::string;
  static_assert(std::same_as<decltype(std::declval<TestedMap&>().entry(1)), TestedEntry>);

  TestedEntry* e = nullptr;
  const TestedEntry* c = nullptr;
  static_assert(std::same_as<decltype(e->key()), const int&>);
  static_assert(std::same_as<decltype(c->key()), const int&>);
  static_assert(std::same_as<decltype(c->has_value()), bool>);
  static_assert(std::same_as<decltype(e->get()), Value*>);
  static_assert(std::same_as<decltype(c->get()), const Value*>);
  static_assert(std::same_as<decltype(e->value()), Value&>);
  static_assert(std::same_as<decltype(c->value()), const Value&>);
  static_assert(std::same_as<decltype(**e), Value&>);
  static_assert(std::same_as<decltype(**c), const Value&>);
  static_assert(std::same_as<decltype(e->operator->()), Value*>);
  static_assert(std::same_as<decltype(c->operator->()), const Value*>);
  static_assert(std::same_as<decltype(c->value_or("")), Value>);
  static_assert(std::same_as<decltype(e->insert("")), std::optional<Value>>);
  static_assert(std::same_as<decltype(e->emplace("")), Value&>);
  static_assert(std::same_as<decltype(e->or_insert("")), Value&>);
  static_assert(std::same_as<decltype(e->or_insert_with([] { return ""; })), Value&>);
  static_assert(std::same_as<decltype(e->remove()), std::optional<Value>>);
  static_assert(std::same_as<decltype(e->swap(std::nullopt)), std::optional<Value>>);
  static_assert(std::same_as<decltype(e->unlock()), void>);
}

LOCKMAP_TEST_BOTH(EntryTest, IsMoveOnly) {
  using TestedEntry = typename TestFixture::Entry;
  static_assert(!std::is_copy_constructible_v<TestedEntry>);
  static_assert(!std::is_copy_assignable_v<TestedEntry>);
  static_assert(std::is_nothrow_move_constructible_v<TestedEntry>);
  static_assert(std::is_move_assignable_v<TestedEntry>);
  static_assert(!std::is_default_constructible_v<TestedEntry>);
}

LOCKMAP_TEST_BOTH(EntryTest, OfAPresentKey) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "one");
  {
    auto e = map.entry(1);
    EXPECT_EQ(e.key(), 1);
    EXPECT_TRUE(e.has_value());
    ASSERT_NE(e.get(), nullptr);
    EXPECT_EQ(*e.get(), "one");
    EXPECT_EQ(e.value(), "one");
    EXPECT_EQ(*e, "one");
    EXPECT_EQ(e->size(), 3u);
    EXPECT_EQ(&e.value(), e.get());
    EXPECT_EQ(&*e, e.get());
    EXPECT_EQ(e.value_or("none"), "one");
  }
  EXPECT_EQ(map.get(1), "one");
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(EntryTest, OfAnAbsentKey) {
  auto map = make_map<typename TestFixture::Map>();
  {
    auto e = map.entry(1);
    EXPECT_EQ(e.key(), 1);
    EXPECT_FALSE(e.has_value());
    EXPECT_EQ(e.get(), nullptr);
    EXPECT_THROW(std::ignore = e.value(), std::bad_optional_access);
    EXPECT_THROW(std::ignore = std::as_const(e).value(), std::bad_optional_access);
    EXPECT_EQ(e.value_or("none"), "none");
    EXPECT_EQ(e.remove(), std::nullopt);
    EXPECT_FALSE(e.has_value());
  }
  EXPECT_FALSE(map.contains(1));
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(EntryTest, ConstAccess) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "one");
  const auto e = map.entry(1);
  EXPECT_EQ(e.key(), 1);
  EXPECT_TRUE(e.has_value());
  EXPECT_EQ(*e.get(), "one");
  EXPECT_EQ(e.value(), "one");
  EXPECT_EQ(*e, "one");
  EXPECT_EQ(e->size(), 3u);
  EXPECT_EQ(e.value_or("none"), "one");
}

LOCKMAP_TEST_BOTH(EntryTest, ChangesInPlaceStay) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "a");
  {
    auto e = map.entry(1);
    *e += "b";
    e->append("c");
    e.value() += "d";
    *e.get() += "e";
  }
  EXPECT_EQ(map.get(1), "abcde");
}

LOCKMAP_TEST_BOTH(EntryTest, InsertReturnsThePreviousValue) {
  auto map = make_map<typename TestFixture::Map>();
  {
    auto e = map.entry(1);
    EXPECT_EQ(e.insert("one"), std::nullopt);
    EXPECT_EQ(*e, "one");
    EXPECT_EQ(e.insert("uno"), "one");
    EXPECT_EQ(*e, "uno");
  }
  EXPECT_EQ(map.get(1), "uno");
  EXPECT_EQ(map.size(), 1u);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(EntryTest, EmplaceConstructsInPlace) {
  auto map = make_map<typename TestFixture::Map>();
  {
    auto e = map.entry(1);
    std::string& made = e.emplace(3u, 'x');
    EXPECT_EQ(made, "xxx");
    EXPECT_EQ(&made, e.get());
    EXPECT_EQ(e.emplace(), "");
    EXPECT_EQ(e.emplace("again"), "again");
  }
  EXPECT_EQ(map.get(1), "again");
  EXPECT_EQ(map.size(), 1u);
}

LOCKMAP_TEST_BOTH(EntryTest, EmplaceThatThrowsLeavesNoValue) {
  auto map = make_map<typename TestFixture::FaultyMap>();
  map.insert(1, Faulty(10));
  for (int key : {1, 2}) {
    auto e = map.entry(key);
    {
      FaultInjector fault(Step::construct, 1);
      EXPECT_THROW(e.emplace(20), Injected);
    }
    EXPECT_FALSE(e.has_value());
    EXPECT_EQ(e.get(), nullptr);
  }
  EXPECT_EQ(map.size(), 0u);
  EXPECT_FALSE(map.contains(1));
  EXPECT_FALSE(map.contains(2));
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(EntryTest, EmplaceAfterOneThatThrewWorks) {
  auto map = make_map<typename TestFixture::FaultyMap>();
  {
    auto e = map.entry(1);
    {
      FaultInjector fault(Step::construct, 1);
      EXPECT_THROW(e.emplace(20), Injected);
    }
    EXPECT_EQ(e.emplace(30).number(), 30);
  }
  EXPECT_EQ(map.get(1)->number(), 30);
  EXPECT_EQ(map.size(), 1u);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(EntryTest, OrInsertKeepsAValueThatIsThere) {
  auto map = make_map<typename TestFixture::Map>();
  {
    auto e = map.entry(1);
    std::string& first = e.or_insert("first");
    EXPECT_EQ(first, "first");
    EXPECT_EQ(&first, e.get());
    std::string& second = e.or_insert("second");
    EXPECT_EQ(second, "first");
    EXPECT_EQ(&second, e.get());
    second = "changed";
  }
  EXPECT_EQ(map.get(1), "changed");
}

LOCKMAP_TEST_BOTH(EntryTest, OrInsertWithCallsOnlyIfThereIsNoValue) {
  auto map = make_map<typename TestFixture::Map>();
  int calls = 0;
  const auto make = [&] {
    ++calls;
    return "made " + std::to_string(calls);
  };
  {
    auto e = map.entry(1);
    EXPECT_EQ(e.or_insert_with(make), "made 1");
    EXPECT_EQ(&e.or_insert_with(make), e.get());
    EXPECT_EQ(*e, "made 1");
  }
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(map.get(1), "made 1");
}

LOCKMAP_TEST_BOTH(EntryTest, OrInsertWithThatThrowsStoresNothing) {
  auto map = make_map<typename TestFixture::Map>();
  {
    auto e = map.entry(1);
    const auto fail = []() -> std::string { throw std::runtime_error("no value"); };
    EXPECT_THROW(e.or_insert_with(fail), std::runtime_error);
    EXPECT_FALSE(e.has_value());
    EXPECT_FALSE(TestFixture::free_elsewhere(map, 1));
    EXPECT_EQ(map.size(), 0u);
    EXPECT_EQ(e.or_insert_with([] { return "second try"; }), "second try");
  }
  EXPECT_EQ(map.get(1), "second try");
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(EntryTest, RemoveReturnsTheValue) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "one");
  {
    auto e = map.entry(1);
    EXPECT_EQ(e.remove(), "one");
    EXPECT_FALSE(e.has_value());
    EXPECT_EQ(e.get(), nullptr);
    EXPECT_EQ(e.key(), 1);
    EXPECT_EQ(e.remove(), std::nullopt);
    EXPECT_FALSE(TestFixture::free_elsewhere(map, 1));
  }
  EXPECT_FALSE(map.contains(1));
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(EntryTest, RemoveAndInsertUnderOneGuard) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "one");
  {
    auto e = map.entry(1);
    e.remove();
    EXPECT_EQ(e.insert("uno"), std::nullopt);
    EXPECT_EQ(e.key(), 1);
  }
  EXPECT_EQ(map.get(1), "uno");
  EXPECT_EQ(map.size(), 1u);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(EntryTest, SwapExchangesEveryCombination) {
  auto map = make_map<typename TestFixture::Map>();
  {
    auto e = map.entry(1);
    EXPECT_EQ(e.swap(std::nullopt), std::nullopt);
    EXPECT_FALSE(e.has_value());
    EXPECT_EQ(e.swap("one"), std::nullopt);
    EXPECT_EQ(*e, "one");
    EXPECT_EQ(map.size(), 1u);
    EXPECT_EQ(e.swap("uno"), "one");
    EXPECT_EQ(*e, "uno");
    EXPECT_EQ(e.swap(std::nullopt), "uno");
    EXPECT_FALSE(e.has_value());
    EXPECT_EQ(map.size(), 0u);
  }
  EXPECT_FALSE(map.contains(1));
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(EntryTest, SizeCountsThroughALiveGuard) {
  auto map = make_map<typename TestFixture::Map>();
  auto e = map.entry(1);
  EXPECT_EQ(map.size(), 0u);
  EXPECT_TRUE(map.empty());
  e.insert("one");
  EXPECT_EQ(map.size(), 1u);
  EXPECT_FALSE(map.empty());
  e.insert("uno");
  EXPECT_EQ(map.size(), 1u);
  e.remove();
  EXPECT_EQ(map.size(), 0u);
  e.emplace("again");
  EXPECT_EQ(map.size(), 1u);
  e.emplace("and again");
  EXPECT_EQ(map.size(), 1u);
  e.remove();
  e.or_insert("more");
  EXPECT_EQ(map.size(), 1u);
  e.remove();
  e.or_insert_with([] { return "most"; });
  EXPECT_EQ(map.size(), 1u);
}

LOCKMAP_TEST_BOTH(EntryTest, ValuesAreMovedNeverCopied) {
  auto map = make_map<MapOf<TypeParam, int, Tracked>>();
  Tracked::reset();
  {
    auto e = map.entry(1);
    e.insert(Tracked(1));
    e.insert(Tracked(2));
    EXPECT_EQ(e.swap(Tracked(3))->number(), 2);
    e.emplace(4);
    EXPECT_EQ(e.remove()->number(), 4);
    e.or_insert(Tracked(5));
    e.remove();
    e.or_insert_with([] { return Tracked(6); });
    EXPECT_EQ(Tracked::alive(), 1);
  }
  EXPECT_EQ(Tracked::copies(), 0);
  EXPECT_EQ(Tracked::alive(), 1);
  map.clear();
  EXPECT_EQ(Tracked::alive(), 0);
}

LOCKMAP_TEST_BOTH(EntryTest, EmplaceConstructsWithoutMoving) {
  auto map = make_map<MapOf<TypeParam, int, Tracked>>();
  Tracked::reset();
  map.entry(1).emplace(10);
  EXPECT_EQ(Tracked::moves(), 0);
  EXPECT_EQ(Tracked::copies(), 0);
}

LOCKMAP_TEST_BOTH(EntryTest, ValueOrCopies) {
  auto map = make_map<MapOf<TypeParam, int, Tracked>>();
  map.insert(1, Tracked(10));
  auto e = map.entry(1);
  Tracked::reset();
  EXPECT_EQ(e.value_or(Tracked(0)).number(), 10);
  EXPECT_EQ(Tracked::copies(), 1);
  EXPECT_EQ(e->number(), 10);
}

LOCKMAP_TEST_BOTH(EntryTest, KeyIsTheStoredOne) {
  auto map = make_map<MapOf<TypeParam, std::string, int>>();
  map.insert("key", 1);
  auto e = map.entry("key");
  EXPECT_EQ(e.key(), "key");
  const std::string* address = &e.key();
  for (int i = 0; i < 1000; ++i) map.insert(std::to_string(i), i);
  EXPECT_EQ(&e.key(), address);
  EXPECT_EQ(e.key(), "key");
  EXPECT_EQ(*e, 1);
}

LOCKMAP_TEST_BOTH(EntryTest, GuardsOfDifferentKeysLiveSideBySide) {
  auto map = make_map<typename TestFixture::Map>(1);
  map.insert(1, "one");
  {
    auto a = map.entry(1);
    auto b = map.entry(2);
    b.insert(*a + " and two");
    a.remove();
  }
  EXPECT_FALSE(map.contains(1));
  EXPECT_EQ(map.get(2), "one and two");
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(EntryTest, DestructorUnlocks) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "one");
  for (int key : {1, 2}) {
    {
      auto e = map.entry(key);
      EXPECT_FALSE(TestFixture::free_elsewhere(map, key));
    }
    EXPECT_TRUE(TestFixture::free_elsewhere(map, key));
  }
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(EntryTest, UnlockReleasesEarly) {
  auto map = make_map<typename TestFixture::Map>();
  auto e = map.entry(1);
  e.insert("one");
  EXPECT_FALSE(TestFixture::free_elsewhere(map, 1));
  e.unlock();
  EXPECT_TRUE(TestFixture::free_elsewhere(map, 1));
  EXPECT_EQ(map.get(1), "one");
  e = map.entry(2);
  EXPECT_EQ(e.key(), 2);
  EXPECT_FALSE(TestFixture::free_elsewhere(map, 2));
  e.unlock();
  EXPECT_FALSE(map.contains(2));
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(EntryTest, MoveConstructionHandsTheLockOver) {
  auto map = make_map<typename TestFixture::Map>();
  {
    auto a = map.entry(1);
    a.insert("one");
    {
      auto b = std::move(a);
      EXPECT_EQ(b.key(), 1);
      EXPECT_EQ(*b, "one");
      EXPECT_FALSE(TestFixture::free_elsewhere(map, 1));
    }
    EXPECT_TRUE(TestFixture::free_elsewhere(map, 1));
  }
  EXPECT_EQ(map.get(1), "one");
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(EntryTest, MoveAssignmentReleasesWhatWasHeld) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "one");
  {
    auto a = map.entry(1);
    auto b = map.entry(2);
    a = std::move(b);
    EXPECT_EQ(a.key(), 2);
    EXPECT_TRUE(TestFixture::free_elsewhere(map, 1));
    EXPECT_FALSE(TestFixture::free_elsewhere(map, 2));
  }
  EXPECT_TRUE(TestFixture::free_elsewhere(map, 2));
  EXPECT_EQ(map.size(), 1u);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(EntryTest, AssignmentAcrossMapsOfOneType) {
  auto first = make_map<typename TestFixture::Map>();
  auto second = make_map<typename TestFixture::Map>();
  auto e = first.entry(1);
  e.insert("first");
  e = second.entry(1);
  e.insert("second");
  EXPECT_TRUE(TestFixture::free_elsewhere(first, 1));
  EXPECT_EQ(first.get(1), "first");
  e.unlock();
  EXPECT_EQ(second.get(1), "second");
}

LOCKMAP_TEST_BOTH(EntryTest, WaitsForTheHolder) {
  auto map = make_map<typename TestFixture::Map>();
  const auto seen = test::expect_waits(
      map, 1,
      [&] {
        auto e = map.entry(1);
        auto before = e.value_or("none");
        e.insert("late");
        return before;
      },
      [](auto& guard) { guard.insert("held"); });
  EXPECT_EQ(seen, "held");
  EXPECT_EQ(map.get(1), "late");
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(EntryTest, GuardSurvivesTheLastValueUnderWaiters) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "one");
  const bool had_value = test::expect_waits(
      map, 1, [&] { return map.entry(1).has_value(); }, [](auto& guard) { guard.remove(); });
  EXPECT_FALSE(had_value);
  EXPECT_TRUE(map.empty());
  test::expect_quiet(map);
}

}  // namespace
}  // namespace lockmap
