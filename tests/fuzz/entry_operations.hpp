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

template <class S>
void lock_entry(S& s) {
  const int key = s.pick_key();
  const auto call = [&] { return s.map.entry(S::Types::key(key)); };
  if (s.model.held(key)) return S::require_deadlock(call);
  if (s.guards.size() == max_guards) return;
  s.model.acquire(key, Use::touch);
  s.with_nested_listener([&] { s.guards.push_back({key, call()}); });
}

// Of a held key, what does not wait says that it is held, what would wait for ever gives the error,
// and a limit of a nanosecond may do either.
template <class S>
void try_lock_entry(S& s) {
  using std::chrono::steady_clock;
  const int key = s.pick_key();
  const auto name = S::Types::lookup(key);
  const int way = s.bytes.below(5);
  const auto call = [&]() -> std::optional<typename S::Entry> {
    switch (way) {
      case 0:
        return s.map.try_entry(name);
      case 1:
        return s.map.try_entry_for(name, std::chrono::seconds(0));
      case 2:
        return s.map.try_entry_until(name, steady_clock::time_point());
      case 3:
        return s.map.try_entry_for(name, std::chrono::nanoseconds(1));
      default:
        return s.map.try_entry_for(name, std::chrono::hours::max());
    }
  };
  if (s.model.held(key)) {
    try {
      require(!call().has_value(), "a held key was locked");
      require(way != 4, "an endless wait came to nothing");
    } catch (const std::system_error& error) {
      require(error.code() == std::errc::resource_deadlock_would_occur, "another error");
      require(way >= 3, "an error from what does not wait");
    }
    return;
  }
  if (s.guards.size() == max_guards) return;
  s.model.acquire(key, Use::touch);
  auto entry = call();
  require(entry.has_value(), "a free key was not locked");
  s.guards.push_back({key, *std::move(entry)});
}

template <class S>
void release_guard(S& s) {
  if (s.guards.empty()) return;
  const auto guard = s.guards.begin() + static_cast<std::ptrdiff_t>(s.pick_index(s.guards));
  s.model.release(guard->key);
  s.with_nested_listener([&] { guard->entry.unlock(); });
  s.guards.erase(guard);
}

template <class S>
void assign_guard(S& s) {
  if (s.guards.empty()) return;
  auto& to = s.guards[s.pick_index(s.guards)];
  auto& from = s.guards[s.pick_index(s.guards)];
  if (&to != &from) s.model.release(to.key);
  to.entry = std::move(from.entry);
  to.key = from.key;
  if (&to != &from) s.guards.erase(s.guards.begin() + (&from - s.guards.data()));
}

// Calls `operation(entry, key)` with one of the entries that are held, and looks at it afterwards.
template <class S, class F>
void with_entry(S& s, F operation) {
  const auto held = s.pick_entry();
  if (!held.has_value()) return;
  operation(*held->entry, held->key);
  S::require_entry(*held, s.model.value(held->key));
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

template <class S>
void entry_or_insert_with(S& s) {
  with_entry(s, [&s](auto& entry, int key) {
    const bool has_value = s.model.value(key).has_value();
    const bool throws = s.bytes.one_in(3);
    const int number = s.next_number();
    const auto make = [&] {
      require(!has_value, "a value is made, but there is one");
      s.nested();
      if (throws) throw Thrown();
      s.model.store(key, number);
      return S::make_value(number);
    };
    try {
      const int found = number_of(entry.or_insert_with(make));
      require(found == s.model.value(key), "or_insert_with()");
    } catch (const Thrown&) {
      require(throws && !has_value, "an exception came from nowhere");
    }
  });
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
    s.model.store(key, number);
  });
}

template <class S>
inline constexpr std::array entry_operations{
    &lock_entry<S>,      &try_lock_entry<S>,       &release_guard<S>, &assign_guard<S>,
    &entry_insert<S>,    &entry_emplace<S>,        &entry_remove<S>,  &entry_swap<S>,
    &entry_or_insert<S>, &entry_or_insert_with<S>, &entry_change<S>,
};

}  // namespace lockmap::fuzz
