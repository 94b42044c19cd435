#pragma once

// Statements about who waits for whom. What should happen and does not ends the program
// (threads.hpp) instead of hanging it.

#include <gtest/gtest.h>

#include <cstddef>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "function_ref.hpp"
#include "test_access.hpp"
#include "threads.hpp"

namespace lockmap::test {

// Runs f on a thread of its own and returns what it returned.
template <class F>
auto result_in_another_thread(F f) {
  std::optional<std::invoke_result_t<F&>> result;
  in_another_thread([&] { result.emplace(f()); });
  return std::move(result).value();
}

// Returns once exactly `count` threads wait for the key.
template <class Map, class Key>
void await_waiters(const Map& map, const Key& key, std::size_t count) {
  await([&] { return detail::TestAccess::waiters(map, key) == count; },
        "threads to wait for a held key");
}

// The result of a function, or the exception that leaves it, kept for another thread.
template <class Result>
class Outcome {
 public:
  template <class F>
  void of(F& f) {
    try {
      if constexpr (std::is_void_v<Result>) {
        f();
      } else {
        result_.emplace(f());
      }
    } catch (...) {
      error_ = std::current_exception();
    }
  }

  Result take() {
    if (error_) std::rethrow_exception(error_);
    if constexpr (!std::is_void_v<Result>) return std::move(result_).value();
  }

 private:
  std::optional<std::conditional_t<std::is_void_v<Result>, std::nullptr_t, Result>> result_;
  std::exception_ptr error_;
};

// Runs f on another thread while this one holds `held`: f has to come back nevertheless.
template <class Map, class Key>
void expect_not_blocked(Map& map, const Key& held, FunctionRef<void()> f) {
  auto guard = map.entry(held);
  in_another_thread(f);
}

// Runs f on another thread while this one holds `held`: f has to wait for that key.
// `before_release(guard)` runs on this thread once f waits.
template <class Map, class Key>
void expect_call_waits(Map& map, const Key& held, FunctionRef<void()> f,
                       FunctionRef<void(typename Map::Entry&)> before_release) {
  std::optional<Worker> other;
  auto guard = map.entry(held);
  other.emplace(f);
  await_waiters(map, held, 1);
  EXPECT_FALSE(other->done());
  before_release(guard);
  // The guard goes before the thread, which needs its key to end.
}

// The same, and returns what f returned.
template <class Map, class Key, class F>
auto expect_waits(
    Map& map, const Key& held, F f,
    FunctionRef<void(typename Map::Entry&)> before_release = [](auto& /*guard*/) {}) {
  Outcome<std::invoke_result_t<F&>> outcome;
  expect_call_waits(
      map, held, [&] { outcome.of(f); }, before_release);
  return outcome.take();
}

}  // namespace lockmap::test
