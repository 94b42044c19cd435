// Parker: where a thread sleeps until another wakes it.

#ifndef LOCKMAP_DETAIL_PARKER_HPP
#define LOCKMAP_DETAIL_PARKER_HPP

#include <chrono>
#include <cstdint>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <ctime>
#else
#include "lockmap/detail/portable_parker.hpp"
#endif

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace lockmap::detail {

// A wait is no cancellation point: a thread that is cancelled while it waits ends at its next one,
// with its waiter out of every list.
class CancellationDeferred {
 public:
#if defined(__unix__) || defined(__APPLE__)
  CancellationDeferred() noexcept {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_);
  }
  ~CancellationDeferred() {
    pthread_setcancelstate(before_, nullptr);
  }
  CancellationDeferred(const CancellationDeferred&) = delete;
  CancellationDeferred& operator=(const CancellationDeferred&) = delete;

 private:
  int before_ = 0;
#endif
};

// Lives on the sleeping thread's stack, for one sleep after the other. `unpark` may be called once
// for each sleep that has not ended by it; the parker may end as soon as `park` has returned true.
// `nudge` makes a sleeper look at its deadline, at any time while the parker lives.
#if defined(__linux__)

class Parker {
 public:
  Parker() noexcept = default;
  Parker(const Parker&) = delete;
  Parker& operator=(const Parker&) = delete;

  // Sleeps until unparked, and returns true, or until the deadline, and returns false.
  template <class D>
  [[nodiscard]] bool park(const D& deadline) noexcept {
    for (;;) {
      const std::uint32_t seen = woken_.load(std::memory_order_acquire);
      if ((seen & unparked) != 0) break;
      if (deadline.expired()) return false;
      const std::chrono::nanoseconds nap = deadline.nap();
      const auto seconds = std::chrono::duration_cast<std::chrono::duration<std::time_t>>(nap);
      const std::chrono::duration<long, std::nano> rest = nap - seconds;
      const std::timespec timeout{seconds.count(), rest.count()};
      syscall(SYS_futex, &woken_, FUTEX_WAIT_PRIVATE, seen, &timeout, nullptr, 0);
    }
    woken_.store(0, std::memory_order_relaxed);
    return true;
  }

  // The system call takes the parker's address as a number: it does not matter that the sleeper may
  // have seen the store, gone on and ended the parker before.
  void unpark() noexcept {
    std::atomic<std::uint32_t>* const address = &woken_;
    woken_.store(unparked, std::memory_order_release);
    syscall(SYS_futex, address, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }

  // The word changes, so that a sleeper that has looked already does not fall asleep.
  void nudge() noexcept {
    woken_.fetch_or(nudged, std::memory_order_release);
    syscall(SYS_futex, &woken_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }

 private:
  static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));

  static constexpr std::uint32_t unparked = 1;
  static constexpr std::uint32_t nudged = 2;

  std::atomic<std::uint32_t> woken_{0};
};

#else

using Parker = PortableParker;

#endif

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_PARKER_HPP
