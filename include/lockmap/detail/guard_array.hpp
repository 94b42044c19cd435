// GuardArray: the guards of a batch.

#ifndef LOCKMAP_DETAIL_GUARD_ARRAY_HPP
#define LOCKMAP_DETAIL_GUARD_ARRAY_HPP

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "lockmap/detail/config.hpp"

namespace lockmap::detail {

// Guards one after the other; a few take no allocation. Debuggers know `first_` and `size_`.
template <class Guard>
class GuardArray {
  static_assert(std::is_nothrow_move_constructible_v<Guard>);

 public:
  GuardArray() noexcept {}
  GuardArray(const GuardArray&) = delete;
  GuardArray& operator=(const GuardArray&) = delete;

  // Leaves the other one empty.
  GuardArray(GuardArray&& other) noexcept { take(other); }
  GuardArray& operator=(GuardArray&& other) noexcept {
    if (this != &other) {
      clear();
      take(other);
    }
    return *this;
  }
  ~GuardArray() { clear(); }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] Guard* begin() noexcept { return first_; }
  [[nodiscard]] Guard* end() noexcept { return first_ + size_; }
  [[nodiscard]] const Guard* begin() const noexcept { return first_; }
  [[nodiscard]] const Guard* end() const noexcept { return first_ + size_; }

  // Makes room for so many. Precondition: it is empty, and has no more than its own room.
  void reserve(std::size_t count) {
    LOCKMAP_ASSERT(size_ == 0 && capacity_ == few);
    if (count <= few) return;
    first_ = std::allocator<Guard>().allocate(count);
    capacity_ = count;
  }

  // Precondition: there is room.
  void push_back(Guard&& guard) noexcept {
    LOCKMAP_ASSERT(size_ < capacity_);
    std::construct_at(first_ + size_, std::move(guard));
    ++size_;
  }

  // Destroys the guards, the last one first.
  void clear() noexcept {
    while (size_ != 0) std::destroy_at(first_ + --size_);
    if (capacity_ != few) std::allocator<Guard>().deallocate(first_, capacity_);
    first_ = own_;
    capacity_ = few;
  }

 private:
  static constexpr std::size_t few = 8;

  // Precondition: it is empty, and has no more than its own room.
  void take(GuardArray& other) noexcept {
    if (other.capacity_ != few) {
      first_ = std::exchange(other.first_, other.own_);
      size_ = std::exchange(other.size_, 0);
      capacity_ = std::exchange(other.capacity_, few);
    } else {
      std::uninitialized_move_n(other.first_, other.size_, first_);
      size_ = other.size_;
      other.clear();
    }
  }

  union {
    Guard own_[few];  // NOLINT(modernize-avoid-c-arrays): the first one is found without a call
  };
  Guard* first_ = own_;
  std::size_t size_ = 0;
  std::size_t capacity_ = few;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_GUARD_ARRAY_HPP
