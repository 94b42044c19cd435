// find, at and contains in batches of thousands of keys.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "throw_on.hpp"

namespace lockmap::test::large_batch {
namespace {

constexpr int keys = 10'000;

std::string name(int key) {
  return "key " + std::to_string(key);
}

class LargeBatchTest : public testing::Test {
 protected:
  using Map = LockMap<std::string, int>;
  using Batch = Map::Batch;

  // Even keys, half of them with a value, in a random order and every fifth of them twice.
  LargeBatchTest() {
    for (int key = 0; key < keys; ++key) {
      if (key % 2 == 0) map_.insert(name(2 * key), key);
      wanted_.push_back(name(2 * key));
      if (key % 5 == 0) wanted_.push_back(name(2 * key));
    }
    std::shuffle(wanted_.begin(), wanted_.end(), std::mt19937(1));
  }

  // By each kind of key that look-up takes.
  template <class B>
  static void expect_found(B& batch, int key) {
    const std::string own = name(2 * key);
    auto* const entry = batch.find(own);
    ASSERT_NE(entry, nullptr) << own;
    ASSERT_EQ(entry->key(), own);
    ASSERT_EQ(entry->value_or(-1), key % 2 == 0 ? key : -1);
    ASSERT_EQ(batch.find(std::string_view(own)), entry);
    ASSERT_EQ(batch.find(own.c_str()), entry);
    ASSERT_EQ(&batch.at(std::string_view(own)), entry);
    ASSERT_TRUE(batch.contains(own.c_str()));
    ASSERT_GE(entry, batch.begin());
    ASSERT_LT(entry, batch.end());
  }

  template <class B>
  static void expect_missing(B& batch, const std::string& key) {
    ASSERT_EQ(batch.find(key), nullptr) << key;
    ASSERT_EQ(batch.find(std::string_view(key)), nullptr);
    ASSERT_FALSE(batch.contains(key.c_str()));
    ASSERT_THROW((void)batch.at(key), std::out_of_range);
  }

  static void expect_complete(Batch& batch) {
    ASSERT_EQ(batch.size(), static_cast<std::size_t>(keys));
    for (int key = 0; key < keys; ++key) {
      expect_found(batch, key);
      expect_found(std::as_const(batch), key);
      expect_missing(batch, name(2 * key + 1));
    }
    expect_missing(batch, "");
    expect_missing(batch, "a");
    expect_missing(batch, "z");
  }

  Map map_{Options{.shard_count = 5}};
  std::vector<std::string> wanted_;
};

TEST_F(LargeBatchTest, HitsAndMisses) {
  auto batch = map_.batch_lock(wanted_);
  expect_complete(batch);
}

TEST_F(LargeBatchTest, InAnotherOrder) {
  auto batch = map_.batch_lock(wanted_, std::greater<>());
  EXPECT_TRUE(std::is_sorted(batch.begin(), batch.end(),
                             [](const auto& a, const auto& b) { return a.key() > b.key(); }));
  expect_complete(batch);
  // By a comparator with a state.
  std::size_t comparisons = 0;
  auto longest_first = [&comparisons](const std::string& a, const std::string& b) {
    ++comparisons;
    return std::pair(b.size(), a) < std::pair(a.size(), b);
  };
  { const Batch gone = std::move(batch); }
  auto another = map_.batch_lock(wanted_, longest_first);
  EXPECT_GT(comparisons, 0U);
  expect_complete(another);
}

TEST_F(LargeBatchTest, AfterItHasMoved) {
  auto batch = map_.batch_lock(wanted_);
  Batch moved = std::move(batch);
  expect_complete(moved);
  Batch other = map_.batch_lock({"elsewhere"});
  other = std::move(moved);
  expect_complete(other);
}

TEST_F(LargeBatchTest, EntriesThatWereUnlockedAreNotFound) {
  auto batch = map_.batch_lock(wanted_);
  for (int key = 0; key < keys; key += 3) batch.find(name(2 * key))->unlock();
  for (int key = 0; key < keys; ++key) {
    if (key % 3 == 0) {
      expect_missing(batch, name(2 * key));
    } else {
      expect_found(batch, key);
    }
  }
  // Their keys may be gone from the map by now, or be held anew.
  for (int key = 0; key < keys; key += 3) map_.remove(name(2 * key));
  const auto again = map_.entry(name(0));
  expect_missing(batch, name(0));
  expect_found(batch, 1);
}

TEST_F(LargeBatchTest, EntriesThatWereMovedAwayAreNotFound) {
  auto batch = map_.batch_lock(wanted_);
  std::vector<Map::Entry> taken;
  for (int key = 0; key < keys; key += 7) taken.push_back(std::move(batch.at(name(2 * key))));
  for (int key = 0; key < keys; ++key) {
    if (key % 7 == 0) {
      expect_missing(batch, name(2 * key));
    } else {
      expect_found(batch, key);
    }
  }
  EXPECT_EQ(taken.front().key(), name(0));
}

TEST_F(LargeBatchTest, ValuesThatComeAndGoDoNotMatter) {
  auto batch = map_.batch_lock(wanted_);
  for (auto& entry : batch) {
    if (!entry.remove()) entry.insert(1);
  }
  for (int key = 0; key < keys; ++key) {
    ASSERT_EQ(batch.at(name(2 * key)).has_value(), key % 2 != 0);
  }
}

TEST_F(LargeBatchTest, OfATryThatSucceeds) {
  auto batch = map_.try_batch_lock(wanted_);
  ASSERT_TRUE(batch.has_value());
  expect_complete(*batch);
}

// Many keys with eight hashes between them.
struct SameNumber {
  bool operator()(const Faulty& a, const Faulty& b) const { return a.number() == b.number(); }
};
struct ByNumber {
  bool operator()(const Faulty& a, const Faulty& b) const { return a.number() < b.number(); }
};

TEST(CollidingBatchTest, HitsAndMisses) {
  constexpr int colliding = 1000;
  LockMap<Faulty, int, CollidingHash<Faulty>, SameNumber> map(Options{.shard_count = 3});
  std::vector<Faulty> wanted;
  for (int key = 0; key < colliding; ++key) wanted.emplace_back(2 * key);
  std::shuffle(wanted.begin(), wanted.end(), std::mt19937(1));
  auto batch = map.batch_lock(wanted, ByNumber());
  for (int key = 0; key < colliding; ++key) {
    const auto* const entry = batch.find(Faulty(2 * key));
    ASSERT_NE(entry, nullptr);
    ASSERT_EQ(entry->key().number(), 2 * key);
    ASSERT_FALSE(batch.contains(Faulty(2 * key + 1)));
  }
}

}  // namespace
}  // namespace lockmap::test::large_batch
