// Does a lock starve those who wait for it? One thread takes and releases a hot key in a tight
// loop; seven others want the same key all the time. With a lock that anyone may grab as it comes
// free, the one that has just released it, whose processor has its cache line, gets it again and
// again.
//
// Prints, for each kind of lock, how often each thread got it and the longest that one of the seven
// waited at a time.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "lockmap/lockmap.hpp"
#include "program.hpp"
#include "team.hpp"

#if defined(LOCKMAP_BENCH_HAS_TBB)
#include <tbb/concurrent_hash_map.h>
#endif

using Seconds = support::Positive<3600>;
ABSL_FLAG(std::optional<Seconds>, seconds, std::nullopt,
          "time for each; by default 2, or 0.05 if --quick");

namespace {

constexpr std::uint64_t hot_key = 42;
constexpr unsigned waiters = 7;

// Each increments a counter under the lock in question, so that all hold it for equally long.

class LockMapEntry {
 public:
  static constexpr std::string_view name = "LockMap entry";
  LockMapEntry() { map_.insert(hot_key, 0); }
  void increment() {
    auto entry = map_.entry(hot_key);
    ++*entry;
  }
  std::uint64_t count() { return map_.get(hot_key).value_or(0); }

 private:
  lockmap::LockMap<std::uint64_t, std::uint64_t> map_;
};

class StdMutex {
 public:
  static constexpr std::string_view name = "std::mutex";
  void increment() {
    const std::lock_guard lock(mutex_);
    ++count_;
  }
  std::uint64_t count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  std::mutex mutex_;
  std::uint64_t count_ = 0;
};

#if defined(LOCKMAP_BENCH_HAS_TBB)
class TbbAccessor {
 public:
  static constexpr std::string_view name = "TBB accessor";
  TbbAccessor() { map_.insert({hot_key, 0}); }
  void increment() {
    Map::accessor accessor;
    map_.find(accessor, hot_key);
    ++accessor->second;
  }
  std::uint64_t count() {
    Map::const_accessor accessor;
    map_.find(accessor, hot_key);
    return accessor->second;
  }

 private:
  using Map = tbb::concurrent_hash_map<std::uint64_t, std::uint64_t>;
  Map map_;
};
#endif

struct Thread {
  std::uint64_t acquisitions = 0;
  bench::Clock::duration longest_wait{};
};

// False if the lock let two threads in at a time.
template <class Lock>
bool measure(std::chrono::duration<double> time) {
  Lock lock;
  std::vector<Thread> threads(1 + waiters);
  std::atomic<bool> stop{false};
  // Not pinned: where eight threads run on a few processors is the scheduler's to say here.
  bench::Team team(1 + waiters, bench::Placement::free);
  const auto end = bench::Clock::now() + std::chrono::duration_cast<bench::Clock::duration>(time);
  team.run([&](unsigned worker) {
    Thread thread;
    if (worker == 0) {
      // It looks at the clock so seldom that the loop is taking and releasing, and nothing else.
      while (bench::Clock::now() < end) {
        for (int i = 0; i < 256; ++i) lock.increment();
        thread.acquisitions += 256;
      }
      stop.store(true, std::memory_order_relaxed);
    } else {
      // A wait that has begun is seen through to its end, so the longest one is not cut off.
      while (!stop.load(std::memory_order_relaxed)) {
        const auto before = bench::Clock::now();
        lock.increment();
        thread.longest_wait = std::max(thread.longest_wait, bench::Clock::now() - before);
        ++thread.acquisitions;
      }
    }
    threads[worker] = thread;
  });

  std::uint64_t total = 0;
  for (const Thread& thread : threads) total += thread.acquisitions;
  const std::uint64_t greedy = threads.front().acquisitions;
  threads.erase(threads.begin());
  std::sort(threads.begin(), threads.end(),
            [](const Thread& a, const Thread& b) { return a.acquisitions < b.acquisitions; });
  bench::Clock::duration longest{};
  for (const Thread& thread : threads) longest = std::max(longest, thread.longest_wait);
  std::printf("%-14.*s %14llu %14llu %14llu %14llu %14.3f ms\n",
              static_cast<int>(Lock::name.size()), Lock::name.data(),
              static_cast<unsigned long long>(greedy),
              static_cast<unsigned long long>(threads.front().acquisitions),
              static_cast<unsigned long long>(threads[threads.size() / 2].acquisitions),
              static_cast<unsigned long long>(threads.back().acquisitions),
              bench::nanoseconds(longest) / 1e6);
  std::fflush(stdout);
  if (lock.count() == total) return true;
  std::fprintf(stderr, "%.*s: wrong count\n", static_cast<int>(Lock::name.size()),
               Lock::name.data());
  return false;
}

int run() {
  double seconds = bench::is_quick() ? 0.05 : 2;
  if (const auto given = absl::GetFlag(FLAGS_seconds)) seconds = given->value;

  std::printf("Acquisitions in %g s on %zu processors, and the longest single wait of the seven\n",
              seconds, bench::allowed_processors().size());
  std::printf("%-14s %14s %14s %14s %14s %17s\n", "lock", "greedy thread", "seven: least", "median",
              "most", "longest wait");
  const std::chrono::duration<double> time(seconds);
  bool correct = measure<LockMapEntry>(time);
  correct = measure<StdMutex>(time) && correct;
#if defined(LOCKMAP_BENCH_HAS_TBB)
  correct = measure<TbbAccessor>(time) && correct;
#else
  std::printf("%-14s skipped: built without TBB\n", "TBB accessor");
#endif
  return correct ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const char* const usage =
      "One greedy thread and seven others on one hot key, for each kind of lock.";
  return bench::run_program(argc, argv, usage, run);
}
