// Stateful allocators, hashes and equalities: the map uses the ones it was given, and an allocator
// gets back every byte.

#include <gtest/gtest.h>

#include <cctype>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "counting_allocator.hpp"
#include "maps.hpp"
#include "threads.hpp"
#include "tracked.hpp"

namespace lockmap {
namespace {

using test::AllocationCount;
using test::CountingAllocator;
using test::make_map;
using test::MapOf;
using test::Tracked;

template <class Family>
class AllocatorTest : public ::testing::Test {
 protected:
  template <class Key, class Value>
  using Allocator = CountingAllocator<std::pair<const Key, Value>>;
  template <class Key, class Value>
  using Map =
      MapOf<Family, Key, Value, default_hash<Key>, default_equal<Key>, Allocator<Key, Value>>;

  template <class Key, class Value>
  Map<Key, Value> make(std::size_t shards = test::default_test_shards) {
    return make_map<Map<Key, Value>>(shards, default_hash<Key>{}, default_equal<Key>{},
                                     Allocator<Key, Value>(count_));
  }

  AllocationCount count_;
};

LOCKMAP_TEST_BOTH(AllocatorTest, NodesAndTablesComeFromTheAllocator) {
  constexpr std::size_t keys = 1000;
  auto map = this->template make<int, Tracked>();
  const std::size_t before = this->count_.bytes;
  for (int key = 0; key < static_cast<int>(keys); ++key) map.insert(key, Tracked(key));
  EXPECT_GE(this->count_.bytes - before, keys * (sizeof(int) + sizeof(Tracked) + sizeof(void*)));
}

LOCKMAP_TEST_BOTH(AllocatorTest, EveryByteComesBack) {
  for (std::size_t shards : {1u, 3u, 256u}) {
    {
      auto map = this->template make<int, std::string>(shards);
      for (int key = 0; key < 5000; ++key) map.insert(key, "a value that is too long to be small");
      for (int key = 0; key < 5000; key += 2) map.remove(key);
      for (int key = 0; key < 500; ++key) std::ignore = map.entry(-1 - key).has_value();
      map.retain([](int key, std::string&) { return key % 3 != 0; });
      for (int key = 0; key < 100; ++key) map.entry(key).insert("again");
      EXPECT_GT(this->count_.bytes, 0u);
    }
    EXPECT_EQ(this->count_.bytes, 0u);
  }
}

LOCKMAP_TEST_BOTH(AllocatorTest, UnusedMapGivesBackWhatItTook) {
  { auto map = this->template make<int, int>(256); }
  EXPECT_EQ(this->count_.bytes, 0u);
}

LOCKMAP_TEST_BOTH(AllocatorTest, TypesThatNeedDestruction) {
  Tracked::reset();
  {
    auto map = this->template make<Tracked, Tracked>();
    for (int key = 0; key < 1000; ++key) map.insert(Tracked(key), Tracked(key));
    for (int key = 0; key < 1000; key += 3) map.remove(Tracked(key));
  }
  EXPECT_EQ(Tracked::alive(), 0);
  EXPECT_EQ(this->count_.bytes, 0u);
}

LOCKMAP_TEST_BOTH(AllocatorTest, NodeStorageIsUsedAgain) {
  auto map = this->template make<int, std::string>();
  for (int key = 0; key < 1000; ++key) map.insert(key, "value");
  const std::size_t full = this->count_.bytes;
  for (int round = 0; round < 20; ++round) {
    for (int key = 0; key < 1000; ++key) map.remove(key);
    for (int key = 0; key < 1000; ++key) map.insert(key, "value");
  }
  EXPECT_LE(this->count_.bytes, full * 2);
}

LOCKMAP_TEST_BOTH(AllocatorTest, LockingAbsentKeysDoesNotPileUpMemory) {
  auto map = this->template make<int, std::string>();
  for (int key = 0; key < 1000; ++key) std::ignore = map.entry(key).has_value();
  const std::size_t before = this->count_.bytes;
  for (int key = 0; key < 20'000; ++key) std::ignore = map.entry(key).has_value();
  EXPECT_LE(this->count_.bytes, before * 2);
}

LOCKMAP_TEST_BOTH(AllocatorTest, ClearGivesNodeStorageBack) {
  struct Big {
    char bytes[1000];
  };
  auto map = this->template make<int, Big>();
  for (int key = 0; key < 2000; ++key) map.insert(key, Big{});
  const std::size_t full = this->count_.bytes;
  ASSERT_GE(full, 2000 * sizeof(Big));
  map.clear();
  EXPECT_LT(this->count_.bytes, full / 4);
  for (int key = 0; key < 100; ++key) map.insert(key, Big{});
  EXPECT_EQ(map.size(), 100u);
  test::expect_quiet(map);
}

struct alignas(256) VeryAligned {
  int number;
};

LOCKMAP_TEST_BOTH(AllocatorTest, OverAlignedTypes) {
  {
    auto map = this->template make<int, VeryAligned>();
    for (int key = 0; key < 500; ++key) map.insert(key, VeryAligned{key});
    EXPECT_EQ(map.get(77)->number, 77);
  }
  EXPECT_EQ(this->count_.bytes, 0u);
}

LOCKMAP_TEST_BOTH(AllocatorTest, MapsKeepTheirAllocatorsApart) {
  AllocationCount other;
  {
    auto a = this->template make<int, int>();
    auto b = make_map<typename TestFixture::template Map<int, int>>(
        3, default_hash<int>{}, default_equal<int>{},
        typename TestFixture::template Allocator<int, int>(other));
    const std::size_t before = this->count_.bytes;
    for (int key = 0; key < 1000; ++key) b.insert(key, key);
    EXPECT_EQ(this->count_.bytes, before);
    EXPECT_GT(other.bytes, 1000 * sizeof(int));
    for (int key = 0; key < 1000; ++key) a.insert(key, key);
  }
  EXPECT_EQ(this->count_.bytes, 0u);
  EXPECT_EQ(other.bytes, 0u);
}

LOCKMAP_TEST_BOTH(AllocatorTest, ManyThreads) {
  {
    auto map = this->template make<int, std::string>();
    test::run_together(4, [&](int thread) {
      for (int i = 0; i < 500; ++i) {
        map.insert(i, std::to_string(thread));
        map.entry(i + 250).emplace("entry");
        map.remove(i + 100);
      }
    });
  }
  EXPECT_EQ(this->count_.bytes, 0u);
}

// Without default constructor, and wrong with another's seed.
struct SeededHash {
  explicit SeededHash(std::size_t seed_of_map) : seed(seed_of_map) {}
  std::size_t operator()(int key) const {
    ++*calls;
    return std::hash<int>{}(key) ^ seed;
  }
  std::size_t seed;
  std::shared_ptr<std::size_t> calls = std::make_shared<std::size_t>(0);
};

struct ModuloEqual {
  explicit ModuloEqual(int modulus_of_map) : modulus(modulus_of_map) {}
  bool operator()(int a, int b) const { return a % modulus == b % modulus; }
  int modulus;
};

struct ModuloHash {
  explicit ModuloHash(int modulus_of_map) : modulus(modulus_of_map) {}
  std::size_t operator()(int key) const { return static_cast<std::size_t>(key % modulus); }
  int modulus;
};

LOCKMAP_TEST_BOTH(AllocatorTest, StatefulHash) {
  using TestedMap = MapOf<TypeParam, int, int, SeededHash>;
  const SeededHash hash(0xABCDEF);
  auto map = make_map<TestedMap>(3, hash);
  for (int key = 0; key < 1000; ++key) map.insert(key, key);
  for (int key = 0; key < 1000; ++key) ASSERT_EQ(map.get(key), key);
  EXPECT_EQ(*hash.calls, 2000u);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(AllocatorTest, StatefulEquality) {
  using TestedMap = MapOf<TypeParam, int, std::string, ModuloHash, ModuloEqual>;
  auto tens = make_map<TestedMap>(3, ModuloHash(10), ModuloEqual(10));
  auto hundreds = make_map<TestedMap>(3, ModuloHash(100), ModuloEqual(100));
  tens.insert(7, "seven");
  hundreds.insert(7, "seven");
  EXPECT_EQ(tens.get(17), "seven");
  EXPECT_EQ(hundreds.get(17), std::nullopt);
  EXPECT_EQ(hundreds.get(107), "seven");
  EXPECT_EQ(tens.insert(27, "still one key"), "seven");
  EXPECT_EQ(tens.size(), 1u);
  EXPECT_EQ(tens.entry(37).key(), 7);
  // A batch, too, takes for duplicates what the map's equality calls equal.
  const auto by_last_digit = [](int a, int b) { return a % 10 < b % 10; };
  EXPECT_EQ(tens.batch_lock(std::vector<int>{7, 18, 17, 8, 27}, by_last_digit).size(), 2u);
  test::expect_quiet(tens);
  test::expect_quiet(hundreds);
}

char lower(char c) {
  return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
}

struct CaselessHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    std::size_t hash = 0;
    for (char c : text) hash = hash * 31 + static_cast<unsigned char>(lower(c));
    return hash;
  }
};

struct CaselessEqual {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (lower(a[i]) != lower(b[i])) return false;
    }
    return true;
  }
};

LOCKMAP_TEST_BOTH(AllocatorTest, EqualityDecidesWhatIsOneKey) {
  auto map = make_map<MapOf<TypeParam, std::string, int, CaselessHash, CaselessEqual>>();
  map.insert("Key", 1);
  EXPECT_EQ(map.get("KEY"), 1);
  EXPECT_EQ(map.insert(std::string_view("key"), 2), 1);
  EXPECT_EQ(map.size(), 1u);
  EXPECT_EQ(map.entry("kEY").key(), "Key");
  EXPECT_EQ(map.remove(std::string("kEy")), 2);
}

LOCKMAP_TEST_BOTH(AllocatorTest, FunctionsAsHashAndEquality) {
  using Hash = std::function<std::size_t(int)>;
  using Equal = bool (*)(int, int);
  auto map = make_map<MapOf<TypeParam, int, int, Hash, Equal>>(
      3, Hash([](int key) { return static_cast<std::size_t>(key); }),
      Equal([](int a, int b) { return a == b; }));
  for (int key = 0; key < 100; ++key) map.insert(key, key);
  for (int key = 0; key < 100; ++key) ASSERT_EQ(map.get(key), key);
}

}  // namespace
}  // namespace lockmap
