// Concepts of the callables and ranges that operations take.

#ifndef LOCKMAP_DETAIL_CONCEPTS_HPP
#define LOCKMAP_DETAIL_CONCEPTS_HPP

#include <chrono>
#include <concepts>
#include <ranges>
#include <type_traits>
#include <utility>

#include "lockmap/detail/hashed_key.hpp"
#include "lockmap/detail/stop_token.hpp"
#include "lockmap/expiry.hpp"

namespace lockmap::detail {

// Makes a value with a time of its own when it is called.
template <class F, class Value>
inline constexpr bool makes_expiring = [] {
  if constexpr (std::invocable<F>) {
    return std::same_as<std::remove_cvref_t<std::invoke_result_t<F>>, Expiring<Value>>;
  } else {
    return false;
  }
}();

// Makes a value when it is called. `expires`: or one with a time of its own.
template <class F, class Value, bool expires = false>
concept MakerOf = std::is_invocable_r_v<Value, F> ||(expires&& makes_expiring<F, Value>);

// Many keys, or anything that keys can be constructed from.
template <class Range, class Key>
concept RangeOf =
    std::ranges::input_range<Range> && MakesKey<std::ranges::range_reference_t<Range>, Key>;

// An element of a braced list of keys: anything that a key can be made from.
template <class Key>
struct AnyKey {
  template <class T>
  requires(MakesKey<T, Key> && !std::same_as<std::remove_cvref_t<T>, AnyKey>)
      // Implicit: it stands in the list without a name; and the constraint leaves copies out.
      // NOLINTNEXTLINE(google-explicit-constructor,bugprone-forwarding-reference-overload)
      AnyKey(T&& source)
      : key(std::forward<T>(source)) {}

  template <class T>
  requires narrows<T, Key>
  // NOLINTNEXTLINE(google-explicit-constructor): as above.
  consteval AnyKey(T constant) : key(Constant<Key>::same_value(constant)) {}

  // A list has only const elements, and this one is used once.
  explicit operator Key&&() const noexcept { return static_cast<Key&&>(key); }

  mutable Key key;
};

// A limit to a wait. Passed to a call that takes none, it would be taken for a comparator.
template <class T>
inline constexpr bool is_limit = std::same_as<T, StopToken>;
template <class Rep, class Period>
inline constexpr bool is_limit<std::chrono::duration<Rep, Period>> = true;
template <class Clock, class Duration>
inline constexpr bool is_limit<std::chrono::time_point<Clock, Duration>> = true;
template <class T>
concept IsLimit = is_limit<T>;

// Called for each key and value.
template <class F, class Key, class Value>
concept VisitorOf = std::invocable<F&, const Key&, const Value&>;

// Decides which values stay.
template <class F, class Key, class Value>
concept FilterOf = std::predicate<F&, const Key&, Value&>;

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_CONCEPTS_HPP
