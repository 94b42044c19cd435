// The count of a shard's values: what is read was true at one moment.

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <mutex>

#include <lockmap/lockmap.hpp>

#include "threads.hpp"

namespace lockmap::test {
namespace {

using detail::ValueCount;

TEST(ValueCountTest, AddsUpBothParts) {
  ValueCount count;
  EXPECT_EQ(count.load().count(), 0U);
  count.add_locked(ValueCount::one_more);
  count.add(ValueCount::one_more);
  count.add(ValueCount::one_more);
  EXPECT_EQ(count.load().count(), 3U);
  count.add_locked(ValueCount::one_less);
  count.add(ValueCount::one_less);
  EXPECT_EQ(count.load().count(), 1U);
}

TEST(ValueCountTest, EitherPartMayBeNegative) {
  ValueCount first;
  first.add_locked(ValueCount::one_less);
  first.add(ValueCount::one_more);
  EXPECT_EQ(first.load().count(), 0U);
  first.add(ValueCount::one_more);
  EXPECT_EQ(first.load().count(), 1U);

  ValueCount second;
  second.add(ValueCount::one_less);
  second.add(ValueCount::one_less);
  second.add_locked(ValueCount::one_more);
  second.add_locked(ValueCount::one_more);
  EXPECT_EQ(second.load().count(), 0U);
}

TEST(ValueCountTest, AChangeThatIsUndoneShows) {
  for (const bool locked : {false, true}) {
    ValueCount count;
    const auto before = count.load();
    EXPECT_EQ(before, count.load());
    for (const std::uint64_t change : {ValueCount::one_more, ValueCount::one_less}) {
      locked ? count.add_locked(change) : count.add(change);
    }
    EXPECT_EQ(count.load().count(), before.count());
    EXPECT_NE(count.load(), before);
  }
}

// Each writer adds a value in one part and takes one away in the other, so that the total is never
// below what it was at first, nor above that by more than one for each of them.
TEST(ValueCountTest, IsNeverReadAsItNeverWas) {
  constexpr int writers = 2;
  constexpr std::uint32_t total = 5;
  const int changes = scaled(200'000);
  ValueCount count;
  std::mutex shard_mutex;
  for (std::uint32_t i = 0; i < total; ++i) count.add(ValueCount::one_more);
  std::atomic<int> writing{writers};
  run_together(writers + 1, [&](int worker) {
    if (worker == writers) {
      do {
        const std::uint32_t seen = count.load().count();
        ASSERT_GE(seen, total);
        ASSERT_LE(seen, total + writers);
      } while (writing != 0);
      return;
    }
    const auto add_locked = [&](std::uint64_t change) {
      const std::lock_guard lock(shard_mutex);
      count.add_locked(change);
    };
    for (int i = 0; i < changes; ++i) {
      // Values move from one part to the other, and back.
      if (i / 100 % 2 == worker) {
        count.add(ValueCount::one_more);
        add_locked(ValueCount::one_less);
      } else {
        add_locked(ValueCount::one_more);
        count.add(ValueCount::one_less);
      }
    }
    --writing;
  });
  EXPECT_EQ(count.load().count(), total);
}

}  // namespace
}  // namespace lockmap::test
