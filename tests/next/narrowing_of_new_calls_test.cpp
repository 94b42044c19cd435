// unit/narrowing_test.cpp, for the calls of the second generation.

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "maps.hpp"

namespace lockmap {
namespace {

using Names = std::vector<std::string>;

template <class Map, class Q>
Names calls_by() {
  using Seconds = std::chrono::seconds;
  using Keys = std::array<Q, 2>;
  using Pairs = std::array<std::pair<Q, int>, 2>;
  Names names;
  const auto visit = [](const auto&... /*what is visited*/) {};
  using Visit = decltype(visit);
  const auto add = [&names](const char* name, bool there) {
    if (there) names.push_back(name);
  };
  add(
      "read", requires(Map & m, Q & q, Visit v) { m.read(q, v); });
  add(
      "shared_entry", requires(Map & m, Q & q) { m.shared_entry(q); });
  add(
      "try_shared_entry", requires(Map & m, Q & q) { m.try_shared_entry(q); });
  add(
      "try_shared_entry_for", requires(Map & m, Q & q) { m.try_shared_entry_for(q, Seconds(1)); });
  add(
      "find_entry", requires(Map & m, Q & q) { m.find_entry(q); });
  add(
      "find_shared_entry", requires(Map & m, Q & q) { m.find_shared_entry(q); });
  add(
      "try_entry, stop", requires(Map & m, Q & q, std::stop_token s) { m.try_entry(q, s); });
  add(
      "async_entry", requires(Map & m, Q & q) { m.async_entry(q); });
  add(
      "async_shared_entry", requires(Map & m, Q & q) { m.async_shared_entry(q); });
  add(
      "shared_batch_lock", requires(Map & m, Keys & k) { m.shared_batch_lock(k); });
  add(
      "try_shared_batch_lock", requires(Map & m, Keys & k) { m.try_shared_batch_lock(k); });
  add(
      "try_batch_lock_for", requires(Map & m, Keys & k) { m.try_batch_lock_for(k, Seconds(1)); });
  add(
      "get_many", requires(Map & m, Keys & k) { m.get_many(k); });
  add(
      "read_many", requires(Map & m, Keys & k, Visit v) { m.read_many(k, v); });
  add(
      "insert_many", requires(Map & m, Pairs & p) { m.insert_many(p); });
  add(
      "batch_lock of a list", requires(Map & m, Q & q) {
        m.batch_lock({q, q});
      });
  add(
      "get_many of a list", requires(Map & m, Q & q) {
        m.get_many({q, q});
      });
  return names;
}

template <class Family>
class NarrowingOfNewCallsTest : public ::testing::Test {
 protected:
  template <class Key, class Q>
  static Names calls() {
    return calls_by<test::MapOf<Family, Key, int>, Q>();
  }
};
TYPED_TEST_SUITE(NarrowingOfNewCallsTest, test::MapFamilies, test::FamilyNames);

TYPED_TEST(NarrowingOfNewCallsTest, Refused) {
  EXPECT_EQ((TestFixture::template calls<int, std::int64_t>()), Names{});
  EXPECT_EQ((TestFixture::template calls<int, double>()), Names{});
  EXPECT_EQ((TestFixture::template calls<unsigned, int>()), Names{});
}

TYPED_TEST(NarrowingOfNewCallsTest, Accepted) {
  EXPECT_EQ((TestFixture::template calls<int, int>().size()), 17U);
  EXPECT_EQ((TestFixture::template calls<std::int64_t, int>().size()), 17U);
  EXPECT_EQ((TestFixture::template calls<double, float>().size()), 17U);
}

}  // namespace
}  // namespace lockmap
