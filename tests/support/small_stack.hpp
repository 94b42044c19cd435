#pragma once

// For what must not grow the stack with the length of its work.

#include <gtest/gtest.h>

#include <cstddef>
#include <exception>

#include <pthread.h>

#include "sanitizers.hpp"

namespace lockmap::test {

// Runs `work` on a thread whose stack is small, and returns when it has ended. An exception that
// leaves it fails the test.
template <class Work>
void run_on_small_stack(Work work) {
  constexpr std::size_t stack_size = (sanitized ? 512 : 64) * 1024;
  const auto run = [](void* argument) -> void* {
    try {
      (*static_cast<Work*>(argument))();
    } catch (const std::exception& error) {
      ADD_FAILURE() << "a thread ended with the exception: " << error.what();
    }
    return nullptr;
  };
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, stack_size), 0);
  pthread_t thread;
  const int error = pthread_create(&thread, &attributes, run, &work);
  pthread_attr_destroy(&attributes);
  ASSERT_EQ(error, 0);
  ASSERT_EQ(pthread_join(thread, nullptr), 0);
}

}  // namespace lockmap::test
