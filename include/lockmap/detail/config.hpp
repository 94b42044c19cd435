// Names for what differs between compilers and machines.

#ifndef LOCKMAP_DETAIL_CONFIG_HPP
#define LOCKMAP_DETAIL_CONFIG_HPP

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#if !defined(__cpp_exceptions) && !defined(_CPPUNWIND)
// A file that cannot be found ends the compilation with this message alone; after an #error, each
// use of an exception would add its own.
#include "lockmap reports deadlocks and bad input by exceptions: compile without -fno-exceptions"
#endif

static_assert(std::atomic<std::uint64_t>::is_always_lock_free,
              "lockmap keeps a key's lock in one 64-bit word: this target has no lock-free one");

// Checks a precondition in debug builds; costs nothing where NDEBUG is defined. Unlike `assert`, it
// does not name the function: with its template arguments, that would take more room than the code.
#ifdef NDEBUG
#define LOCKMAP_ASSERT(condition) static_cast<void>(0)
#else
#define LOCKMAP_ASSERT(condition)     \
  ((condition) ? static_cast<void>(0) \
               : ::lockmap::detail::assertion_failed(#condition, __FILE__, __LINE__))
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#define LOCKMAP_NOINLINE __declspec(noinline)
#define LOCKMAP_ALWAYS_INLINE __forceinline
#define LOCKMAP_INLINED
#define LOCKMAP_FLATTEN
#else
#define LOCKMAP_NOINLINE __attribute__((noinline))
// Without optimisation, it would only make builds slow and large.
#ifdef __OPTIMIZE__
#define LOCKMAP_ALWAYS_INLINE inline __attribute__((always_inline))
// The same of a lambda, behind its parameters.
#define LOCKMAP_INLINED __attribute__((always_inline))
// Inlines what the function calls, however often that is called elsewhere.
#define LOCKMAP_FLATTEN __attribute__((flatten))
#else
#define LOCKMAP_ALWAYS_INLINE inline
#define LOCKMAP_INLINED
#define LOCKMAP_FLATTEN
#endif
#endif

// The result refers into the object that the function was called on: where that is a temporary,
// clang warns.
#if defined(__clang__)
#define LOCKMAP_LIFETIMEBOUND [[clang::lifetimebound]]
#else
#define LOCKMAP_LIFETIMEBOUND
#endif

// For what must exist once in a process: shared libraries that are built with hidden visibility
// would each have their own.
#if defined(_WIN32)
#define LOCKMAP_ONE_PER_PROCESS
#else
#define LOCKMAP_ONE_PER_PROCESS __attribute__((visibility("default")))
#endif

#if defined(__SANITIZE_ADDRESS__)
#define LOCKMAP_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LOCKMAP_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define LOCKMAP_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LOCKMAP_TSAN 1
#endif
#endif
#ifdef LOCKMAP_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace lockmap::detail {

[[noreturn]] LOCKMAP_NOINLINE inline void assertion_failed(const char* condition, const char* file,
                                                           int line) noexcept {
  std::fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, condition);
  std::abort();
}

// Sees into the maps for the tests; defined there.
struct TestAccess;

// Two lines of 64 bytes: adjacent-line prefetchers fetch them in pairs.
inline constexpr std::size_t cache_line = 128;

// Tells the processor that this is a spin loop.
inline void cpu_pause() noexcept {
#if defined(_MSC_VER) && !defined(__clang__) && (defined(_M_X64) || defined(_M_IX86))
  _mm_pause();
#elif defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  __asm__ __volatile__("yield");
#endif
}

// Begin to fetch a cache line; never fault, whatever the address is.
inline void prefetch_for_reading([[maybe_unused]] const void* address) noexcept {
#if defined(__GNUC__) || defined(__clang__)
  __builtin_prefetch(address, 0);
  __asm__ __volatile__("");  // else g++ drops calls of functions that do nothing but this
#endif
}
inline void prefetch_for_writing([[maybe_unused]] const void* address) noexcept {
#if defined(__GNUC__) || defined(__clang__)
  __builtin_prefetch(address, 1);
#endif
}

// Under AddressSanitizer, makes every access to [begin, begin + size) an error until it is
// unpoisoned.
inline void poison([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t size) noexcept {
#ifdef LOCKMAP_ASAN
  ASAN_POISON_MEMORY_REGION(begin, size);
#endif
}

inline void unpoison([[maybe_unused]] const void* begin,
                     [[maybe_unused]] std::size_t size) noexcept {
#ifdef LOCKMAP_ASAN
  ASAN_UNPOISON_MEMORY_REGION(begin, size);
#endif
}

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_CONFIG_HPP
