// A fault while other threads wait for the same key: the next one gets it, and finds what the fault
// has left.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "fault_driver.hpp"
#include "fault_world.hpp"
#include "maps.hpp"
#include "operations.hpp"
#include "test_access.hpp"
#include "threads.hpp"
#include "throw_on.hpp"
#include "waiting.hpp"

namespace lockmap::test {
namespace {

constexpr int number_of_waiter = 5;

// The wish of a thread that waits for the target. Returns the number it finds there.
template <class World>
struct Wish {
  const char* name;
  std::optional<int> (*run)(World&);
  Leaves leaves = Leaves::old_value;  // `new_value` for the waiter's own
};

template <class Value>
std::optional<int> number(const Value& value) {
  return value ? std::optional<int>(value->number()) : std::nullopt;
}

template <class World>
std::vector<Wish<World>> wishes() {
  using Key = typename World::KeyType;
  using Value = typename World::ValueType;
  return {
      {"get", [](World& world) { return number(world.map.get(Key(world.target))); }},
      {"insert",
       [](World& world) {
         return number(world.map.insert(Key(world.target), Value(number_of_waiter)));
       },
       Leaves::new_value},
      {"remove", [](World& world) { return number(world.map.remove(Key(world.target))); },
       Leaves::nothing},
      {"entry",
       [](World& world) {
         auto entry = world.map.entry(Key(world.target));
         return number(entry.insert(Value(number_of_waiter)));
       },
       Leaves::new_value},
      {"try_entry_for",
       [](World& world) {
         const auto entry = world.map.try_entry_for(Key(world.target), std::chrono::hours(1));
         return number(entry.value().get());
       }},
      {"shared_entry",
       [](World& world) {
         const auto entry = world.map.shared_entry(Key(world.target));
         return number(entry.get());
       }},
      {"get_or_insert_with",
       [](World& world) {
         bool made = false;
         const Value value = world.map.get_or_insert_with(Key(world.target), [&] {
           made = true;
           return Value(number_of_waiter);
         });
         return made ? std::nullopt : std::optional<int>(value.number());
       },
       Leaves::first_value},
  };
}

template <class World>
class WaitingFaultsTest : public testing::Test {
 protected:
  using Wish = test::Wish<World>;

  // For every fault that the operation meets while it holds the target, lets another thread wait
  // for that with the given wish. `waits` says whether the operation had to wait for the key, too.
  // Returns how many such faults there were.
  static int for_every_fault_under_the_lock(const Start& start, const Operation<World>& operation,
                                            const Wish& wish, bool waits) {
    int met = 0;
    for (const Step kind : {Step::copy, Step::move, Step::construct, Step::callback}) {
      for (int nth = 1;; ++nth) {
        SCOPED_TRACE(operation.name + (waits ? ", which has waited, " : ", ") + start.name + ": " +
                     name_of(kind) + " " + std::to_string(nth) + ", then " + wish.name);
        AllocationCount memory;
        World world(start, memory);
        std::optional<int> found;
        std::optional<Worker> waiter;
        std::set<std::optional<int>> allowed;
        bool faulted = false;
        const auto let_wait = [&] {
          if (detail::TestAccess::held() == 0) return;
          waiter.emplace([&] { found = wish.run(world); });
          // A reader need not wait for another.
          await(
              [&] {
                return waiter->done() || detail::TestAccess::waiters(world.map, world.target) == 1;
              },
              "the waiter");
        };
        const auto attempt = [&] {
          std::optional<FaultInjector> fault;
          faulted = world.run(operation, [&] { fault.emplace(kind, nth, Repeat::once, let_wait); });
          allowed = world.allowed_after_fault(operation, Repeat::once);
          EXPECT_EQ(detail::TestAccess::held(), 0U);
        };
        if (waits) {
          auto guard = std::make_optional(world.map.entry(world.target));
          Worker worker(attempt);
          await(
              [&] {
                return worker.done() || detail::TestAccess::waiters(world.map, world.target) == 1;
              },
              "the operation to wait");
          guard.reset();
        } else {
          in_another_thread(attempt);
        }
        if (!faulted) break;
        if (!waiter) continue;
        ++met;
        waiter->join();
        EXPECT_TRUE(allowed.count(found) != 0) << "found " << found.value_or(-1);
        expect_wish_fulfilled(world, wish, found);
        if (HasFailure()) return met;
      }
    }
    return met;
  }

