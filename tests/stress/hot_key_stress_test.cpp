// A hundred and more threads on one key: each of them is served again and again, and handing the
// key
// from sleeper to sleeper stays the exception.

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <sys/resource.h>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "sanitizers.hpp"
#include "threads.hpp"

namespace lockmap::test {
namespace {

constexpr int hot = 1;

// How often threads of this process have gone to sleep.
std::int64_t sleeps() {
  rusage usage{};
  EXPECT_EQ(getrusage(RUSAGE_SELF, &usage), 0);
  return usage.ru_nvcsw;
}

// Runs `threads` threads that call `work()` for as long as there is one that has not been served
// `services` times, but no more than `limit` times in all.
template <class Work>
void expect_all_served(int threads, int services, std::int64_t limit, Work work) {
  std::atomic<std::int64_t> operations = 0;
  std::atomic<int> not_served = threads;
  run_together(threads, [&](int) {
    for (int served = 0; not_served != 0 && operations < limit;) {
      work();
      ++operations;
      if (++served == services) --not_served;
    }
  });
  EXPECT_EQ(not_served, 0) << "after " << operations << " operations";
}

// A key that is handed to a sleeping thread is free to nobody until that thread runs, so a switch
// of threads for each operation would be all that the processors do.
template <class Work>
void expect_few_sleeps(int threads, int operations, Work work) {
  const std::int64_t before = sleeps();
  run_together(threads, [&](int) {
    for (int i = 0; i < operations; ++i) work();
  });
  if constexpr (!sanitized) {
    const std::int64_t all = std::int64_t{threads} * operations;
    EXPECT_LT(sleeps() - before, all / 4) << "of " << all << " operations";
  }
}

template <class Family>
class HotKeyStressTest : public testing::Test {
 protected:
  using TestedMap = MapOf<Family, int, std::int64_t>;

  void SetUp() override { map_.insert(hot, 0); }

  void increment() {
    auto entry = map_.entry(hot);
    ++entry.value();
  }

  TestedMap map_ = make_map<TestedMap>(1);
};

LOCKMAP_TEST_BOTH(HotKeyStressTest, EveryThreadIsServed) {
  constexpr int services = 10;
  for (const int threads : {96, 256}) {
    SCOPED_TRACE(threads);
    expect_all_served(threads, services, 100'000'000, [this] { this->increment(); });
  }
  expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(HotKeyStressTest, NothingIsLostAndFewSleep) {
  constexpr int operations = scaled(10'000);
  std::int64_t all = 0;
  for (const int threads : {96, 256}) {
    SCOPED_TRACE(threads);
    expect_few_sleeps(threads, operations, [this] { this->increment(); });
    all += std::int64_t{threads} * operations;
  }
  EXPECT_EQ(this->map_.get(hot), all);
  expect_quiet(this->map_);
}

// Readers of a value that is not copied under an internal lock hold its key.
TEST(HotKeyReadStressTest, FewSleepWhileAStringIsRead) {
  const std::string text(100, 'x');
  LockMap<int, std::string> map(Options{.shard_count = 1});
  map.insert(hot, text);
  expect_few_sleeps(128, scaled(10'000), [&] { EXPECT_EQ(map.get(hot), text); });
  expect_quiet(map);
}

// Some want the key shortly, others keep it while they wait for a key that the rest is after.
TEST(HotKeyTwoKeysStressTest, NothingIsLost) {
  constexpr int threads = 128;
  constexpr int operations = scaled(1000);
  LockMap<int, std::int64_t> map(Options{.shard_count = 1});
  for (const int key : {0, 1}) map.insert(key, 0);
  run_together(threads, [&](int thread) {
    for (int i = 0; i < operations; ++i) {
      auto first = map.entry(0);
      ++first.value();
      if (thread % 2 == 0) first.unlock();
      ++map.entry(1).value();
    }
  });
  for (const int key : {0, 1}) EXPECT_EQ(map.get(key), std::int64_t{threads} * operations);
  expect_quiet(map);
}

}  // namespace
}  // namespace lockmap::test
