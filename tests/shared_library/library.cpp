// A library with hidden visibility that uses a map of the program.
#include <chrono>
#include <lockmap/lockmap.hpp>
#include <system_error>

#include "library.hpp"

Outcome try_key_in_library(void* map, int key, std::chrono::milliseconds limit) {
  try {
    const auto entry = static_cast<lockmap::LockMap<int, int>*>(map)->try_entry_for(key, limit);
    return entry.has_value() ? Outcome::acquired : Outcome::timed_out;
  } catch (const std::system_error&) {
    return Outcome::deadlock;
  }
}
