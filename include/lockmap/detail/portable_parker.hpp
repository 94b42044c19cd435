// PortableParker: where a thread sleeps, by what the standard library has.

#ifndef LOCKMAP_DETAIL_PORTABLE_PARKER_HPP
#define LOCKMAP_DETAIL_PORTABLE_PARKER_HPP

#include <array>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <new>

namespace lockmap::detail {

// As Parker (parker.hpp), which it is on systems without futexes; tested on all.
class PortableParker {
 public:
  PortableParker() = default;
  PortableParker(const PortableParker&) = delete;
  PortableParker& operator=(const PortableParker&) = delete;

  template <class D>
  [[nodiscard]] bool park(const D& deadline) noexcept {
    std::unique_lock<std::mutex> lock(sleeper_.mutex);
    while (!woken_) {
      if (deadline.expired()) return false;
      sleeper_.condition.wait_for(lock, deadline.nap());
    }
    woken_ = false;
    return true;
  }

  void unpark() noexcept {
    // Notifying under the mutex: the sleeper cannot go on, and end the thread, in between.
    const std::lock_guard<std::mutex> lock(sleeper_.mutex);
    woken_ = true;
    sleeper_.condition.notify_one();
  }

  void nudge() noexcept {
    const std::lock_guard<std::mutex> lock(sleeper_.mutex);
    sleeper_.condition.notify_one();
  }

 private:
  // Belongs to the thread: the waking thread may still be on its way out of `mutex` when the woken
  // one goes on. Never destroyed: destructors of thread_local objects that come later may wait.
  struct Sleeper {
    std::mutex mutex;
    std::condition_variable condition;

    [[nodiscard]] static Sleeper& of_this_thread() {
      alignas(Sleeper) static constinit thread_local std::array<std::byte, sizeof(Sleeper)> room{};
      static constinit thread_local Sleeper* sleeper = nullptr;
      if (sleeper == nullptr) sleeper = ::new (static_cast<void*>(room.data())) Sleeper;
      return *sleeper;
    }
  };

  Sleeper& sleeper_ = Sleeper::of_this_thread();
  bool woken_ = false;  // guarded by sleeper_.mutex
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_PORTABLE_PARKER_HPP