  static void expect_wish_fulfilled(const World& world, const Wish& wish,
                                    std::optional<int> found) {
    std::optional<int> expected = found;
    if (wish.leaves == Leaves::nothing) expected = std::nullopt;
    if (wish.leaves == Leaves::new_value || (wish.leaves == Leaves::first_value && !found)) {
      expected = number_of_waiter;
    }
    world.expect_value(world.map.get(world.target), expected);
    EXPECT_EQ(detail::TestAccess::waiters(world.map, world.target), 0U);
    expect_quiet(world.map);
    if constexpr (is_lru<typename World::Map>) {
      EXPECT_LE(world.map.size(), world.map.max_size());
    }
  }

  static void expect_waiters_get_the_key(const Operations<World>& operations) {
    const std::vector<Start> starts_here = {{"key absent", 8, absent},
                                            {"key present", 8, present},
                                            {"at its bound, key absent", 8, absent, 8, true}};
    int met = 0;
    for (const Operation<World>& operation : operations) {
      for (const Start& start : starts_here) {
        for (const Wish& wish : wishes<World>()) {
          for (const bool waits : {false, true}) {
            if (waits && !operation.waits) continue;
            met += for_every_fault_under_the_lock(start, operation, wish, waits);
            if (HasFailure()) return;
          }
        }
      }
    }
    EXPECT_GT(met, 0);
  }
};

using Worlds =
    testing::Types<World<LockMaps, Trivial, Faulty>, World<LockMaps, Trivial, CopyOnly>,
                   World<LruLockMaps, Trivial, Faulty>, World<LruLockMaps, Trivial, CopyOnly>>;
TYPED_TEST_SUITE(WaitingFaultsTest, Worlds, WorldNames);

TYPED_TEST(WaitingFaultsTest, OperationsOnAKey) {
  Operations<TypeParam> operations;
  append_lookups<TypeParam, Trivial>(operations, "a key");
  append_storing<TypeParam, Trivial>(operations, "a key");
  this->expect_waiters_get_the_key(operations);
}

TYPED_TEST(WaitingFaultsTest, OperationsOfEntry) {
  this->expect_waiters_get_the_key(operations_of_entry<TypeParam>());
}

TYPED_TEST(WaitingFaultsTest, OperationsOfSharedEntry) {
  this->expect_waiters_get_the_key(operations_of_shared_entry<TypeParam>());
}

// Makers throw one after the other, each while all the rest wait; the last one's value is for all.
TYPED_TEST(WaitingFaultsTest, MakersThatThrowInTurn) {
  constexpr int makers = 4;
  AllocationCount memory;
  TypeParam world({"key absent", 8, absent}, memory);
  std::atomic<int> calls = 0;
  std::atomic<int> faults = 0;
  {
    auto guard = std::make_optional(world.map.entry(absent));
    std::deque<Worker> workers;
    for (int i = 0; i < makers; ++i) {
      workers.emplace_back([&] {
        try {
          const auto value = world.map.get_or_insert_with(absent, [&] {
            if (++calls < makers) throw Injected();
            return typename TypeParam::ValueType(new_number);
          });
          EXPECT_EQ(value.number(), new_number);
        } catch (const Injected&) {
          ++faults;
        }
      });
    }
    await_waiters(world.map, absent, makers);
    guard.reset();
  }
  EXPECT_EQ(calls, makers);
  EXPECT_EQ(faults, makers - 1);
  EXPECT_EQ(world.map.get(absent)->number(), new_number);
  expect_quiet(world.map);
}

}  // namespace
}  // namespace lockmap::test
