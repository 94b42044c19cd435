// LockSet: locks that are named by keys. What it shares with the maps is tested there: how keys are
// waited for, handed over, and found to be in a deadlock.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <latch>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "coroutines.hpp"
#include "counting_allocator.hpp"
#include "input_range.hpp"
#include "test_access.hpp"
#include "threads.hpp"
#include "tracked.hpp"
#include "waiting.hpp"

namespace lockmap::test::lock_set {
namespace {

using Set = LockSet<int>;
using Names = LockSet<std::string>;
using Clock = std::chrono::steady_clock;

// Whether another thread would get the key.
template <class Tested, class Key>
bool free_elsewhere(Tested& set, const Key& key) {
  return result_in_another_thread([&] { return set.try_lock(key).has_value(); });
}
template <class Tested, class Key>
bool shared_elsewhere(Tested& set, const Key& key) {
  return result_in_another_thread([&] { return set.try_lock_shared(key).has_value(); });
}

// Nobody holds a key, and none has left a trace.
template <class Tested>
void expect_idle(const Tested& set) {
  EXPECT_NO_THROW(detail::TestAccess::check_invariants(set));
  EXPECT_EQ(detail::TestAccess::node_count(set), 0u);
  EXPECT_EQ(set.locked_count(), 0u);
}

void expect_deadlock(const std::function<void()>& wait) {
  try {
    wait();
    ADD_FAILURE() << "no deadlock was found";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::resource_deadlock_would_occur);
  }
}

TEST(LockSetTest, Types) {
  Set* set = nullptr;
  using Guard = Set::Guard;
  using SharedGuard = Set::SharedGuard;
  constexpr std::chrono::seconds limit{1};
  const Clock::time_point time;
  static_assert(std::same_as<decltype(set->lock(1)), Guard>);
  static_assert(std::same_as<decltype(set->try_lock(1)), std::optional<Guard>>);
  static_assert(std::same_as<decltype(set->try_lock_for(1, limit)), std::optional<Guard>>);
  static_assert(std::same_as<decltype(set->try_lock_until(1, time)), std::optional<Guard>>);
  static_assert(std::same_as<decltype(set->lock_shared(1)), SharedGuard>);
  static_assert(std::same_as<decltype(set->try_lock_shared(1)), std::optional<SharedGuard>>);
  static_assert(
      std::same_as<decltype(set->try_lock_shared_for(1, limit)), std::optional<SharedGuard>>);
  static_assert(
      std::same_as<decltype(set->try_lock_shared_until(1, time)), std::optional<SharedGuard>>);
  static_assert(std::same_as<decltype(set->lock_all({1, 2})), Set::Batch>);
  static_assert(std::same_as<decltype(set->try_lock_all({1, 2})), std::optional<Set::Batch>>);
  static_assert(std::same_as<Set::key_type, int>);
  static_assert(!std::copy_constructible<Guard> && std::is_nothrow_move_constructible_v<Guard>);
  static_assert(!std::is_copy_assignable_v<SharedGuard> &&
                std::is_nothrow_move_assignable_v<SharedGuard>);
  static_assert(!std::copy_constructible<Set> && !std::move_constructible<Set>);
}

TEST(LockSetTest, ANodeHasNoRoomForAValue) {
  struct NoLinks {};
  using detail::Node;
  using detail::NoValue;
  static_assert(sizeof(Node<std::uint64_t, NoValue, NoLinks>) == 24);
  static_assert(sizeof(Node<std::uint32_t, NoValue, NoLinks>) == 24);
  static_assert(sizeof(Node<std::uint64_t, std::uint64_t, NoLinks>) == 32);
  static_assert(sizeof(Node<std::uint32_t, std::uint32_t, NoLinks>) == 24);
}

TEST(LockSetTest, LocksOneKeyAndNoOther) {
  Set set;
  {
    const Set::Guard guard = set.lock(1);
    EXPECT_EQ(guard.key(), 1);
    EXPECT_FALSE(free_elsewhere(set, 1));
    EXPECT_FALSE(shared_elsewhere(set, 1));
    EXPECT_TRUE(free_elsewhere(set, 2));
    EXPECT_FALSE(set.try_lock(1).has_value());
    EXPECT_EQ(set.locked_count(), 1u);
    EXPECT_EQ(detail::TestAccess::held(), 1u);
  }
  EXPECT_TRUE(free_elsewhere(set, 1));
  EXPECT_EQ(detail::TestAccess::held(), 0u);
  expect_idle(set);
}

TEST(LockSetTest, SharesAKeyAmongReaders) {
  Set set;
  {
    const Set::SharedGuard guard = set.lock_shared(1);
    const Set::SharedGuard again = set.lock_shared(1);
    EXPECT_EQ(again.key(), 1);
    EXPECT_TRUE(shared_elsewhere(set, 1));
    EXPECT_FALSE(free_elsewhere(set, 1));
    EXPECT_EQ(set.locked_count(), 1u);
  }
  EXPECT_TRUE(free_elsewhere(set, 1));
  expect_idle(set);
}

TEST(LockSetTest, AGuardMovesAndUnlocksEarly) {
  Set set;
  Set::Guard guard = set.lock(1);
  Set::Guard other = std::move(guard);
  EXPECT_EQ(other.key(), 1);
  other = set.lock(2);
  EXPECT_TRUE(free_elsewhere(set, 1));
  EXPECT_FALSE(free_elsewhere(set, 2));
  other.unlock();
  EXPECT_TRUE(free_elsewhere(set, 2));
  Set::SharedGuard shared = set.lock_shared(3);
  Set::SharedGuard moved = std::move(shared);
  moved = set.lock_shared(4);
  EXPECT_TRUE(free_elsewhere(set, 3));
  moved.unlock();
  expect_idle(set);
}

TEST(LockSetTest, TakesWhateverStandsForAKey) {
  Names names;
  const std::string_view view = "a name that is too long to be stored in place";
  {
    const auto guard = names.lock(view);
    EXPECT_EQ(guard.key(), view);
    EXPECT_FALSE(names.try_lock(std::string(view)).has_value());
    const auto literal = names.lock("literal");
    EXPECT_EQ(names.locked_count(), 2u);
  }
  expect_idle(names);
  LockSet<unsigned> numbers;
  const auto one = numbers.lock(1);
  const auto two = numbers.lock_shared(2);
  EXPECT_FALSE(numbers.try_lock(1).has_value());
  EXPECT_FALSE(numbers.try_lock_until(1, Clock::now()).has_value());
  EXPECT_FALSE(numbers.try_lock_for(1, std::chrono::seconds(0)).has_value());
  EXPECT_TRUE(numbers.try_lock_shared(2).has_value());
  EXPECT_TRUE(numbers.try_lock_shared_for(2, std::chrono::seconds(0)).has_value());
  EXPECT_TRUE(numbers.try_lock_shared_until(2, Clock::now()).has_value());
}

TEST(LockSetTest, MovesAKeyOnlyToStoreIt) {
  LockSet<MoveOnly> set;
  MoveOnly key(1);
  const auto guard = set.lock(std::move(key));
  EXPECT_EQ(key.number(), -1);  // NOLINT(bugprone-use-after-move)
  MoveOnly same(1);
  EXPECT_FALSE(set.try_lock(std::move(same)).has_value());
  EXPECT_EQ(same.number(), 1);  // NOLINT(bugprone-use-after-move)
}

TEST(LockSetTest, WaitsForAKey) {
  Set set;
  std::optional<Set::Guard> guard = set.lock(1);
  std::atomic<bool> got = false;
  Worker waiter([&] {
    const auto mine = set.lock(1);
    got = true;
  });
  await_waiters(set, 1, 1);
  EXPECT_FALSE(got);
  EXPECT_EQ(set.locked_count(), 1u);
  guard.reset();
  waiter.join();
  EXPECT_TRUE(got);
  expect_idle(set);
}

TEST(LockSetTest, GivesUpInTime) {
  Set set;
  constexpr std::chrono::milliseconds moment{1};
  std::optional<Set::Guard> guard = set.lock(1);
  in_another_thread([&] {
    EXPECT_FALSE(set.try_lock_for(1, moment).has_value());
    EXPECT_FALSE(set.try_lock_until(1, Clock::now() + moment).has_value());
    EXPECT_FALSE(set.try_lock_shared_for(1, moment).has_value());
    EXPECT_FALSE(set.try_lock_shared_until(1, Clock::now() + moment).has_value());
    EXPECT_TRUE(set.try_lock_for(2, moment).has_value());
    EXPECT_TRUE(set.try_lock_shared_for(2, moment).has_value());
  });
  Worker waiter([&] {
    EXPECT_TRUE(set.try_lock_for(1, std::chrono::hours::max()).has_value());
    EXPECT_TRUE(set.try_lock_until(1, Clock::time_point::max()).has_value());
  });
  await_waiters(set, 1, 1);
  guard.reset();
  waiter.join();
  expect_idle(set);
}

// A reader that comes later queues behind a writer that waits.
TEST(LockSetTest, ServesInTheOrderOfArrival) {
  Set set;
  std::optional<Set::SharedGuard> reader = set.lock_shared(1);
  std::vector<char> order;
  {
    Worker writer([&] {
      const auto guard = set.lock(1);
      order.push_back('w');
    });
    await([&] { return detail::TestAccess::parked(set, 1) == 1; }, "a writer to wait");
    EXPECT_FALSE(shared_elsewhere(set, 1));
    EXPECT_TRUE(set.try_lock_shared(1).has_value());  // this thread's own hold keeps writers out
    Worker later([&] {
      const auto guard = set.lock_shared(1);
      order.push_back('r');
    });
    await([&] { return detail::TestAccess::parked(set, 1) == 2; }, "a reader to wait");
    reader.reset();
  }
  EXPECT_EQ(order, (std::vector{'w', 'r'}));
  expect_idle(set);
}

TEST(LockSetTest, ReportsDeadlocks) {
  Set set;
  LockMap<int, int> map;
  {
    const auto guard = set.lock(1);
    expect_deadlock([&] { (void)set.lock(1); });
    expect_deadlock([&] { (void)set.lock_shared(1); });
    expect_deadlock([&] { (void)set.try_lock_for(1, std::chrono::hours(1)); });
    expect_deadlock([&] { (void)set.lock_all({0, 1, 2}); });
    EXPECT_FALSE(set.try_lock_all({0, 1, 2}).has_value());
    const auto shared = set.lock_shared(3);
    expect_deadlock([&] { (void)set.lock(3); });
  }
  expect_idle(set);

  // A cycle through a set and a map.
  std::optional<Set::Guard> mine = set.lock(1);
  std::latch held(1);
  {
    Worker other([&] {
      const auto entry = map.entry(7);
      held.count_down();
      (void)set.lock(1);
    });
    held.wait();
    await([] { return detail::TestAccess::blocked_owners() == 1; }, "a thread to block");
    expect_deadlock([&] { (void)map.entry(7); });
    mine.reset();
  }
  expect_idle(set);
}

TEST(LockSetTest, LocksSeveralKeysInOrder) {
  Names names;
  {
    Names::Batch batch = names.lock_all({"pear", "apple", "plum", "apple"});
    ASSERT_EQ(batch.size(), 3u);
    EXPECT_EQ(batch[0].key(), "apple");
    EXPECT_EQ(batch[2].key(), "plum");
    EXPECT_TRUE(batch.contains("pear"));
    EXPECT_EQ(batch.find("peach"), nullptr);
    EXPECT_EQ(&batch.at("pear"), &batch[1]);
    EXPECT_THROW((void)batch.at("peach"), std::out_of_range);
    EXPECT_FALSE(free_elsewhere(names, "pear"));
    EXPECT_EQ(names.locked_count(), 3u);
    batch[1].unlock();
    EXPECT_TRUE(free_elsewhere(names, "pear"));
  }
  expect_idle(names);
  Set set;
  {
    const auto batch = set.lock_all(InputRange(std::vector{3, 1, 2}), std::greater<>{});
    EXPECT_EQ(batch[0].key(), 3);
    EXPECT_FALSE(set.try_lock_all(std::vector{4, 3}).has_value());
    EXPECT_TRUE(set.try_lock_all(std::vector{4, 5}).has_value());
    EXPECT_EQ(set.locked_count(), 3u);
  }
  std::vector<int> many;
  for (int key = 0; key < 100; ++key) many.push_back(key);
  EXPECT_EQ(set.lock_all(many).at(77).key(), 77);
  expect_idle(set);
}

TEST(LockSetTest, OneHolderAtATime) {
  Set set(Options{.shard_count = 2});
  constexpr int keys = 3;
  std::array<int, keys> counts{};
  const int rounds = scaled(20'000);
  run_together(3, [&](int thread) {
    for (int i = 0; i < rounds; ++i) {
      const int key = (i + thread) % keys;
      if (i % 16 == 0) {
        const auto batch = set.lock_all(std::array{key, (key + 1) % keys});
        ++counts[static_cast<std::size_t>(key)];
      } else if (i % 5 == 0) {
        const auto guard = set.lock_shared(key);
        EXPECT_GE(counts[static_cast<std::size_t>(key)], 0);
      } else {
        const auto guard = set.lock(key);
        ++counts[static_cast<std::size_t>(key)];
      }
    }
  });
  int expected = 0;
  for (int i = 0; i < rounds; ++i) expected += i % 16 == 0 || i % 5 != 0 ? 3 : 0;
  EXPECT_EQ(counts[0] + counts[1] + counts[2], expected);
  expect_idle(set);
}

TEST(LockSetTest, AFailedLockLeavesNoTrace) {
  struct Throwing {
    explicit Throwing(int number) : n(number) {}
    Throwing(const Throwing& other) : n(other.n) { throw std::runtime_error("no copy"); }
    Throwing(Throwing&& other) noexcept : n(other.n) {}
    bool operator==(const Throwing& other) const { return n == other.n; }
    int n;
  };
  struct Hash {
    std::size_t operator()(const Throwing& key) const { return static_cast<std::size_t>(key.n); }
  };
  LockSet<Throwing, Hash> set;
  const Throwing key(1);
  EXPECT_THROW((void)set.lock(key), std::runtime_error);
  EXPECT_TRUE(set.try_lock(Throwing(1)).has_value());
  expect_idle(set);
}

// -- Tasks and stops ----------------------------------------------------------------------------

Coroutine note_turn(Set& set, int turn, std::vector<int>& turns) {
  auto guard = co_await set.async_lock(1);
  EXPECT_EQ(guard.key(), 1);
  turns.push_back(turn);
}

Coroutine try_until(Set& set, std::stop_token stop, bool& got) {
  const AsyncOptions options{.stop = std::move(stop)};  // by name: see async_options.hpp
  const auto guard = co_await set.try_async_lock(1, options);
  got = guard.has_value();
}

TEST(LockSetTest, CoroutinesWaitInTheirOrder) {
  Set set;
  std::vector<int> turns;
  {
    auto held = set.lock(1);
    const Coroutine first = note_turn(set, 1, turns);
    const Coroutine second = note_turn(set, 2, turns);
    EXPECT_TRUE(turns.empty());
    held.unlock();
    EXPECT_TRUE(first.done());
    EXPECT_TRUE(second.done());
  }
  EXPECT_EQ(turns, (std::vector{1, 2}));
  expect_idle(set);
}

TEST(LockSetTest, AStopEndsTheWait) {
  Set set;
  std::stop_source stop;
  bool got = true;
  {
    const auto held = set.lock(1);
    const Coroutine waiting = try_until(set, stop.get_token(), got);
    std::optional<Set::Guard> guard;
    std::optional<Set::SharedGuard> shared;
    {
      const Worker thread([&] { guard = set.try_lock(1, stop.get_token()); });
      const Worker reader([&] { shared = set.try_lock_shared(1, stop.get_token()); });
      await_waiters(set, 1, 3);
      stop.request_stop();
    }
    EXPECT_TRUE(waiting.done());
    EXPECT_FALSE(got);
    EXPECT_FALSE(guard.has_value());
    EXPECT_FALSE(shared.has_value());
  }
  EXPECT_TRUE(set.try_lock(1, stop.get_token()).has_value());  // free: given all the same
  expect_idle(set);
}

// -- Memory ---------------------------------------------------------------------------------------

template <class Key>
using Counted = LockSet<Key, default_hash<Key>, default_equal<Key>, CountingAllocator<Key>>;

template <class Key, class Make>
void expect_memory_comes_back(const Make& make) {
  AllocationCount use;
  Counted<Key> set(Options{.shard_count = 2}, {}, {}, CountingAllocator<Key>(use));
  const auto churn = [&](int from, int to) {
    for (int i = from; i < to; ++i) (void)set.lock(make(i));
  };
  churn(0, 1'000);
  const std::size_t small = use.bytes.load();
  churn(1'000, 1'000 + scaled(100'000));
  EXPECT_EQ(use.bytes.load(), small);

  // Many at a time, released in an order that has nothing to do with memory.
  std::vector<typename Counted<Key>::Guard> guards;
  for (int i = 0; i < 20'000; ++i) guards.push_back(set.lock(make(i)));
  EXPECT_GT(use.bytes.load(), 10 * small);
  for (std::size_t i = 0; i < guards.size(); ++i) guards[i * 7919 % guards.size()].unlock();
  churn(0, 200);
  EXPECT_LE(use.bytes.load(), 2 * small + 4096);
  expect_idle(set);
}

TEST(LockSetTest, MemoryComesBackWhenAShardIsIdle) {
  expect_memory_comes_back<int>([](int i) { return i; });
  expect_memory_comes_back<std::string>([](int i) { return "key " + std::to_string(i); });
}

}  // namespace
}  // namespace lockmap::test::lock_set
