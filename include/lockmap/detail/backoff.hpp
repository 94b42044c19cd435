// Backoff: how a thread waits for another that is about to be done.

#ifndef LOCKMAP_DETAIL_BACKOFF_HPP
#define LOCKMAP_DETAIL_BACKOFF_HPP

#include <algorithm>
#include <chrono>
#include <thread>

#include "lockmap/detail/config.hpp"

namespace lockmap::detail {

// For waits of a few dozen instructions, as long as the other thread is running. If it is not, the
// processor is what it needs: so the waiting thread soon yields it, and then sleeps for longer and
// longer times, which lets threads of a lower priority run as well.
class Backoff {
 public:
  // Each call takes longer than the one before, up to a bound.
  void pause() noexcept {
    if (count_ < spins) {
      cpu_pause();
    } else if (count_ < spins + yields) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(sleep_);
      sleep_ = (std::min)(2 * sleep_, longest_sleep);
      return;
    }
    ++count_;
  }

 private:
  static constexpr int spins = 100;
  static constexpr int yields = 20;
  static constexpr std::chrono::microseconds longest_sleep{1000};

  int count_ = 0;
  std::chrono::microseconds sleep_{20};
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_BACKOFF_HPP
