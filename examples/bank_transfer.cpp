// Transfers between accounts with batch_lock.
//
// A transfer holds two accounts, and an audit holds them all. If they were locked one after the
// other, "from" then "to", one of two opposite transfers would get the deadlock error and have to
// begin anew; batch_lock takes its keys in sorted order, so no transfer does, and a key named twice
// is taken once. Whoever holds the accounts sees no half-done transfer: every audit finds the same
// total.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <iostream>
#include <numeric>
#include <random>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "support.hpp"

namespace {

using Bank = lockmap::LockMap<int, std::int64_t>;  // account number -> balance

// Moves as much of `amount` as the account has.
void transfer(Bank& bank, int from, int to, std::int64_t amount) {
  auto accounts = bank.batch_lock({from, to});
  auto& source = *accounts.at(from);
  const std::int64_t moved = std::min(amount, source);
  source -= moved;
  *accounts.at(to) += moved;
}

std::int64_t audit(Bank& bank, const std::vector<int>& numbers) {
  const auto accounts = bank.batch_lock(numbers);
  return std::accumulate(accounts.begin(), accounts.end(), std::int64_t{0},
                         [](std::int64_t total, const auto& account) { return total + *account; });
}

}  // namespace

int main() {
  constexpr unsigned tellers = 8;
  constexpr int transfers_per_teller = 5'000;
  constexpr int account_count = 16;
  constexpr std::int64_t opening_balance = 1'000;
  constexpr std::int64_t expected_total = account_count * opening_balance;

  Bank bank;
  std::vector<int> numbers(account_count);
  std::iota(numbers.begin(), numbers.end(), 1);
  for (const int number : numbers) bank.insert(number, opening_balance);

  std::atomic<unsigned> tellers_at_work = tellers;
  int audits = 0;
  example::run_threads(tellers + 1, [&](unsigned index) {
    if (index == tellers) {  // the auditor
      do {
        example::check(audit(bank, numbers) == expected_total,
                       "no audit sees a half-done transfer");
        ++audits;
      } while (tellers_at_work > 0);
      return;
    }
    std::mt19937 random(index);
    std::uniform_int_distribution<int> account(1, account_count);
    std::uniform_int_distribution<std::int64_t> amount(1, 500);
    for (int i = 0; i < transfers_per_teller; ++i) {
      transfer(bank, account(random), account(random), amount(random));
    }
    --tellers_at_work;
  });

  std::int64_t total = 0;
  bank.for_each([&](int, std::int64_t balance) {
    example::check(balance >= 0, "no account is overdrawn");
    total += balance;
  });
  example::check(total == expected_total, "the final total is the opening total");

  std::cout << tellers * transfers_per_teller << " transfers, " << audits
            << " audits, total always " << total << '\n';
}
