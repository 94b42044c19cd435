// Uses-allocator construction of the keys and values that a map stores.

#ifndef LOCKMAP_DETAIL_CONSTRUCT_HPP
#define LOCKMAP_DETAIL_CONSTRUCT_HPP

#include <memory>
#include <type_traits>
#include <utility>

namespace lockmap::detail {

// Whether an allocator constructs a T in its own way, as those do that hand themselves on to it.
template <class T, class Allocator>
inline constexpr bool constructed_by_allocator =
    requires(typename std::allocator_traits<Allocator>::template rebind_alloc<T> allocator,
             T* where, T& value) {
  allocator.construct(where, std::move(value));
};

// As standard containers construct their elements.
template <class T, class Allocator, class... Args>
void construct(T* where, const Allocator& allocator, Args&&... args) {
  if constexpr (constructed_by_allocator<T, Allocator>) {
    using Rebound = typename std::allocator_traits<Allocator>::template rebind_alloc<T>;
    Rebound rebound(allocator);
    rebound.construct(where, std::forward<Args>(args)...);
  } else {
    std::construct_at(where, std::forward<Args>(args)...);
  }
}

// Whether storing a T that is moved in cannot throw. An allocator's own way may be to copy.
template <class T, class Allocator>
inline constexpr bool stored_nothrow =
    std::is_nothrow_move_constructible_v<T> && !constructed_by_allocator<T, Allocator>;

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_CONSTRUCT_HPP
