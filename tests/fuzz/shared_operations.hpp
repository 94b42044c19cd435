#pragma once

// Keys held shared: reads in place, shared guards and batches, and the ways from one mode to the
// other.

#include <array>
#include <cstddef>
#include <optional>
#include <utility>

#include "batch_operations.hpp"
#include "entry_operations.hpp"
#include "session.hpp"

namespace lockmap::fuzz {

template <class S>
void read(S& s) {
  const int key = s.pick_key();
  const auto name = S::Types::lookup(key);
  const bool returns_nothing = s.bytes.one_in(2);
  const bool throws = s.bytes.one_in(4);
  const auto expected = s.model.value(key);
  const auto f = [&](const typename S::Value& value) {
    require(expected.has_value(), "a value is read, but there is none");
    require(number_of(value) == *expected, "read() shows another value");
    s.nested();
    require(number_of(value) == *expected, "a value changed while it was read");
    s.model.release(key);
    if (throws) throw Thrown();
    return *expected;
  };
  const auto call = [&] {
    if (!returns_nothing) return s.map.read(name, f);
    const bool found = s.map.read(name, [&f](const auto& value) { static_cast<void>(f(value)); });
    return found ? expected : std::nullopt;
  };
  if (s.model.denies(key, Mode::shared)) return S::require_deadlock(call);
  if (expected.has_value()) {
    s.model.acquire(key, Use::lookup, Mode::shared);
  } else {
    s.model.lookup(key);
  }
  try {
    require(call() == expected, "read()");
    require(!throws || !expected.has_value(), "an exception was lost");
  } catch (const Thrown&) {
    require(throws, "an exception came from nowhere");
  }
}

template <class S>
void find_shared_entry(S& s) {
  auto& guards = s.shared_holds.guards;
  const int key = s.pick_key();
  const auto call = [&] { return s.map.find_shared_entry(S::Types::lookup(key)); };
  if (s.model.denies(key, Mode::shared)) return S::require_deadlock(call);
  if (guards.size() == max_guards) return;
  const bool has_value = s.model.value(key).has_value();
  const bool has_node = has_value || s.model.held(key);
  if (has_node) s.model.acquire(key, Use::touch, Mode::shared);
  if (has_node && !has_value) s.model.release(key);
  auto entry = call();
  require(entry.has_value() == has_value, "find_shared_entry()");
  if (has_value) guards.push_back({key, *std::move(entry)});
}

template <class S>
void downgrade(S& s) {
  auto& guards = s.holds.guards;
  if (guards.empty()) return;
  const auto guard = guards.begin() + static_cast<std::ptrdiff_t>(s.pick_index(guards));
  s.model.downgrade(guard->key);
  const bool sees = s.model.kept_value(guard->key).has_value();
  s.shared_holds.guards.push_back({guard->key, std::move(guard->entry).downgrade(), sees});
  guards.erase(guard);
}

template <class S>
void try_upgrade(S& s) {
  auto& guards = s.shared_holds.guards;
  if (guards.empty()) return;
  const auto guard = guards.begin() + static_cast<std::ptrdiff_t>(s.pick_index(guards));
  auto entry = std::move(guard->entry).try_upgrade();
  require(entry.has_value() == (s.model.sharers(guard->key) == 1), "try_upgrade()");
  if (!entry.has_value()) return;
  s.model.upgrade(guard->key, guard->sees);
  s.holds.guards.push_back({guard->key, *std::move(entry)});
  guards.erase(guard);
}

template <class S>
inline constexpr std::array shared_operations{
    &read<S>,
    &lock_entry<S, Mode::shared>,
    &try_lock_entry<S, Mode::shared>,
    &find_shared_entry<S>,
    &release_guard<S, Mode::shared>,
    &assign_guard<S, Mode::shared>,
    &downgrade<S>,
    &try_upgrade<S>,
    &take_batch<S, Mode::shared>,
    &look_into_batch<S, Mode::shared>,
    &take_from_batch<S, Mode::shared>,
    &release_batch<S, Mode::shared>,
};

}  // namespace lockmap::fuzz
