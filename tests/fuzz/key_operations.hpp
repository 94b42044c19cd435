#pragma once

// Operations on one key that hold nothing when they return.

#include <array>
#include <optional>
#include <utility>

#include "session.hpp"

namespace lockmap::fuzz {

template <class S>
void get(S& s) {
  const int key = s.pick_key();
  const auto call = [&] { return s.map.get(S::Types::lookup(key)); };
  if (s.model.denies(key, Mode::shared)) return S::require_deadlock(call);
  const auto expected = s.model.lookup(key);
  S::require_same(call(), expected);
}

template <class S>
void contains(S& s) {
  const int key = s.pick_key();
  const auto call = [&] { return s.map.contains(S::Types::lookup(key)); };
  if (s.model.denies(key, Mode::shared)) return S::require_deadlock(call);
  const bool expected = s.model.lookup(key).has_value();
  require(call() == expected, "contains()");
}

template <class S>
void peek(S& s) {
  const int key = s.pick_key();
  const auto call = [&] { return s.quiet_get(key); };
  if (s.model.denies(key, Mode::shared)) return S::require_deadlock(call);
  if constexpr (S::lru) S::require_same(call(), s.model.value(key));
}

template <class S>
void insert(S& s) {
  const int key = s.pick_key();
  const int number = s.next_number();
  const auto call = [&] { return s.map.insert(S::Types::key(key), S::make_value(number)); };
  if (s.model.held(key)) return S::require_deadlock(call);
  const auto expected = s.model.insert(key, number);
  s.with_nested_listener([&] { S::require_same(call(), expected); });
}

template <class S>
void try_insert(S& s) {
  const int key = s.pick_key();
  const int number = s.next_number();
  const auto call = [&] { return s.map.try_insert(S::Types::lookup(key), S::make_value(number)); };
  if (s.model.held(key)) return S::require_deadlock(call);
  const bool expected = s.model.try_insert(key, number);
  s.with_nested_listener([&] { require(call() == expected, "try_insert()"); });
}

template <class S>
void remove(S& s) {
  const int key = s.pick_key();
  const auto call = [&] { return s.map.remove(S::Types::lookup(key)); };
  if (s.model.held(key)) return S::require_deadlock(call);
  const auto expected = s.model.remove(key);
  S::require_same(call(), expected);
}

// Looks a key up by `call(make)`, and makes a value where there is none, with a time of its own if
// there is one.
template <class S, class Call>
void load(S& s, int key, const std::optional<Rules::Span>& own, const Call& call) {
  const auto not_called = []() -> typename S::Value { fail("a value is made, but there is one"); };
  const auto expected = s.model.value(key);
  if (s.model.denies(key, expected.has_value() ? Mode::shared : Mode::exclusive)) {
    // Held shared, it is looked up before it is found to have no value.
    if (!s.model.denies(key, Mode::shared)) s.model.lookup(key);
    return S::require_deadlock([&] { return call(not_called); });
  }
  if (expected.has_value()) {
    s.model.lookup(key);
    return S::require_same(call(not_called), expected);
  }
  s.model.acquire(key, Use::lookup);
  const int number = s.next_number();
  const bool throws = s.bytes.one_in(4);
  const auto make = [&] {
    s.nested();
    if (!throws) s.model.store(key, number, own);
    s.model.count_load(!throws);
    s.model.release(key, true);
    if (throws) throw Thrown();
    return S::make_value(number);
  };
  try {
    S::require_same(call(make), number);
    require(!throws, "an exception was lost");
  } catch (const Thrown&) {
    require(throws, "an exception came from nowhere");
  }
}

template <class S>
void get_or_insert_with(S& s) {
  const int key = s.pick_key();
  load(s, key, std::nullopt,
       [&](const auto& make) { return s.map.get_or_insert_with(S::Types::key(key), make); });
}

template <class S>
void pop_lru(S& s) {
  if constexpr (S::lru) {
    if (s.rules().is_told()) {
      const bool is_left = s.model.all_held();
      const auto popped = s.map.pop_lru();
      require(popped.has_value() != is_left, "pop_lru() finds a key, or does not");
      require(is_left || s.model.on_popped(
                             {S::Types::number_of_key(popped->first), number_of(popped->second)}),
              "pop_lru(): another key or value");
      return;
    }
    const auto expected = s.model.pop();
    const auto popped = s.map.pop_lru();
    require(popped.has_value() == expected.has_value(), "pop_lru() finds a key, or does not");
    if (!popped.has_value()) return;
    require(S::Types::number_of_key(popped->first) == expected->first, "pop_lru(): another key");
    require(number_of(popped->second) == expected->second, "pop_lru(): another value");
  }
}

template <class S>
inline constexpr std::array key_operations{
    &get<S>,    &contains<S>,           &peek<S>,    &insert<S>, &try_insert<S>,
    &remove<S>, &get_or_insert_with<S>, &pop_lru<S>,
};

}  // namespace lockmap::fuzz
