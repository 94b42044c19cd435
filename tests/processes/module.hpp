#pragma once

// The use that the program and its plugins make of a map, whoever made it.

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <lockmap/lockmap.hpp>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

namespace lockmap::test {

// The largest value that is read without being locked. All its words are equal, and name the key.
struct Words {
  std::array<std::uint64_t, 8> words;
};

enum class Outcome { acquired, timed_out, deadlock };

// The find of a read: no value, the key's own, parts of two, another key's, an error.
enum class Found { nothing, own, torn, foreign, error };

// Stops a reader in the middle of a look-up: until a writer is done, or for long enough to show
// that the writer waits for the reader.
class Gate {
 public:
  void pass() noexcept {
    reader_is_inside_.store(true);
    for (int i = 0; i < 2000 && !open_.load(); ++i) std::this_thread::yield();
  }
  void open() noexcept { open_.store(true); }
  [[nodiscard]] bool reader_is_inside() const noexcept { return reader_is_inside_.load(); }

 private:
  std::atomic<bool> reader_is_inside_{false};
  std::atomic<bool> open_{false};
};

struct GatedKey {
  int key;
  Gate* gate;
};

struct Hash {
  using is_transparent = void;
  std::size_t operator()(int key) const noexcept { return static_cast<std::size_t>(key); }
  std::size_t operator()(const GatedKey& gated) const noexcept { return (*this)(gated.key); }
};

struct Equal {
  using is_transparent = void;
  bool operator()(int a, int b) const noexcept { return a == b; }
  bool operator()(const GatedKey& a, int b) const noexcept {
    if (a.key != b) return false;
    a.gate->pass();
    return true;
  }
  bool operator()(int a, const GatedKey& b) const noexcept { return (*this)(b, a); }
};

using SharedMap = LockMap<int, Words, Hash, Equal>;
using Guard = SharedMap::Entry;

// The code of one module: each has its own, since these functions have internal linkage.
struct Module {
  SharedMap* (*make)();
  void (*destroy)(SharedMap* map);
  void (*store)(SharedMap& map, int key, std::uint32_t version);
  void (*clear)(SharedMap& map);
  Found (*read)(SharedMap& map, int key);
  Found (*read_through)(SharedMap& map, int key, Gate& gate);
  Outcome (*try_key)(SharedMap& map, int key, std::chrono::milliseconds limit);
  void (*count_up)(SharedMap& map, int key, int times, int& counter);
  Guard* (*hold)(SharedMap& map, int key);
  void (*release)(Guard* guard);
  // Everything that a plugin may do with maps of its own. True if it went well.
  bool (*use_maps_of_its_own)();
};

namespace {

SharedMap* make() {
  Options options;
  options.shard_count = 1;  // so that every write meets every read
  return new SharedMap(options);
}

void destroy(SharedMap* map) {
  delete map;
}

void store(SharedMap& map, int key, std::uint32_t version) {
  Words value{};
  value.words.fill((static_cast<std::uint64_t>(key) << 32U) | version);
  (void)map.insert(key, value);
}

void clear(SharedMap& map) {
  map.clear();
}

template <class Q>
Found read_value(SharedMap& map, const Q& asked, int key) {
  try {
    const auto value = map.get(asked);
    if (!value) return Found::nothing;
    const std::uint64_t first = value->words[0];
    for (const std::uint64_t word : value->words) {
      if (word != first) return Found::torn;
    }
    return first >> 32U == static_cast<std::uint64_t>(key) ? Found::own : Found::foreign;
  } catch (const std::system_error&) {
    return Found::error;
  }
}

Found read(SharedMap& map, int key) {
  return read_value(map, key, key);
}

Found read_through(SharedMap& map, int key, Gate& gate) {
  return read_value(map, GatedKey{key, &gate}, key);
}

template <class F>
Outcome outcome_of(const F& acquire) {
  try {
    return acquire() ? Outcome::acquired : Outcome::timed_out;
  } catch (const std::system_error&) {
    return Outcome::deadlock;
  }
}

Outcome try_key(SharedMap& map, int key, std::chrono::milliseconds limit) {
  return outcome_of([&] { return map.try_entry_for(key, limit).has_value(); });
}

void count_up(SharedMap& map, int key, int times, int& counter) {
  for (int i = 0; i < times; ++i) {
    const Guard guard = map.entry(key);
    const int before = counter;
    if (i % 64 == 0) std::this_thread::yield();  // somebody comes to wait
    counter = before + 1;
  }
}

Guard* hold(SharedMap& map, int key) {
  return new Guard(map.entry(key));
}

void release(Guard* guard) {
  delete guard;
}

bool use_maps_of_its_own() {
  constexpr int reads = 1000;  // readers announce themselves after fewer
  SharedMap map;
  LruLockMap<std::string, std::string> cache(10);
  for (int key = 0; key < 20; ++key) {
    store(map, key, 0);
    (void)cache.insert(std::string(static_cast<std::size_t>(key), 'x'), "value");
  }
  const std::string newest(19, 'x');
  int found = 0;
  for (int i = 0; i < reads; ++i) {
    if (read(map, 1) == Found::own && cache.contains(newest)) ++found;
  }
  bool error_is_reported = false;
  {
    const Guard guard = map.entry(1);
    error_is_reported = outcome_of([&] { return map.entry(1).has_value(); }) == Outcome::deadlock;
  }
  const bool all_are_held = map.batch_lock({1, 2, 3}).size() == 3;
  map.clear();
  return found == reads && error_is_reported && all_are_held && map.empty() && cache.size() == 10;
}

constexpr Module this_module{make,
                             destroy,
                             store,
                             clear,
                             read,
                             read_through,
                             try_key,
                             count_up,
                             hold,
                             release,
                             use_maps_of_its_own};

}  // namespace

}  // namespace lockmap::test
