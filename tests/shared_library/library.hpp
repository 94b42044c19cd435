#ifndef LOCKMAP_TESTS_SHARED_LIBRARY_LIBRARY_HPP
#define LOCKMAP_TESTS_SHARED_LIBRARY_LIBRARY_HPP

#include <chrono>

enum class Outcome { acquired, timed_out, deadlock };

// Tries to lock `key` of the LockMap<int, int> that `map` points to.
#ifdef _WIN32
__declspec(dllexport)
#else
__attribute__((visibility("default")))
#endif
    Outcome try_key_in_library(void* map, int key, std::chrono::milliseconds limit);

#endif  // LOCKMAP_TESTS_SHARED_LIBRARY_LIBRARY_HPP
