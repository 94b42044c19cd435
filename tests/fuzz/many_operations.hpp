#pragma once

// Many keys at a time: none is held while another is waited for. And batches of so many that they
// have more guards than fit into a Batch itself.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <type_traits>
#include <utility>
#include <vector>

#include "batch_operations.hpp"
#include "input_range.hpp"
#include "session.hpp"

namespace lockmap::fuzz {

template <class S>
std::vector<int> pick_keys(S& s, int most) {
  std::vector<int> keys(static_cast<std::size_t>(s.bytes.below(most + 1)));
  for (int& key : keys) key = s.pick_key();
  return keys;
}

// More than go through a map at a time.
inline constexpr int most_of_many = 20;

// The value that each lookup is to find; nothing if the thread itself denies one of them, at the
// end. In between, what was found of the others is not told. `in_section`: keys that somebody
// holds, even shared, are done last.
template <class S>
std::optional<std::vector<std::optional<int>>> look_up_many(S& s, const std::vector<int>& keys,
                                                            bool in_section) {
  std::vector<std::optional<int>> found(keys.size());
  std::vector<std::size_t> later;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const bool waits = in_section ? s.model.held(keys[i]) : s.model.denies(keys[i], Mode::shared);
    if (waits) {
      later.push_back(i);
    } else {
      found[i] = s.model.lookup(keys[i]);
    }
  }
  for (const std::size_t i : later) {
    if (s.model.denies(keys[i], Mode::shared)) return std::nullopt;
    found[i] = s.model.lookup(keys[i]);
  }
  return found;
}

// Whether the reference can say what lookups of several keys find. Those that have expired are done
// last, too, so it is not known what came before an error; and a touch of one key may evict another
// where held keys take too much room.
template <class S>
bool knows_outcome(const S& s, const std::vector<int>& keys) {
  if (!s.rules().is_told()) return true;
  const bool fails = std::any_of(keys.begin(), keys.end(),
                                 [&](int key) { return s.model.denies(key, Mode::shared); });
  return !fails && !s.model.is_crowded();
}

// In its order, and once, or from memory.
template <class S, class F>
auto with_range(S& s, const std::vector<int>& keys, const F& f) {
  using Key = typename S::Key;
  if (keys.size() == 2) return f(std::array{S::Types::key(keys[0]), S::Types::key(keys[1])});
  if (s.bytes.one_in(2)) {
    std::vector<Key> all;
    for (const int key : keys) all.push_back(S::Types::key(key));
    return f(test::InputRange<Key>(std::move(all)));
  }
  std::vector<decltype(S::Types::lookup(0))> names;
  for (const int key : keys) names.push_back(S::Types::lookup(key));
  return f(names);
}

template <class S>
void get_many(S& s) {
  const std::vector<int> keys = pick_keys(s, most_of_many);
  if (!knows_outcome(s, keys)) return;
  const auto expected = look_up_many(s, keys, std::is_trivially_copyable_v<typename S::Value>);
  const auto call = [&] {
    return with_range(s, keys, [&](auto&& range) {
      return s.map.get_many(std::forward<decltype(range)>(range));
    });
  };
  if (!expected.has_value()) return S::require_deadlock(call);
  const auto found = call();
  require(found.size() == keys.size(), "get_many() returns another number");
  for (std::size_t i = 0; i < keys.size(); ++i) S::require_same(found[i], (*expected)[i]);
}

template <class S>
void read_many(S& s) {
  const std::vector<int> keys = pick_keys(s, most_of_many);
  if (!knows_outcome(s, keys)) return;
  const auto expected = look_up_many(s, keys, false);
  std::vector<std::optional<int>> seen(keys.size());
  std::size_t visits = 0;
  const auto call = [&] {
    return with_range(s, keys, [&](auto&& range) {
      return s.map.read_many(std::forward<decltype(range)>(range),
                             [&](std::size_t index, const typename S::Value& value) {
                               require(!seen.at(index).has_value(), "read_many() reads twice");
                               seen[index] = number_of(value);
                               ++visits;
                             });
    });
  };
  if (!expected.has_value()) return S::require_deadlock(call);
  require(call() == visits, "read_many() counts");
  require(seen == *expected, "read_many() shows other values");
}

template <class S>
void insert_many(S& s) {
  using Pair = std::pair<typename S::Key, typename S::Value>;
  std::vector<int> keys = pick_keys(s, most_of_many);
  if (s.rules().is_told()) {
    // A key may have to go before its turn to be replaced comes.
    std::erase_if(keys, [&, seen = std::set<int>()](int key) mutable {
      return s.model.held(key) || s.model.value(key).has_value() || !seen.insert(key).second;
    });
  }
  std::vector<Pair> pairs;
  std::set<std::uint64_t> left_over;  // a later pair of the same hash may be one of the same key
  std::size_t added = 0;
  for (const int key : keys) {
    const int number = s.next_number();
    pairs.emplace_back(S::Types::key(key), S::make_value(number));
    if (s.model.held(key) || left_over.contains(S::hash_of(key))) {
      left_over.insert(S::hash_of(key));
    } else if (!s.model.insert(key, number).has_value()) {
      ++added;
    }
  }
  const bool once = s.bytes.one_in(2);
  const auto call = [&] {
    return once ? s.map.insert_many(test::InputRange<Pair>(std::move(pairs)))
                : s.map.insert_many(pairs);
  };
  if (!left_over.empty()) return S::require_deadlock(call);
  require(call() == added, "insert_many() counts");
}

// A batch has room for so many guards in itself, and here are more.
inline constexpr int most_of_large_batch = 12;

template <class S>
inline constexpr std::array many_operations{
    &get_many<S>,
    &read_many<S>,
    &insert_many<S>,
    &take_batch<S, Mode::exclusive, most_of_large_batch>,
    &take_batch<S, Mode::shared, most_of_large_batch>,
};

}  // namespace lockmap::fuzz
