// A thread has one id in the program and in all its libraries, whatever their visibility: else a
// library takes a key that another thread holds for one that it holds itself, or the reverse.
#include <cstdlib>
#include <iostream>
#include <lockmap/lockmap.hpp>
#include <thread>

#include "library.hpp"

namespace {

void expect(Outcome actual, Outcome expected, const char* what) {
  if (actual == expected) return;
  std::cerr << what << ": outcome " << static_cast<int>(actual) << ", expected "
            << static_cast<int>(expected) << '\n';
  std::exit(EXIT_FAILURE);
}

}  // namespace

int main() {
  using namespace std::chrono_literals;
  lockmap::LockMap<int, int> map;
  const auto held = map.entry(1);
  std::thread([&map] {
    expect(try_key_in_library(&map, 1, 1ms), Outcome::timed_out, "held by another thread");
  }).join();
  // Only a thread that the library takes for another waits for so long.
  expect(try_key_in_library(&map, 1, 10s), Outcome::deadlock, "held by this thread");
  expect(try_key_in_library(&map, 2, 1ms), Outcome::acquired, "free");
}
