// Keys, equalities and hashes that do odd things with operator& and constructor templates.

#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "maps.hpp"

namespace lockmap {
namespace {

using test::make_map;
using test::MapOf;

template <class Family>
class OddKeysTest : public ::testing::Test {};

// Nobody can take its address by the operator.
struct WithoutAddress {
  void operator&() const = delete;
};

struct Number : WithoutAddress {
  explicit Number(int value_of_number) : value(value_of_number) {}
  int value;
  friend bool operator<(const Number& a, const Number& b) { return a.value < b.value; }
};
struct NumberHash : WithoutAddress {
  std::size_t operator()(const Number& key) const { return std::hash<int>{}(key.value); }
};
struct NumberEqual : WithoutAddress {
  bool operator()(const Number& a, const Number& b) const { return a.value == b.value; }
};

LOCKMAP_TEST_BOTH(OddKeysTest, NothingNeedsOperatorAddressOf) {
  auto map = make_map<MapOf<TypeParam, Number, Number, NumberHash, NumberEqual>>();
  EXPECT_FALSE(map.insert(Number(1), Number(10)).has_value());
  EXPECT_EQ(map.get(Number(1))->value, 10);
  EXPECT_TRUE(map.contains(Number(1)));
  EXPECT_FALSE(map.try_insert(Number(1), Number(11)));
  EXPECT_EQ(map.entry(Number(1))->value, 10);
  EXPECT_EQ(map.get_or_insert_with(Number(2), [] { return Number(20); }).value, 20);
  {
    const std::vector<Number> keys{Number(2), Number(1), Number(2)};
    auto batch = map.batch_lock(keys);
    EXPECT_EQ(batch.size(), 2U);
    EXPECT_EQ(batch.at(Number(1)).value().value, 10);
    EXPECT_EQ(batch.find(Number(3)), nullptr);
  }
  EXPECT_EQ(map.retain([](const Number& key, Number&) { return key.value == 1; }), 1U);
  EXPECT_EQ(map.remove(Number(1))->value, 10);
  test::expect_quiet(map);
}

// Its constructor template is a better match than the copy constructor for an lvalue that is not
// const, and makes another key.
class Greedy {
 public:
  Greedy(int number) : number_(number) {}
  Greedy(const Greedy&) = default;
  Greedy(Greedy&&) = default;
  template <class T>
  Greedy(T&& /*other*/) : number_(-1) {}
  Greedy& operator=(const Greedy&) = default;
  Greedy& operator=(Greedy&&) = default;
  ~Greedy() = default;

  int number() const { return number_; }

 private:
  int number_;
};
struct GreedyHash {
  std::size_t operator()(const Greedy& key) const { return std::hash<int>{}(key.number()); }
};
struct GreedyEqual {
  bool operator()(const Greedy& a, const Greedy& b) const { return a.number() == b.number(); }
};

LOCKMAP_TEST_BOTH(OddKeysTest, KeysAreCopiedByTheirCopyConstructor) {
  auto map = make_map<MapOf<TypeParam, Greedy, int, GreedyHash, GreedyEqual>>();
  Greedy one(1);
  Greedy two(2);
  Greedy three(3);
  Greedy four(4);
  map.insert(one, 10);
  map.try_insert(two, 20);
  map.entry(three).insert(30);
  map.get_or_insert_with(four, [] { return 40; });
  std::vector<Greedy> keys{Greedy(6), Greedy(5)};
  const auto by_number = [](const Greedy& a, const Greedy& b) { return a.number() < b.number(); };
  for (auto& entry : map.batch_lock(keys, by_number)) entry.insert(50);
  EXPECT_EQ(map.size(), 6U);
  for (int number = 1; number <= 6; ++number) {
    EXPECT_TRUE(map.contains(Greedy(number))) << number;
    EXPECT_EQ(map.entry(Greedy(number)).key().number(), number);
  }
  test::expect_quiet(map);
}

}  // namespace
}  // namespace lockmap
