// Detached: a coroutine for which nobody waits.
#pragma once

#include <coroutine>
#include <exception>

namespace bench {

// Runs when it is called, to its end or until it has to wait.
struct Detached {
  struct promise_type {
    static Detached get_return_object() noexcept { return {}; }
    static std::suspend_never initial_suspend() noexcept { return {}; }
    static std::suspend_never final_suspend() noexcept { return {}; }
    static void return_void() noexcept {}
    [[noreturn]] static void unhandled_exception() noexcept { std::terminate(); }
  };
};

}  // namespace bench
