// Deadlines: how long an operation may wait for a key.

#ifndef LOCKMAP_DETAIL_DEADLINE_HPP
#define LOCKMAP_DETAIL_DEADLINE_HPP

#include <chrono>
#include <cstdint>
#include <ratio>

#include "lockmap/detail/stop_token.hpp"

namespace lockmap::detail {

// Not at all.
struct Immediately {
  [[nodiscard]] static constexpr bool expired() noexcept { return true; }
};

// Without a limit.
struct NoDeadline {
  [[nodiscard]] static constexpr bool expired() noexcept { return false; }
  [[nodiscard]] static constexpr std::chrono::nanoseconds nap() noexcept {
    return std::chrono::hours(1);
  }
};

// Until a point in time of any clock whose now() does not throw.
template <class Clock, class Duration>
struct Deadline {
  // A deadline that is no number has passed: every comparison with it is false.
  [[nodiscard]] bool expired() const noexcept {
    const Hours hours = distance();
    return !(hours > a_day) && !(hours >= -a_day && Clock::now() < time);
  }

  // How long to sleep before looking at the clock again: never much longer than to the deadline.
  [[nodiscard]] std::chrono::nanoseconds nap() const noexcept {
    // A clock that is not steady may be set forward meanwhile.
    const Hours longest = Clock::is_steady ? Hours(1) : Hours(std::chrono::milliseconds(100));
    const Hours hours = distance();
    const std::chrono::duration<double, std::nano> nap(hours < longest ? hours : longest);
    return std::chrono::nanoseconds(nap.count() > 0 ? static_cast<std::int64_t>(nap.count()) + 1
                                                    : 0);
  }

  std::chrono::time_point<Clock, Duration> time;

 private:
  // Comparing times may convert them to the finer of their units, in which one that is far away
  // need not fit. Doubles say which are far away.
  using Hours = std::chrono::duration<double, std::ratio<3600>>;
  static constexpr Hours a_day{24};

  [[nodiscard]] Hours distance() const noexcept {
    return Hours(time.time_since_epoch()) - Hours(Clock::now().time_since_epoch());
  }
};

// Until a stop is requested. The callback that ends a sleep then is the sleeper's.
struct UntilStop {
  [[nodiscard]] bool expired() const noexcept { return token.stop_requested(); }
  [[nodiscard]] static constexpr std::chrono::nanoseconds nap() noexcept {
    return NoDeadline::nap();
  }

  const StopToken& token;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_DEADLINE_HPP
