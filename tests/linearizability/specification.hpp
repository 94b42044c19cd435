#pragma once

// Maps, as one operation comes after another.

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>
#include <vector>

#include "history.hpp"

namespace lockmap::test {

// The effect of a step on a key's value; false if its result cannot be what it was.
inline bool apply(int& value, const Operation& operation) {
  switch (operation.step) {
    case Step::nothing:
      return true;
    case Step::read:
    case Step::peek:
      return value == operation.result;
    case Step::has:
      return (value != none) == (operation.result != 0);
    case Step::put:
      return std::exchange(value, operation.argument) == operation.result;
    case Step::overwrite:
      value = operation.argument;
      return true;
    case Step::live:
      return (value != none) == (operation.result != 0);
    case Step::put_if_absent: {
      const bool stores = value == none;
      if (stores) value = operation.argument;
      return stores == (operation.result != 0);
    }
    case Step::get_or_put:
      if (value == none) value = operation.argument;
      return value == operation.result;
    case Step::take:
    case Step::pop:
      return std::exchange(value, none) == operation.result;
    case Step::erase:
      value = none;
      return true;
    default:
      return false;
  }
}

// Whether what a step does to a key with this value takes an exclusive hold.
inline bool writes(Step step, int value) {
  switch (step) {
    case Step::nothing:
    case Step::read:
    case Step::peek:
    case Step::has:
    case Step::tick:
      return false;
    case Step::get_or_put:
      return value == none;
    default:
      return true;
  }
}

// Whether what a step has done to the value decides how long the value lives.
inline bool begins_life(const Operation& operation, int value) {
  switch (operation.step) {
    case Step::put:
    case Step::overwrite:
      return true;
    case Step::live:
      return value != none;
    case Step::put_if_absent:
    case Step::get_or_put:
      return value == operation.argument;
    default:
      return false;
  }
}

struct KeyState {
  int value = none;
  int life = 0;  // so many ticks are left, if it does not live for ever
  bool dies = false;
  int guard = 0;    // the one that holds the key exclusively; 0 is none
  int sharers = 0;  // how many hold it shared

  [[nodiscard]] bool held() const { return guard != 0 || sharers != 0; }

  friend bool operator==(const KeyState&, const KeyState&) = default;
  template <class H>
  friend H AbslHashValue(H state, const KeyState& key) {
    return H::combine(std::move(state), key.value, key.life, key.dies, key.guard, key.sharers);
  }
};

// Keys with values and guards, as many as are used at once.
class MapSpecification {
 public:
  using State = std::array<KeyState, max_keys>;

  // In a cache, values that nobody holds `may_vanish`.
  explicit MapSpecification(bool may_vanish = false) : may_vanish_(may_vanish) {}

  [[nodiscard]] static State state_of(const Contents& contents) {
    State state;
    for (std::size_t i = 0; i < state.size(); ++i) state[i].value = contents[i];
    return state;
  }

  template <class F>
  bool any_next(State state, const Operation& operation, const F& f) const {
    KeyState& key = at(state, operation.key);
    switch (operation.step) {
      case Step::refused:
        return any_of_its_keys(state, operation, [](auto& one) { return one.held(); }) && f(state);
      case Step::not_shared:
        return any_of_its_keys(state, operation, [](auto& one) { return one.guard != 0; }) &&
               f(state);
      case Step::not_upgraded:
        return key.sharers > 1 && f(state);
      case Step::tick:
        if (key.dies) --key.life;
        return f(state);
      case Step::may_erase:
        if (f(state)) return true;
        if (key.held() || key.value == none) return false;
        key.value = none;
        return f(state);
      case Step::exchange: {
        KeyState& other = at(state, operation.other_key);
        if (key.held() || other.held()) return false;
        if (key.value != operation.result || other.value != operation.other_result) return false;
        std::swap(key.value, other.value);
        return f(state);
      }
      case Step::read_both: {
        const KeyState& other = at(state, operation.other_key);
        return key.guard == 0 && other.guard == 0 && key.value == operation.result &&
               other.value == operation.other_result && f(state);
      }
      default: {
        // Who holds the key keeps its value.
        if (operation.is_newcomer() && key.dies && key.life <= 0) {
          key.value = none;
          key.dies = false;
        }
        const int value = key.value;
        const int others = key.sharers - (operation.shares_before ? 1 : 0);
        if (key.guard != operation.guard_before || others < 0) return false;
        if (others != 0 && (operation.guard_after != 0 || writes(operation.step, value))) {
          return false;
        }
        const bool was_held = key.held();
        key.guard = operation.guard_after;
        key.sharers = others + (operation.shares_after ? 1 : 0);
        if (any_after(state, key, operation, f)) return true;
        // Before an operation is early enough to vanish: until then nobody looks.
        if (!may_vanish_ || was_held || value == none) return false;
        key.value = none;
        return any_after(state, key, operation, f);
      }
    }
  }

 private:
  // Does what the step does to the value, at once or, where it stores one, some ticks later.
  template <class F>
  static bool any_after(State& state, KeyState& key, const Operation& operation, const F& f) {
    if (!apply(key.value, operation)) return false;
    if (!begins_life(operation, key.value)) {
      if (key.value == none) key.dies = false;
      if (!key.dies) key.life = 0;
      return f(state);
    }
    key.dies = operation.life != 0;
    for (int delay = 0; delay <= (key.dies ? operation.delay : 0); ++delay) {
      key.life = key.dies ? operation.life + delay : 0;
      if (f(state)) return true;
    }
    return false;
  }

  [[nodiscard]] static KeyState& at(State& state, int key) {
    return state.at(static_cast<std::size_t>(key));
  }
  template <class F>
  [[nodiscard]] static bool any_of_its_keys(State& state, const Operation& operation, const F& f) {
    return f(at(state, operation.key)) ||
           (operation.other_key != no_key && f(at(state, operation.other_key)));
  }

  bool may_vanish_;
};

// A cache of one shard, without guards: exact LRU.
class LruSpecification {
 public:
  // Key and value, from the least to the most recently used.
  using State = std::vector<std::pair<int, int>>;

  explicit LruSpecification(std::size_t bound) : bound_(bound) {}

  template <class F>
  bool any_next(State state, const Operation& operation, const F& f) const {
    if (operation.step == Step::pop) {
      if (operation.key == no_key) return state.empty() && f(state);
      if (state.empty() || state.front() != std::pair(operation.key, operation.result)) {
        return false;
      }
      state.erase(state.begin());
      return f(state);
    }
    const auto position = std::find_if(state.begin(), state.end(), [&](const auto& entry) {
      return entry.first == operation.key;
    });
    int value = position == state.end() ? none : position->second;
    if (!apply(value, operation)) return false;
    if (operation.step == Step::peek) return f(state);
    if (position != state.end()) state.erase(position);
    if (value != none) state.emplace_back(operation.key, value);
    if (state.size() > bound_) state.erase(state.begin());
    return f(state);
  }

 private:
  std::size_t bound_;
};

}  // namespace lockmap::test
