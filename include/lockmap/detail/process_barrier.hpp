// ProcessBarrier: a fence that one thread executes for all threads of the process.

#ifndef LOCKMAP_DETAIL_PROCESS_BARRIER_HPP
#define LOCKMAP_DETAIL_PROCESS_BARRIER_HPP

#include "lockmap/detail/config.hpp"

#if defined(__linux__) && !defined(LOCKMAP_TSAN) && __has_include(<linux/membarrier.h>)
#define LOCKMAP_MEMBARRIER 1
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#endif

#include <atomic>
#include <cstdint>

namespace lockmap::detail {

// Where two threads each store to one place and then load from the other's, at least one of them
// must see the other's store. For that both need a full fence between the two; unless one of them,
// which comes rarely, has `run` put one into the other's program, wherever that happens to be. The
// other then needs only to keep the compiler from moving its load before its store.
class ProcessBarrier {
 public:
  // So many operations of a thread take ten times as long as `run`, and so pay for one.
  static constexpr std::uint32_t price = 8192;

  // How the other thread stores and loads.
#ifdef LOCKMAP_TSAN
  // ThreadSanitizer does not know of such fences: so that it sees everything else, the thread has
  // its own.
  static constexpr std::memory_order store_order = std::memory_order_seq_cst;
  static constexpr std::memory_order load_order = std::memory_order_seq_cst;
  [[nodiscard]] static bool enable() noexcept {
    return true;
  }
  static void run() noexcept {}
#else
  static constexpr std::memory_order store_order = std::memory_order_release;
  static constexpr std::memory_order load_order = std::memory_order_acquire;
#ifdef LOCKMAP_MEMBARRIER
  // Whether there is such a fence; to be asked once before the first `run`.
  [[nodiscard]] static bool enable() noexcept {
    return call(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
  }

  // When it returns, each other thread of the process has executed a full fence since the call.
  static void run() noexcept {
    // It fails if the kernel is forbidden to do it later on, by a filter for system calls: nothing
    // could be relied on then.
    if (call(MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0 &&
        (!enable() || call(MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0)) {
      std::abort();
    }
  }

 private:
  [[nodiscard]] static long call(int command) noexcept {
    return syscall(SYS_membarrier, command, 0, 0);
  }
#else
  [[nodiscard]] static bool enable() noexcept {
    return false;
  }
  static void run() noexcept {}
#endif
#endif
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_PROCESS_BARRIER_HPP
