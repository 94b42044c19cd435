// Bursts of keys that come and go beside threads that read, hold and walk: nothing that stays is
// lost, moved while it is held, or seen twice, and the memory of the bursts comes back.

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "counting_allocator.hpp"
#include "maps.hpp"
#include "stress_support.hpp"
#include "threads.hpp"

namespace lockmap::test {
namespace {

constexpr int staying = 500;           // keys that are always there
constexpr int burst = scaled(20'000);  // keys after them that come and go, for each writer
constexpr int writers = 2;
constexpr int rounds = 12;

std::string text(int key) {
  return "a value that is too long to be small " + std::to_string(key);
}

template <class Family>
class MemoryStressTest : public testing::Test {
 protected:
  using Allocator = CountingAllocator<std::pair<const int, std::string>>;
  using Map = MapOf<Family, int, std::string, default_hash<int>, default_equal<int>, Allocator>;

  static Map make(AllocationCount& count) {
    return make_map<Map>(2, default_hash<int>{}, default_equal<int>{}, Allocator(count));
  }

  static void write(Map& map, int writer, Random& random) {
    const int begin = staying + writer * burst;
    for (int key = begin; key < begin + burst; ++key) map.insert(key, text(key));
    if (random.below(2) == 0) {
      for (int key = begin; key < begin + burst; ++key) {
        ASSERT_EQ(map.remove(key), text(key));
      }
    } else {
      map.retain([&](const int& key, std::string& value) {
        EXPECT_EQ(value, text(key));
        return key < begin || key >= begin + burst;
      });
    }
  }

  static void read(Map& map, Random& random) {
    const int key = random.below(staying);
    ASSERT_EQ(map.get(key), text(key));
  }

  static void hold(Map& map, Random& random) {
    const int key = random.below(staying);
    auto entry = map.entry(key);
    const std::string* const address = entry.get();
    for (int i = 0; i < 100; ++i) (void)map.contains(staying + random.below(writers * burst));
    ASSERT_EQ(entry.get(), address);
    ASSERT_EQ(entry.value(), text(key));
  }

  static void walk(Map& map) {
    std::vector<bool> visited(staying);
    map.for_each([&](const int& key, const std::string& value) {
      EXPECT_EQ(value, text(key));
      if (key >= staying) return;
      EXPECT_FALSE(visited[static_cast<std::size_t>(key)]) << key;
      visited[static_cast<std::size_t>(key)] = true;
    });
    for (int key = 0; key < staying; ++key) {
      ASSERT_TRUE(visited[static_cast<std::size_t>(key)]) << key;
    }
  }
};

LOCKMAP_TEST_BOTH(MemoryStressTest, BurstsBesideReadersHoldersAndWalks) {
  AllocationCount count;
  {
    auto map = this->make(count);
    for (int key = 0; key < staying; ++key) map.insert(key, text(key));
    const std::size_t before = count.bytes;
    std::atomic<int> writing = writers;
    run_together(writers + 3, [&](int thread) {
      Random random(thread + 1);
      if (thread < writers) {
        for (int round = 0; round < rounds; ++round) this->write(map, thread, random);
        --writing;
      }
      while (writing != 0) {
        if (thread == writers) this->read(map, random);
        if (thread == writers + 1) this->hold(map, random);
        if (thread == writers + 2) this->walk(map);
        if (testing::Test::HasFatalFailure()) break;
      }
    });
    EXPECT_EQ(map.size(), static_cast<std::size_t>(staying));
    this->walk(map);
    expect_quiet(map);
    // Held keys and walks may have been in the way of the last burst, but not of the next.
    Random random(7);
    for (int round = 0; round < 2; ++round) this->write(map, 0, random);
    EXPECT_LE(count.bytes, 4 * before + 2 * 4096);
  }
  EXPECT_EQ(count.bytes, 0U);
}

}  // namespace
}  // namespace lockmap::test
