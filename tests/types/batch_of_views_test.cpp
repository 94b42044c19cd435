// Braced lists of anything that a key can be made from.

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "maps.hpp"

namespace lockmap {
namespace {

using test::make_map;
using test::MapOf;

template <class Family>
class BatchOfViewsTest : public ::testing::Test {
 protected:
  using Accounts = MapOf<Family, std::string, int>;
  static constexpr std::string_view from = "from";
  static constexpr std::string_view to = "to";
};

LOCKMAP_TEST_BOTH(BatchOfViewsTest, Views) {
  auto accounts = make_map<typename TestFixture::Accounts>();
  auto batch = accounts.batch_lock({this->to, this->from, this->to});
  ASSERT_EQ(batch.size(), 2U);
  EXPECT_EQ(batch[0].key(), "from");
  EXPECT_EQ(batch.at(this->to).key(), "to");
}

LOCKMAP_TEST_BOTH(BatchOfViewsTest, Literals) {
  auto accounts = make_map<typename TestFixture::Accounts>();
  EXPECT_EQ(accounts.batch_lock({"from", "to"}).size(), 2U);
  EXPECT_EQ(accounts.batch_lock({"literals", "of different", "lengths"}).size(), 3U);
  const char* pointer = "from";
  EXPECT_EQ(accounts.batch_lock({pointer, pointer}).size(), 1U);
}

LOCKMAP_TEST_BOTH(BatchOfViewsTest, Keys) {
  auto accounts = make_map<typename TestFixture::Accounts>();
  EXPECT_EQ(accounts.batch_lock({std::string("from"), std::string("to")}).size(), 2U);
  const std::string from_key = "from";
  EXPECT_EQ(accounts.batch_lock({from_key}).size(), 1U);
}

LOCKMAP_TEST_BOTH(BatchOfViewsTest, WithAComparator) {
  auto accounts = make_map<typename TestFixture::Accounts>();
  const auto batch = accounts.batch_lock({this->from, this->to}, std::greater<>{});
  EXPECT_EQ(batch[0].key(), "to");
  EXPECT_EQ(accounts.try_batch_lock({this->from, this->to}, std::greater<>{}).has_value(), false);
}

LOCKMAP_TEST_BOTH(BatchOfViewsTest, EveryKindOfBatch) {
  auto accounts = make_map<typename TestFixture::Accounts>();
  const std::chrono::hours limit(1);
  EXPECT_EQ(accounts.try_batch_lock({this->from, this->to})->size(), 2U);
  EXPECT_EQ(accounts.try_batch_lock_for({this->from, this->to}, limit)->size(), 2U);
  const auto time = std::chrono::steady_clock::now() + limit;
  EXPECT_EQ(accounts.try_batch_lock_until({this->from, this->to}, time)->size(), 2U);
}

LOCKMAP_TEST_BOTH(BatchOfViewsTest, NumbersThatFit) {
  auto numbers = make_map<MapOf<TypeParam, std::int64_t, int>>();
  const std::int16_t one = 1;
  const std::int16_t two = 2;
  EXPECT_EQ(numbers.batch_lock({two, one, two}).size(), 2U);
  EXPECT_EQ(numbers.batch_lock({1, 2, 3}).size(), 3U);
}

LOCKMAP_TEST_BOTH(BatchOfViewsTest, AnEmptyList) {
  auto accounts = make_map<typename TestFixture::Accounts>();
  EXPECT_TRUE(accounts.batch_lock({}).empty());
}

}  // namespace
}  // namespace lockmap
