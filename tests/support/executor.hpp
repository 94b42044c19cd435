// Threads for coroutines, of the tests and the examples.
#pragma once

#include <condition_variable>
#include <coroutine>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

namespace support {

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

  // co_await executor.schedule(): goes on on whichever thread is free.
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

}  // namespace support
