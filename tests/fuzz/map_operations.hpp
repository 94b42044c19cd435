#pragma once

// Operations on all keys, and on the cache's bound.

#include <array>
#include <cstddef>
#include <stdexcept>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "session.hpp"

namespace lockmap::fuzz {

// Runs `walk(on_visit)`, which calls `on_visit(key, value)` for each key that it comes to. `change`
// is what the walk's own callback does to the reference, while the key is held.
template <Mode mode, class S, class Walk, class Change>
void visit_all(S& s, Walk walk, Change change) {
  const int begin = s.model.now();
  const bool meets_held_key = s.model.denies_any(mode);
  const int throws_at = s.bytes.one_in(4) ? s.bytes.below(4) : -1;
  std::unordered_map<int, int> visits;
  const auto on_visit = [&](const auto& key, auto& value) {
    const int number = S::Types::number_of_key(key);
    s.model.acquire(number, Use::quiet, mode);
    require(number_of(value) == s.model.value(number), "a walk shows another value");
    const bool throws = static_cast<int>(visits.size()) == throws_at;
    ++visits[number];
    s.nested();
    const bool result = throws || change(number, value);
    s.model.release(number);
    if (throws) throw Thrown();
    return result;
  };
  try {
    walk(on_visit);
  } catch (const Thrown&) {
    return require(throws_at >= 0, "an exception came from nowhere");
  } catch (const std::system_error& error) {
    require(error.code() == std::errc::resource_deadlock_would_occur, "another error");
    return require(meets_held_key, "a walk meets a held key where there is none");
  }
  require(!meets_held_key, "a walk passed over a held key");
  for (int key = 0; key < s.key_count(); ++key) {
    if (s.model.present_since(key, begin)) require(visits[key] == 1, "a walk left out a key");
  }
}

template <class S>
void for_each(S& s) {
  visit_all<Mode::shared>(
      s, [&s](auto& on_visit) { std::as_const(s.map).for_each(on_visit); },
      [](int /*key*/, const auto& /*value*/) { return true; });
}

// Drops some values, changes others.
template <class S>
void retain(S& s) {
  std::size_t dropped = 0;
  const int every = s.bytes.below(4) + 1;
  const auto change = [&](int key, typename S::Value& value) {
    if (s.model.value(key).value() % every == 0) {
      s.model.take(key);
      ++dropped;
      return false;
    }
    if (key % 2 == 0) {
      const int number = s.next_number();
      value = S::make_value(number);
      s.model.change(key, number);
    }
    return true;
  };
  const auto walk = [&](auto& on_visit) {
    const std::size_t counted = s.map.retain(on_visit);
    require(counted == dropped, "retain() counts");
  };
  visit_all<Mode::exclusive>(s, walk, change);
}

template <class S>
void clear(S& s) {
  const bool meets_held_key = s.model.denies_any(Mode::exclusive);
  if (meets_held_key) {
    S::require_deadlock([&s] { s.map.clear(); });
  } else {
    s.map.clear();
  }
  for (int key = 0; key < s.key_count(); ++key) {
    if (s.model.held(key) || !s.model.value(key).has_value()) continue;
    // How far it came where it met a held key is not told.
    if (meets_held_key && s.quiet_get(key).has_value()) continue;
    s.model.remove(key);
  }
}

template <class S>
void set_max_size(S& s) {
  if constexpr (S::lru) {
    const auto max_size = static_cast<std::size_t>(s.bytes.below(24));
    if (max_size >= s.map.shard_count()) {
      s.model.set_max_size(max_size);
      return s.map.set_max_size(max_size);
    }
    try {
      s.map.set_max_size(max_size);
    } catch (const std::invalid_argument&) {
      return;
    }
    fail("a max_size that is too small");
  }
}

template <class S>
void set_max_evict(S& s) {
  if constexpr (S::lru) {
    const int max_evict = s.bytes.below(4);
    if (max_evict != 0) {
      s.max_evict_was_set();
      s.model.set_max_evict(static_cast<std::size_t>(max_evict));
      return s.map.set_max_evict(static_cast<std::size_t>(max_evict));
    }
    try {
      s.map.set_max_evict(0);
    } catch (const std::invalid_argument&) {
      return;
    }
    fail("a max_evict of 0");
  }
}

template <class S>
inline constexpr std::array map_operations{
    &for_each<S>, &retain<S>, &clear<S>, &set_max_size<S>, &set_max_evict<S>,
};

}  // namespace lockmap::fuzz
