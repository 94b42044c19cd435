#pragma once

// Threads for tests: joined on every path, ordered by latches and by states that can be observed,
// never by sleeping. Whatever never comes ends the program with a message instead of hanging it.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <functional>
#include <latch>
#include <thread>
#include <utility>

#include "function_ref.hpp"
#include "sanitizers.hpp"

namespace lockmap::test {

// A number of repetitions: all of them in a plain build, a tenth (at least one) under a sanitizer.
constexpr int scaled(int repetitions) {
  if (!sanitized) return repetitions;
  return repetitions < 10 ? 1 : repetitions / 10;
}

// Polls until `ready()`; gives up after a minute, since a hanging test tells nobody what it hangs
// on.
inline void await(FunctionRef<bool()> ready, const char* what) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!ready()) {
    if (std::chrono::steady_clock::now() > give_up) {
      std::fprintf(stderr, "gave up waiting for: %s\n", what);
      std::abort();
    }
    std::this_thread::yield();
  }
}

// Lets a span of time go by for the sake of the map, not for the sake of another thread.
inline void pass_time(std::chrono::steady_clock::duration span) {
  const auto end = std::chrono::steady_clock::now() + span;
  await([&] { return std::chrono::steady_clock::now() >= end; }, "time to pass");
}

// A thread that is joined at the end of its scope. An exception that leaves it fails the test.
class Worker {
 public:
  explicit Worker(std::function<void()> work)
      : work_(std::move(work)), thread_(&Worker::run, this) {}

  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() { join(); }

  bool done() const { return done_.load(); }

  void join() {
    if (!thread_.joinable()) return;
    await([this] { return done(); }, "a thread to end");
    thread_.join();
  }

 private:
  void run() {
    try {
      work_();
    } catch (const std::exception& error) {
      ADD_FAILURE() << "a thread ended with the exception: " << error.what();
    }
    work_ = nullptr;
    done_.store(true);
  }

  std::atomic<bool> done_{false};
  std::function<void()> work_;
  std::thread thread_;
};

// Runs `work` in a thread of its own and returns when it has ended.
inline void in_another_thread(FunctionRef<void()> work) {
  Worker worker(work);
}

// Runs `work(0)` to `work(count - 1)` in as many threads, all started at once.
inline void run_together(int count, FunctionRef<void(int)> work) {
  std::latch start(count);
  std::deque<Worker> workers;
  for (int i = 0; i < count; ++i) {
    workers.emplace_back([&start, work, i] {
      start.arrive_and_wait();
      work(i);
    });
  }
}

// Another thread that holds `key` from the end of the constructor until release().
template <class Map>
class Holder {
 public:
  using Entry = typename Map::Entry;

  // `last_act` runs on the holding thread, just before it lets the key go.
  Holder(
      Map& map, typename Map::key_type key, std::function<void(Entry&)> last_act = [](Entry&) {})
      : worker_([this, &map, key = std::move(key), last_act = std::move(last_act)] {
          Entry entry = map.entry(key);
          held_.count_down();
          released_.wait();
          last_act(entry);
        }) {
    held_.wait();
  }

  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;
  ~Holder() { release(); }

  // Returns when the key is free, or passed on.
  void release() {
    if (!released_.try_wait()) released_.count_down();
    worker_.join();
  }

 private:
  std::latch held_{1};
  std::latch released_{1};
  Worker worker_;
};

}  // namespace lockmap::test
