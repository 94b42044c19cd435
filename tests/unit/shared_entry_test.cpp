// Shared guards and `read`: who gets in beside whom, and in which order.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <concepts>
#include <deque>
#include <latch>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "test_access.hpp"
#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap::test::shared {
namespace {

using detail::TestAccess;
using std::chrono::hours;
using std::chrono::steady_clock;

template <class Family>
class SharedEntryTest : public testing::Test {
 protected:
  using Map = MapOf<Family, int, std::string>;
  using Entry = typename Map::Entry;
  using SharedEntry = typename Map::SharedEntry;

  // How many hold the key shared, or wait for it, beside this test's guards.
  std::size_t waiting(int key) { return TestAccess::parked(map_, key); }
  void await_queued(int key, std::size_t count) {
    await([&] { return this->waiting(key) == count; }, "the queue");
  }
  // Whether another thread would get the key at once.
  bool others_may_read(int key) {
    return result_in_another_thread([&] { return map_.try_shared_entry(key).has_value(); });
  }
  bool others_may_write(int key) {
    return result_in_another_thread([&] { return map_.try_entry(key).has_value(); });
  }
  template <class F>
  static void expect_deadlock(F f) {
    try {
      f();
      ADD_FAILURE() << "no error";
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code(), std::errc::resource_deadlock_would_occur);
    }
  }

  Map map_ = make_map<Map>();
};

LOCKMAP_TEST_BOTH(SharedEntryTest, Types) {
  using Shared = typename TestFixture::SharedEntry;
  using Batch = typename TestFixture::Map::SharedBatch;
  typename TestFixture::Map* map = nullptr;
  const std::vector<int> keys;
  static_assert(std::same_as<decltype(map->shared_entry(1)), Shared>);
  static_assert(std::same_as<decltype(map->try_shared_entry(1)), std::optional<Shared>>);
  static_assert(
      std::same_as<decltype(map->try_shared_entry_for(1, hours(1))), std::optional<Shared>>);
  static_assert(std::same_as<decltype(map->try_shared_entry_until(1, steady_clock::now())),
                             std::optional<Shared>>);
  static_assert(std::same_as<decltype(map->find_shared_entry(1)), std::optional<Shared>>);
  static_assert(std::same_as<decltype(map->shared_batch_lock(keys)), Batch>);
  static_assert(std::same_as<decltype(map->shared_batch_lock({1, 2})), Batch>);
  static_assert(std::same_as<decltype(map->try_shared_batch_lock(keys)), std::optional<Batch>>);
  static_assert(std::same_as<decltype(std::declval<Shared>().value()), const std::string&>);
  static_assert(std::same_as<decltype(*std::declval<Shared&>()), const std::string&>);
  static_assert(std::same_as<decltype(std::declval<Shared&>().get()), const std::string*>);
  static_assert(!std::copy_constructible<Shared> && std::is_nothrow_move_constructible_v<Shared> &&
                std::is_nothrow_move_assignable_v<Shared>);
  static_assert(std::is_nothrow_destructible_v<Shared>);
}

