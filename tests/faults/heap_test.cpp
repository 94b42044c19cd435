// operator new as a source of faults, for all tests of this program.

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdlib>
#include <new>

#include "throw_on.hpp"

namespace {

void* allocate(std::size_t size, std::size_t alignment) {
  lockmap::test::FaultInjector::step(lockmap::test::Step::heap);
  // aligned_alloc wants a multiple of the alignment.
  const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
  void* const memory = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

// Not inlined, or g++ takes it for the wrong way to end what a new expression made.
[[gnu::noinline]] void release(void* memory) noexcept {
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) {
  return allocate(size, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
// As the standard library has it; a sanitizer's own would not come here.
void* operator new(std::size_t size, const std::nothrow_t& /*nothrow*/) noexcept {
  try {
    return ::operator new(size);
  } catch (...) {
    return nullptr;
  }
}
void operator delete(void* memory) noexcept {
  release(memory);
}
void operator delete(void* memory, std::size_t /*size*/) noexcept {
  release(memory);
}
void operator delete(void* memory, std::align_val_t /*alignment*/) noexcept {
  release(memory);
}
void operator delete(void* memory, std::size_t /*size*/, std::align_val_t /*alignment*/) noexcept {
  release(memory);
}

namespace lockmap::test {
namespace {

TEST(HeapTest, OperatorNewFails) {
  int made = 0;
  bool failed = false;
  {
    FaultInjector fault(Step::heap, 2);
    try {
      for (; made < 3; ++made) ::operator delete(::operator new(1));
    } catch (const Injected&) {
      failed = true;
    }
  }
  EXPECT_TRUE(failed);
  EXPECT_EQ(made, 1);
}

}  // namespace
}  // namespace lockmap::test
