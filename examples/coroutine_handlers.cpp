// Request handlers as coroutines: a handler holds a key across a co_await, and goes on on another
// thread.
//
// Each request moves money between two accounts. It locks both, asks a remote service whether it
// may (which takes a while, and answers on another thread), and only then books it. A thread would
// be blocked all that time; a coroutine is not, and neither are requests for other accounts.
// Requests lock accounts in any order: each is an Owner, so where two of them would wait for each
// other, one gets an error, lets go and tries again.
#include <array>
#include <atomic>
#include <condition_variable>
#include <coroutine>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <iostream>
#include <latch>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "support.hpp"

namespace {

// A few threads that resume the coroutines that they are given.
class Threads {
 public:
  explicit Threads(unsigned count) {
    for (unsigned i = 0; i < count; ++i) threads_.emplace_back([this] { run(); });
  }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  ~Threads() {
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

  // co_await threads.hop(): goes on on whichever thread is free, as after a remote call.
  auto hop() {
    struct Hop {
      static bool await_ready() noexcept { return false; }
      void await_suspend(std::coroutine_handle<> handle) const { threads->post(handle); }
      static void await_resume() noexcept {}
      Threads* threads;
    };
    return Hop{this};
  }

 private:
  void run() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      condition_.wait(lock, [this] { return closed_ || !queue_.empty(); });
      if (queue_.empty()) return;
      const std::coroutine_handle<> handle = queue_.front();
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

// A coroutine that nobody waits for.
struct Handler {
  struct promise_type {
    static Handler get_return_object() noexcept { return {}; }
    static std::suspend_never initial_suspend() noexcept { return {}; }
    static std::suspend_never final_suspend() noexcept { return {}; }
    static void return_void() noexcept {}
    [[noreturn]] static void unhandled_exception() noexcept { std::terminate(); }
  };
};

using Accounts = lockmap::LockMap<std::uint32_t, std::int64_t>;

struct Bank {
  static constexpr std::uint32_t accounts = 16;
  static constexpr std::int64_t deposit = 1000;

  Accounts balances;
  Threads threads{4};
  std::atomic<int> booked = 0;
  std::atomic<int> retries = 0;
};

Handler transfer(Bank& bank, std::uint32_t from, std::uint32_t to, std::int64_t amount,
                 std::latch& done) {
  co_await bank.threads.hop();
  for (bool again = true; again;) {
    lockmap::Owner owner;
    const lockmap::AsyncOptions options{
        .owner = &owner,
        .resume = [&bank](std::coroutine_handle<> handle) { bank.threads.post(handle); }};
    try {
      auto source = co_await bank.balances.async_entry(from, options);
      auto target = co_await bank.balances.async_entry(to, options);
      co_await bank.threads.hop();  // holding both, and no thread
      *source -= amount;
      *target += amount;
      again = false;
    } catch (const std::system_error& error) {
      example::check(error.code() == std::errc::resource_deadlock_would_occur, "which error");
      ++bank.retries;
    }
  }
  ++bank.booked;
  done.count_down();
}

}  // namespace

int main() {
  constexpr int requests = 2000;

  std::latch done(requests);
  Bank bank;
  for (std::uint32_t id = 0; id < Bank::accounts; ++id) bank.balances.insert(id, Bank::deposit);
  for (std::uint32_t i = 0; i < requests; ++i) {
    const std::uint32_t from = i * 7 % Bank::accounts;
    const std::uint32_t to = (from + 1 + i % (Bank::accounts - 1)) % Bank::accounts;
    transfer(bank, from, to, i % 10, done);
  }
  done.wait();

  std::int64_t sum = 0;
  bank.balances.for_each([&sum](std::uint32_t, std::int64_t balance) { sum += balance; });
  example::check(sum == Bank::accounts * Bank::deposit, "no money was made or lost");
  example::check(bank.booked == requests, "every request was booked");
  std::cout << bank.booked << " transfers booked; " << bank.retries
            << " times, one let go because two would have waited for each other\n";
}
