// Exceptions that the other tests do not come to: a value that is lost because it cannot be moved
// back either, insertions that fail while a map is cleared or ends, and how keys are named in
// messages.

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

#include "counting_allocator.hpp"
#include "maps.hpp"
#include "throw_on.hpp"
#include "tracked.hpp"

namespace lockmap {
namespace {

using test::Injected;
using test::make_map;
using test::MapOf;
using test::MoveOnly;

template <class Family>
class RareExceptionsTest : public testing::Test {};

// Throws from every move of any instance once `moves_left` of them have been made.
struct Brittle {
  explicit Brittle(int start) : number(start) {}
  Brittle(Brittle&& other) : number(other.number) {
    if (moves_left-- <= 0) throw Injected();
  }

  static inline int moves_left = 0;
  int number;
};

LOCKMAP_TEST_BOTH(RareExceptionsTest, AValueThatCannotBeMovedBackIsLostAndNotCounted) {
  auto map = make_map<MapOf<TypeParam, int, Brittle>>();
  {
    auto entry = map.entry(1);
    entry.emplace(10);
    EXPECT_EQ(map.size(), 1U);
    Brittle next(20);
    // Into the argument, and the previous value out; then the next one in, and the previous back.
    Brittle::moves_left = 2;
    EXPECT_THROW(std::ignore = entry.insert(std::move(next)), Injected);
    EXPECT_EQ(Brittle::moves_left, -2);
    EXPECT_FALSE(entry.has_value());
    EXPECT_EQ(map.size(), 0U);
  }
  test::expect_quiet(map);
}

// Calls `on_end` when it ends. What was moved from has the negative number.
struct Noisy {
  explicit Noisy(int start) : number(start) {}
  Noisy(Noisy&& other) noexcept : number(std::exchange(other.number, -other.number)) {}
  ~Noisy() {
    if (on_end) on_end(number);
  }

  static inline std::function<void(int)> on_end;
  int number;
};

// Tries to store a value while there is no memory, which must leave no trace.
template <class Map>
void insert_without_memory(Map& map, test::AllocationCount& memory, int key) {
  const std::size_t limit = std::exchange(memory.limit, 0);
  bool stored = false;
  try {
    map.insert(key, Noisy(0));
    stored = true;
  } catch (const std::bad_alloc&) {
  }
  memory.limit = limit;
  EXPECT_EQ(map.contains(key), stored);
}

template <class Family>
using NoisyMap = MapOf<Family, int, Noisy, default_hash<int>, default_equal<int>,
                       test::CountingAllocator<std::pair<const int, Noisy>>>;

template <class Family>
NoisyMap<Family> make_noisy_map(test::AllocationCount& memory) {
  using Map = NoisyMap<Family>;
  return test::make_map_with<Map>(Options{.shard_count = 1}, default_hash<int>{},
                                  default_equal<int>{}, typename Map::allocator_type(memory));
}

// The map is cleared while a node is being ended, whose memory the shard keeps.
LOCKMAP_TEST_BOTH(RareExceptionsTest, InsertionAfterClearInsideADestructorMayFail) {
  test::AllocationCount memory;
  auto map = make_noisy_map<TypeParam>(memory);
  for (int key = 0; key < 300; ++key) map.insert(key, Noisy(key));
  Noisy::on_end = [&](int number) {
    if (number != -5) return;  // what the node of the removed key still has
    map.clear();
    insert_without_memory(map, memory, 1000);
  };
  map.remove(5);
  Noisy::on_end = nullptr;
  map.insert(1001, Noisy(0));
  EXPECT_TRUE(map.contains(1001));
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(RareExceptionsTest, InsertionWhileTheMapEndsMayFail) {
  test::AllocationCount memory;
  {
    auto map = make_noisy_map<TypeParam>(memory);
    for (int key = 0; key < 300; ++key) map.insert(key, Noisy(key));
    Noisy::on_end = [&](int number) {
      if (number == 5) insert_without_memory(map, memory, 1000);
    };
  }
  Noisy::on_end = nullptr;
  EXPECT_EQ(memory.bytes, 0U);
}

template <class Batch, class Key>
std::string message_of_at(Batch& batch, const Key& key) {
  try {
    std::ignore = batch.at(key);
  } catch (const std::out_of_range& error) {
    return error.what();
  }
  return {};
}

LOCKMAP_TEST_BOTH(RareExceptionsTest, AtNamesTheKeyIfItHasAText) {
  auto by_text = make_map<MapOf<TypeParam, std::string, int>>();
  auto texts = by_text.batch_lock({"a"});
  EXPECT_EQ(message_of_at(texts, "b"), "lockmap: Batch::at: key \"b\" is not in the batch");

  auto by_number = make_map<MapOf<TypeParam, int, int>>();
  auto numbers = by_number.batch_lock({1});
  EXPECT_EQ(message_of_at(numbers, 2), "lockmap: Batch::at: key 2 is not in the batch");

  auto by_other = make_map<MapOf<TypeParam, MoveOnly, int>>();
  auto others = by_other.batch_lock(std::array{1});
  EXPECT_EQ(message_of_at(others, MoveOnly(2)),
            "lockmap: Batch::at: key (of a type that has no text) is not in the batch");
}

}  // namespace
}  // namespace lockmap
