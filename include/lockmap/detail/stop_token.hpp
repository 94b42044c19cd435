// StopToken: std::stop_token, where the standard library has it.

#ifndef LOCKMAP_DETAIL_STOP_TOKEN_HPP
#define LOCKMAP_DETAIL_STOP_TOKEN_HPP

#include <version>

#if defined(__cpp_lib_jthread)
#include <stop_token>
#endif

namespace lockmap::detail {

#if defined(__cpp_lib_jthread)

using StopToken = std::stop_token;
template <class F>
using StopCallback = std::stop_callback<F>;

#else

// Stands in where nobody can have a token to give: no stop is ever requested.
struct StopToken {
  [[nodiscard]] static constexpr bool stop_requested() noexcept { return false; }
  [[nodiscard]] static constexpr bool stop_possible() noexcept { return false; }
};
template <class F>
struct StopCallback {
  StopCallback(const StopToken& /*token*/, const F& /*on_stop*/) noexcept {}
};

#endif

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_STOP_TOKEN_HPP
