// Backoff: how a thread waits for another that is about to be done.

#ifndef LOCKMAP_DETAIL_BACKOFF_HPP
#define LOCKMAP_DETAIL_BACKOFF_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <utility>

#include "lockmap/detail/config.hpp"

namespace lockmap::detail {

// For waits of a few dozen instructions, as long as the other thread is running. If it is not, the
// processor is what it needs: so the waiting thread soon yields it, and then sleeps, which lets
// threads of a lower priority run as well. The more threads sleep for the same thing, the longer
// each does: a thousand that look every millisecond would leave no time to the one they wait for.
class Backoff {
 public:
  // How many threads sleep for the same thing.
  using Crowd = std::atomic<std::uint32_t>;

  explicit Backoff(Crowd& crowd) noexcept : crowd_(crowd) {}
  Backoff(const Backoff&) = delete;
  Backoff& operator=(const Backoff&) = delete;
  ~Backoff() {
    if (asleep_) crowd_.fetch_sub(1, std::memory_order_relaxed);
  }

  void pause() noexcept {
    if (looks_ < spins) {
      cpu_pause();
    } else if (looks_ < spins + yields) {
      std::this_thread::yield();
    } else {
      if (!std::exchange(asleep_, true)) crowd_.fetch_add(1, std::memory_order_relaxed);
      const std::uint32_t crowd = crowd_.load(std::memory_order_relaxed);
      std::this_thread::sleep_for(nap * (std::min)(crowd, largest_crowd));
      return;
    }
    ++looks_;
  }

 private:
  static constexpr int spins = 100;
  static constexpr int yields = 20;
  static constexpr std::chrono::microseconds nap{20};
  static constexpr std::uint32_t largest_crowd = 1000;

  Crowd& crowd_;
  int looks_ = 0;
  bool asleep_ = false;  // counted in the crowd
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_BACKOFF_HPP
