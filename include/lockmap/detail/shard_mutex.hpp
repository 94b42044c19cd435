// ShardMutex: the exclusive lock of one shard.

#ifndef LOCKMAP_DETAIL_SHARD_MUTEX_HPP
#define LOCKMAP_DETAIL_SHARD_MUTEX_HPP

#include <atomic>
#include <cstdint>

#include "lockmap/detail/backoff.hpp"
#include "lockmap/detail/config.hpp"

namespace lockmap::detail {

// A mutex for critical sections of a few dozen instructions, which neither block nor sleep (I5):
// one atomic read-modify-write to lock, a plain store to unlock. The store is what it gains by not
// knowing who sleeps: a thread that does not get it in time looks again by itself (Backoff). Meets
// Lockable.
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

  void unlock() noexcept { state_.store(free, std::memory_order_release); }

 private:
  friend struct TestAccess;

  static constexpr std::uint32_t free = 0;
  static constexpr std::uint32_t locked = 1;

  LOCKMAP_NOINLINE void lock_slow() noexcept {
    Backoff backoff(sleepers_);
    do {
      // Looking does not take the cache line away from the thread that is to unlock.
      while (state_.load(std::memory_order_relaxed) != free) backoff.pause();
    } while (!try_lock());
  }

  std::atomic<std::uint32_t> state_{free};
  Backoff::Crowd sleepers_{0};
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_SHARD_MUTEX_HPP
