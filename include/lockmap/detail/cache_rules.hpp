// CacheRules: what the shards of one cache have in common.

#ifndef LOCKMAP_DETAIL_CACHE_RULES_HPP
#define LOCKMAP_DETAIL_CACHE_RULES_HPP

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "lockmap/detail/lookup_counts.hpp"
#include "lockmap/options.hpp"

namespace lockmap::detail {

// Called for each value that leaves a cache because of a bound or its time. Empty, it is not.
template <class Key, class Value>
class EvictionListener {
  using Function = absl::AnyInvocable<void(const Key&, Value&, EvictionCause) const>;

  template <class F>
  static constexpr bool takes_cause =
      std::is_invocable_v<const std::decay_t<F>&, const Key&, Value&, EvictionCause>;
  template <class F>
  static constexpr bool listens =
      !std::same_as<std::remove_cvref_t<F>, EvictionListener> &&
      (takes_cause<F> || std::is_invocable_v<const std::decay_t<F>&, const Key&, Value&>);

 public:
  EvictionListener() noexcept = default;
  // NOLINTNEXTLINE(google-explicit-constructor): a listener is passed as it is.
  EvictionListener(std::nullptr_t) noexcept {}

  // From anything that can be called with a key, a value and, if it likes, the cause.
  template <class F>
  requires listens<F>
  // NOLINTNEXTLINE(google-explicit-constructor,bugprone-forwarding-reference-overload): as above.
  EvictionListener(F&& f) {
    if constexpr (requires { static_cast<bool>(f == nullptr); }) {
      if (f == nullptr) return;
    }
    if constexpr (takes_cause<F>) {
      function_ = std::forward<F>(f);
    } else {
      function_ = [listener = std::decay_t<F>(std::forward<F>(f))](const Key& key, Value& value,
                                                                   EvictionCause /*cause*/) {
        std::invoke(listener, key, value);
      };
    }
  }

  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(function_); }
  void operator()(const Key& key, Value& value, EvictionCause cause) const {
    function_(key, value, cause);
  }

 private:
  Function function_;
};

template <class Key, class Value>
struct CacheRules {
  using Clock = std::chrono::steady_clock;
  using Time = Clock::time_point;
  using Weigher = absl::AnyInvocable<std::size_t(const Key&, Value&) const>;

  [[nodiscard]] Time time() const noexcept { return now == nullptr ? Clock::now() : now(); }

  // Whether values have a time or a weight from the beginning.
  [[nodiscard]] bool wants_ledger() const noexcept {
    return weigh != nullptr || now != nullptr || time_to_live.count() != 0 ||
           time_to_idle.count() != 0;
  }

  EvictionListener<Key, Value> on_evict;
  Weigher weigh;
  std::chrono::nanoseconds time_to_live;
  std::chrono::nanoseconds time_to_idle;
  Time (*now)();
  bool relaxed;  // not each touch reorders
  LookupCounts lookups;
  Time created = time();  // no value was stored before
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_CACHE_RULES_HPP
