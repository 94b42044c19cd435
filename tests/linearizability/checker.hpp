#pragma once

// Decides whether a history is linearizable: whether every operation can be given one moment
// between its call and its return, so that a sequential object that does them in the order of these
// moments gives the same results.
//
// The search of Wing and Gong ("Testing and verifying concurrent objects", 1993), which tries the
// orders one by one, with Lowe's memory ("Testing for linearizability", 2017): a set of operations
// that led to a state by one order need not be tried again by another.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "history.hpp"

namespace lockmap::test {

// `Specification` has a State, which Abseil can hash, and
//   bool any_next(const State&, const Operation&, F f) const
// which calls `f(next)` for each state that the operation may lead to, with the result that it has,
// until one of the calls returns true; returns whether one did.
template <class Specification>
class Checker {
 public:
  using State = typename Specification::State;

  Checker(const Specification& specification, std::vector<Operation> operations)
      : specification_(specification), operations_(std::move(operations)) {
    if (operations_.size() > max_operations) throw std::length_error("the history is too long");
    std::sort(operations_.begin(), operations_.end(),
              [](const Operation& a, const Operation& b) { return a.called < b.called; });
  }

  [[nodiscard]] bool linearizable(const State& initial) {
    done_ = {};
    order_.clear();
    longest_.clear();
    seen_.clear();
    return search(initial);
  }

  // The order that was found or, if there is none, the longest one that is right so far.
  [[nodiscard]] std::vector<Operation> order() const {
    std::vector<Operation> order;
    for (const std::size_t index : longest_) order.push_back(operations_[index]);
    return order;
  }

 private:
  static constexpr std::size_t max_operations = 256;
  using Set = std::array<std::uint64_t, max_operations / 64>;

  [[nodiscard]] bool is_done(std::size_t index) const {
    return (done_[index / 64] >> (index % 64) & 1U) != 0;
  }
  void flip(std::size_t index) { done_[index / 64] ^= std::uint64_t{1} << (index % 64); }

  bool search(const State& state) {
    if (order_.size() > longest_.size()) longest_ = order_;
    if (order_.size() == operations_.size()) return true;
    if (!seen_.emplace(done_, state).second) return false;
    // Only what was called before any other that is left has returned may come next.
    std::uint64_t first_return = std::numeric_limits<std::uint64_t>::max();
    for (std::size_t i = 0; i < operations_.size(); ++i) {
      if (!is_done(i)) first_return = std::min(first_return, operations_[i].returned);
    }
    for (std::size_t i = 0; i < operations_.size(); ++i) {
      if (operations_[i].called > first_return) break;
      if (is_done(i)) continue;
      flip(i);
      order_.push_back(i);
      const bool found = specification_.any_next(
          state, operations_[i], [this](const State& next) { return search(next); });
      if (found) return true;
      order_.pop_back();
      flip(i);
    }
    return false;
  }

  const Specification& specification_;
  std::vector<Operation> operations_;
  Set done_{};
  std::vector<std::size_t> order_;
  std::vector<std::size_t> longest_;
  absl::flat_hash_set<std::pair<Set, State>> seen_;
};

}  // namespace lockmap::test
