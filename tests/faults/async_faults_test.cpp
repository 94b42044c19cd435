// Waiting for keys in coroutines allocates nothing: here, every allocation would fail. And what
// may fail, one by one.

#include <gtest/gtest.h>

#if __has_include(<asio.hpp>)
#include <asio.hpp>
#include <lockmap/asio.hpp>
#endif

#include <coroutine>
#include <exception>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <utility>

#include <lockmap/lockmap.hpp>

#include "coroutines.hpp"
#include "fault_driver.hpp"
#include "fault_world.hpp"
#include "maps.hpp"
#include "test_access.hpp"
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

// -- Faults ------------------------------------------------------------------------------------

// An awaitable of the value that an operation stores: it may fail like `make` itself.
template <class World>
struct Making {
  static bool await_ready() noexcept { return true; }
  static void await_suspend(std::coroutine_handle<> /*handle*/) noexcept {}
  typename World::ValueType await_resume() const {
    FaultInjector::step(Step::callback);
    return world->make_stored();
  }
  World* world;
};
template <class World>
auto faulty_loader(World& world) {
  return [&world] {
    FaultInjector::step(Step::callback);
    return Making<World>{&world};
  };
}

template <class World>
Coroutine insert(World& world) {
  typename World::ValueType value(new_number);
  typename World::KeyType key(world.target);
  world.arm();
  auto entry = co_await world.map.async_entry(std::move(key));
  world.expect_old(entry.insert(std::move(value)));
}
template <class World>
Coroutine try_to_remove(World& world) {
  const AsyncOptions options;
  world.arm();
  auto entry = co_await world.map.try_async_entry(world.target, options);
  world.expect_old(entry->remove());
}
template <class World>
Coroutine look(World& world) {
  world.arm();
  const auto entry = co_await world.map.async_shared_entry(world.target);
  EXPECT_EQ(entry.has_value(), world.old_number().has_value());
}
template <class World>
Coroutine load(World& world) {
  world.arm();
  const auto value =
      co_await world.map.async_get_or_insert_with(world.target, faulty_loader(world));
  EXPECT_EQ(value.number(), world.first_number());
}

// Each of them once with a free key and, if that is not the operation's only one, once with a key
// that another one holds: then it goes on within the release of that one.
template <class World>
std::vector<Operation<World>> async_operations() {
  std::vector<Operation<World>> all;
  const auto add = [&](const char* name, Coroutine (*begin)(World&), Leaves on_success) {
    for (const bool waits : {false, true}) {
      all.push_back({std::string(name) + (waits ? ", after a wait" : ""),
                     [begin, waits](World& world) {
                       std::optional<typename World::Map::Entry> held;
                       if (waits) held.emplace(world.map.entry(world.target));
                       const Coroutine coroutine = begin(world);
                       held.reset();
                       ASSERT_TRUE(coroutine.done());
                       coroutine.check();
                     },
                     on_success});
    }
  };
  add("async_entry, insert", &insert<World>, Leaves::new_value);
  add("try_async_entry, remove", &try_to_remove<World>, Leaves::nothing);
  add("async_shared_entry", &look<World>, Leaves::old_value);
  add("async_get_or_insert_with", &load<World>, Leaves::first_value);
  return all;
}

template <class World>
void expect_no_harm() {
  std::set<Step> kinds;
  for (const Operation<World>& operation : async_operations<World>()) {
    for (const Start& start : starts<World>()) {
      for (const Step kind : all_steps) {
        if (for_every_fault(start, operation, kind, Repeat::once) == 0) continue;
        kinds.insert(kind);
        for_every_fault(start, operation, kind, Repeat::always);
      }
    }
  }
  EXPECT_EQ(kinds, (std::set{Step::hash, Step::equal, Step::copy, Step::move, Step::construct,
                             Step::allocate, Step::callback, Step::heap}));
}

TEST(AsyncFaultsTest, OfAMap) {
  expect_no_harm<World<LockMaps, Faulty, SafelyMoved>>();
}
TEST(AsyncFaultsTest, OfACache) {
  expect_no_harm<World<LruLockMaps, Faulty, SafelyMoved>>();
}

#if __has_include(<asio.hpp>)

// Either nothing was begun, or the handler hears of it; nothing is held or waited for afterwards.
TEST(AsyncFaultsTest, OfTheAsioAdapter) {
  using TextMap = LockMap<std::string, int>;
  const std::string key(100, 'k');
  int not_begun = 0;
  int heard_of = 0;
  for (bool succeeds = false; !succeeds;) {
    TextMap map;
    asio::io_context context;
    asio::cancellation_signal signal;
    std::optional<TextMap::Entry> held(map.entry(key));
    bool called = false;
    std::exception_ptr error;
    // A large executor: one that no Resume has room for.
    auto handler = asio::bind_cancellation_slot(
        signal.slot(), asio::bind_executor(asio::any_io_executor(context.get_executor()),
                                           [&](std::exception_ptr e, TextMap::TaskEntry) {
                                             called = true;
                                             error = e;
                                           }));
    bool begun = false;
    {
      const FaultInjector fault(Step::heap, 1 + not_begun + heard_of);
      try {
        async_entry(map, key, std::move(handler));
        begun = true;
      } catch (const Injected&) {
      }
    }
    held.reset();
    context.run();
    EXPECT_EQ(called, begun);
    if (!begun) {
      ++not_begun;
    } else if (error) {
      ++heard_of;
      EXPECT_THROW(std::rethrow_exception(error), Injected);
    } else {
      succeeds = true;
    }
    EXPECT_TRUE(map.try_entry(key).has_value());
    signal.emit(asio::cancellation_type::all);  // whatever the slot has kept does no harm
    if (HasFailure()) break;
  }
  EXPECT_GE(not_begun, 3) << "the key, the stop and the operation take memory";
  EXPECT_GE(heard_of, 1) << "and so does how it goes on";
}

#endif

}  // namespace async_faults
}  // namespace lockmap::test
