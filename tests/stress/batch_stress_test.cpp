// Random overlapping batches move money between accounts. The total never changes, and whoever
// locks all of the accounts at once sees it.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <system_error>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "stress_support.hpp"
#include "test_access.hpp"
#include "threads.hpp"

namespace lockmap::test {
namespace {

template <class Family>
class BatchStressTest : public testing::Test {
 public:
  using TestedMap = MapOf<Family, int, std::int64_t>;
  using Batch = typename TestedMap::Batch;

 protected:
  static constexpr int accounts = 24;
  static constexpr std::int64_t opening_balance = 1000;
  static constexpr std::int64_t total = accounts * opening_balance;

  void SetUp() override {
    for (int account = 0; account < accounts; ++account) map_.insert(account, opening_balance);
  }

  // From every account of the batch to the first. An account of zero is closed: its key goes.
  static void transfer(Batch& batch, Random& random) {
    std::int64_t collected = 0;
    for (auto& account : batch) {
      const std::int64_t balance = account.value_or(0);
      const std::int64_t amount =
          random.below(8) == 0 ? balance : random.below(static_cast<int>(balance) + 1);
      collected += amount;
      if (balance == amount) {
        account.remove();
      } else {
        account.insert(balance - amount);
      }
    }
    const auto place = static_cast<std::size_t>(random.below(static_cast<int>(batch.size())));
    if (collected > 0) batch[place].or_insert(0) += collected;
  }

  static std::vector<int> some_accounts(Random& random) {
    std::vector<int> result;
    const int count = 2 + random.below(5);
    for (int i = 0; i < count; ++i) result.push_back(random.below(accounts));
    return result;
  }

  static std::vector<int> all_accounts() {
    std::vector<int> result;
    for (int account = accounts; account-- > 0;) result.push_back(account);
    return result;
  }

  static std::int64_t sum(const Batch& batch) {
    std::int64_t result = 0;
    for (const auto& account : batch) result += account.value_or(0);
    return result;
  }

  TestedMap map_ = make_map<TestedMap>();
};

LOCKMAP_TEST_BOTH(BatchStressTest, TransfersConserveTheTotal) {
  auto& map = this->map_;
  constexpr int transfers = scaled(10'000);
  run_together(stress_threads, [&](int thread) {
    Random random(thread + 1);
    for (int i = 0; i < transfers; ++i) {
      const std::vector<int> chosen = this->some_accounts(random);
      switch (random.below(4)) {
        case 0:
          if (auto batch = map.try_batch_lock(chosen)) this->transfer(*batch, random);
          break;
        case 1: {
          // An audit of all accounts, now and then.
          if (random.below(10) != 0) break;
          const auto batch = map.batch_lock(this->all_accounts());
          EXPECT_EQ(this->sum(batch), this->total);
          break;
        }
        default: {
          auto batch = map.batch_lock(chosen);
          this->transfer(batch, random);
          break;
        }
      }
    }
  });
  EXPECT_EQ(this->sum(map.batch_lock(this->all_accounts())), this->total);
  expect_quiet(map);
}

// Half of the threads sort the other way round, so batches meet in cycles. Whoever gets the error
// tries again, and all get done.
LOCKMAP_TEST_BOTH(BatchStressTest, CyclesAreBrokenAndNothingIsLost) {
  auto& map = this->map_;
  constexpr int transfers = scaled(3'000);
  std::atomic<int> deadlocks = 0;
  Watchdog watchdog(stress_threads, std::chrono::seconds(sanitized ? 60 : 30),
                    [&] { return detail::TestAccess::dump(map); });
  run_together(stress_threads, [&](int thread) {
    Random random(thread + 1);
    for (int i = 0; i < transfers; ++i) {
      const std::vector<int> chosen = this->some_accounts(random);
      for (bool done = false; !done;) {
        try {
          auto batch =
              thread % 2 == 0 ? map.batch_lock(chosen) : map.batch_lock(chosen, std::greater<>());
          this->transfer(batch, random);
          done = true;
        } catch (const std::system_error& error) {
          EXPECT_EQ(error.code(), std::errc::resource_deadlock_would_occur);
          ++deadlocks;
        }
      }
      watchdog.step(thread);
    }
    watchdog.finish(thread);
  });
  EXPECT_EQ(this->sum(map.batch_lock(this->all_accounts())), this->total);
  expect_quiet(map);
  this->RecordProperty("deadlocks", deadlocks);
}

}  // namespace
}  // namespace lockmap::test
