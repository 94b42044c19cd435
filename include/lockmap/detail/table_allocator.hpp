// TableAllocator: how a shard's table gets memory from the user's allocator.

#ifndef LOCKMAP_DETAIL_TABLE_ALLOCATOR_HPP
#define LOCKMAP_DETAIL_TABLE_ALLOCATOR_HPP

#include <cstddef>
#include <memory>

namespace lockmap::detail {

// Refers to an allocator of the shard instead of holding a copy. So a table can be swapped whatever
// the allocator says of that, and a table without memory owns nothing: it may be abandoned.
template <class T, class Allocator>
class TableAllocator {
 public:
  using value_type = T;

  explicit TableAllocator(const Allocator& allocator) noexcept : allocator_(&allocator) {}
  // Implicit, as the requirements on allocators ask for.
  template <class U>
  // NOLINTNEXTLINE(google-explicit-constructor)
  TableAllocator(const TableAllocator<U, Allocator>& other) noexcept
      : allocator_(other.allocator_) {}

  [[nodiscard]] T* allocate(std::size_t count) {
    Rebound allocator(*allocator_);
    return std::allocator_traits<Rebound>::allocate(allocator, count);
  }
  void deallocate(T* memory, std::size_t count) noexcept {
    Rebound allocator(*allocator_);
    std::allocator_traits<Rebound>::deallocate(allocator, memory, count);
  }

  template <class U>
  [[nodiscard]] bool operator==(const TableAllocator<U, Allocator>& other) const noexcept {
    return allocator_ == other.allocator_;
  }

 private:
  template <class U, class A>
  friend class TableAllocator;
  using Rebound = typename std::allocator_traits<Allocator>::template rebind_alloc<T>;

  const Allocator* allocator_;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_TABLE_ALLOCATOR_HPP
