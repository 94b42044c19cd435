#pragma once

// Prepares histories of maps for the checker, and says what is wrong with them.

#include <algorithm>
#include <cstddef>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "checker.hpp"
#include "history.hpp"
#include "specification.hpp"

namespace lockmap::test {

// Operations that are no guards may hold the key for some of the time from call to return, and
// others may be refused then. Where that matters the operation is split in two, as a guard is. An
// operation that may hold the key more than once, or one key before the other, excuses all refusals
// that it overlaps. So does, if a shared request is refused, or an upgrade, whatever comes to the
// key meanwhile: it may wait for the key, or read it.
inline std::vector<Operation> with_holds(const std::vector<Operation>& operations) {
  const auto meets = [](const Operation& other, const Operation& operation) {
    return other.thread != operation.thread && other.overlaps(operation) &&
           other.shares_a_key_with(operation);
  };
  const auto did_nothing = [](const Operation& operation) {
    return operation.step == Step::refused || operation.step == Step::not_shared ||
           operation.step == Step::not_upgraded;
  };
  const auto has_many_holds = [](const Operation& operation) {
    return operation.other_key != no_key || operation.step == Step::get_or_put;
  };
  const auto may_refuse = [&](const Operation& holder, const Operation& operation) {
    // A batch that did nothing may have held one of its keys.
    return operation.step == Step::refused && meets(holder, operation) &&
           (!did_nothing(holder) || has_many_holds(holder));
  };
  const auto may_deny = [&](const Operation& other, const Operation& operation) {
    return (operation.step == Step::not_shared || operation.step == Step::not_upgraded) &&
           other.is_newcomer() && meets(other, operation);
  };
  std::vector<Operation> result;
  int guard = 0;
  for (const Operation& operation : operations) {
    if (operation.step == Step::may_hold) continue;
    const bool excused = std::any_of(operations.begin(), operations.end(), [&](const auto& other) {
      return may_deny(other, operation) ||
             (may_refuse(other, operation) &&
              (other.step == Step::may_hold || has_many_holds(other)));
    });
    if (excused) continue;
    result.push_back(operation);
    const bool has_an_end = operation.is_alone() && !did_nothing(operation) &&
                            operation.step != Step::may_erase && !has_many_holds(operation);
    const bool splits =
        has_an_end && std::any_of(operations.begin(), operations.end(),
                                  [&](const auto& other) { return may_refuse(operation, other); });
    if (!splits) continue;
    Operation release = operation;
    release.name = "(its end)";
    release.step = Step::nothing;
    release.argument = none;
    if (writes(operation.step, none)) {
      result.back().guard_after = --guard;  // the guards of a history are positive
      release.guard_before = guard;
    } else {
      release.shares_before = result.back().shares_after = true;
    }
    result.push_back(release);
  }
  return result;
}

template <class Specification>
std::string verdict(const Specification& specification,
                    const typename Specification::State& initial, const Contents& contents,
                    const std::vector<Operation>& operations) {
  Checker<Specification> checker(specification, operations);
  if (checker.linearizable(initial)) return {};
  std::ostringstream out;
  out << "not linearizable:\n" << describe(contents, operations) << "the longest order:\n";
  for (const Operation& operation : checker.order()) out << "  " << describe(operation) << "\n";
  return out.str();
}

// The clock ticks for every key. What overlaps some ticks may have stored its value after them.
inline std::vector<Operation> with_ticks(std::vector<Operation> operations, const History& history,
                                         int key) {
  std::vector<Operation> ticks;
  for (const Operation& operation : history.operations) {
    if (operation.step != Step::tick) continue;
    ticks.push_back(operation);
    ticks.back().key = key;
  }
  for (Operation& operation : operations) {
    operation.delay = static_cast<int>(std::count_if(
        ticks.begin(), ticks.end(), [&](const auto& tick) { return tick.overlaps(operation); }));
  }
  operations.insert(operations.end(), ticks.begin(), ticks.end());
  return operations;
}

// The faults of the history of a map, key by key; empty if nothing is. That is enough where
// every operation is of one key: a history is linearizable if those of all keys are.
inline std::string verdict_by_key(const MapSpecification& specification, const History& history) {
  for (int key = 0; key < max_keys; ++key) {
    std::vector<Operation> operations;
    for (const Operation& operation : history.operations) {
      if (operation.concerns(key)) operations.push_back(operation);
    }
    if (operations.empty()) continue;
    std::string wrong = verdict(specification, MapSpecification::state_of(history.initial),
                                history.initial, with_ticks(with_holds(operations), history, key));
    if (!wrong.empty()) return wrong;
  }
  return {};
}

// The same for operations of several keys: all keys are one object.
inline std::string verdict_of_all(const MapSpecification& specification, const History& history) {
  return verdict(specification, MapSpecification::state_of(history.initial), history.initial,
                 with_holds(history.operations));
}

// For a cache that was empty before.
inline std::string verdict_of_all(const LruSpecification& specification, const History& history) {
  return verdict(specification, LruSpecification::State{}, history.initial, history.operations);
}

}  // namespace lockmap::test
