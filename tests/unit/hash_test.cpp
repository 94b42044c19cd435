// The user's hash, as a map uses it: weak ones are spread, strong ones are used as they are.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <lockmap/lockmap.hpp>

namespace lockmap::test {
namespace {

struct Identity {
  std::size_t operator()(std::size_t key) const { return key; }
};
struct StrongIdentity : Identity {
  using is_avalanching = void;
};
struct FalselyStrongIdentity : Identity {
  using is_avalanching = std::false_type;
};

template <class Hash>
std::uint64_t hash_of(std::size_t key) {
  return detail::KeyTraits<std::size_t, Hash, std::equal_to<>>{}.hashed(key).hash;
}

// How many values the seven bits from `shift` on take for keys that share their low bits: what
// Abseil's table takes its tag from.
std::size_t distinct_tags(unsigned shift) {
  std::set<std::uint64_t> tags;
  for (std::size_t i = 0; i < 1000; ++i) tags.insert(hash_of<Identity>(i * 4096) >> shift & 127U);
  return tags.size();
}

TEST(HashTest, AWeakHashIsSpreadOverAllBits) {
  EXPECT_GT(distinct_tags(0), 100U);
  EXPECT_GT(distinct_tags(7), 100U);
  EXPECT_GT(distinct_tags(57), 100U);
}

TEST(HashTest, SpreadingMakesNoTwoHashesEqual) {
  std::set<std::uint64_t> hashes;
  for (std::size_t i = 0; i < 10'000; ++i) hashes.insert(hash_of<Identity>(i * 4096));
  EXPECT_EQ(hashes.size(), 10'000U);
}

TEST(HashTest, AHashThatSaysItIsAvalanchingIsUsedAsItIs) {
  EXPECT_EQ(hash_of<StrongIdentity>(12345), 12345U);
  EXPECT_NE(hash_of<FalselyStrongIdentity>(12345), 12345U);
  EXPECT_EQ(hash_of<absl::Hash<std::size_t>>(12345), absl::Hash<std::size_t>{}(12345));
}

TEST(HashTest, WhatStandsForAStringHashesLikeTheString) {
  const default_hash<std::string> hash;
  EXPECT_EQ(hash(std::string("key")), hash("key"));
  EXPECT_EQ(hash(std::string("key")), hash(std::string_view("key")));
  EXPECT_TRUE((std::is_same_v<default_hash<std::string>, default_hash<std::string_view>>));
}

TEST(HashTest, ShardsGetEvenSharesOfSequentialKeys) {
  for (const std::size_t shards : {1U, 3U, 64U, 100U, 256U}) {
    std::vector<std::size_t> keys(shards);
    const std::size_t per_shard = 1000;
    for (std::size_t i = 0; i < shards * per_shard; ++i) {
      const std::size_t shard = detail::shard_index(hash_of<Identity>(i), shards);
      ASSERT_LT(shard, shards);
      ++keys[shard];
    }
    EXPECT_GT(*std::min_element(keys.begin(), keys.end()), per_shard * 8 / 10) << shards;
    EXPECT_LT(*std::max_element(keys.begin(), keys.end()), per_shard * 12 / 10) << shards;
  }
}

TEST(HashTest, TheShardIsNoSliceOfTheHash) {
  // The keys of one shard must not share the bits that its table goes by.
  std::set<std::uint64_t> low;
  std::set<std::uint64_t> high;
  for (std::size_t i = 0; i < 100'000; ++i) {
    const std::uint64_t hash = hash_of<Identity>(i);
    if (detail::shard_index(hash, 64) != 7) continue;
    low.insert(hash & 127U);
    high.insert(hash >> 57U);
  }
  EXPECT_EQ(low.size(), 128U);
  EXPECT_EQ(high.size(), 128U);
}

}  // namespace
}  // namespace lockmap::test
