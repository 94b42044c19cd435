// Runs one operation a given number of times, for instructions.sh to count its instructions. The
// work is the same in every run: one thread, fixed keys in a fixed order.
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "detached.hpp"
#include "lockmap/lockmap.hpp"
#include "paired.hpp"
#include "random.hpp"

namespace {

constexpr std::uint64_t key_count = 4096;

using Map = lockmap::LockMap<std::uint64_t, std::uint64_t>;

// Calls `operation(key)` with `count` keys.
template <class Operation>
void repeat(std::uint64_t count, const Operation& operation) {
  bench::Random random(1);
  std::uint64_t result = 0;
  for (std::uint64_t i = 0; i < count; ++i) result += operation(random.draw().key(key_count));
  bench::keep(result);
}

template <class M>
void fill(M& map) {
  for (std::uint64_t key = 0; key < key_count; ++key) map.insert(key, key);
}

void get_after(std::uint64_t warm_up, std::uint64_t count) {
  Map map;
  fill(map);
  for (const std::uint64_t times : {warm_up, count}) {
    repeat(times, [&map](std::uint64_t key) { return map.get(key).value_or(0); });
  }
}

void get(std::uint64_t count) {
  get_after(0, count);
}

// As where the system has process barriers, which callgrind has not: a thread that has read so
// often that writers may run one announces its reads by plain stores.
void get_plain(std::uint64_t count) {
  lockmap::detail::ThisModule::registry().has_barrier = true;
  get_after(1'000'000, count);
}

void get_string(std::uint64_t count) {
  lockmap::LockMap<std::string, std::uint64_t> map;
  std::vector<std::string> keys;
  for (std::uint64_t key = 0; key < key_count; ++key) {
    keys.push_back("a key of some length " + std::to_string(key));
    map.insert(keys.back(), key);
  }
  repeat(count, [&](std::uint64_t key) {
    return map.get(std::string_view(keys[static_cast<std::size_t>(key)])).value_or(0);
  });
}

void insert(std::uint64_t count) {
  Map map;
  fill(map);
  repeat(count, [&map](std::uint64_t key) { return map.insert(key, key).value_or(0); });
}

void guard(std::uint64_t count) {
  Map map;
  fill(map);
  repeat(count, [&map](std::uint64_t key) {
    auto entry = map.entry(key);
    return ++*entry;
  });
}

template <class Guard>
bench::Detached await_guards(std::uint64_t count, Guard await_guard) {
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    auto entry = co_await await_guard(i % key_count);
    sum += ++*entry;
  }
  if (sum == 0) std::abort();
}

void async_guard(std::uint64_t count) {
  Map map;
  fill(map);
  await_guards(count, [&map](std::uint64_t key) { return map.async_entry(std::move(key)); });
}

void async_guard_of_owner(std::uint64_t count) {
  Map map;
  fill(map);
  lockmap::Owner owner;
  await_guards(
      count, [&](std::uint64_t key) { return map.async_entry(std::move(key), {.owner = &owner}); });
}

void guard_absent(std::uint64_t count) {
  Map map;
  repeat(count, [&map](std::uint64_t key) {
    const auto entry = map.entry(key);
    return std::uint64_t{entry.has_value()};
  });
}

void shared_guard(std::uint64_t count) {
  Map map;
  fill(map);
  repeat(count, [&map](std::uint64_t key) {
    const auto entry = map.shared_entry(key);
    return *entry;
  });
}

void read_after(std::uint64_t warm_up, std::uint64_t count) {
  Map map;
  fill(map);
  const auto read = [&map](std::uint64_t key) {
    return map.read(key, [](std::uint64_t value) { return value; }).value_or(0);
  };
  for (const std::uint64_t times : {warm_up, count}) repeat(times, read);
}

void read(std::uint64_t count) {
  read_after(0, count);
}

void read_plain(std::uint64_t count) {
  lockmap::detail::ThisModule::registry().has_barrier = true;
  read_after(1'000'000, count);
}

void insert_and_remove(std::uint64_t count) {
  Map map;
  repeat(count, [&map](std::uint64_t key) {
    map.insert(key, key);
    return map.remove(key).value_or(0);
  });
}

void cache_get(std::uint64_t count) {
  lockmap::LruLockMap<std::uint64_t, std::uint64_t> cache(2 * key_count);
  fill(cache);
  repeat(count, [&cache](std::uint64_t key) { return cache.get(key).value_or(0); });
}

void batch_of_four(std::uint64_t count) {
  Map map;
  fill(map);
  repeat(count, [&map](std::uint64_t key) {
    const std::array<std::uint64_t, 4> keys{key, key ^ 1U, key ^ 2U, key ^ 3U};
    return std::uint64_t{map.batch_lock(keys).size()};
  });
}

void get_many_of_16(std::uint64_t count) {
  Map map;
  fill(map);
  repeat(count, [&map](std::uint64_t key) {
    std::array<std::uint64_t, 16> keys{};
    for (std::uint64_t i = 0; i < keys.size(); ++i) keys[i] = (key + 17 * i) % key_count;
    std::uint64_t sum = 0;
    for (const auto& value : map.get_many(keys)) sum += value.value_or(0);
    return sum;
  });
}

void lock_set(std::uint64_t count) {
  lockmap::LockSet<std::uint64_t> set;
  repeat(count, [&set](std::uint64_t key) {
    const auto guard = set.lock(key);
    return guard.key();
  });
}

struct Operation {
  const char* name;
  void (*run)(std::uint64_t count);
};
constexpr std::array operations{
    Operation{"get", get},
    Operation{"get_plain", get_plain},
    Operation{"get_string", get_string},
    Operation{"insert", insert},
    Operation{"guard", guard},
    Operation{"guard_absent", guard_absent},
    Operation{"async_guard", async_guard},
    Operation{"async_guard_of_owner", async_guard_of_owner},
    Operation{"shared_guard", shared_guard},
    Operation{"read", read},
    Operation{"read_plain", read_plain},
    Operation{"insert_and_remove", insert_and_remove},
    Operation{"cache_get", cache_get},
    Operation{"batch_of_four", batch_of_four},
    Operation{"get_many_of_16", get_many_of_16},
    Operation{"lock_set", lock_set},
};

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--list") == 0) {
    for (const Operation& operation : operations) std::puts(operation.name);
    return 0;
  }
  if (argc == 3) {
    std::uint64_t count = 0;
    const char* const end = argv[2] + std::strlen(argv[2]);
    const auto [rest, error] = std::from_chars(argv[2], end, count);
    for (const Operation& operation : operations) {
      if (error != std::errc() || rest != end || std::strcmp(argv[1], operation.name) != 0)
        continue;
      operation.run(count);
      return 0;
    }
  }
  std::fprintf(stderr, "usage: %s --list | OPERATION COUNT\n", argv[0]);
  return 2;
}
