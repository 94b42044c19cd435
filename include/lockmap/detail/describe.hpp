// describe: values in the messages of exceptions.

#ifndef LOCKMAP_DETAIL_DESCRIBE_HPP
#define LOCKMAP_DETAIL_DESCRIBE_HPP

#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace lockmap::detail {

// The value as text: strings quoted, numbers in decimal. Other types have no text that we know of.
template <class T>
[[nodiscard]] std::string describe(const T& value) {
  if constexpr (std::convertible_to<const T&, std::string_view>) {
    const std::string_view text(value);
    return absl::StrCat("\"", absl::string_view(text.data(), text.size()), "\"");
  } else if constexpr (std::is_integral_v<T> && sizeof(T) <= 8) {
    return absl::StrCat(+value);
  } else if constexpr (requires { std::to_string(value); }) {
    return std::to_string(value);
  } else {
    return "(of a type that has no text)";
  }
}

// For what must not throw: without memory, no text.
template <class T>
[[nodiscard]] std::string describe_noexcept(const T& value) noexcept {
  try {
    return detail::describe(value);
  } catch (...) {
    return {};
  }
}

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_DESCRIBE_HPP
