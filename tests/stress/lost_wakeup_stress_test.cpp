// Eight threads fight for two keys, with and without time limits, and give up in every way there
// is: limits that run out, limits of zero, deadlock errors, exceptions under the lock. If a thread
// that should have been woken is not, the round never ends and the watchdog says where it stands.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "stress_support.hpp"
#include "test_access.hpp"
#include "threads.hpp"

namespace lockmap::test {
namespace {

using detail::TestAccess;
using std::chrono::microseconds;
using std::chrono::steady_clock;

constexpr int keys = 2;
constexpr int steps_per_round = 50;
constexpr std::chrono::seconds patience(sanitized ? 60 : 30);

template <class Family>
class LostWakeupStressTest : public testing::Test {
 public:
  using TestedMap = MapOf<Family, int, std::int64_t>;

 protected:
  struct Outcome {
    std::int64_t granted = 0;
    std::int64_t refused = 0;
    std::int64_t deadlocks = 0;
  };

  // Protected by the guard: not atomic, and exact in the end.
  struct alignas(64) Protected {
    std::int64_t acquisitions = 0;
  };

  void use(typename TestedMap::Entry& entry, Random& random, Outcome& outcome) {
    ++protected_[static_cast<std::size_t>(entry.key())].acquisitions;
    ++outcome.granted;
    switch (random.below(6)) {
      case 0:
        entry.insert(1);
        break;
      case 1:
        entry.remove();
        break;
      case 2:
        // Long enough that the others go to sleep.
        pass_time(microseconds(random.below(100)));
        break;
      case 3:
        std::this_thread::yield();
        break;
      default:
        break;
    }
  }

  void step(Random& random, Outcome& outcome) {
    const int key = random.below(keys);
    switch (random.below(10)) {
      case 0:
      case 1: {
        auto entry = map_.entry(key);
        use(entry, random, outcome);
        break;
      }
      case 2:
      case 3:
      case 4: {
        // Down to no time at all, up to longer than a waiter's patience.
        const auto limit = microseconds(random.below(4) == 0 ? 0 : random.below(2000) / 10 * 10);
        auto entry = random.below(2) == 0 ? map_.try_entry_for(key, limit)
                                          : map_.try_entry_until(key, steady_clock::now() + limit);
        if (entry) {
          use(*entry, random, outcome);
        } else {
          ++outcome.refused;
        }
        break;
      }
      case 5: {
        // In either order: some of these are cycles.
        auto first = map_.entry(key);
        use(first, random, outcome);
        try {
          auto second = map_.entry(1 - key);
          use(second, random, outcome);
        } catch (const std::system_error&) {
          ++outcome.deadlocks;
        }
        break;
      }
      case 6: {
        auto first = map_.entry(key);
        use(first, random, outcome);
        try {
          auto second = map_.try_entry_for(1 - key, microseconds(random.below(200)));
          if (second) {
            use(*second, random, outcome);
          } else {
            ++outcome.refused;
          }
        } catch (const std::system_error&) {
          ++outcome.deadlocks;
        }
        break;
      }
      case 7: {
        try {
          auto batch = map_.batch_lock({0, 1});
          for (auto& entry : batch) use(entry, random, outcome);
        } catch (const std::system_error&) {
          ++outcome.deadlocks;
        }
        break;
      }
      case 8:
        try {
          (void)map_.get_or_insert_with(
              key, [&]() -> std::int64_t { throw std::runtime_error("cancelled"); });
        } catch (const std::runtime_error&) {
          ++outcome.refused;
        }
        break;
      default:
        (void)map_.get(key);
        (void)map_.try_insert(key, 1);
        (void)map_.remove(key);
        break;
    }
  }

  TestedMap map_ = make_map<TestedMap>(1);
  std::array<Protected, keys> protected_;
};

LOCKMAP_TEST_BOTH(LostWakeupStressTest, EveryRoundEnds) {
  auto& map = this->map_;
  std::vector<typename TestFixture::Outcome> outcomes(stress_threads);
  const auto end = steady_clock::now() + stress_seconds(2) / 2;
  bool over = false;
  std::int64_t rounds = 0;
  // After a round nobody is left to wake a thread by accident.
  std::barrier round_ends(stress_threads, [&]() noexcept {
    for (int key = 0; key < keys; ++key) {
      EXPECT_EQ(TestAccess::waiters(map, key), 0U);
      EXPECT_EQ(TestAccess::parked(map, key), 0U);
    }
    expect_quiet(map);
    ++rounds;
    over = steady_clock::now() >= end;
  });
  {
    Watchdog watchdog(stress_threads, patience, [&] { return TestAccess::dump(map); });
    run_together(stress_threads, [&](int thread) {
      Random random(thread + 1);
      auto& outcome = outcomes[static_cast<std::size_t>(thread)];
      while (!over) {
        for (int i = 0; i < steps_per_round; ++i) {
          this->step(random, outcome);
          watchdog.step(thread);
        }
        round_ends.arrive_and_wait();
      }
      watchdog.finish(thread);
    });
  }
  typename TestFixture::Outcome total;
  for (const auto& outcome : outcomes) {
    total.granted += outcome.granted;
    total.refused += outcome.refused;
    total.deadlocks += outcome.deadlocks;
  }
  std::int64_t acquisitions = 0;
  for (const auto& of_key : this->protected_) acquisitions += of_key.acquisitions;
  EXPECT_EQ(acquisitions, total.granted);
  EXPECT_GT(total.granted, 0);
  this->RecordProperty("rounds", std::to_string(rounds));
  this->RecordProperty("granted", std::to_string(total.granted));
  this->RecordProperty("refused", std::to_string(total.refused));
  this->RecordProperty("deadlocks", std::to_string(total.deadlocks));
}

}  // namespace
}  // namespace lockmap::test
