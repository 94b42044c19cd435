// unlimited: no bound.

#ifndef LOCKMAP_UNLIMITED_HPP
#define LOCKMAP_UNLIMITED_HPP

#include <cstddef>
#include <limits>

namespace lockmap {

/// No bound.
inline constexpr std::size_t unlimited = (std::numeric_limits<std::size_t>::max)();

}  // namespace lockmap

#endif  // LOCKMAP_UNLIMITED_HPP
