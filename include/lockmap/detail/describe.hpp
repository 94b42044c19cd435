// describe: values in the messages of exceptions.

#ifndef LOCKMAP_DETAIL_DESCRIBE_HPP
#define LOCKMAP_DETAIL_DESCRIBE_HPP

#include <concepts>
#include <string>
#include <string_view>

namespace lockmap::detail {

// The value as text: strings quoted, numbers in decimal. Other types have no text that we know of.
template <class T>
[[nodiscard]] std::string describe(const T& value) {
  if constexpr (std::convertible_to<const T&, std::string_view>) {
    return '"' + std::string(std::string_view(value)) + '"';
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
