// Maps of several kinds for a debugger to look at: see transcript.txt.

#include <algorithm>
#include <iterator>
#include <lockmap/lockmap.hpp>
#include <string>
#include <thread>

#include "test_access.hpp"

namespace {

using Numbers = lockmap::LockMap<int, int>;
using Texts = lockmap::LockMap<std::string, std::string>;
using Cache = lockmap::LruLockMap<std::string, int>;

constexpr lockmap::Options one_shard{.shard_count = 1};

// The debugger stops here.
__attribute__((noinline)) void look() {
  __asm__ __volatile__("");
}

// With memory that no constructor has seen.
void look_at_garbage() {
  alignas(Numbers) unsigned char zeros[sizeof(Numbers)] = {};
  alignas(Numbers) unsigned char ones[sizeof(Numbers)];
  std::fill(std::begin(ones), std::end(ones), static_cast<unsigned char>(0xff));
  const auto* zeroed = reinterpret_cast<const Numbers*>(zeros);
  const auto* filled = reinterpret_cast<const Numbers*>(ones);
  look();
  static_cast<void>(zeroed);
  static_cast<void>(filled);
}

void look_at_maps() {
  const Numbers empty({.shard_count = 4});
  Numbers numbers(one_shard);
  for (int i = 1; i <= 20; ++i) numbers.insert(i, i * 10);
  for (int i = 4; i <= 20; ++i) numbers.remove(i);

  Texts texts(one_shard);
  texts.insert("apple", "red");
  texts.insert("pear", "green");

  Cache cache({.max_size = 2, .shard_count = 1});
  cache.insert("a", 1);
  cache.insert("b", 2);
  cache.insert("c", 3);

  Numbers many;
  for (int i = 0; i < 1000; ++i) many.insert(i, i);

  auto held = texts.entry("apple");
  auto absent = texts.entry("plum");
  auto released = texts.entry("pear");
  released.unlock();
  auto batch = numbers.batch_lock({3, 1});
  std::thread waiting([&] { static_cast<void>(texts.contains("apple")); });
  while (lockmap::detail::TestAccess::parked(texts, "apple") != 1) std::this_thread::yield();
  look();

  absent.insert("blue");
  held.remove();
  look();

  held.unlock();
  waiting.join();
}

}  // namespace

int main() {
  look_at_garbage();
  look_at_maps();
}
