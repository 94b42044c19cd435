// Request handlers as coroutines: a handler holds a key across a co_await, and goes on on another
// thread.
//
// Each request moves money between two accounts. It locks both, asks a remote service whether it
// may (which takes a while, and answers on another thread), and only then books it. A thread would
// be blocked all that time; a coroutine is not, and neither are requests for other accounts.
// Requests lock accounts in any order: each is an Owner, so where two of them would wait for each
// other, one gets an error, lets go and tries again.
#include <atomic>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <iostream>
#include <latch>
#include <system_error>

#include <lockmap/lockmap.hpp>

#include "executor.hpp"
#include "support.hpp"

namespace {

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
  support::Executor threads{4};
  std::atomic<int> booked = 0;
  std::atomic<int> retries = 0;
};

Handler transfer(Bank& bank, std::uint32_t from, std::uint32_t to, std::int64_t amount,
                 std::latch& done) {
  co_await bank.threads.schedule();
  for (bool again = true; again;) {
    lockmap::Owner owner;
    const lockmap::AsyncOptions options{.owner = &owner, .resume = bank.threads.resume()};
    try {
      auto source = co_await bank.balances.async_entry(from, options);
      auto target = co_await bank.balances.async_entry(to, options);
      co_await bank.threads.schedule();  // holding both, and no thread: a remote call, say
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
