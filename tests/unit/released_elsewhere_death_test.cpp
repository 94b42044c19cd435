// An assertion says that an entry is released on another thread than the one that acquired it.

#ifndef NDEBUG

#include <gtest/gtest.h>

#include <optional>
#include <utility>

#include <lockmap/lockmap.hpp>

#include "threads.hpp"

namespace lockmap::test::released_elsewhere_death {
namespace {

using Map = LockMap<int, int>;

// Acquired here, released there.
template <class Guard>
void release_elsewhere(Guard guard) {
  in_another_thread([&] { std::exchange(guard, std::nullopt).reset(); });
}

TEST(ReleasedElsewhereDeathTest, AnEntry) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Map map;
  EXPECT_DEATH(release_elsewhere(map.try_entry(1)), "the thread that acquired it");
}

TEST(ReleasedElsewhereDeathTest, ABatch) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Map map;
  EXPECT_DEATH(release_elsewhere(map.try_batch_lock({1, 2})), "the thread that acquired it");
}

}  // namespace
}  // namespace lockmap::test::released_elsewhere_death

#endif  // NDEBUG
