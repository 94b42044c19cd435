#pragma once

// Taking, moving and releasing single guards, and what their holder may do.

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <utility>

#include "session.hpp"

namespace lockmap::fuzz {

inline constexpr std::size_t max_guards = 6;

template <class S, Mode mode = Mode::exclusive>
void lock_entry(S& s) {
  auto& guards = s.template holds_of<mode>().guards;
  const int key = s.pick_key();
  const auto call = [&] {
    if constexpr (mode == Mode::exclusive) {
      return s.map.entry(S::Types::key(key));
    } else {
      return s.map.shared_entry(S::Types::key(key));
    }
  };
  if (s.model.denies(key, mode)) return S::require_deadlock(call);
  if (guards.size() == max_guards) return;
  const bool sees = s.model.acquire(key, Use::touch, mode) || mode == Mode::exclusive;
  s.with_nested_listener([&] { guards.push_back({key, call(), sees}); });
}

// Calls one of the three with one of several limits.
template <class Try, class TryFor, class TryUntil>
auto try_in_a_way(int way, const Try& try_now, const TryFor& try_for, const TryUntil& try_until) {
  switch (way) {
    case 0:
      return try_now();
    case 1:
      return try_for(std::chrono::seconds(0));
    case 2:
      return try_until(std::chrono::steady_clock::time_point());
    case 3:
      return try_for(std::chrono::nanoseconds(1));
    default:
      return try_for(std::chrono::hours::max());
  }
}

// Of a held key, what does not wait says that it is held, what would wait for ever gives the error,
// and a limit of a nanosecond may do either.
template <class S, Mode mode = Mode::exclusive>
void try_lock_entry(S& s) {
  auto& guards = s.template holds_of<mode>().guards;
  const int key = s.pick_key();
  const auto name = S::Types::lookup(key);
  const int way = s.bytes.below(5);
  const auto call = [&] {
    if constexpr (mode == Mode::exclusive) {
      return try_in_a_way(
          way, [&] { return s.map.try_entry(name); },
          [&](auto limit) { return s.map.try_entry_for(name, limit); },
          [&](auto time) { return s.map.try_entry_until(name, time); });
    } else {
      return try_in_a_way(
          way, [&] { return s.map.try_shared_entry(name); },
          [&](auto limit) { return s.map.try_shared_entry_for(name, limit); },
          [&](auto time) { return s.map.try_shared_entry_until(name, time); });
    }
  };
  if (s.model.denies(key, mode)) {
    try {
      require(!call().has_value(), "a held key was locked");
      require(way != 4, "an endless wait came to nothing");
    } catch (const std::system_error& error) {
      require(error.code() == std::errc::resource_deadlock_would_occur, "another error");
      require(way >= 3, "an error from what does not wait");
    }
    return;
  }
  if (guards.size() == max_guards) return;
  const bool sees = s.model.acquire(key, Use::touch, mode) || mode == Mode::exclusive;
  auto entry = call();
  require(entry.has_value(), "a free key was not locked");
  guards.push_back({key, *std::move(entry), sees});
}

template <class S, Mode mode = Mode::exclusive>
void release_guard(S& s) {
  auto& guards = s.template holds_of<mode>().guards;
  if (guards.empty()) return;
  const auto guard = guards.begin() + static_cast<std::ptrdiff_t>(s.pick_index(guards));
  s.model.release(guard->key);
  s.with_nested_listener([&] { guard->entry.unlock(); });
  guards.erase(guard);
}

template <class S, Mode mode = Mode::exclusive>
void assign_guard(S& s) {
  auto& guards = s.template holds_of<mode>().guards;
  if (guards.empty()) return;
  auto& to = guards[s.pick_index(guards)];
  auto& from = guards[s.pick_index(guards)];
  if (&to != &from) s.model.release(to.key);
  to.entry = std::move(from.entry);
  to.key = from.key;
  to.sees = from.sees;
  if (&to != &from) guards.erase(guards.begin() + (&from - guards.data()));
}

// Calls `operation(entry, key)` with one of the entries that are held, and looks at it afterwards.
template <class S, class F>
void with_entry(S& s, F operation) {
  const auto held = s.pick_entry();
  if (!held.has_value()) return;
  operation(*held->entry, held->key);
  S::require_entry(held->key, *held->entry, s.model.value(held->key));
}

template <class S>
void entry_insert(S& s) {
  with_entry(s, [&s](auto& entry, int key) {
    const int number = s.next_number();
    S::require_same(entry.insert(S::make_value(number)), s.model.store(key, number));
  });
}

template <class S>
void entry_emplace(S& s) {
  with_entry(s, [&s](auto& entry, int key) {
    if (s.bytes.one_in(3)) {
      s.model.take(key);
      try {
        entry.emplace(Unconvertible());
        fail("an exception was lost");
      } catch (const Thrown&) {
      }
      return;
    }
    const int number = s.next_number();
    s.model.store(key, number);
    require(number_of(entry.emplace(S::make_value(number))) == number, "emplace()");
  });
}

template <class S>
void entry_or_insert(S& s) {
  with_entry(s, [&s](auto& entry, int key) {
    const int number = s.next_number();
    if (!s.model.value(key).has_value()) s.model.store(key, number);
    require(number_of(entry.or_insert(S::make_value(number))) == s.model.value(key), "or_insert()");
  });
}

// Calls `call(entry, make)`, and makes a value where there is none.
template <class S, class Call>
void make_for_entry(S& s, const std::optional<Rules::Span>& own, const Call& call) {
  with_entry(s, [&](auto& entry, int key) {
    const bool has_value = s.model.value(key).has_value();
    const bool throws = s.bytes.one_in(3);
    const int number = s.next_number();
    const auto make = [&] {
      require(!has_value, "a value is made, but there is one");
      s.nested();
      if (throws) throw Thrown();
      s.model.store(key, number, own);
      return S::make_value(number);
    };
    try {
      const int found = number_of(call(entry, make));
      require(found == s.model.value(key), "or_insert_with()");
    } catch (const Thrown&) {
      require(throws && !has_value, "an exception came from nowhere");
    }
  });
}

template <class S>
void entry_or_insert_with(S& s) {
  make_for_entry(
      s, std::nullopt,
      [](auto& entry, const auto& make) -> auto& { return entry.or_insert_with(make); });
}

template <class S>
void entry_remove(S& s) {
  with_entry(s, [&s](auto& entry, int key) { S::require_same(entry.remove(), s.model.take(key)); });
}

template <class S>
void entry_swap(S& s) {
  with_entry(s, [&s](auto& entry, int key) {
    if (s.bytes.one_in(2)) {
      S::require_same(entry.swap(std::nullopt), s.model.take(key));
    } else {
      const int number = s.next_number();
      S::require_same(entry.swap(S::make_value(number)), s.model.store(key, number));
    }
  });
}

template <class S>
void entry_change(S& s) {
  with_entry(s, [&s](auto& entry, int key) {
    if (!entry.has_value()) return;
    const int number = s.next_number();
    *entry = S::make_value(number);
    s.model.change(key, number);
  });
}

template <class S>
inline constexpr std::array entry_operations{
    &lock_entry<S>,      &try_lock_entry<S>,       &release_guard<S>, &assign_guard<S>,
    &entry_insert<S>,    &entry_emplace<S>,        &entry_remove<S>,  &entry_swap<S>,
    &entry_or_insert<S>, &entry_or_insert_with<S>, &entry_change<S>,
};

}  // namespace lockmap::fuzz
