// What the library knows of the calling thread: its id and how many keys it holds.

#ifndef LOCKMAP_DETAIL_THIS_THREAD_HPP
#define LOCKMAP_DETAIL_THIS_THREAD_HPP

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "lockmap/detail/config.hpp"

namespace lockmap::detail {

// Small enough to share a key's state word with its flags and its pins; never 0.
using ThreadId = std::uint64_t;

class LOCKMAP_ONE_PER_PROCESS ThisThread {
 public:
  [[nodiscard]] static ThreadId id() noexcept {
    const ThreadId id = data.id;
    return id != 0 ? id : take_id();
  }

  // How many keys the thread holds, in all maps together. Only a thread that holds one can be part
  // of a deadlock (I8).
  [[nodiscard]] static std::size_t held() noexcept { return data.held; }
  static void key_acquired() noexcept { ++data.held; }
  static void key_released() noexcept { --data.held; }

 private:
  struct Data {
    ThreadId id;
    std::size_t held;
  };

  // Ids are not reused: 2^40 of them outlast any process.
  LOCKMAP_NOINLINE static ThreadId take_id() noexcept {
    return data.id = next_id.fetch_add(1, std::memory_order_relaxed);
  }

  // Constant initialisation spares every access the check for a first use.
  static inline constinit thread_local Data data{};
  static inline constinit std::atomic<ThreadId> next_id{1};
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_THIS_THREAD_HPP
