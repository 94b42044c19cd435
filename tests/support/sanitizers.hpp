#pragma once

// The build that a test runs in: sanitizers end the process where operator new
// would throw, bring their own operator new, and are slow.

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LOCKMAP_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LOCKMAP_TEST_SANITIZED 1
#endif
#endif
#ifndef LOCKMAP_TEST_SANITIZED
#define LOCKMAP_TEST_SANITIZED 0
#endif

namespace lockmap::test {

inline constexpr bool sanitized = LOCKMAP_TEST_SANITIZED;

}  // namespace lockmap::test
