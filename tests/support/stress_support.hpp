#pragma once

// Support for the stress tests: how long they run, random numbers, and a watchdog.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "splitmix64.hpp"

namespace lockmap::test {

inline constexpr int stress_threads = 8;

// For the tests that run for a time: LOCKMAP_STRESS_SECONDS, or else `otherwise`.
inline std::chrono::duration<double> stress_seconds(double otherwise) {
  const char* text = std::getenv("LOCKMAP_STRESS_SECONDS");
  return std::chrono::duration<double>(text != nullptr ? std::strtod(text, nullptr) : otherwise);
}

// A seed for each thread: 1, 2, ...
class Random {
 public:
  explicit Random(int seed) : generator_(support::SplitMix64(static_cast<std::uint64_t>(seed))()) {}

  std::uint64_t bits() { return generator_(); }

  // 0 to bound - 1.
  int below(int bound) { return static_cast<int>((bits() >> 33) % static_cast<unsigned>(bound)); }

 private:
  support::SplitMix64 generator_;
};

// Ends the program, with a message, if one of the threads makes no step for a long time.
class Watchdog {
 public:
  // `dump` describes the state of what the threads work on.
  Watchdog(int threads, std::chrono::seconds limit, std::function<std::string()> dump)
      : steps_(static_cast<std::size_t>(threads)),
        dump_(std::move(dump)),
        limit_(limit),
        thread_([this] { watch(); }) {}

  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

  // Thread number `thread` has made a step.
  void step(int thread) {
    steps_[static_cast<std::size_t>(thread)].count.fetch_add(1, std::memory_order_relaxed);
  }

  // Thread number `thread` is done and makes no more.
  void finish(int thread) {
    steps_[static_cast<std::size_t>(thread)].count.store(finished, std::memory_order_relaxed);
  }

 private:
  static constexpr std::uint64_t finished = ~std::uint64_t{0};

  struct alignas(64) Steps {
    std::atomic<std::uint64_t> count = 0;
    std::uint64_t last = 0;  // the watchdog's own
    std::chrono::steady_clock::time_point since = std::chrono::steady_clock::now();
  };

  void watch() {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, std::chrono::milliseconds(200), [this] { return over_; })) {
      const auto now = std::chrono::steady_clock::now();
      for (std::size_t i = 0; i < steps_.size(); ++i) {
        Steps& steps = steps_[i];
        const std::uint64_t count = steps.count.load(std::memory_order_relaxed);
        if (count != steps.last) {
          steps.last = count;
          steps.since = now;
        } else if (count != finished && now - steps.since > limit_) {
          bark(i, count);
        }
      }
    }
  }

  void bark(std::size_t thread, std::uint64_t count) {
    std::fprintf(stderr, "thread %zu stands still after %llu steps\n", thread,
                 static_cast<unsigned long long>(count));
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      const std::uint64_t steps = steps_[i].count.load(std::memory_order_relaxed);
      std::fprintf(stderr, "  thread %zu: %s\n", i,
                   steps == finished ? "finished" : std::to_string(steps).c_str());
    }
    std::fprintf(stderr, "%s\n", dump_().c_str());
    std::abort();
  }

  std::vector<Steps> steps_;
  std::function<std::string()> dump_;
  std::chrono::seconds limit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace lockmap::test
