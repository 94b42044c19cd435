#pragma once

// A stateful allocator without default constructor that keeps count of its bytes.

#include <atomic>
#include <cstddef>
#include <limits>
#include <memory>
#include <new>

#include "throw_on.hpp"

namespace lockmap::test {

struct AllocationCount {
  std::atomic<std::size_t> bytes = 0;                           // in use now
  std::atomic<std::size_t> allocations = 0;                     // ever made
  std::size_t limit = std::numeric_limits<std::size_t>::max();  // of one allocation, in bytes
};

template <class T>
class CountingAllocator {
 public:
  using value_type = T;

  explicit CountingAllocator(AllocationCount& count) : count_(&count) {}
  template <class U>
  CountingAllocator(const CountingAllocator<U>& other) : count_(&other.count()) {}

  T* allocate(std::size_t n) {
    FaultInjector::step(Step::allocate);
    if (n > count_->limit / sizeof(T)) throw std::bad_alloc();
    T* memory = std::allocator<T>().allocate(n);
    count_->bytes += n * sizeof(T);
    ++count_->allocations;
    return memory;
  }

  void deallocate(T* memory, std::size_t n) noexcept {
    count_->bytes -= n * sizeof(T);
    std::allocator<T>().deallocate(memory, n);
  }

  AllocationCount& count() const { return *count_; }

  template <class U>
  friend bool operator==(const CountingAllocator& a, const CountingAllocator<U>& b) {
    return &a.count() == &b.count();
  }

 private:
  AllocationCount* count_;
};

}  // namespace lockmap::test
