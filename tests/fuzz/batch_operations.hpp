#pragma once

// Batches: taken, looked into, taken apart and released.

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "input_range.hpp"
#include "session.hpp"

namespace lockmap::fuzz {

inline constexpr std::size_t max_batches = 3;

template <class S>
void release_from_back(S& s, const std::vector<std::optional<typename S::Held>>& keys) {
  for (auto held = keys.rbegin(); held != keys.rend(); ++held) {
    if (held->has_value()) s.model.release((*held)->key);
  }
}

// The keys that the batch is to hold, in its order; nothing if the calling thread is denied one of
// them. Those that were locked until that was noticed have been used.
template <Mode mode, class S, class Less>
std::optional<std::vector<std::optional<typename S::Held>>> expected_batch(S& s,
                                                                           std::vector<int> keys,
                                                                           Less less) {
  std::sort(keys.begin(), keys.end(),
            [&](int a, int b) { return less(S::Types::key(a), S::Types::key(b)); });
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  std::vector<std::optional<typename S::Held>> taken;
  for (const int key : keys) {
    if (s.model.denies(key, mode)) {
      release_from_back(s, taken);
      return std::nullopt;
    }
    const bool sees = s.model.acquire(key, Use::touch, mode) || mode == Mode::exclusive;
    taken.push_back(typename S::Held{key, sees});
  }
  return taken;
}

template <Mode mode, class S, class Less>
void lock_batch(S& s, const std::vector<int>& numbers, bool waits, Less less) {
  using Key = typename S::Key;
  auto& batches = s.template holds_of<mode>().batches;
  const auto expected = expected_batch<mode>(s, numbers, less);
  std::vector<Key> keys;
  for (const int number : numbers) keys.push_back(S::Types::key(number));
  if (!waits) {
    auto batch = [&] {
      if constexpr (mode == Mode::exclusive) {
        return keys.size() == 2 ? s.map.try_batch_lock({keys[0], keys[1]}, less)
                                : s.map.try_batch_lock(keys, less);
      } else {
        return keys.size() == 2 ? s.map.try_shared_batch_lock({keys[0], keys[1]}, less)
                                : s.map.try_shared_batch_lock(keys, less);
      }
    }();
    require(batch.has_value() == expected.has_value(), "a batch that does not wait");
    if (batch.has_value()) batches.push_back({*expected, *std::move(batch)});
    return;
  }
  const auto call = [&] {
    if constexpr (mode == Mode::exclusive) {
      return keys.size() == 2 ? s.map.batch_lock({keys[0], keys[1]}, less)
                              : s.map.batch_lock(test::InputRange<Key>(keys), less);
    } else {
      return keys.size() == 2 ? s.map.shared_batch_lock({keys[0], keys[1]}, less)
                              : s.map.shared_batch_lock(test::InputRange<Key>(keys), less);
    }
  };
  if (!expected.has_value()) return S::require_deadlock(call);
  batches.push_back({*expected, call()});
}

template <class S, Mode mode = Mode::exclusive, int most = 5>
void take_batch(S& s) {
  std::vector<int> numbers(static_cast<std::size_t>(s.bytes.below(most + 1)));
  for (int& number : numbers) number = s.pick_key();
  if (s.template holds_of<mode>().batches.size() == max_batches) return;
  const bool waits = s.bytes.one_in(2);
  s.with_several_keys([&, descending = s.bytes.one_in(3)] {
    if (descending) {
      lock_batch<mode>(s, numbers, waits, std::greater<>());
    } else {
      lock_batch<mode>(s, numbers, waits, std::less<>());
    }
  });
}

template <class S, Mode mode = Mode::exclusive>
void look_into_batch(S& s) {
  auto& batches = s.template holds_of<mode>().batches;
  if (batches.empty()) return;
  auto& [keys, batch] = batches[s.pick_index(batches)];
  const auto& constant = batch;
  require(batch.size() == keys.size() && batch.empty() == keys.empty(), "a batch's size");
  require(static_cast<std::size_t>(constant.end() - constant.begin()) == keys.size(),
          "a batch as a range");
  const int sought = s.pick_key();
  const auto name = S::Types::lookup(sought);
  decltype(constant.begin()) found = nullptr;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (!keys[i].has_value()) continue;
    const auto [key, sees] = *keys[i];
    S::require_entry(key, batch[i], s.seen_value(key, sees));
    if (key == sought) found = &constant[i];
  }
  require(batch.find(name) == found && constant.find(name) == found, "a batch's find()");
  require(batch.contains(name) == (found != nullptr), "a batch's contains()");
  try {
    require(&batch.at(name) == found, "a batch's at()");
  } catch (const std::out_of_range&) {
    require(found == nullptr, "a batch's at() does not find what find() does");
  }
}

// Unlocks one of a batch's entries, or makes it a guard of its own.
template <class S, Mode mode = Mode::exclusive>
void take_from_batch(S& s) {
  auto& [guards, batches] = s.template holds_of<mode>();
  if (batches.empty()) return;
  auto& [keys, batch] = batches[s.pick_index(batches)];
  if (keys.empty()) return;
  const std::size_t index = s.pick_index(keys);
  if (!keys[index].has_value()) return;
  const auto [key, sees] = *std::exchange(keys[index], std::nullopt);
  if (s.bytes.one_in(2)) {
    guards.push_back({key, std::move(batch[index]), sees});
  } else {
    s.model.release(key);
    batch[index].unlock();
  }
}

template <class S, Mode mode = Mode::exclusive>
void release_batch(S& s) {
  auto& batches = s.template holds_of<mode>().batches;
  if (batches.empty()) return;
  const std::size_t index = s.pick_index(batches);
  release_from_back(s, batches[index].keys);
  // The last one takes its place, by an assignment that releases it; to itself, if it is the last.
  auto& last = batches.back();
  batches[index].batch = std::move(last.batch);
  batches[index].keys = last.keys;
  batches.pop_back();
}

template <class S>
inline constexpr std::array batch_operations{
    &take_batch<S>,
    &look_into_batch<S>,
    &take_from_batch<S>,
    &release_batch<S>,
};

}  // namespace lockmap::fuzz