LOCKMAP_TEST_BOTH(SharedEntryTest, SeesTheValueInPlace) {
  auto& map = this->map_;
  map.insert(1, "one");
  const std::string* address = nullptr;
  {
    auto entry = map.entry(1);
    address = entry.get();
  }
  auto shared = map.shared_entry(1);
  EXPECT_EQ(shared.key(), 1);
  EXPECT_TRUE(shared.has_value());
  EXPECT_EQ(shared.get(), address);
  EXPECT_EQ(shared.value(), "one");
  EXPECT_EQ(*shared, "one");
  EXPECT_EQ(shared->size(), 3U);
  EXPECT_EQ(shared.value_or("none"), "one");
  auto moved = std::move(shared);
  EXPECT_EQ(moved.get(), address);
  shared = std::move(moved);
  EXPECT_EQ(shared.get(), address);
  EXPECT_FALSE(this->others_may_write(1));
  shared.unlock();
  EXPECT_TRUE(this->others_may_write(1));
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(SharedEntryTest, OfAnAbsentKeyKeepsOthersFromStoringAndLeavesNoTrace) {
  auto& map = this->map_;
  {
    const auto shared = map.shared_entry(1);
    EXPECT_FALSE(shared.has_value());
    EXPECT_EQ(shared.get(), nullptr);
    EXPECT_THROW((void)shared.value(), std::bad_optional_access);
    EXPECT_EQ(shared.value_or("none"), "none");
    EXPECT_EQ(map.size(), 0U);
    EXPECT_FALSE(this->others_may_write(1));
    EXPECT_TRUE(this->others_may_read(1));
    EXPECT_EQ(map.get(1), std::nullopt);
    EXPECT_FALSE(map.contains(1));
    EXPECT_FALSE(map.find_shared_entry(1).has_value());
    int visits = 0;
    map.for_each([&](const int&, const std::string&) { ++visits; });
    EXPECT_EQ(visits, 0);
  }
  EXPECT_EQ(TestAccess::node_count(map), 0U);
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(SharedEntryTest, ManyHoldAKeyAtOnce) {
  auto& map = this->map_;
  map.insert(1, "one");
  std::latch all(4);
  run_together(4, [&](int) {
    const auto shared = map.shared_entry(1);
    all.arrive_and_wait();  // all of them hold it
    EXPECT_EQ(*shared, "one");
  });
  expect_quiet(map);
}

// Every reading operation gets in beside a shared hold, and every other one waits.
LOCKMAP_TEST_BOTH(SharedEntryTest, NoReadWaitsForAnother) {
  auto& map = this->map_;
  map.insert(1, "one");
  const auto shared = map.shared_entry(1);
  in_another_thread([&] {
    EXPECT_EQ(map.get(1), "one");
    EXPECT_TRUE(map.contains(1));
    EXPECT_EQ(map.read(1, [](const std::string& value) { return value; }), "one");
    EXPECT_EQ(map.get_or_insert_with(1, []() -> std::string { throw 0; }), "one");
    EXPECT_EQ(map.get_or_insert_with(
                  1, []() -> std::string { throw 0; }, share_failure),
              "one");
    int visits = 0;
    map.for_each([&](const int&, const std::string&) { ++visits; });
    EXPECT_EQ(visits, 1);
    EXPECT_EQ(map.try_for_each([&](const int&, const std::string&) { ++visits; }), 0U);
    EXPECT_EQ(visits, 2);
    EXPECT_EQ(map.shared_entry(1).value(), "one");
    EXPECT_TRUE(map.try_shared_entry_for(1, hours(1)).has_value());
    EXPECT_TRUE(map.try_shared_entry_until(1, steady_clock::now() - hours(1)).has_value());
    EXPECT_EQ(map.shared_batch_lock({0, 1, 2}).at(1).value(), "one");
    EXPECT_TRUE(map.try_shared_batch_lock({0, 1}).has_value());
    if constexpr (is_lru<typename TestFixture::Map>) {
      EXPECT_EQ(map.peek(1), "one");
    }

    EXPECT_FALSE(map.try_entry(1).has_value());
    EXPECT_FALSE(map.try_batch_lock({0, 1}).has_value());
    EXPECT_EQ(map.try_retain([](const int&, const std::string&) { return false; }),
              (std::pair<std::size_t, std::size_t>(0, 1)));
  });
  EXPECT_EQ(*shared, "one");
}

LOCKMAP_TEST_BOTH(SharedEntryTest, WritersWaitForAllReaders) {
  auto& map = this->map_;
  map.insert(1, "one");
  std::optional one(map.shared_entry(1));
  std::optional two(map.shared_entry(1));
  Worker writer([&] { EXPECT_EQ(map.insert(1, "two"), "one"); });
  this->await_queued(1, 1);
  one.reset();
  EXPECT_FALSE(writer.done());
  EXPECT_EQ(**two, "one");
  two.reset();
  writer.join();
  EXPECT_EQ(map.get(1), "two");
  expect_quiet(map);
}

// -- The order ------------------------------------------------------------------------------------

LOCKMAP_TEST_BOTH(SharedEntryTest, ANewReaderQueuesBehindAWaitingWriter) {
  auto& map = this->map_;
  map.insert(1, "one");
  std::optional shared(map.shared_entry(1));
  Worker writer([&] { map.insert(1, "two"); });
  this->await_queued(1, 1);
  EXPECT_FALSE(this->others_may_read(1));
  Worker reader([&] { EXPECT_EQ(map.get(1), "two"); });
  this->await_queued(1, 2);
  EXPECT_EQ(**shared, "one");
  shared.reset();
  writer.join();
  reader.join();
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(SharedEntryTest, ANestedReadIsGrantedWhoeverWaits) {
  auto& map = this->map_;
  map.insert(1, "one");
  std::optional shared(map.shared_entry(1));
  Worker writer([&] { map.insert(1, "two"); });
  this->await_queued(1, 1);
  EXPECT_EQ(map.get(1), "one");
  EXPECT_TRUE(map.contains(1));
  EXPECT_EQ(map.shared_entry(1).value(), "one");
  EXPECT_TRUE(map.try_shared_entry(1).has_value());
  EXPECT_EQ(map.get_or_insert_with(1, [] { return std::string("made"); }), "one");
  EXPECT_EQ(map.read(1,
                     [&](const std::string& outer) {
                       return map.read(1, [&](const std::string& inner) {
                         return outer.size() + inner.size();
                       });
                     }),
            std::optional<std::optional<std::size_t>>(6U));
  {
    const auto again = map.shared_entry(1);
    shared.reset();  // in any order
    EXPECT_EQ(*again, "one");
    EXPECT_FALSE(writer.done());
  }
  writer.join();
  expect_quiet(map);
}

// More nested holds than an owner has room for without an allocation.
LOCKMAP_TEST_BOTH(SharedEntryTest, ManyHoldsOfOneOwner) {
  auto& map = this->map_;
  constexpr int keys = 100;
  {
    std::vector<typename TestFixture::SharedEntry> held;
    for (int round = 0; round < 2; ++round) {
      for (int key = 0; key < keys; ++key) held.push_back(map.shared_entry(key));
    }
    Worker writer([&] { map.insert(keys / 2, "written"); });
    this->await_queued(keys / 2, 1);
    EXPECT_TRUE(map.try_shared_entry(keys / 2).has_value());
    for (int key = 0; key < keys; ++key) this->expect_deadlock([&] { (void)map.entry(key); });
    held.clear();
  }
  EXPECT_EQ(map.size(), 1U);
  for (int key = 0; key < keys; ++key) EXPECT_TRUE(is_free(map, key)) << key;
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(SharedEntryTest, NeighbouringReadersAreServedTogether) {
  auto& map = this->map_;
  map.insert(1, "one");
  std::optional held(map.entry(1));
  std::latch together(3);
  std::deque<Worker> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      const auto shared = map.shared_entry(1);
      together.arrive_and_wait();
    });
  }
  this->await_queued(1, 3);
  held.reset();
  readers.clear();
  expect_quiet(map);
}

// A known fault of other locks: readers stay asleep behind a writer that has given up.
LOCKMAP_TEST_BOTH(SharedEntryTest, AWriterThatGivesUpLetsTheReadersBehindItIn) {
  auto& map = this->map_;
  map.insert(1, "one");
  const auto shared = map.shared_entry(1);
  std::atomic<bool> over = false;
  Worker writer([&] {
    while (!over) EXPECT_FALSE(map.try_entry_for(1, std::chrono::milliseconds(1)).has_value());
  });
  for (int i = 0; i < scaled(50); ++i) {
    in_another_thread([&] { EXPECT_EQ(map.get(1), "one"); });
  }
  over = true;
}

LOCKMAP_TEST_BOTH(SharedEntryTest, ALimitEndsTheWait) {
  auto& map = this->map_;
  const auto held = map.entry(1);
  in_another_thread([&] {
    EXPECT_FALSE(map.try_shared_entry(1).has_value());
    EXPECT_FALSE(map.try_shared_entry_for(1, std::chrono::milliseconds(2)).has_value());
    EXPECT_FALSE(map.try_shared_entry_until(1, steady_clock::now() + std::chrono::milliseconds(2))
                     .has_value());
    EXPECT_FALSE(map.try_shared_batch_lock({0, 1, 2}).has_value());
    EXPECT_TRUE(is_free(map, 0));
  });
}

// -- Downgrade and upgrade ------------------------------------------------------------------------

LOCKMAP_TEST_BOTH(SharedEntryTest, DowngradeLetsReadersInAndKeepsWritersOut) {
  auto& map = this->map_;
  std::optional entry(map.entry(1));
  entry->insert("one");
  std::latch read(2);
  Worker reader([&] {
    EXPECT_EQ(map.get(1), "one");
    read.count_down();
  });
  this->await_queued(1, 1);
  Worker writer([&] { EXPECT_EQ(map.remove(1), "one"); });
  this->await_queued(1, 2);
  const std::string* const before = entry->get();
  std::optional shared(std::move(*entry).downgrade());
  read.arrive_and_wait();  // while it is held
  EXPECT_FALSE(writer.done());
  EXPECT_EQ(shared->get(), before);
  EXPECT_EQ(shared->value(), "one");
  entry.reset();
  EXPECT_FALSE(writer.done());
  shared.reset();
  writer.join();
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(SharedEntryTest, DowngradeTellsOthersWhetherThereIsAValue) {
  auto& map = this->map_;
  map.insert(1, "one");
  {
    auto entry = map.entry(1);
    entry.remove();
    const auto shared = std::move(entry).downgrade();
    EXPECT_FALSE(shared.has_value());
    EXPECT_EQ(map.size(), 0U);
    in_another_thread([&] { EXPECT_EQ(map.get(1), std::nullopt); });
  }
  {
    auto entry = map.entry(1);
    entry.insert("new");
    const auto shared = std::move(entry).downgrade();
    EXPECT_EQ(*shared, "new");
    EXPECT_EQ(map.size(), 1U);
    in_another_thread([&] { EXPECT_EQ(map.get(1), "new"); });
  }
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(SharedEntryTest, UpgradeNeedsTheOnlyHold) {
  auto& map = this->map_;
  map.insert(1, "one");
  auto shared = map.shared_entry(1);
  {
    const auto own = map.shared_entry(1);
    EXPECT_FALSE(std::move(shared).try_upgrade().has_value()) << "beside one's own guard";
  }
  EXPECT_EQ(*shared, "one") << "it is still held";
  map.read(1, [&](const std::string&) {
    EXPECT_FALSE(std::move(shared).try_upgrade().has_value()) << "beside one's own read";
  });
  {
    std::latch held(1);
    std::latch end(1);
    Worker other([&] {
      const auto theirs = map.shared_entry(1);
      held.count_down();
      end.wait();
    });
    held.wait();
    EXPECT_FALSE(std::move(shared).try_upgrade().has_value()) << "beside another owner's";
    end.count_down();
  }
  auto entry = std::move(shared).try_upgrade();
  ASSERT_TRUE(entry.has_value());
  EXPECT_FALSE(this->others_may_read(1));
  EXPECT_EQ(entry->insert("two"), "one");
  this->expect_deadlock([&] { (void)map.get(1); });
  auto again = std::move(*entry).downgrade();
  EXPECT_TRUE(this->others_may_read(1));
  again.unlock();
  EXPECT_EQ(map.get(1), "two");
  expect_quiet(map);
}

// Nobody comes in between, though a writer has waited for long.
LOCKMAP_TEST_BOTH(SharedEntryTest, UpgradeComesBeforeTheQueue) {
  auto& map = this->map_;
  map.insert(1, "one");
  auto shared = map.shared_entry(1);
  Worker writer([&] { EXPECT_EQ(map.insert(1, "three"), "two"); });
  this->await_queued(1, 1);
  Worker reader([&] { EXPECT_EQ(map.get(1), "three"); });
  this->await_queued(1, 2);
  {
    auto entry = std::move(shared).try_upgrade();
    ASSERT_TRUE(entry.has_value());
    EXPECT_EQ(entry->insert("two"), "one");
  }
  writer.join();
  reader.join();
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(SharedEntryTest, UpgradeOfAnAbsentKeyMayStore) {
  auto& map = this->map_;
  auto shared = map.shared_entry(1);
  {
    auto entry = std::move(shared).try_upgrade();
    ASSERT_TRUE(entry.has_value());
    EXPECT_FALSE(entry->has_value());
    entry->insert("one");
    EXPECT_EQ(map.size(), 1U);
  }
  EXPECT_EQ(map.get(1), "one");
  expect_quiet(map);
}

// -- Deadlocks of one owner -----------------------------------------------------------------------

LOCKMAP_TEST_BOTH(SharedEntryTest, AskingExclusivelyForWhatOneHoldsSharedIsAnError) {
  auto& map = this->map_;
  map.insert(1, "one");
  {
    const auto shared = map.shared_entry(1);
    this->expect_deadlock([&] { (void)map.entry(1); });
    this->expect_deadlock([&] { (void)map.try_entry_for(1, hours(1)); });
    this->expect_deadlock([&] { map.insert(1, "two"); });
    this->expect_deadlock([&] { map.remove(1); });
    this->expect_deadlock([&] { (void)map.batch_lock({0, 1}); });
    this->expect_deadlock([&] { map.clear(); });
    this->expect_deadlock([&] { map.retain([](const int&, const std::string&) { return true; }); });
    this->expect_deadlock([&] { map.try_insert(1, "two"); });
    EXPECT_FALSE(map.try_entry(1).has_value());
    EXPECT_FALSE(map.try_entry_for(1, hours(0)).has_value());
    EXPECT_FALSE(map.try_batch_lock({0, 1}).has_value());
  }
  {
    const auto absent = map.shared_entry(2);
    this->expect_deadlock([&] { map.get_or_insert_with(2, [] { return std::string(); }); });
    this->expect_deadlock([&] { map.try_insert(2, "two"); });
  }
  map.read(1, [&](const std::string&) { this->expect_deadlock([&] { (void)map.entry(1); }); });
  map.for_each([&](const int& key, const std::string&) {
    this->expect_deadlock([&] { (void)map.entry(key); });
    EXPECT_EQ(map.get(key), "one");
  });
  EXPECT_EQ(TestAccess::held(), 0U);
  EXPECT_EQ(map.get(1), "one");
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(SharedEntryTest, AskingSharedForWhatOneHoldsExclusivelyIsAnError) {
  auto& map = this->map_;
  map.insert(1, "one");
  {
    auto held = map.entry(1);
    this->expect_deadlock([&] { (void)map.shared_entry(1); });
    this->expect_deadlock([&] { (void)map.try_shared_entry_for(1, hours(1)); });
    this->expect_deadlock([&] { (void)map.find_shared_entry(1); });
    this->expect_deadlock([&] { map.read(1, [](const std::string&) {}); });
    this->expect_deadlock([&] { (void)map.shared_batch_lock({0, 1}); });
    this->expect_deadlock([&] { map.for_each([](const int&, const std::string&) {}); });
    EXPECT_FALSE(map.try_shared_entry(1).has_value());
    EXPECT_FALSE(map.try_shared_batch_lock({0, 1}).has_value());
    EXPECT_EQ(map.try_for_each([](const int&, const std::string&) {}), 1U);
    held.insert("still held");
  }
  EXPECT_EQ(map.get(1), "still held");
  EXPECT_TRUE(is_free(map, 0));
  expect_quiet(map);
}

// -- read -----------------------------------------------------------------------------------------

LOCKMAP_TEST_BOTH(SharedEntryTest, ReadReturnsWhatTheFunctionReturns) {
  auto& map = this->map_;
  map.insert(1, "one");
  const auto& constant = map;
  static_assert(std::same_as<decltype(map.read(1, [](const std::string&) {})), bool>);
  static_assert(std::same_as<decltype(map.read(
                                 1, [](const std::string& s) -> auto& { return s; })),
                             std::optional<std::string>>);
  int calls = 0;
  EXPECT_TRUE(constant.read(1, [&](const std::string& value) {
    ++calls;
    EXPECT_EQ(value, "one");
  }));
  EXPECT_FALSE(constant.read(2, [&](const std::string&) { ++calls; }));
  EXPECT_EQ(constant.read(1, &std::string::size), 3U);
  EXPECT_EQ(constant.read(2, &std::string::size), std::nullopt);
  // A function that may be called once, and a result that can only be moved.
  auto once = [owned = std::make_unique<int>(7)](const std::string&) mutable {
    return std::move(owned);
  };
  EXPECT_EQ(**map.read(1, std::move(once)), 7);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(TestAccess::node_count(map), 1U);
}

LOCKMAP_TEST_BOTH(SharedEntryTest, ReadCopiesNothing) {
  auto map = make_map<MapOf<TypeParam, int, std::unique_ptr<std::string>>>();
  map.insert(1, std::make_unique<std::string>("one"));
  EXPECT_EQ(map.read(1, [](const auto& value) { return *value; }), "one");
  EXPECT_EQ(*map.shared_entry(1).value(), "one");
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(SharedEntryTest, AnExceptionPassesThroughReadAndReleasesTheHold) {
  auto& map = this->map_;
  map.insert(1, "one");
  EXPECT_THROW(map.read(1, [](const std::string&) { throw std::runtime_error("of the reader"); }),
               std::runtime_error);
  EXPECT_TRUE(is_free(map, 1));
  EXPECT_EQ(TestAccess::held(), 0U);
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(SharedEntryTest, ReadUsesOtherKeys) {
  auto& map = this->map_;
  map.insert(1, "one");
  map.read(1, [&](const std::string& value) {
    map.insert(2, value);
    map.entry(3).insert(value);
    map.remove(2);
  });
  EXPECT_EQ(map.size(), 2U);
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(SharedEntryTest, SmallValuesAreReadUnderAHoldToo) {
  auto map = make_map<MapOf<TypeParam, int, int>>();
  map.insert(1, 10);
  map.read(1, [&](const int& value) {
    EXPECT_EQ(value, 10);
    in_another_thread([&] {
      EXPECT_FALSE(map.try_entry(1).has_value());
      EXPECT_EQ(map.get(1), 10);
    });
  });
  EXPECT_EQ(map.get_or_insert_with(1, [] { return 11; }), 10);
  expect_quiet(map);
}

// -- get_or_insert_with ---------------------------------------------------------------------------

// Those that wait for one load get its result together: each may hold the key while the others do.
LOCKMAP_TEST_BOTH(SharedEntryTest, WhoWaitsForALoadSharesItsResult) {
  auto& map = this->map_;
  constexpr int callers = 8;
  std::atomic<int> made = 0;
  std::latch end(1);
  std::latch loading(1);
  std::deque<Worker> workers;
  const auto make = [&] {
    ++made;
    loading.count_down();
    end.wait();
    return std::string("made");
  };
  workers.emplace_back([&] { EXPECT_EQ(map.get_or_insert_with(1, make), "made"); });
  loading.wait();
  for (int i = 1; i < callers; ++i) {
    workers.emplace_back([&] { EXPECT_EQ(map.get_or_insert_with(1, make), "made"); });
  }
  await_waiters(map, 1, callers - 1);
  end.count_down();
  workers.clear();
  EXPECT_EQ(made, 1);
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(SharedEntryTest, AfterAFailedLoadAnotherCallerTries) {
  auto& map = this->map_;
  std::atomic<int> made = 0;
  std::latch end(1);
  std::latch loading(1);
  std::deque<Worker> workers;
  workers.emplace_back([&] {
    EXPECT_THROW(map.get_or_insert_with(1,
                                        [&]() -> std::string {
                                          loading.count_down();
                                          end.wait();
                                          throw std::runtime_error("no value");
                                        }),
                 std::runtime_error);
  });
  loading.wait();
  for (int i = 0; i < 4; ++i) {
    workers.emplace_back([&] {
      EXPECT_EQ(map.get_or_insert_with(1,
                                       [&] {
                                         ++made;
                                         return std::string("made");
                                       }),
                "made");
    });
  }
  await_waiters(map, 1, 4);
  end.count_down();
  workers.clear();
  EXPECT_EQ(made, 1);
  expect_quiet(map);
}

// -- Batches --------------------------------------------------------------------------------------

LOCKMAP_TEST_BOTH(SharedEntryTest, BatchesShareKeysAndDropDuplicates) {
  auto& map = this->map_;
  for (int key = 0; key < 40; ++key) map.insert(key, std::to_string(key));
  const auto other = map.shared_entry(7);
  std::vector<int> keys;
  for (int key = 39; key >= 0; --key) keys.insert(keys.end(), 2, key);
  auto one = map.shared_batch_lock(keys);
  ASSERT_EQ(one.size(), 40U);
  for (int key = 0; key < 40; ++key) {
    EXPECT_EQ(one[static_cast<std::size_t>(key)].key(), key);
    EXPECT_EQ(one.at(key).value(), std::to_string(key));
  }
  EXPECT_EQ(one.find(40), nullptr);
  in_another_thread([&] {
    const auto two = map.shared_batch_lock({1, 2, 3});
    EXPECT_EQ(two.size(), 3U);
    EXPECT_TRUE(two.contains(2));
    EXPECT_FALSE(map.try_batch_lock({3, 4}).has_value());
  });
}

LOCKMAP_TEST_BOTH(SharedEntryTest, BatchesTakeAComparator) {
  const auto batch = this->map_.shared_batch_lock({1, 3, 2}, std::greater<>());
  EXPECT_EQ(batch[0].key(), 3);
  const auto views = this->map_.try_shared_batch_lock(std::vector<int>{5, 6}, std::greater<>());
  ASSERT_TRUE(views.has_value());
  EXPECT_EQ((*views)[0].key(), 6);
}

// -- The cache ------------------------------------------------------------------------------------

TEST(SharedEntryOfCacheTest, IsNotEvictedAndPromotes) {
  LruLockMap<int, std::string> cache({.max_size = 2, .shard_count = 1});
  cache.insert(1, "one");
  cache.insert(2, "two");
  {
    const auto shared = cache.shared_entry(1);
    cache.insert(3, "three");
    EXPECT_EQ(cache.peek(2), std::nullopt) << "1 was promoted";
    cache.insert(4, "four");
    cache.insert(5, "five");
    EXPECT_EQ(*shared, "one");
    EXPECT_EQ(cache.peek(1), "one");
  }
  EXPECT_EQ(cache.size(), 2U);
  expect_quiet(cache);
}

TEST(SharedEntryOfCacheTest, ReadIsALookUpAndAGuardIsNone) {
  LruLockMap<int, std::string> cache({.max_size = 10, .shard_count = 1});
  cache.insert(1, "one");
  cache.read(1, [](const std::string&) {});
  cache.read(2, [](const std::string&) {});
  EXPECT_EQ(cache.stats().hits, 1U);
  EXPECT_EQ(cache.stats().misses, 1U);
  (void)cache.shared_entry(1);
  (void)cache.find_shared_entry(2);
  EXPECT_EQ(cache.stats().hits, 1U);
  EXPECT_EQ(cache.stats().misses, 1U);
  EXPECT_EQ(cache.get_or_insert_with(1, [] { return std::string(); }), "one");
  EXPECT_EQ(cache.get_or_insert_with(3, [] { return std::string("three"); }), "three");
  EXPECT_EQ(cache.stats().hits, 2U);
  EXPECT_EQ(cache.stats().misses, 2U);
}

// A key that the release of its last reader finds set aside.
TEST(SharedEntryOfCacheTest, TheLastReleaseEvictsWhatIsOverTheBound) {
  LruLockMap<int, std::string> cache({.max_size = 1, .shard_count = 1});
  {
    auto one = cache.shared_entry(1);
    const auto again = cache.shared_entry(1);
    const auto two = cache.shared_entry(2);
    cache.entry(3).insert("three");
    one.unlock();
    EXPECT_EQ(detail::TestAccess::node_count(cache), 2U);
  }
  EXPECT_LE(cache.size(), 1U);
  expect_quiet(cache);
}

}  // namespace
}  // namespace lockmap::test::shared
