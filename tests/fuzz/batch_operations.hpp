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
void release_from_back(S& s, const std::vector<std::optional<int>>& keys) {
  for (auto key = keys.rbegin(); key != keys.rend(); ++key) {
    if (key->has_value()) s.model.release(**key);
  }
}

// The keys that the batch is to hold, in its order; nothing if the calling thread holds one of
// them. Those that were locked until that was noticed have been used.
template <class S, class Less>
std::optional<std::vector<std::optional<int>>> expected_batch(S& s, std::vector<int> keys,
                                                              Less less) {
  std::sort(keys.begin(), keys.end(),
            [&](int a, int b) { return less(S::Types::key(a), S::Types::key(b)); });
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  std::vector<std::optional<int>> taken;
  for (const int key : keys) {
    if (s.model.held(key)) {
      release_from_back(s, taken);
      return std::nullopt;
    }
    s.model.acquire(key, Use::touch);
    taken.emplace_back(key);
  }
  return taken;
}

template <class S, class Less>
void lock_batch(S& s, const std::vector<int>& numbers, bool waits, Less less) {
  using Key = typename S::Key;
  const auto expected = expected_batch(s, numbers, less);
  std::vector<Key> keys;
  for (const int number : numbers) keys.push_back(S::Types::key(number));
  if (!waits) {
    auto batch = keys.size() == 2 ? s.map.try_batch_lock({keys[0], keys[1]}, less)
                                  : s.map.try_batch_lock(keys, less);
    require(batch.has_value() == expected.has_value(), "try_batch_lock()");
    if (batch.has_value()) s.batches.push_back({*expected, *std::move(batch)});
    return;
  }
  const auto call = [&] {
    return keys.size() == 2 ? s.map.batch_lock({keys[0], keys[1]}, less)
                            : s.map.batch_lock(test::InputRange<Key>(keys), less);
  };
  if (!expected.has_value()) return S::require_deadlock(call);
  s.batches.push_back({*expected, call()});
}

template <class S>
void take_batch(S& s) {
  std::vector<int> numbers(static_cast<std::size_t>(s.bytes.below(6)));
  for (int& number : numbers) number = s.pick_key();
  if (s.batches.size() == max_batches) return;
  const bool waits = s.bytes.one_in(2);
  if (s.bytes.one_in(3)) {
    lock_batch(s, numbers, waits, std::greater<>());
  } else {
    lock_batch(s, numbers, waits, std::less<>());
  }
}

template <class S>
void look_into_batch(S& s) {
  if (s.batches.empty()) return;
  auto& [keys, batch] = s.batches[s.pick_index(s.batches)];
  const auto& constant = batch;
  require(batch.size() == keys.size() && batch.empty() == keys.empty(), "a batch's size");
  require(static_cast<std::size_t>(constant.end() - constant.begin()) == keys.size(),
          "a batch as a range");
  const int sought = s.pick_key();
  const auto name = S::Types::lookup(sought);
  const typename S::Entry* found = nullptr;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (!keys[i].has_value()) continue;
    S::require_entry({*keys[i], batch.begin() + i}, s.model.value(*keys[i]));
    if (keys[i] == sought) found = &constant[i];
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
template <class S>
void take_from_batch(S& s) {
  if (s.batches.empty()) return;
  auto& [keys, batch] = s.batches[s.pick_index(s.batches)];
  if (keys.empty()) return;
  const std::size_t index = s.pick_index(keys);
  if (!keys[index].has_value()) return;
  const int key = *std::exchange(keys[index], std::nullopt);
  if (s.bytes.one_in(2)) {
    s.guards.push_back({key, std::move(batch[index])});
  } else {
    s.model.release(key);
    batch[index].unlock();
  }
}

template <class S>
void release_batch(S& s) {
  if (s.batches.empty()) return;
  const std::size_t index = s.pick_index(s.batches);
  release_from_back(s, s.batches[index].keys);
  // The last one takes its place, by an assignment that releases it; to itself, if it is the last.
  auto& last = s.batches.back();
  s.batches[index].batch = std::move(last.batch);
  s.batches[index].keys = last.keys;
  s.batches.pop_back();
}

template <class S>
inline constexpr std::array batch_operations{
    &take_batch<S>,
    &look_into_batch<S>,
    &take_from_batch<S>,
    &release_batch<S>,
};

}  // namespace lockmap::fuzz
