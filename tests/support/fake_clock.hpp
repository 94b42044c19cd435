#pragma once

// A clock for caches that goes on when the test says so.

#include <atomic>
#include <chrono>

namespace lockmap::test {

struct FakeClock {
  using Time = std::chrono::steady_clock::time_point;

  static Time now() noexcept { return Time(std::chrono::nanoseconds(count.load())); }
  static void advance(std::chrono::nanoseconds time) { count += time.count(); }

  static inline std::atomic<std::chrono::nanoseconds::rep> count{1'000'000'000};
};

}  // namespace lockmap::test
