#pragma once

// The operations of threads on a map, with the time from call to return.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

namespace lockmap::test {

// Values are known by number, and no number is stored twice in a run.
inline constexpr int none = 0;      // no value
inline constexpr int garbled = -1;  // a value that nobody stored

// The effect of an operation on its key, for the specifications. Names are for people: many
// operations of a map are the same step.
enum class Step {
  nothing,        // takes or gives back a guard
  read,           // of the value, which is `result`
  peek,           // the same, but leaves the order of a cache alone
  has,            // whether there is a value: `result` is 1 or 0
  put,            // of `argument`; the previous value is `result`
  overwrite,      // the same, but does not say what was there
  put_if_absent,  // `result` is 1 if it stored `argument`
  get_or_put,     // the value is `result`, which is `argument` if there was none
  take,           // removes the value, which is `result`
  erase,          // removes the value and does not say which
  may_erase,      // removes the value or not, and does not say
  pop,            // as `take`, of the least recently used key, which is `key`, or no_key
  exchange,       // the values of two keys, which were `result` and `other_result`
  read_both,      // the values of two keys, which are the same two
  refused,        // did nothing, because the key, or one of the two, was held
  not_shared,     // did nothing, because the key, or one of the two, was held exclusively
  not_upgraded,   // did nothing, because the key was held shared by somebody else as well
  live,           // the value, if there is one (`result` is 1), lives as long as `life` says
  tick,           // of the clock: to every key, which is no_key
  may_hold,       // did nothing, but may have held the key for a while
  impossible,     // what must not happen at any time
};

inline constexpr int no_key = -1;

struct Operation {
  const char* name = "";
  Step step = Step::nothing;
  int key = no_key;
  int other_key = no_key;
  // The guard that holds the key just before the operation and just after it; 0 is none.
  int guard_before = 0;
  int guard_after = 0;
  // The same for a shared guard; these have no names.
  bool shares_before = false;
  bool shares_after = false;
  int argument = none;
  // How many ticks a stored value lives; 0 is for ever. It is stored while the key is held, perhaps
  // some ticks after the previous value was found: up to `delay`.
  int life = 0;
  int delay = 0;
  int result = none;
  int other_result = none;
  int thread = 0;
  std::uint64_t called = 0;
  std::uint64_t returned = 0;

  // Whether it has come to its key from outside of every guard.
  [[nodiscard]] bool is_newcomer() const { return guard_before == 0 && !shares_before; }
  // Whether it is over when it returns.
  [[nodiscard]] bool is_alone() const { return is_newcomer() && guard_after == 0 && !shares_after; }
  [[nodiscard]] bool concerns(int a_key) const { return key == a_key || other_key == a_key; }
  [[nodiscard]] bool shares_a_key_with(const Operation& other) const {
    return (key != no_key && other.concerns(key)) ||
           (other_key != no_key && other.concerns(other_key));
  }
  [[nodiscard]] bool overlaps(const Operation& other) const {
    return called < other.returned && other.called < returned;
  }
};

// No test uses more keys.
inline constexpr int max_keys = 5;
using Contents = std::array<int, max_keys>;

struct History {
  Contents initial{};
  std::vector<Operation> operations;
};

// Whether two threads were at the same key at the same time.
inline bool has_overlap(const History& history) {
  for (const Operation& a : history.operations) {
    for (const Operation& b : history.operations) {
      if (a.thread < b.thread && a.overlaps(b) && a.shares_a_key_with(b)) return true;
    }
  }
  return false;
}

inline const char* name_of(Step step) {
  switch (step) {
    case Step::nothing:
      return "";
    case Step::read:
    case Step::peek:
      return "read";
    case Step::has:
      return "has a value";
    case Step::put:
      return "put";
    case Step::overwrite:
      return "overwrite";
    case Step::live:
      return "live";
    case Step::tick:
      return "tick";
    case Step::put_if_absent:
      return "put if absent";
    case Step::get_or_put:
      return "get or put";
    case Step::take:
      return "take";
    case Step::erase:
      return "erase";
    case Step::may_erase:
      return "may erase";
    case Step::pop:
      return "pop";
    case Step::exchange:
      return "exchange";
    case Step::read_both:
      return "read both";
    case Step::refused:
      return "REFUSED";
    case Step::not_shared:
      return "NOT SHARED";
    case Step::not_upgraded:
      return "NOT UPGRADED";
    case Step::may_hold:
      return "may hold";
    case Step::impossible:
      return "IMPOSSIBLE";
  }
  return "?";
}

inline std::string describe(const Operation& operation) {
  std::ostringstream out;
  out << "thread " << operation.thread << "  [" << operation.called << ", " << operation.returned
      << "]  " << operation.name << "  key " << operation.key;
  if (operation.other_key != no_key) out << " and " << operation.other_key;
  out << "  " << name_of(operation.step);
  if (operation.argument != none) out << " " << operation.argument;
  if (operation.life != 0) out << " for " << operation.life;
  switch (operation.step) {
    case Step::nothing:
    case Step::overwrite:
    case Step::tick:
    case Step::erase:
    case Step::may_erase:
    case Step::refused:
    case Step::not_shared:
    case Step::not_upgraded:
    case Step::may_hold:
    case Step::impossible:
      break;
    default:
      out << " -> " << operation.result;
  }
  if (operation.step == Step::exchange || operation.step == Step::read_both)
    out << " and " << operation.other_result;
  if (operation.guard_before != 0 || operation.guard_after != 0) {
    out << "  (guard " << operation.guard_before << " -> " << operation.guard_after << ")";
  }
  if (operation.shares_before || operation.shares_after) {
    out << "  (shared " << operation.shares_before << " -> " << operation.shares_after << ")";
  }
  return out.str();
}

// One line for each operation, in the order of the calls.
inline std::string describe(const Contents& initial, std::vector<Operation> operations) {
  std::sort(operations.begin(), operations.end(),
            [](const Operation& a, const Operation& b) { return a.called < b.called; });
  std::ostringstream out;
  out << "values before, 0 is none:";
  for (const int value : initial) out << " " << value;
  out << "\n";
  for (const Operation& operation : operations) out << "  " << describe(operation) << "\n";
  return out.str();
}

}  // namespace lockmap::test
