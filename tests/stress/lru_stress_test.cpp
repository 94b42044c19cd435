// Eight threads on one small cache with every operation there is. At the end of each round nobody
// is in an operation: the bound, the counters, the structure and the fate of every value are
// checked.

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "stress_support.hpp"
#include "test_access.hpp"
#include "threads.hpp"

namespace lockmap::test {
namespace {

using detail::TestAccess;

constexpr int keys = 256;
constexpr std::size_t capacity = 64;

// A value that knows its key and is counted while it lives.
class Resident {
 public:
  explicit Resident(int key) : key_(key) { ++alive; }
  Resident(const Resident& other) : key_(other.key_) { ++alive; }
  Resident(Resident&& other) noexcept : key_(other.key_) { ++alive; }
  Resident& operator=(const Resident& other) = default;
  ~Resident() {
    key_ = -1;
    --alive;
  }

  int key() const { return key_; }

  static inline std::atomic<std::int64_t> alive = 0;

 private:
  int key_;
};

using Cache = LruLockMap<int, Resident>;

// All that the threads know to have happened.
struct Tally {
  std::atomic<std::uint64_t> lookups = 0;
  std::atomic<std::uint64_t> stored = 0;   // under a key that had no value
  std::atomic<std::uint64_t> taken = 0;    // by remove, pop_lru, retain
  std::atomic<std::uint64_t> evicted = 0;  // as the listener saw it
};

void expect_key(const std::optional<Resident>& resident, int key) {
  EXPECT_EQ(resident ? resident->key() : key, key);
}

void work(Cache& cache, Tally& tally, Random& random, int steps, bool clears) {
  for (int step = 0; step < steps; ++step) {
    const int key = random.below(keys);
    switch (random.below(32)) {
      default:
        ++tally.lookups;
        expect_key(cache.get(key), key);
        break;
      case 0:
        ++tally.lookups;
        (void)cache.contains(key);
        break;
      case 1:
      case 2:
      case 3:
      case 4:
      case 5:
      case 6: {
        const auto previous = cache.insert(key, Resident(key));
        expect_key(previous, key);
        if (!previous) ++tally.stored;
        break;
      }
      case 7:
        if (cache.try_insert(key, Resident(key))) ++tally.stored;
        break;
      case 8:
      case 9: {
        ++tally.lookups;
        const Resident resident = cache.get_or_insert_with(key, [&] {
          ++tally.stored;
          return Resident(key);
        });
        EXPECT_EQ(resident.key(), key);
        break;
      }
      case 10:
      case 11:
      case 12: {
        auto entry = cache.entry(key);
        if (!entry.has_value()) ++tally.stored;
        EXPECT_EQ(entry.or_insert(Resident(key)).key(), key);
        break;
      }
      case 13:
        (void)cache.entry(key);
        break;
      case 14: {
        auto entry = cache.entry(key);
        if (entry.remove()) ++tally.taken;
        if (random.below(2) == 0) {
          entry.emplace(key);
          ++tally.stored;
        }
        break;
      }
      case 15:
      case 16:
        if (cache.remove(key)) ++tally.taken;
        break;
      case 17:
      case 18:
        expect_key(cache.peek(key), key);
        break;
      case 19:
        if (const auto popped = cache.pop_lru()) {
          EXPECT_EQ(popped->second.key(), popped->first);
          ++tally.taken;
        }
        break;
      case 20: {
        // More guards than some of the bounds have room for.
        std::vector<int> wanted;
        for (int i = 0; i < 12; ++i) wanted.push_back(random.below(keys));
        auto batch = cache.batch_lock(wanted);
        for (auto& entry : batch) {
          if (!entry.has_value()) ++tally.stored;
          entry.insert(Resident(entry.key()));
        }
        break;
      }
      case 21:
        if (auto batch = cache.try_batch_lock({key, (key + 1) % keys})) {
          for (auto& entry : *batch) {
            if (entry.remove()) ++tally.taken;
          }
        }
        break;
      case 22:
        if (auto entry = cache.try_entry_for(key, std::chrono::microseconds(random.below(30)))) {
          EXPECT_EQ(entry->has_value() ? (*entry)->key() : key, key);
        }
        break;
      case 23:
        if (random.below(20) == 0) {
          cache.set_max_size(capacity / 4 + static_cast<std::size_t>(random.below(capacity)));
        }
        break;
      case 24:
        if (clears && random.below(50) == 0) cache.clear();
        break;
      case 25:
        if (random.below(20) == 0) {
          cache.for_each([](const int& visited, const Resident& resident) {
            EXPECT_EQ(resident.key(), visited);
          });
        }
        break;
      case 26:
        if (random.below(20) == 0) {
          tally.taken += cache.retain([](const int& visited, Resident& resident) {
            EXPECT_EQ(resident.key(), visited);
            return visited % 7 != 0;
          });
        }
        break;
    }
  }
}

// Without clear(), which does not say how many values it took, every value is accounted for.
void run_rounds(std::size_t shards, bool clears) {
  Resident::alive = 0;
  Tally tally;
  Cache cache(LruOptions{.max_size = capacity, .shard_count = shards},
              [&](const int& key, Resident& resident) {
                EXPECT_EQ(resident.key(), key);
                ++tally.evicted;
              });
  constexpr int rounds = 40;
  constexpr int steps = scaled(2000);
  const auto check = [&]() noexcept {
    // Nobody is in an operation.
    EXPECT_LE(cache.size(), cache.max_size());
    EXPECT_EQ(Resident::alive, static_cast<std::int64_t>(cache.size()));
    expect_quiet(cache);
    const LruStats stats = cache.stats();
    EXPECT_EQ(stats.hits + stats.misses, tally.lookups);
    EXPECT_EQ(stats.insertions, tally.stored);
    EXPECT_EQ(stats.evictions, tally.evicted);
    if (!clears) {
      EXPECT_EQ(tally.stored - tally.taken - tally.evicted, cache.size());
    }
  };
  std::barrier quiet(stress_threads, check);
  run_together(stress_threads, [&](int thread) {
    Random random(thread + 1);
    for (int round = 0; round < rounds; ++round) {
      work(cache, tally, random, steps, clears);
      quiet.arrive_and_wait();
    }
  });
  cache.set_max_size(capacity);
  for (int key = 0; key < 4 * keys; ++key) cache.insert(key, Resident(key));
  EXPECT_EQ(cache.size(), capacity);
  expect_quiet(cache);
}

TEST(LruStressTest, OneShard) {
  run_rounds(1, false);
}
TEST(LruStressTest, FiveShards) {
  run_rounds(5, false);
}
TEST(LruStressTest, DefaultShards) {
  run_rounds(0, false);
}
TEST(LruStressTest, OneShardWithClear) {
  run_rounds(1, true);
}
TEST(LruStressTest, SixteenShardsWithClear) {
  run_rounds(16, true);
}

}  // namespace
}  // namespace lockmap::test
