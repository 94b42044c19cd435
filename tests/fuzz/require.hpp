#pragma once

#include <stdexcept>

namespace lockmap::fuzz {

// The map did not do what the reference says. Nothing catches it, but for the test that replays.
struct Mismatch : std::logic_error {
  using std::logic_error::logic_error;
};

[[noreturn]] inline void fail(const char* what) {
  throw Mismatch(what);
}

inline void require(bool condition, const char* what) {
  if (!condition) fail(what);
}

}  // namespace lockmap::fuzz
