// Waiting for keys in coroutines allocates nothing: here, every allocation would fail.

#include <gtest/gtest.h>

#include <coroutine>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include <lockmap/lockmap.hpp>

#include "coroutines.hpp"
#include "maps.hpp"
#include "throw_on.hpp"

namespace lockmap::test {
namespace async_faults {

using Map = LockMap<int, std::string>;
using Cache = LruLockMap<int, std::string>;

// co_await pause: until it is resumed from outside.
struct Pause {
  static bool await_ready() noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) noexcept { paused = handle; }
  static void await_resume() noexcept {}
  std::coroutine_handle<> paused = nullptr;
};

struct NotLoaded {
  static bool await_ready() noexcept { return true; }
  static void await_suspend(std::coroutine_handle<> /*handle*/) noexcept {}
  static std::string await_resume() { return "loaded"; }
};

template <class M>
Coroutine use_all(M& map, Owner& owner, std::stop_token stop) {
  const FaultInjector fault(Step::heap, 1);
  const AsyncOptions options{.owner = &owner, .stop = stop};
  {
    auto entry = co_await map.async_entry(1, options);
    EXPECT_TRUE(entry.has_value());
  }
  {
    auto entry = co_await map.try_async_entry(1, options);
    EXPECT_TRUE(entry.has_value());
  }
  {
    auto entry = co_await map.async_shared_entry(1, options);
    auto other = co_await map.async_shared_entry(1, options);
    const std::string value = co_await map.async_get_or_insert_with(
        2, [] { return NotLoaded{}; }, options);
    EXPECT_EQ(value, "b");
  }
}

template <class M>
Coroutine wait(M& map, Pause& pause, AsyncOptions options) {
  co_await pause;
  auto entry = co_await map.async_entry(1, std::move(options));
}

template <class M>
void test_uncontended() {
  M map = make_map<M>();
  map.insert(1, "a");
  map.insert(2, "b");
  Owner owner;
  std::stop_source stop;
  auto coroutine = use_all(map, owner, stop.get_token());
  ASSERT_TRUE(coroutine.done());
  coroutine.check();
}

template <class M>
void test_contended() {
  M map = make_map<M>();
  map.insert(1, "a");
  Owner owner;
  std::stop_source stop;
  Pause pause;
  std::optional<typename M::Entry> held(map.entry(1));
  auto waiting = wait(map, pause, {.owner = &owner, .stop = stop.get_token()});
  {
    const FaultInjector fault(Step::heap, 1);
    pause.paused.resume();
    EXPECT_FALSE(waiting.done());
    held.reset();
  }
  ASSERT_TRUE(waiting.done());
  waiting.check();
}

TEST(AsyncAllocationTest, UncontendedKeysOfAMap) {
  test_uncontended<Map>();
}
TEST(AsyncAllocationTest, UncontendedKeysOfACache) {
  test_uncontended<Cache>();
}
TEST(AsyncAllocationTest, AWaitForAKeyOfAMap) {
  test_contended<Map>();
}
TEST(AsyncAllocationTest, AWaitForAKeyOfACache) {
  test_contended<Cache>();
}

}  // namespace async_faults
}  // namespace lockmap::test
