#include "compare/memory.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "lockmap/detail/config.hpp"

namespace {

std::atomic<bool> counting{false};
std::atomic<std::int64_t> counted_bytes{0};

// The room that malloc set aside for a block, with its header: a peer that allocates every element
// pays for the rounding, as it would anywhere. Outside of a count this is one load, the same for
// all.
void count(void* block, std::int64_t sign) {
  if (!counting.load(std::memory_order_relaxed)) return;
#if defined(__GLIBC__)
  if (block == nullptr) return;
  const auto bytes = static_cast<std::int64_t>(malloc_usable_size(block) + sizeof(std::size_t));
  counted_bytes.fetch_add(sign * bytes, std::memory_order_relaxed);
#else
  (void)block;
  (void)sign;
#endif
}

void* counted(void* block) {
  if (block == nullptr) throw std::bad_alloc();
  count(block, 1);
  return block;
}

void release(void* block) noexcept {
  count(block, -1);
  std::free(block);
}

}  // namespace

// Not inlined, as they are not in a program that leaves them to the standard library.
LOCKMAP_NOINLINE void* operator new(std::size_t size) {
  return counted(std::malloc(size != 0 ? size : 1));
}
LOCKMAP_NOINLINE void* operator new(std::size_t size, std::align_val_t alignment) {
  const auto align = static_cast<std::size_t>(alignment);
  return counted(std::aligned_alloc(align, (size + align - 1) / align * align));
}
LOCKMAP_NOINLINE void operator delete(void* block) noexcept {
  release(block);
}
LOCKMAP_NOINLINE void operator delete(void* block, std::size_t /*size*/) noexcept {
  release(block);
}
LOCKMAP_NOINLINE void operator delete(void* block, std::align_val_t /*alignment*/) noexcept {
  release(block);
}
LOCKMAP_NOINLINE void operator delete(void* block, std::size_t /*size*/,
                                      std::align_val_t /*alignment*/) noexcept {
  release(block);
}

namespace bench {

CountedMemory::CountedMemory() {
  counted_bytes = 0;
  counting = true;
}
CountedMemory::~CountedMemory() {
  counting = false;
}
double CountedMemory::bytes() const {
  return static_cast<double>(counted_bytes.load());
}

}  // namespace bench
