// lockmap/asio.hpp: keys for Asio's coroutines, callbacks and futures. Compiled once for standalone
// Asio and, with LOCKMAP_BOOST_ASIO, once for Boost.Asio.

#if __has_include(<asio.hpp>) || __has_include(<boost/asio.hpp>)

#include <gtest/gtest.h>

#include <exception>
#include <future>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#if defined(LOCKMAP_BOOST_ASIO) || !__has_include(<asio.hpp>)
#include <boost/asio.hpp>
#define LOCKMAP_TEST_SUITE BoostAsioTest
namespace asio = boost::asio;
#else
#include <asio.hpp>
#define LOCKMAP_TEST_SUITE AsioTest
#endif

#include <lockmap/asio.hpp>
#include <lockmap/lockmap.hpp>

#include "test_access.hpp"
#include "threads.hpp"

namespace lockmap::test {
namespace asio_test {

using Map = LockMap<std::string, int>;

TEST(LOCKMAP_TEST_SUITE, ACallback) {
  asio::io_context context;
  Map map;
  bool called = false;
  async_entry(map, "a",
              asio::bind_executor(context, [&](std::exception_ptr error, Map::TaskEntry e) {
                EXPECT_FALSE(error);
                e.insert(1);
                called = true;
              }));
  EXPECT_FALSE(called) << "never within the call";
  context.run();
  EXPECT_TRUE(called);
  EXPECT_EQ(map.get("a"), 1);
}

// Older releases know no coroutines of clang's.
#if defined(ASIO_HAS_CO_AWAIT) || defined(BOOST_ASIO_HAS_CO_AWAIT)

TEST(LOCKMAP_TEST_SUITE, ACoroutineWaits) {
  asio::io_context context;
  Map map;
  int order = 0;
  std::optional<Map::Entry> held(map.entry("a"));
  asio::co_spawn(
      context,
      [&]() -> asio::awaitable<void> {
        auto entry = co_await async_entry(map, std::string("a"), asio::use_awaitable);
        EXPECT_EQ(order++, 1);
        entry.insert(2);
        entry.unlock();
        auto shared = co_await async_shared_entry(map, "a", asio::use_awaitable);
        EXPECT_EQ(*shared, 2);
      },
      asio::detached);
  asio::post(context, [&] {
    EXPECT_EQ(order++, 0);
    held.reset();
  });
  context.run();
  EXPECT_EQ(order, 2);
}

#endif  // ASIO_HAS_CO_AWAIT

TEST(LOCKMAP_TEST_SUITE, AFuture) {
  Map map;
  std::optional<Map::Entry> held(map.entry("a"));
  std::future<Map::TaskEntry> future = async_entry(map, "a", asio::use_future);
  held.reset();
  Map::TaskEntry entry = future.get();
  EXPECT_EQ(entry.key(), "a");
}

// Older releases have no cancellation slots.
#ifdef LOCKMAP_ASIO_HAS_SLOTS

TEST(LOCKMAP_TEST_SUITE, ACancellation) {
  asio::io_context context;
  Map map;
  asio::cancellation_signal signal;
  const auto held = map.entry("a");
  bool called = false;
  async_entry(map, "a",
              asio::bind_cancellation_slot(
                  signal.slot(),
                  asio::bind_executor(context, [&](std::exception_ptr error, Map::TaskEntry) {
                    called = true;
                    try {
                      std::rethrow_exception(error);
                    } catch (const std::system_error& canceled) {
                      EXPECT_EQ(canceled.code(), std::errc::operation_canceled);
                    }
                  })));
  asio::post(context, [&] { signal.emit(asio::cancellation_type::all); });
  context.run();
  EXPECT_TRUE(called);
  EXPECT_EQ(detail::TestAccess::waiters(map, "a"), 0U);
}

#endif  // LOCKMAP_ASIO_HAS_SLOTS

#if defined(ASIO_HAS_CO_AWAIT) || defined(BOOST_ASIO_HAS_CO_AWAIT)

TEST(LOCKMAP_TEST_SUITE, ADeadlock) {
  asio::io_context context;
  Map map;
  Owner owner;
  bool caught = false;
  asio::co_spawn(
      context,
      [&]() -> asio::awaitable<void> {
        auto entry = co_await async_entry(map, "a", asio::use_awaitable, &owner);
        try {
          (void)co_await async_entry(map, "a", asio::use_awaitable, &owner);
        } catch (const std::system_error& error) {
          caught = error.code() == std::errc::resource_deadlock_would_occur;
        }
      },
      asio::detached);
  context.run();
  EXPECT_TRUE(caught);
}

#endif  // ASIO_HAS_CO_AWAIT

}  // namespace asio_test
}  // namespace lockmap::test

#endif
