#pragma once

// A coroutine for tests: starts at once, and is destroyed with its handle's owner.

#include <atomic>
#include <coroutine>
#include <exception>
#include <utility>

#include "executor.hpp"

namespace lockmap::test {

using support::Executor;

// Runs until its first suspension when it is called. `done` once it has ended; an exception that
// leaves it is rethrown by `check`.
class Coroutine {
 public:
  struct promise_type {
    Coroutine get_return_object() noexcept {
      return Coroutine(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    static std::suspend_never initial_suspend() noexcept { return {}; }
    struct Final {
      static bool await_ready() noexcept { return false; }
      static void await_suspend(std::coroutine_handle<promise_type> handle) noexcept {
        handle.promise().done.store(true, std::memory_order_release);
      }
      static void await_resume() noexcept {}
    };
    static Final final_suspend() noexcept { return {}; }
    static void return_void() noexcept {}
    void unhandled_exception() noexcept { error = std::current_exception(); }

    std::exception_ptr error;
    std::atomic<bool> done{false};
  };

  Coroutine() noexcept = default;
  Coroutine(Coroutine&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Coroutine& operator=(Coroutine&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Coroutine() { destroy(); }

  // Whatever thread runs it.
  bool done() const { return handle_.promise().done.load(std::memory_order_acquire); }

  // Precondition: done.
  void check() const {
    if (handle_.promise().error) std::rethrow_exception(handle_.promise().error);
  }

  void destroy() {
    if (handle_) std::exchange(handle_, nullptr).destroy();
  }

 private:
  explicit Coroutine(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}

  std::coroutine_handle<promise_type> handle_;
};

}  // namespace lockmap::test
