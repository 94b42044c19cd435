// The tests of this folder notice what they are there to notice: each of these maps breaks one
// promise, and soon a history is found that cannot be explained.

#include <gtest/gtest.h>

#include <string>

#include <lockmap/lockmap.hpp>

#include "broken_maps.hpp"
#include "explore.hpp"
#include "specification.hpp"
#include "verdict.hpp"

namespace lockmap::test {
namespace {

// Many more than are ever needed.
constexpr int patience = 40'000;

template <class Map>
Findings explore_key_by_key(Map& map, int keys, int histories, bool may_vanish = false) {
  const MapSpecification specification(may_vanish);
  return explore(
      map, Plan{.threads = 3, .keys = keys, .histories = histories},
      [](Client<Map>& client) { client.do_singly(); }, read_all<Map>,
      [&](const History& history) { return verdict_by_key(specification, history); });
}

void expect_found(const Findings& findings) {
  report(findings);
  EXPECT_NE(findings.wrong.find("not linearizable"), std::string::npos);
}

template <class Map>
void expect_found_with_one_key() {
  Map map(Options{.shard_count = 1});
  expect_found(explore_key_by_key(map, 1, patience));
}

TEST(BrokenMapTest, AnIntactOneIsNot) {
  BoardMap<false> map(Options{.shard_count = 1});
  expect_linearizable(explore_key_by_key(map, 1, scaled(2048)));
}

TEST(BrokenMapTest, ReadsOfWhatAGuardHasNotLetGoOf) {
  expect_found_with_one_key<BoardMap<true>>();
}

TEST(BrokenMapTest, LostUpdates) {
  expect_found_with_one_key<LostUpdates>();
}

TEST(BrokenMapTest, HastyInserts) {
  expect_found_with_one_key<HastyInserts>();
}

TEST(BrokenMapTest, DoubleRemoves) {
  expect_found_with_one_key<DoubleRemoves>();
}

TEST(BrokenMapTest, Refusals) {
  expect_found_with_one_key<Refusals>();
}

TEST(BrokenMapTest, LooseSharing) {
  expect_found_with_one_key<LooseSharing>();
}

TEST(BrokenMapTest, LooseBatches) {
  LooseBatches map(Options{.shard_count = 1});
  const MapSpecification specification;
  expect_found(explore(
      map, Plan{.threads = 2, .keys = 2, .histories = patience},
      [](Client<LooseBatches>& client) { client.do_pairs(); }, read_all<LooseBatches>,
      [&](const History& history) { return verdict_of_all(specification, history); }));
}

TEST(BrokenMapTest, Resurrections) {
  Resurrections cache(LruOptions{.max_size = 2, .shard_count = 1});
  expect_found(explore_key_by_key(cache, 3, patience, true));
}

template <class Cache>
void expect_found_with_times() {
  Cache cache(LruOptions{.max_size = 10, .shard_count = 1, .now = &FakeClock::now});
  const MapSpecification specification;
  expect_found(explore(
      cache, Plan{.threads = 2, .keys = 2, .histories = patience},
      [](Client<Cache>& client) { client.do_with_times(); },
      [](Client<Cache>& client) {
        client.map().clear();
        return Contents{};
      },
      [&](const History& history) { return verdict_by_key(specification, history); }));
}

TEST(BrokenMapTest, SlowClock) {
  expect_found_with_times<SlowClock>();
}

TEST(BrokenMapTest, RevivingGet) {
  expect_found_with_times<RevivingGet>();
}

template <class Map>
void expect_found_with_many() {
  Map map(Options{.shard_count = 1});
  const MapSpecification specification;
  expect_found(explore(
      map, Plan{.threads = 3, .keys = 2, .histories = patience},
      [](Client<Map>& client) { client.do_many(); }, read_all<Map>,
      [&](const History& history) { return verdict_by_key(specification, history); }));
}

TEST(BrokenMapTest, HastyMany) {
  expect_found_with_many<HastyMany>();
}

TEST(BrokenMapTest, StaleMany) {
  expect_found_with_many<StaleMany>();
}

TEST(BrokenMapTest, SecondLocks) {
  SecondLocks set(Options{.shard_count = 1});
  const MapSpecification specification;
  expect_found(explore(
      set, Plan{.threads = 3, .keys = 1, .histories = patience},
      [](Client<SecondLocks>& client) { client.do_locks(); },
      [](Client<SecondLocks>& /*client*/) { return Contents{}; },
      [&](const History& history) { return verdict_by_key(specification, history); }));
}

TEST(BrokenMapTest, WrongOrder) {
  constexpr std::size_t bound = 3;
  WrongOrder cache(LruOptions{.max_size = bound, .shard_count = 1});
  const LruSpecification specification(bound);
  expect_found(explore(
      cache, Plan{.threads = 2, .keys = max_keys, .histories = patience},
      [](Client<WrongOrder>& client) { client.do_without_holding([] { return 0; }); },
      pop_all<WrongOrder>,
      [&](const History& history) { return verdict_of_all(specification, history); }));
}

}  // namespace
}  // namespace lockmap::test
