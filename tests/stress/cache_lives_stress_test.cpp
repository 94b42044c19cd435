// Eight threads on a cache whose values live for milliseconds, weigh, are refreshed by makers that
// fail, and are put back by the listener: the bounds hold, and every value that was stored leaves
// exactly once.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "stress_support.hpp"
#include "test_access.hpp"
#include "threads.hpp"

namespace lockmap::test {
namespace {
namespace lives {

using namespace std::chrono_literals;

constexpr int keys = 64;
constexpr std::size_t max_size = 32;
constexpr std::size_t max_weight = 200;
constexpr std::size_t lives = 4'000'000;

struct Life {
  std::size_t id = 0;
  std::size_t weight = 0;
};
using Cache = LruLockMap<int, Life>;

class LivesTest : public testing::TestWithParam<Recency> {
 protected:
  Life make(Random& random) {
    return {next_.fetch_add(1), static_cast<std::size_t>(random.below(20))};
  }
  // It has left the cache.
  void went(const std::optional<Life>& life) {
    if (life.has_value() && left_[life->id].exchange(true)) ++left_twice_;
  }
  void removed(const std::optional<Life>& life) {
    if (life.has_value()) ++removed_;
    went(life);
  }

  void work(int thread, std::chrono::steady_clock::time_point end) {
    Random random(thread + 1);
    while (std::chrono::steady_clock::now() < end && next_ < lives - 1000) {
      for (int i = 0; i < 100; ++i) step(random);
    }
  }

  void step(Random& random) {
    const int key = random.below(keys);
    switch (random.below(14)) {
      case 0: {
        const Life life = make(random);
        went(cache_.insert(key, life));
        break;
      }
      case 1: {
        const Life life = make(random);
        went(cache_.insert(key, life, expires_in(std::chrono::microseconds(random.below(2000)))));
        break;
      }
      case 2: {
        const Life life = make(random);
        (void)cache_.try_insert(key, life);
        break;
      }
      case 3:
        removed(cache_.remove(key));
        break;
      case 4: {
        auto entry = cache_.entry(key);
        if (entry.has_value()) {
          entry->weight = static_cast<std::size_t>(random.below(20));
          if (random.below(4) == 0) entry->weight = max_weight;
          if (random.below(4) == 0) entry.expire_in(std::chrono::microseconds(random.below(500)));
        } else {
          const Life life = make(random);
          entry.insert(life);
        }
        break;
      }
      case 5: {
        auto entry = cache_.try_entry(key);
        if (!entry.has_value()) break;
        const Life life = make(random);
        went(entry->insert(life));
        if (random.below(2) == 0) removed(entry->remove());
        break;
      }
      case 6: {
        const Life life = make(random);
        (void)cache_.get_or_insert_with(key, [&] {
          return Expiring<Life>{life, std::chrono::microseconds(random.below(1000))};
        });
        break;
      }
      case 7: {
        const Life life = make(random);
        const bool fails = random.below(2) == 0;
        try {
          (void)cache_.get_or_refresh(key, std::chrono::microseconds(random.below(200)), [&] {
            if (fails) throw std::runtime_error("maker");
            return life;
          });
        } catch (const std::runtime_error&) {
        }
        break;
      }
      case 8: {
        const auto popped = cache_.pop_lru();
        if (popped.has_value()) removed(popped->second);
        break;
      }
      case 9:
        (void)cache_.purge_expired();
        break;
      case 10: {
        const auto shared = cache_.shared_entry(key);
        if (shared.has_value()) {
          EXPECT_LE(shared->weight, max_weight);
        }
        break;
      }
      case 11: {
        auto shared = cache_.shared_entry(key);
        auto entry = std::move(shared).try_upgrade();
        if (!entry.has_value()) break;
        if (entry->has_value()) (*entry)->weight = static_cast<std::size_t>(random.below(20));
        (void)std::move(*entry).downgrade();
        break;
      }
      default:
        (void)cache_.get(key);
        break;
    }
  }

  static LruOptions options() {
    return {.max_size = max_size,
            .shard_count = 2,
            .max_weight = max_weight,
            .time_to_live = 2ms,
            .time_to_idle = 1ms,
            .recency = GetParam()};
  }

  static inline thread_local bool putting_back_ = false;

  // NOLINTNEXTLINE(modernize-avoid-c-arrays): too many for the stack.
  std::unique_ptr<std::atomic<bool>[]> left_ { new std::atomic<bool>[ lives ]() };
  std::atomic<std::size_t> next_{0};
  std::atomic<int> left_twice_{0};
  std::atomic<bool> over_{false};  // the listener puts nothing back any more
  std::atomic<std::uint64_t> removed_{0};
  std::atomic<std::uint64_t> heard_{0};
  Cache cache_{options(),
               {.on_evict =
                    [this](const int& key, Life& life, EvictionCause /*cause*/) {
                      ++heard_;
                      went(life);
                      if (over_ || putting_back_ || life.id % 8 != 0) return;
                      putting_back_ = true;
                      Random random(key);
                      const Life again = make(random);
                      if (auto entry = cache_.try_entry(key)) {
                        went(entry->insert(again));
                      }
                      putting_back_ = false;
                    },
                .weigh = [](const int&, const Life& life) { return life.weight; }}};
};

TEST_P(LivesTest, EveryValueLeavesOnce) {
  const auto end = std::chrono::steady_clock::now() +
                   std::chrono::duration_cast<std::chrono::milliseconds>(stress_seconds(1.5));
  run_together(stress_threads, [&](int thread) { work(thread, end); });
  over_ = true;
  EXPECT_LE(cache_.size(), max_size);
  EXPECT_LE(cache_.weight(), max_weight);
  expect_quiet(cache_);
  std::size_t weight = 0;
  (void)cache_.retain([&](const int& /*key*/, Life& life) {
    weight += life.weight;
    removed(life);
    return false;
  });
  EXPECT_LE(weight, max_weight);
  cache_.purge_expired();
  cache_.clear();
  EXPECT_TRUE(cache_.empty());
  EXPECT_EQ(cache_.weight(), 0U);
  EXPECT_EQ(left_twice_, 0);
  const LruStats stats = cache_.stats();
  EXPECT_EQ(stats.evictions + stats.expirations, heard_);
  EXPECT_EQ(stats.insertions, heard_ + removed_);
}

INSTANTIATE_TEST_SUITE_P(Recencies, LivesTest, testing::Values(Recency::relaxed, Recency::exact));

}  // namespace lives
}  // namespace
}  // namespace lockmap::test
