// Support for the example programs: threads, and checks of their own results.
#pragma once

#include <cstdlib>
#include <future>
#include <iostream>
#include <string_view>
#include <vector>

namespace example {

// Ends the program with a message unless `ok`. Other threads may be running, so nothing is unwound.
inline void check(bool ok, std::string_view what) {
  if (ok) return;
  std::cerr << "check failed: " << what << '\n';
  std::_Exit(EXIT_FAILURE);
}

// Runs work(0) … work(count - 1), each on a thread of its own, and waits for all of them. An
// exception that leaves one of them goes on to the caller.
template <class Work>
void run_threads(unsigned count, const Work& work) {
  std::vector<std::future<void>> threads;
  for (unsigned index = 0; index < count; ++index) {
    threads.push_back(std::async(std::launch::async, [&work, index] { work(index); }));
  }
  for (auto& thread : threads) thread.get();
}

}  // namespace example
