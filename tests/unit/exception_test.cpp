// Exceptions of the user's types and functions pass through, and leave the map as it should be:
// valid, nothing locked, nothing left of an insertion that failed.

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <future>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "counting_allocator.hpp"
#include "maps.hpp"
#include "threads.hpp"
#include "throw_on.hpp"
#include "waiting.hpp"

namespace lockmap {
namespace {

using test::AllocationCount;
using test::CountingAllocator;
using test::FaultInjector;
using test::Faulty;
using test::FaultyEqual;
using test::FaultyHash;
using test::FaultyLess;
using test::Injected;
using test::make_map;
using test::MapOf;
using test::Step;

constexpr int present_keys = 10;
constexpr int absent_key = 1000;

// What may be left behind by an operation that threw.
enum class Trace {
  none,    // the map is as before
  partial  // values may have changed, or gone
};

template <class Family>
class ExceptionTest : public ::testing::Test {
 protected:
  using Map = MapOf<Family, Faulty, Faulty, FaultyHash, FaultyEqual>;

  // Runs the operation on maps with the keys 0 to 9, in one the first step of the kind throws, in
  // the next the second, and so on, until none throws any more. Returns how many times it threw.
  template <class Operation>
  static int inject(Step kind, Trace trace, Operation operation) {
    for (int nth = 1;; ++nth) {
      auto map = make_map<Map>(2);
      for (int key = 0; key < present_keys; ++key) map.insert(key, Faulty(key * 10));
      bool thrown = false;
      {
        FaultInjector fault(kind, nth);
        try {
          operation(map);
        } catch (const Injected&) {
          thrown = true;
        }
      }
      expect_nothing_locked(map);
      if (!thrown) return nth - 1;
      if (trace == Trace::none) expect_unchanged(map);
      expect_usable(map);
    }
  }

  static void expect_nothing_locked(Map& map) {
    for (int key = 0; key < present_keys; ++key) EXPECT_TRUE(test::is_free(map, key)) << key;
    EXPECT_TRUE(test::is_free(map, absent_key));
    test::expect_quiet(map);
  }

  static void expect_unchanged(Map& map) {
    EXPECT_EQ(map.size(), static_cast<std::size_t>(present_keys));
    for (int key = 0; key < present_keys; ++key) {
      const auto value = map.get(key);
      ASSERT_TRUE(value.has_value()) << key;
      EXPECT_EQ(value->number(), key * 10);
    }
    EXPECT_FALSE(map.contains(absent_key));
  }

