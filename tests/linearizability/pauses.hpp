#pragma once

// Pauses at random places, so that threads meet in the middle of operations.

#include <chrono>
#include <cstddef>
#include <thread>

#include <lockmap/lockmap.hpp>

#include "stress_support.hpp"
#include "threads.hpp"

namespace lockmap::test {

// Where this thread's pauses come from; none without it.
inline thread_local Random* pauses = nullptr;

inline void maybe_pause() {
  if (pauses == nullptr) return;
  const int choice = pauses->below(16);
  if (choice == 0) {
    std::this_thread::yield();
  } else if (choice < 6) {
    for (int i = pauses->below(100); i > 0; --i) detail::cpu_pause();
  }
}

// Now and then so long that a waiter loses its patience and is handed the key.
inline void maybe_pause_long() {
  if (pauses != nullptr && pauses->below(512) == 0) {
    pass_time(std::chrono::microseconds(1500));
  } else {
    maybe_pause();
  }
}

// Pauses between the call of an operation and its first step in the map.
struct PausingHash {
  std::size_t operator()(int key) const {
    maybe_pause();
    return default_hash<int>{}(key);
  }
};

}  // namespace lockmap::test
