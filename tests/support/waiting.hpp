#pragma once

// Statements about who waits for whom. What should happen and does not ends the program
// (threads.hpp) instead of hanging it.

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <future>
#include <optional>
#include <type_traits>
#include <utility>

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

// Runs f on another thread while this one holds `held`: f has to come back nevertheless.
template <class Map, class Key, class F>
void expect_not_blocked(Map& map, const Key& held, F f) {
  auto guard = map.entry(held);
  in_another_thread(std::move(f));
}

// Runs f on another thread while this one holds `held`: f has to wait for that key.
// `before_release(guard)` runs on this thread once f waits. Returns what f returned.
template <class Map, class Key, class F, class Before>
auto expect_waits(Map& map, const Key& held, F f, Before before_release) {
  std::future<std::invoke_result_t<F&>> other;
  {
    auto guard = map.entry(held);
    other = std::async(std::launch::async, std::move(f));
    await_waiters(map, held, 1);
    EXPECT_EQ(other.wait_for(std::chrono::seconds{0}), std::future_status::timeout);
    before_release(guard);
  }
  return other.get();
}

template <class Map, class Key, class F>
auto expect_waits(Map& map, const Key& held, F f) {
  return expect_waits(map, held, std::move(f), [](auto& /*guard*/) {});
}

}  // namespace lockmap::test