  static void expect_usable(Map& map) {
    for (int key = 0; key < 3 * present_keys; ++key) {
      map.insert(key, Faulty(key));
      EXPECT_EQ(map.get(key)->number(), key);
    }
    for (int key = 0; key < 3 * present_keys; ++key) EXPECT_TRUE(map.remove(key).has_value());
    map.clear();
    test::expect_quiet(map);
  }
};
TYPED_TEST_SUITE(ExceptionTest, test::MapFamilies, test::FamilyNames);

TYPED_TEST(ExceptionTest, HashAndEquality) {
  using TestedMap = typename TestFixture::Map;
  const std::vector<std::function<void(TestedMap&)>> on_present = {
      [](TestedMap& map) { std::ignore = map.get(3); },
      [](TestedMap& map) { std::ignore = map.contains(3); },
      [](TestedMap& map) { map.insert(3, Faulty(30)); },
      [](TestedMap& map) { map.try_insert(3, Faulty(31)); },
      [](TestedMap& map) { std::ignore = map.entry(3).has_value(); },
      [](TestedMap& map) { std::ignore = map.try_entry(3).has_value(); },
      [](TestedMap& map) { std::ignore = map.try_entry_for(3, std::chrono::hours(1)).has_value(); },
      [](TestedMap& map) { map.get_or_insert_with(3, [] { return Faulty(31); }); },
      [](TestedMap& map) {
        std::ignore = map.batch_lock(std::vector<int>{3, 4, absent_key}, FaultyLess{}).size();
      },
      [](TestedMap& map) {
        std::ignore =
            map.try_batch_lock(std::vector<int>{3, 4, absent_key}, FaultyLess{}).has_value();
      },
      [](TestedMap& map) { map.remove(3); },
  };
  for (std::size_t i = 0; i < on_present.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_GT(TestFixture::inject(Step::hash, Trace::none, on_present[i]), 0);
    EXPECT_GT(TestFixture::inject(Step::equal, Trace::none, on_present[i]), 0);
  }
}

TYPED_TEST(ExceptionTest, HashOfAnAbsentKey) {
  using TestedMap = typename TestFixture::Map;
  const std::vector<std::function<void(TestedMap&)>> on_absent = {
      [](TestedMap& map) { std::ignore = map.get(absent_key); },
      [](TestedMap& map) { map.insert(absent_key, Faulty(1)); },
      [](TestedMap& map) { map.try_insert(absent_key, Faulty(1)); },
      [](TestedMap& map) { map.entry(absent_key).insert(Faulty(1)); },
      [](TestedMap& map) { std::ignore = map.try_entry(absent_key).has_value(); },
      [](TestedMap& map) { map.get_or_insert_with(absent_key, [] { return Faulty(1); }); },
      [](TestedMap& map) { map.remove(absent_key); },
  };
  for (std::size_t i = 0; i < on_absent.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_GT(TestFixture::inject(Step::hash, Trace::none, on_absent[i]), 0);
    TestFixture::inject(Step::equal, Trace::none, on_absent[i]);
  }
}

TYPED_TEST(ExceptionTest, EqualityOfKeysThatCollide) {
  struct ConstantHash {
    std::size_t operator()(const Faulty&) const { return 1; }
  };
  auto map = make_map<MapOf<TypeParam, Faulty, int, ConstantHash, FaultyEqual>>(1);
  for (int key = 0; key < present_keys; ++key) map.insert(key, key);
  {
    FaultInjector fault(Step::equal, 2);
    EXPECT_THROW(map.insert(absent_key, 1), Injected);
  }
  EXPECT_EQ(map.size(), static_cast<std::size_t>(present_keys));
  EXPECT_FALSE(map.contains(absent_key));
  EXPECT_TRUE(test::is_free(map, absent_key));
  test::expect_quiet(map);
}

// What makes the key that is to be stored: conversion, copy, move.
TYPED_TEST(ExceptionTest, MakingTheKey) {
  using TestedMap = typename TestFixture::Map;
  const Faulty key(absent_key);
  const std::vector<std::function<void(TestedMap&)>> stores = {
      [&](TestedMap& map) { map.insert(key, Faulty(1)); },
      [](TestedMap& map) { map.insert(Faulty(absent_key), Faulty(1)); },
      [](TestedMap& map) { map.insert(absent_key, Faulty(1)); },
      [&](TestedMap& map) { map.try_insert(key, Faulty(1)); },
      [](TestedMap& map) { map.try_insert(Faulty(absent_key), Faulty(1)); },
      [&](TestedMap& map) { std::ignore = map.entry(key).has_value(); },
      [](TestedMap& map) { std::ignore = map.entry(Faulty(absent_key)).has_value(); },
      [](TestedMap& map) { std::ignore = map.entry(absent_key).has_value(); },
      [&](TestedMap& map) { std::ignore = map.try_entry(key).has_value(); },
      [](TestedMap& map) { std::ignore = map.try_entry(Faulty(absent_key)).has_value(); },
  };
  for (Step kind : {Step::construct, Step::copy, Step::move}) {
    int faults = 0;
    for (std::size_t i = 0; i < stores.size(); ++i) {
      SCOPED_TRACE(i);
      faults += TestFixture::inject(kind, Trace::none, stores[i]);
    }
    EXPECT_GT(faults, 0);
  }
}

TYPED_TEST(ExceptionTest, CopyingAValueOut) {
  using TestedMap = typename TestFixture::Map;
  const std::vector<std::function<void(TestedMap&)>> copies = {
      [](TestedMap& map) { std::ignore = map.get(3); },
      [](TestedMap& map) { map.get_or_insert_with(3, [] { return Faulty(1); }); },
      [](TestedMap& map) { std::ignore = map.entry(3).value_or(Faulty(1)); },
  };
  for (std::size_t i = 0; i < copies.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_GT(TestFixture::inject(Step::copy, Trace::none, copies[i]), 0);
    TestFixture::inject(Step::move, Trace::none, copies[i]);
  }
}

// The value has been stored by the time it is copied for the caller.
TYPED_TEST(ExceptionTest, CopyingOutAValueJustMade) {
  EXPECT_GT(TestFixture::inject(
                Step::copy, Trace::partial,
                [](auto& map) { map.get_or_insert_with(absent_key, [] { return Faulty(1); }); }),
            0);
}

TYPED_TEST(ExceptionTest, MovingANewValueIn) {
  using TestedMap = typename TestFixture::Map;
  const std::vector<std::function<void(TestedMap&)>> stores = {
      [](TestedMap& map) { map.insert(absent_key, Faulty(1)); },
      [](TestedMap& map) { map.try_insert(absent_key, Faulty(1)); },
      [](TestedMap& map) { map.entry(absent_key).insert(Faulty(1)); },
      [](TestedMap& map) { map.entry(absent_key).or_insert(Faulty(1)); },
      [](TestedMap& map) { map.entry(absent_key).swap(Faulty(1)); },
  };
  for (std::size_t i = 0; i < stores.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_GT(TestFixture::inject(Step::move, Trace::none, stores[i]), 0);
  }
}

TYPED_TEST(ExceptionTest, MovingValuesInAndOut) {
  using TestedMap = typename TestFixture::Map;
  const std::vector<std::function<void(TestedMap&)>> moves = {
      [](TestedMap& map) { map.insert(3, Faulty(1)); },
      [](TestedMap& map) { map.remove(3); },
      [](TestedMap& map) { map.entry(3).insert(Faulty(1)); },
      [](TestedMap& map) { map.entry(3).remove(); },
      [](TestedMap& map) { map.entry(3).swap(Faulty(1)); },
      [](TestedMap& map) { map.entry(3).swap(std::nullopt); },
  };
  for (std::size_t i = 0; i < moves.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_GT(TestFixture::inject(Step::move, Trace::partial, moves[i]), 0);
  }
}

TYPED_TEST(ExceptionTest, ConstructingAValueInPlace) {
  EXPECT_GT(TestFixture::inject(Step::construct, Trace::partial,
                                [](auto& map) {
                                  map.entry(Faulty(3)).emplace(30);
                                  map.entry(Faulty(absent_key)).emplace(1);
                                  map.remove(Faulty(absent_key));
                                }),
            0);
}

TYPED_TEST(ExceptionTest, FunctionOfGetOrInsertWith) {
  const auto fail = []() -> Faulty { throw Injected(); };
  auto map = make_map<typename TestFixture::Map>();
  for (int i = 0; i < 3; ++i) {
    EXPECT_THROW(map.get_or_insert_with(1, fail), Injected);
    EXPECT_TRUE(map.empty());
    EXPECT_TRUE(test::result_in_another_thread([&] { return test::is_free(map, 1); }));
    test::expect_quiet(map);
  }
}

TYPED_TEST(ExceptionTest, FunctionOfOrInsertWith) {
  const auto fail = []() -> Faulty { throw Injected(); };
  auto map = make_map<typename TestFixture::Map>();
  EXPECT_THROW(map.entry(1).or_insert_with(fail), Injected);
  EXPECT_TRUE(map.empty());
  EXPECT_TRUE(test::result_in_another_thread([&] { return test::is_free(map, 1); }));
  test::expect_quiet(map);
}

TYPED_TEST(ExceptionTest, FunctionOfForEach) {
  EXPECT_EQ(TestFixture::inject(Step::callback, Trace::none,
                                [](auto& map) {
                                  map.for_each([](const Faulty&, const Faulty&) {
                                    FaultInjector::step(Step::callback);
                                  });
                                }),
            present_keys);
}

TYPED_TEST(ExceptionTest, FunctionOfRetainThatKeepsAll) {
  EXPECT_EQ(TestFixture::inject(Step::callback, Trace::none,
                                [](auto& map) {
                                  map.retain([](const Faulty&, Faulty&) {
                                    FaultInjector::step(Step::callback);
                                    return true;
                                  });
                                }),
            present_keys);
}

TYPED_TEST(ExceptionTest, FunctionOfRetainThatRemovesAll) {
  for (int nth = 1; nth <= present_keys; ++nth) {
    auto map = make_map<typename TestFixture::Map>(2);
    for (int key = 0; key < present_keys; ++key) map.insert(key, Faulty(key));
    FaultInjector fault(Step::callback, nth);
    EXPECT_THROW(map.retain([](const Faulty&, Faulty&) {
      FaultInjector::step(Step::callback);
      return false;
    }),
                 Injected);
    // Those before the one that threw are gone, that one and the rest are there.
    EXPECT_EQ(map.size(), static_cast<std::size_t>(present_keys - nth + 1));
    TestFixture::expect_nothing_locked(map);
  }
}

TYPED_TEST(ExceptionTest, BatchLocksAllOrNothing) {
  using TestedMap = typename TestFixture::Map;
  const std::vector<int> numbers = {absent_key + 1, 5, 1, absent_key, 3};
  const std::vector<Faulty> keys(numbers.begin(), numbers.end());
  const std::vector<std::function<void(TestedMap&)>> batches = {
      [&](TestedMap& map) { std::ignore = map.batch_lock(keys, FaultyLess{}).size(); },
      [&](TestedMap& map) { std::ignore = map.batch_lock(numbers, FaultyLess{}).size(); },
      [&](TestedMap& map) { std::ignore = map.try_batch_lock(keys, FaultyLess{}).has_value(); },
      [&](TestedMap& map) { std::ignore = map.try_batch_lock(numbers, FaultyLess{}).has_value(); },
  };
  for (Step kind :
       {Step::hash, Step::equal, Step::compare, Step::construct, Step::copy, Step::move}) {
    int faults = 0;
    for (const auto& batch : batches) faults += TestFixture::inject(kind, Trace::none, batch);
    if (kind == Step::hash || kind == Step::compare) {
      EXPECT_GT(faults, 0);
    }
  }
}

TYPED_TEST(ExceptionTest, WaitersGoOnAfterAThrow) {
  auto map = make_map<MapOf<TypeParam, int, std::string>>();
  std::future<std::string> waiter;
  EXPECT_THROW(map.get_or_insert_with(1,
                                      [&]() -> std::string {
                                        waiter = std::async(std::launch::async, [&] {
                                          return map.get_or_insert_with(1, [] { return "made"; });
                                        });
                                        test::await_waiters(map, 1, 1);
                                        throw Injected();
                                      }),
               Injected);
  EXPECT_EQ(waiter.get(), "made");
  test::expect_quiet(map);
}

// An allocation fails at every point where one can: while nodes are made, while tables grow.
TYPED_TEST(ExceptionTest, Allocator) {
  constexpr int keys = 300;
  using TestedMap = MapOf<TypeParam, int, std::string, default_hash<int>, default_equal<int>,
                          CountingAllocator<std::pair<const int, std::string>>>;
  AllocationCount count;
  int faults = 0;
  for (int nth = 1;; ++nth) {
    SCOPED_TRACE(nth);
    bool thrown = false;
    {
      auto map = make_map<TestedMap>(1, default_hash<int>{}, default_equal<int>{},
                                     CountingAllocator<std::pair<const int, std::string>>(count));
      int stored = 0;
      {
        FaultInjector fault(Step::allocate, nth);
        try {
          for (; stored < keys; ++stored) {
            if (stored % 2 == 0) {
              map.insert(stored, std::to_string(stored));
            } else {
              map.entry(stored).insert(std::to_string(stored));
            }
          }
        } catch (const Injected&) {
          thrown = true;
        }
      }
      EXPECT_EQ(map.size(), static_cast<std::size_t>(stored));
      test::expect_quiet(map);
      EXPECT_TRUE(test::is_free(map, stored));
      for (int key = 0; key < stored; ++key) ASSERT_EQ(map.get(key), std::to_string(key));
      EXPECT_FALSE(map.contains(stored));
      for (int key = stored; key < keys; ++key) map.insert(key, std::to_string(key));
      for (int key = 0; key < keys; ++key) ASSERT_EQ(map.get(key), std::to_string(key));
      EXPECT_EQ(map.size(), static_cast<std::size_t>(keys));
      test::expect_quiet(map);
    }
    EXPECT_EQ(count.bytes, 0u);
    if (!thrown) break;
    ++faults;
  }
  EXPECT_GT(faults, 1);
}

// Removing needs no memory, so it works when there is none.
TYPED_TEST(ExceptionTest, RemovingAndLookingUpNeedNoMemory) {
  using TestedMap = MapOf<TypeParam, int, std::string, default_hash<int>, default_equal<int>,
                          CountingAllocator<std::pair<const int, std::string>>>;
  AllocationCount count;
  auto map = make_map<TestedMap>(2, default_hash<int>{}, default_equal<int>{},
                                 CountingAllocator<std::pair<const int, std::string>>(count));
  for (int key = 0; key < 200; ++key) map.insert(key, std::to_string(key));
  FaultInjector fault(Step::allocate, 1);
  for (int key = 0; key < 100; ++key) {
    EXPECT_EQ(map.get(key), std::to_string(key));
    EXPECT_FALSE(map.contains(-1 - key));
    EXPECT_EQ(map.insert(key, "new"), std::to_string(key));
    EXPECT_EQ(map.entry(key).value(), "new");
    EXPECT_EQ(map.remove(key), "new");
  }
  EXPECT_EQ(map.size(), 100u);
}

}  // namespace
}  // namespace lockmap
