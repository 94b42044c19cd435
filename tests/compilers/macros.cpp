// Names that others define as macros before lockmap is included are none of its own. (The headers
// that lockmap includes are there before: that they bear these macros is their own affair.)

// windows.h, without NOMINMAX and WIN32_LEAN_AND_MEAN
#define min(a, b) (((a) < (b)) ? (a) : (b))
#define max(a, b) (((a) > (b)) ? (a) : (b))
#define near
#define far
#define small char
#define hyper long long
#define interface struct
#define IN
#define OUT
#define OPTIONAL
#define CONST const
#define VOID void
#define TRUE 1
#define FALSE 0
#define ERROR 0
#define DELETE (0x00010000L)
#define STRICT 1
#define THIS
#define NO_ERROR 0L
#define ABSOLUTE 1
#define RELATIVE 2
#define IGNORE 0
#define INFINITE 0xFFFFFFFF
#define Yield()
#define GetObject GetObjectA
#define GetMessage GetMessageA
#define CreateEvent CreateEventA
#define SendMessage SendMessageA

// X11
#define None 0L
#define Bool int
#define Status int
#define True 1
#define False 0
#define Always 2
#define Success 0
#define Above 0
#define Below 1
#define Unsorted 0
#define Complex 0
#define Convex 2
#define CurrentTime 0L
#define KeyPress 2
#define KeyRelease 3
#define Expose 12

// Qt
#define slots
#define signals public
#define emit
#define foreach for
#define forever for (;;)

// the C library's, and common ones of programs
#undef major
#undef minor
#undef unix
#undef linux
#define major(number) (number)
#define minor(number) (number)
#define unix 1
#define linux 1
#define DEBUG 1
#define INFO 2
#define check(condition) (condition)
#define verify(condition) (condition)
#define require(condition) (condition)
#define likely(condition) (condition)
#define unlikely(condition) (condition)

#include <lockmap/lockmap.hpp>

int main() {
  lockmap::LockMap<std::string, int> map(lockmap::Options{.initial_capacity = 10});
  map.insert("a", 1);
  if (auto entry = map.try_entry_for("a", std::chrono::seconds(1))) entry->value() = 2;
  const auto batch = map.batch_lock(std::vector<std::string>{"a", "b"});
  lockmap::LruLockMap<std::string, int> cache(lockmap::LruOptions{.max_size = 10});
  cache.get_or_insert_with("a", [] { return 1; });
  cache.set_max_size(cache.shard_count());
  return batch.contains("b") && cache.pop_lru().has_value() ? 0 : 1;
}
