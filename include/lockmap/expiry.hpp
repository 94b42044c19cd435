// ExpiresIn, Expiring: how long a value of a cache lives.

#ifndef LOCKMAP_EXPIRY_HPP
#define LOCKMAP_EXPIRY_HPP

#include <chrono>
#include <cstdint>
#include <limits>
#include <utility>

namespace lockmap {

/// How long a value lives from when it is stored, instead of the cache's `time_to_live`. Zero or
/// less: it has expired when it is stored. More than the clock can count: it never expires.
class ExpiresIn {
 public:
  /// From any duration. Implicit, so that `Expiring<Value>{value, 5s}` can be written.
  template <class Rep, class Period>
  // NOLINTNEXTLINE(google-explicit-constructor): see above.
  constexpr ExpiresIn(const std::chrono::duration<Rep, Period>& time) noexcept
      : time_(clamped(time)) {}

  /// In the clock's unit; the largest number stands for ever.
  [[nodiscard]] constexpr std::chrono::nanoseconds time() const noexcept { return time_; }

 private:
  // By way of doubles: in any integer type, a long duration would overflow. One that is no number
  // counts as zero.
  template <class Rep, class Period>
  [[nodiscard]] static constexpr std::chrono::nanoseconds clamped(
      const std::chrono::duration<Rep, Period>& time) noexcept {
    using Nanoseconds = std::chrono::duration<double, std::nano>;
    const double count = Nanoseconds(time).count();
    if (!(count > 0)) return std::chrono::nanoseconds(0);
    constexpr std::int64_t most = (std::numeric_limits<std::int64_t>::max)();
    if (count >= static_cast<double>(most)) return (std::chrono::nanoseconds::max)();
    return std::chrono::ceil<std::chrono::nanoseconds>(time);
  }

  std::chrono::nanoseconds time_;
};

/// For `insert(key, value, expires_in(5s))`.
template <class Rep, class Period>
[[nodiscard]] constexpr ExpiresIn expires_in(
    const std::chrono::duration<Rep, Period>& time) noexcept {
  return {time};
}

/// A value with a time to live of its own, for makers to return.
template <class Value>
struct Expiring {
  Value value;           ///< to be stored
  ExpiresIn expires_in;  ///< from then on
};

/// From a value and any duration.
template <class Value, class Duration>
Expiring(Value, Duration) -> Expiring<Value>;

}  // namespace lockmap

#endif  // LOCKMAP_EXPIRY_HPP
