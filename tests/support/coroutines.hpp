#pragma once

// A coroutine for tests: starts at once, and is destroyed with its handle's owner.

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <coroutine>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace lockmap::test {

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

// Threads that resume what is posted, in the order in which it comes. Ends when nothing is left.
class Executor {
 public:
  explicit Executor(int threads) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
  }
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;
  ~Executor() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      closed_ = true;
    }
    condition_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void post(std::coroutine_handle<> handle) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      queue_.push_back(handle);
    }
    condition_.notify_one();
  }
  auto resume() {
    return [this](std::coroutine_handle<> handle) { post(handle); };
  }

  // co_await executor.schedule(): goes on on one of the threads.
  auto schedule() {
    struct Awaiter {
      static bool await_ready() noexcept { return false; }
      void await_suspend(std::coroutine_handle<> handle) const { executor->post(handle); }
      static void await_resume() noexcept {}
      Executor* executor;
    };
    return Awaiter{this};
  }

 private:
  void run() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      condition_.wait(lock, [this] { return closed_ || !queue_.empty(); });
      if (queue_.empty()) return;
      const auto handle = queue_.front();
      queue_.pop_front();
      lock.unlock();
      handle.resume();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable condition_;
  std::deque<std::coroutine_handle<>> queue_;
  bool closed_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace lockmap::test
