// Ten thousand tasks on eight threads, which are cancelled and destroyed at random: sums stay
// exact, no task is lost, and no key stays held. And a million that wait for one key.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iostream>
#include <new>
#include <optional>
#include <stop_token>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "coroutines.hpp"
#include "maps.hpp"
#include "small_stack.hpp"
#include "splitmix64.hpp"
#include "test_access.hpp"
#include "threads.hpp"

namespace lockmap::test {
namespace task_stress {
namespace {

using detail::TestAccess;

constexpr int keys = 64;

struct Counts {
  std::atomic<std::int64_t> added{0};
  std::atomic<int> canceled{0};
  std::atomic<int> deadlocks{0};
  std::atomic<int> ended{0};
};

// Adds to two keys, which it takes in any order, holding them across threads.
template <class Map>
Coroutine add_to_two(Map& map, Executor& executor, Counts& counts, std::uint64_t seed,
                     std::stop_token stop) {
  support::SplitMix64 random(seed);
  co_await executor.schedule();
  Owner owner;
  const bool has_owner = seed % 4 != 0;
  AsyncOptions options{.owner = has_owner ? &owner : nullptr, .stop = stop};
  if (seed % 3 != 0) options.resume = executor.resume();
  int first = static_cast<int>(random() % keys);
  int second = static_cast<int>(random() % keys);
  // Without an owner, a cycle would not be found.
  if (!has_owner && first > second) std::swap(first, second);
  try {
    auto a = co_await map.async_entry(first, options);
    ++a.or_insert(0);
    ++counts.added;
    if (random() % 4 == 0) co_await executor.schedule();
    if (first != second && has_owner) {
      auto b = co_await map.async_entry(second, options);
      ++b.or_insert(0);
      ++counts.added;
      if (random() % 4 == 0) {
        const auto shared = std::move(b).downgrade();
        co_await executor.schedule();
      }
    }
    a.unlock();
    (void)co_await map.async_shared_entry(second, options);
  } catch (const std::system_error& error) {
    ++(error.code() == std::errc::operation_canceled ? counts.canceled : counts.deadlocks);
  }
  ++counts.ended;
}

template <class Family>
class TaskStressTest : public testing::Test {};

LOCKMAP_TEST_BOTH(TaskStressTest, SumsAreExact) {
  using Map = MapOf<TypeParam, int, std::int64_t>;
  Map map = make_map<Map>();
  const int count = sanitized ? 4000 : 10'000;
  Counts counts;
  std::vector<std::stop_source> stops(64);
  std::vector<Coroutine> tasks;
  {
    Executor executor(6);
    std::atomic<bool> go_on{true};
    Worker stopping([&] {
      support::SplitMix64 random(1);
      std::size_t next = 0;
      while (go_on) {
        if (random() % 8 == 0 && next < stops.size() / 2) stops[next++].request_stop();
        // As a thread among the tasks.
        auto entry = map.entry(static_cast<int>(random() % keys));
        ++entry.or_insert(0);
        ++counts.added;
      }
    });
    for (int i = 0; i < count; ++i) {
      const auto seed = static_cast<std::uint64_t>(i);
      tasks.push_back(
          add_to_two(map, executor, counts, seed, stops[seed % stops.size()].get_token()));
    }
    await([&] { return counts.ended == count; }, "the tasks to end");
    go_on = false;
    for (const Coroutine& task : tasks) {
      await([&] { return task.done(); }, "a task");
      task.check();
    }
  }
  std::int64_t sum = 0;
  map.for_each([&](int, std::int64_t value) { sum += value; });
  EXPECT_EQ(sum, counts.added);
  TestAccess::check_invariants(map);
  EXPECT_EQ(TestAccess::blocked_owners(), 0U);
}

// Tasks that wait are destroyed by one thread while another lets the key go.
LOCKMAP_TEST_BOTH(TaskStressTest, TasksAreDestroyedWhileTheKeyIsPassedOn) {
  using Map = MapOf<TypeParam, int, std::int64_t>;
  Map map = make_map<Map>();
  const auto wait = [](auto& m, Resume resume) -> Coroutine {
    auto entry = co_await m.async_entry(1, {.resume = std::move(resume)});
    ++entry.or_insert(0);
  };
  const auto look = [](auto& m, Resume resume) -> Coroutine {
    auto entry = co_await m.async_shared_entry(1, {.resume = std::move(resume)});
  };
  const int rounds = scaled(2000);
  for (int round = 0; round < rounds; ++round) {
    std::optional<typename Map::TaskEntry> held(map.entry(1).detach());
    const Resume drop = [](std::coroutine_handle<>) {};  // so only the destroyer ends it
    std::vector<Coroutine> doomed;
    for (int i = 0; i < 8; ++i) doomed.push_back(i % 3 == 0 ? wait(map, drop) : look(map, drop));
    run_together(2, [&](int thread) {
      if (thread == 0) {
        held.reset();
      } else {
        for (std::size_t i = 0; i < doomed.size(); ++i) {
          doomed[(i * 3 + static_cast<std::size_t>(round)) % doomed.size()].destroy();
        }
      }
    });
    ASSERT_TRUE(map.try_entry(1).has_value()) << "the key was lost";
  }
  TestAccess::check_invariants(map);
}

// A waiter in a chain of them; the frames of all that live are counted.
struct Link {
  struct promise_type {
    static void* operator new(std::size_t size) {
      frame_bytes += size;
      return ::operator new(size);
    }
    static void operator delete(void* frame, std::size_t size) noexcept {
      frame_bytes -= size;
      ::operator delete(frame);
    }
    static Link get_return_object() noexcept { return {}; }
    static std::suspend_never initial_suspend() noexcept { return {}; }
    static std::suspend_never final_suspend() noexcept { return {}; }
    static void return_void() noexcept {}
    [[noreturn]] static void unhandled_exception() noexcept { std::terminate(); }
  };

  static inline std::size_t frame_bytes = 0;
};

template <class Map>
Link add_in_turn(Map& map, std::int64_t turn) {
  auto entry = co_await map.async_entry(1);
  EXPECT_EQ(entry.or_insert(0)++, turn);
}

LOCKMAP_TEST_BOTH(TaskStressTest, AChainOfAMillionHandOversTakesNoStack) {
  using std::chrono::steady_clock;
  const std::size_t count = sanitized ? 20'000 : 1'000'000;
  using Map = MapOf<TypeParam, int, std::int64_t>;
  Map map = make_map<Map>();
  steady_clock::duration time{};
  run_on_small_stack([&] {
    std::optional<typename Map::Entry> held(map.entry(1));
    for (std::size_t i = 0; i < count; ++i) add_in_turn(map, static_cast<std::int64_t>(i));
    EXPECT_EQ(TestAccess::waiters(map, 1), count);
    EXPECT_LE(Link::frame_bytes, count * 1024) << "what a waiter takes is in its frame";
    const auto start = steady_clock::now();
    held.reset();
    time = steady_clock::now() - start;
  });
  EXPECT_EQ(map.get(1), static_cast<std::int64_t>(count));
  EXPECT_EQ(Link::frame_bytes, 0U);
  EXPECT_EQ(TestAccess::node_count(map), 1U);
  std::cout << "a hand-over took "
            << static_cast<double>(std::chrono::nanoseconds(time).count()) /
                   static_cast<double>(count)
            << " ns\n";
}

}  // namespace
}  // namespace task_stress
}  // namespace lockmap::test
