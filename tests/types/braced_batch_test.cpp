// batch_lock and its variants take a braced list of anything that a key can be made from.

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"

namespace lockmap::test::braced_batch {
namespace {

using std::chrono::hours;
using std::chrono::steady_clock;

template <class Family>
class BracedBatchTest : public testing::Test {
 protected:
  using Map = MapOf<Family, std::string, int>;

  template <class Batch>
  static void expect_keys(const Batch& batch, std::initializer_list<std::string_view> keys) {
    ASSERT_EQ(batch.size(), keys.size());
    const auto* entry = batch.begin();
    for (const std::string_view key : keys) EXPECT_EQ((entry++)->key(), key);
  }

  Map map_ = make_map<Map>();
};

LOCKMAP_TEST_BOTH(BracedBatchTest, Views) {
  const std::string_view from = "savings";
  const std::string_view to = "cash";
  this->expect_keys(this->map_.batch_lock({from, to, from}), {to, from});
  this->expect_keys(this->map_.try_batch_lock({from, to}).value(), {to, from});
  this->expect_keys(this->map_.try_batch_lock_for({from, to}, hours(1)).value(), {to, from});
  this->expect_keys(
      this->map_.try_batch_lock_until({from, to}, steady_clock::now() + hours(1)).value(),
      {to, from});
  this->expect_keys(this->map_.batch_lock({from}), {from});
  expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(BracedBatchTest, Literals) {
  this->expect_keys(this->map_.batch_lock({"savings", "cash"}), {"cash", "savings"});
  this->expect_keys(this->map_.batch_lock({"savings", "bonds"}), {"bonds", "savings"});
  this->expect_keys(this->map_.try_batch_lock({"b", "a"}).value(), {"a", "b"});
  this->expect_keys(this->map_.try_batch_lock_for({"b", "a"}, hours(1)).value(), {"a", "b"});
  this->expect_keys(this->map_.batch_lock({"a"}), {"a"});
}

LOCKMAP_TEST_BOTH(BracedBatchTest, Pointers) {
  const char* const from = "savings";
  const char* const to = "cash";
  this->expect_keys(this->map_.batch_lock({from, to}), {"cash", "savings"});
  this->expect_keys(this->map_.try_batch_lock({from, to}).value(), {"cash", "savings"});
}

LOCKMAP_TEST_BOTH(BracedBatchTest, Keys) {
  const std::string from = "savings";
  const std::string to = "cash";
  this->expect_keys(this->map_.batch_lock({from, to}), {"cash", "savings"});
  this->expect_keys(this->map_.try_batch_lock({from, to}).value(), {"cash", "savings"});
  EXPECT_EQ(from, "savings");
}

LOCKMAP_TEST_BOTH(BracedBatchTest, AMixture) {
  const std::string key = "b";
  const std::string_view view = "c";
  this->expect_keys(this->map_.batch_lock({"d", key, view, std::string("a")}),
                    {"a", "b", "c", "d"});
  this->expect_keys(this->map_.try_batch_lock({"d", key, view}).value(), {"b", "c", "d"});
  this->expect_keys(this->map_.try_batch_lock_for({view, key, "d"}, hours(1)).value(),
                    {"b", "c", "d"});
}

LOCKMAP_TEST_BOTH(BracedBatchTest, WithAComparator) {
  const std::string_view from = "savings";
  const std::string_view to = "cash";
  this->expect_keys(this->map_.batch_lock({from, to}, std::greater<>()), {from, to});
  this->expect_keys(this->map_.batch_lock({"a", "b"}, std::greater<>()), {"b", "a"});
  this->expect_keys(this->map_.try_batch_lock({to, from}, std::greater<>()).value(), {from, to});
}

LOCKMAP_TEST_BOTH(BracedBatchTest, NarrowerNumbers) {
  auto numbers = make_map<MapOf<TypeParam, long, int>>();
  const int small = 7;
  const short smaller = 3;
  const auto batch = numbers.batch_lock({small, int{smaller}});
  ASSERT_EQ(batch.size(), 2U);
  EXPECT_EQ(batch[0].key(), 3);
  EXPECT_EQ(batch[1].key(), 7);
}

}  // namespace
}  // namespace lockmap::test::braced_batch
