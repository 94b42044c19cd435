// ShardMutex: the lock of one shard, four bytes.

#ifndef LOCKMAP_DETAIL_SHARD_MUTEX_HPP
#define LOCKMAP_DETAIL_SHARD_MUTEX_HPP

#include <atomic>
#include <cstdint>

#include "lockmap/detail/config.hpp"

namespace lockmap::detail {

// A mutex for critical sections of a few dozen instructions: one atomic read-modify-write to lock,
// one to unlock, a bounded spin before it sleeps. Meets Lockable.
//
//   free ──lock──> locked ──a second thread is about to sleep──> contended
//
// `contended` tells the unlocking thread that somebody may sleep. A thread that wakes takes the
// mutex as `contended`, because it cannot know whether others still sleep.
class ShardMutex {
 public:
  ShardMutex() noexcept = default;
  ShardMutex(const ShardMutex&) = delete;
  ShardMutex& operator=(const ShardMutex&) = delete;

  void lock() noexcept {
    if (!try_lock()) [[unlikely]] {
      lock_slow();
    }
  }

  [[nodiscard]] bool try_lock() noexcept {
    std::uint32_t expected = free;
    return state_.compare_exchange_strong(expected, locked, std::memory_order_acquire,
                                          std::memory_order_relaxed);
  }

  void unlock() noexcept {
    if (state_.exchange(free, std::memory_order_release) == contended) [[unlikely]] {
      wake_one();
    }
  }

 private:
  static constexpr std::uint32_t free = 0;
  static constexpr std::uint32_t locked = 1;
  static constexpr std::uint32_t contended = 2;
  // Longer than the longest usual critical section, shorter than a trip into the kernel.
  static constexpr int spins = 100;

  LOCKMAP_NOINLINE void wake_one() noexcept { state_.notify_one(); }

  LOCKMAP_NOINLINE void lock_slow() noexcept {
    for (int i = 0; i < spins; ++i) {
      if (state_.load(std::memory_order_relaxed) == free && try_lock()) return;
      cpu_pause();
    }
    while (state_.exchange(contended, std::memory_order_acquire) != free) {
      state_.wait(contended, std::memory_order_relaxed);
    }
  }

  std::atomic<std::uint32_t> state_{free};
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_SHARD_MUTEX_HPP
