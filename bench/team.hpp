// Threads to measure with, and where they sit.
#pragma once

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

#include "lockmap/detail/config.hpp"

namespace bench {

using Clock = std::chrono::steady_clock;

inline double nanoseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::nano>(duration).count();
}

// The processors that this process may use; empty if the system does not tell. The first call must
// come before any thread is pinned, because threads inherit where they may run.
inline const std::vector<unsigned>& allowed_processors() {
  static const std::vector<unsigned> processors = [] {
    std::vector<unsigned> allowed;
#if defined(__linux__)
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
      for (unsigned i = 0; i < CPU_SETSIZE; ++i) {
        if (CPU_ISSET(i, &set)) allowed.push_back(i);
      }
    }
#endif
    return allowed;
  }();
  return processors;
}

// Binds the calling thread to one processor, as far as the system lets it: a thread that wanders
// during a slice measures the scheduler. Threads beyond the number of processors share them.
inline void pin(unsigned thread) {
  const std::vector<unsigned>& processors = allowed_processors();
  if (processors.empty()) return;
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processors[thread % processors.size()], &set);
  (void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
#else
  (void)thread;
#endif
}

enum class Placement { pinned, free };

// Worker threads that stay alive from slice to slice, so that no slice pays for their start.
class Team {
 public:
  explicit Team(unsigned size, Placement placement = Placement::pinned)
      : gate_(static_cast<std::ptrdiff_t>(size) + 1) {
    allowed_processors();
    threads_.reserve(size);
    for (unsigned i = 0; i < size; ++i) {
      threads_.emplace_back([this, i, placement] {
        if (placement == Placement::pinned) pin(i);
        for (;;) {
          gate_.arrive_and_wait();
          if (work_ == nullptr) return;
          (*work_)(i);
          gate_.arrive_and_wait();
        }
      });
    }
  }
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;
  ~Team() {
    work_ = nullptr;
    gate_.arrive_and_wait();
    for (std::thread& thread : threads_) thread.join();
  }

  [[nodiscard]] unsigned size() const { return static_cast<unsigned>(threads_.size()); }

  // Calls `work(i)` on worker i, for all of them at a time. Returns when every one has finished.
  void run(const std::function<void(unsigned)>& work) {
    work_ = &work;
    gate_.arrive_and_wait();
    gate_.arrive_and_wait();
  }

 private:
  std::barrier<> gate_;
  const std::function<void(unsigned)>* work_ = nullptr;  // published by the gate
  std::vector<std::thread> threads_;
};

// The time in nanoseconds that a cache line takes from the processor of worker 0 to that of worker
// 1: half a round trip, the fastest of a few batches, as a batch that was interrupted tells
// nothing. Empty where there are no two workers, or no two processors that they are bound to.
inline std::optional<double> line_transfer(Team& team) {
  if (team.size() < 2 || allowed_processors().size() < 2) return std::nullopt;
  constexpr std::uint64_t trips = 100;
  constexpr std::uint64_t stop = std::numeric_limits<std::uint64_t>::max();
  constexpr auto patience = std::chrono::milliseconds(20);  // if the machine is busy
  alignas(lockmap::detail::cache_line) std::atomic<std::uint64_t> line{0};
  double best = std::numeric_limits<double>::infinity();
  team.run([&](unsigned worker) {
    if (worker == 0) {
      const Clock::time_point begin = Clock::now();
      std::uint64_t turn = 0;  // even: worker 0 has the line
      for (int batch = 0; batch < 6 && Clock::now() - begin < patience; ++batch) {
        const Clock::time_point before = Clock::now();
        for (std::uint64_t trip = 0; trip < trips; ++trip) {
          line.store(turn + 1, std::memory_order_release);
          turn += 2;
          while (line.load(std::memory_order_acquire) != turn) {
          }
        }
        const double hop = nanoseconds(Clock::now() - before) / (2 * trips);
        if (batch > 0 && hop < best) best = hop;  // in batch 0, worker 1 may still be waking up
      }
      line.store(stop, std::memory_order_release);
    } else if (worker == 1) {
      for (;;) {
        const std::uint64_t turn = line.load(std::memory_order_acquire);
        if (turn == stop) return;
        if (turn % 2 == 1) line.store(turn + 1, std::memory_order_release);
      }
    }
  });
  if (best == std::numeric_limits<double>::infinity()) return std::nullopt;
  return best;
}

}  // namespace bench
