// The shard's structure lock and its reader bias: who gets in beside whom, and what becomes of
// the slots.

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <latch>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "bare_lock.hpp"
#include "test_access.hpp"
#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap::test {
namespace {

using detail::Bias;
using detail::ReaderSlot;
using detail::StructureLock;
using detail::TestAccess;

// Reads until the mutex is biased.
void make_biased(BareLock& mutex) {
  await(
      [&mutex] {
        mutex.unlock_shared(mutex.lock_shared());
        return TestAccess::is_biased(mutex);
      },
      "the bias");
}

TEST(ShardMutexTest, KnowsHowManyThreadsSleepForItAndForgetsThem) {
  detail::ShardMutex mutex;
  constexpr std::uint32_t threads = 8;
  std::deque<Worker> workers;
  int visits = 0;  // guarded by the mutex
  mutex.lock();
  for (std::uint32_t i = 0; i < threads; ++i) {
    workers.emplace_back([&] {
      mutex.lock();
      ++visits;
      mutex.unlock();
    });
  }
  await([&] { return TestAccess::sleepers(mutex) == threads; }, "all to sleep");
  EXPECT_EQ(visits, 0);
  mutex.unlock();
  workers.clear();
  EXPECT_EQ(visits, static_cast<int>(threads));
  EXPECT_EQ(TestAccess::sleepers(mutex), 0U) << "later ones would sleep for too long";
}

// Reads until announcements are plain stores.
void make_plain(BareLock& mutex) {
  await(
      [&mutex] {
        mutex.unlock_shared(mutex.lock_shared());
        return TestAccess::bias(mutex) == Bias::plain;
      },
      "the plain bias");
}

TEST(ReaderBiasTest, ComesWithManyReadsInARowAndGoesWithTheFirstWriter) {
  BareLock mutex;
  EXPECT_EQ(mutex.lock_shared(), nullptr);
  mutex.unlock_shared(nullptr);
  EXPECT_FALSE(TestAccess::is_biased(mutex));
  make_biased(mutex);
  mutex.lock();
  EXPECT_FALSE(TestAccess::is_biased(mutex));
  mutex.unlock();
}

TEST(ReaderBiasTest, BecomesPlainForAReaderThatHasPaidForABarrierAndGoesWithTheFirstWriter) {
  if (!has_barrier()) GTEST_SKIP() << "no process barriers here";
  BareLock mutex;
  make_plain(mutex);
  ReaderSlot* const slot = mutex.lock_shared();
  ASSERT_NE(slot, nullptr);
  EXPECT_EQ(slot->reading.load(), static_cast<const StructureLock*>(&mutex));
  mutex.unlock_shared(slot);
  mutex.lock();
  EXPECT_EQ(TestAccess::bias(mutex), Bias::none);
  mutex.unlock();
  make_biased(mutex);
  EXPECT_EQ(TestAccess::bias(mutex), Bias::ordered) << "each barrier is to be paid for";
}

TEST(ReaderBiasTest, StaysOrderedWhereThereIsNoBarrier) {
  detail::Registry& registry = detail::ThisModule::registry();
  const bool had_barrier = registry.has_barrier.exchange(false);
  BareLock mutex;
  make_biased(mutex);
  for (int i = 0; i < 3 * static_cast<int>(ReaderSlot::per_barrier); ++i) {
    mutex.unlock_shared(mutex.lock_shared());
    ASSERT_EQ(TestAccess::bias(mutex), Bias::ordered);
  }
  registry.has_barrier = had_barrier;
}

TEST(ReaderBiasTest, AnAnnouncementUnderABiasThatHasGoneDoesNotCount) {
  BareLock mutex;
  ReaderSlot* const slot = detail::ThisModule::available_slot(mutex.registry());
  ASSERT_NE(slot, nullptr);
  for (const Bias bias : {Bias::ordered, Bias::plain}) {
    EXPECT_FALSE(TestAccess::announce(mutex, *slot, bias)) << "it was there when the reader looked";
    mutex.unlock_shared(slot);
  }
}

TEST(ReaderBiasTest, AnAnnouncementIsForTheBiasThatItsThreadHasSeen) {
  BareLock mutex;
  ReaderSlot* const slot = detail::ThisModule::available_slot(mutex.registry());
  ASSERT_NE(slot, nullptr);
  const auto counts = [&](Bias there, Bias seen) {
    TestAccess::set_bias(mutex, there);
    const bool result = TestAccess::announce(mutex, *slot, seen);
    mutex.unlock_shared(slot);
    TestAccess::set_bias(mutex, Bias::none);
    return result;
  };
  for (const Bias there : {Bias::pinning, Bias::ordered, Bias::plain}) {
    for (const Bias seen : {Bias::pinning, Bias::ordered, Bias::plain}) {
      const bool has_become_plain = there == Bias::plain && seen == Bias::ordered;
      EXPECT_EQ(counts(there, seen), there == seen || has_become_plain)
          << static_cast<int>(there) << ' ' << static_cast<int>(seen);
    }
  }
}

TEST(ReaderBiasTest, APlainAnnouncementMadeUnderAnOrderedBiasDoesNotCount) {
  BareLock mutex;
  make_biased(mutex);
  ReaderSlot* const slot = detail::ThisModule::available_slot(mutex.registry());
  ASSERT_NE(slot, nullptr);
  EXPECT_FALSE(TestAccess::announce(mutex, *slot, Bias::plain)) << "its writer runs no barrier";
  EXPECT_TRUE(TestAccess::announce(mutex, *slot, Bias::ordered));
  mutex.unlock_shared(slot);
}

TEST(ReaderBiasTest, DoesNotComeWhileWritersKeepComing) {
  BareLock mutex;
  for (int i = 0; i < 10'000; ++i) {
    mutex.unlock_shared(mutex.lock_shared());
    if (i % 32 == 0) {
      mutex.lock();
      mutex.unlock();
    }
    ASSERT_FALSE(TestAccess::is_biased(mutex));
  }
}

TEST(ReaderBiasTest, AReaderOfABiasedMutexAnnouncesItselfAndTakesNothing) {
  BareLock mutex;
  make_biased(mutex);
  ReaderSlot* const slot = mutex.lock_shared();
  ASSERT_NE(slot, nullptr);
  EXPECT_EQ(slot->reading.load(), static_cast<const StructureLock*>(&mutex));
  in_another_thread([&mutex] { mutex.unlock_shared(mutex.lock_shared()); });
  mutex.unlock_shared(slot);
  EXPECT_EQ(slot->reading.load(), &mutex.registry().readers);
}

TEST(ReaderBiasTest, AWriterWaitsForTheReadersThatAreInside) {
  BareLock mutex;
  make_biased(mutex);
  ReaderSlot* const slot = mutex.lock_shared();
  ASSERT_NE(slot, nullptr);
  std::atomic<bool> inside{false};
  Worker writer([&] {
    mutex.lock();
    inside = true;
    mutex.unlock();
  });
  // The bias is off, so the writer is looking through the slots.
  await([&mutex] { return !TestAccess::is_biased(mutex); }, "the end of the bias");
  EXPECT_FALSE(inside);
  mutex.unlock_shared(slot);
  writer.join();
  EXPECT_TRUE(inside);
}

TEST(ReaderBiasTest, AWriterDoesNotWaitForReadersOfAnotherMutex) {
  BareLock mutex;
  BareLock other;
  make_biased(mutex);
  make_biased(other);
  ReaderSlot* const slot = other.lock_shared();
  ASSERT_NE(slot, nullptr);
  in_another_thread([&mutex] {
    mutex.lock();
    mutex.unlock();
  });
  EXPECT_FALSE(TestAccess::is_biased(mutex));
  other.unlock_shared(slot);
}

TEST(ReaderBiasTest, AReadInsideAReadTakesTheMutex) {
  BareLock outer;
  BareLock inner;
  make_biased(outer);
  make_biased(inner);
  ReaderSlot* const slot = outer.lock_shared();
  ASSERT_NE(slot, nullptr);
  EXPECT_EQ(inner.lock_shared(), nullptr);
  EXPECT_EQ(slot->reading.load(), static_cast<const StructureLock*>(&outer));
  inner.unlock_shared(nullptr);
  outer.unlock_shared(slot);
}

TEST(ReaderBiasTest, ThreadsThatComeAndGoShareTheirSlots) {
  BareLock mutex;
  make_biased(mutex);
  const auto read = [&mutex] {
    ReaderSlot* const slot = mutex.lock_shared();
    EXPECT_NE(slot, nullptr);
    mutex.unlock_shared(slot);
  };
  in_another_thread(read);
  const std::size_t slots = TestAccess::reader_slots();
  for (int i = 0; i < 20; ++i) in_another_thread(read);
  EXPECT_EQ(TestAccess::reader_slots(), slots);
}

// Reads when its thread ends.
struct ReadsAtTheEnd {
  ~ReadsAtTheEnd() {
    if (mutex == nullptr) return;
    slot = mutex->lock_shared();
    mutex->unlock_shared(slot);
    *had_slot = slot != nullptr;
  }
  BareLock* mutex = nullptr;
  ReaderSlot* slot = nullptr;
  bool* had_slot = nullptr;
};

TEST(ReaderBiasTest, AThreadThatHasGivenItsSlotAwayReadsUnderTheMutex) {
  BareLock mutex;
  make_biased(mutex);
  bool had_slot = true;
  in_another_thread([&] {
    // Made before the thread's slot, so it ends after that is gone.
    static thread_local ReadsAtTheEnd last;
    last.mutex = &mutex;
    last.had_slot = &had_slot;
    ReaderSlot* const slot = mutex.lock_shared();
    EXPECT_NE(slot, nullptr);
    mutex.unlock_shared(slot);
  });
  EXPECT_FALSE(had_slot);
}

// Both halves change together, under the mutex. Plain memory: ThreadSanitizer sees every access.
struct Halves {
  BareLock mutex;
  std::uint64_t first = 0;
  std::uint64_t second = 0;
};

// Writers wait for a bias of that kind before every second write.
void read_halves(Bias kind, int writes) {
  constexpr int readers = 3;
  std::vector<std::unique_ptr<Halves>> all;
  for (int i = 0; i < 3; ++i) all.push_back(std::make_unique<Halves>());
  std::atomic<bool> written{false};
  std::atomic<std::uint64_t> announced{0};
  run_together(readers + 1, [&](int worker) {
    if (worker == readers) {
      for (int i = 0; i < writes; ++i) {
        for (const auto& halves : all) {
          const bool let_readers_in = i % 2 == 0;
          if (let_readers_in) {
            await([&] { return TestAccess::bias(halves->mutex) >= kind; }, "the bias");
          }
          halves->mutex.lock();
          ++halves->first;
          ++halves->second;
          halves->mutex.unlock();
        }
      }
      written = true;
      return;
    }
    while (!written) {
      for (const auto& halves : all) {
        ReaderSlot* const slot = halves->mutex.lock_shared();
        const bool equal = halves->first == halves->second;
        halves->mutex.unlock_shared(slot);
        ASSERT_TRUE(equal);
        if (slot != nullptr) announced.fetch_add(1, std::memory_order_relaxed);
      }
    }
  });
  for (const auto& halves : all) EXPECT_EQ(halves->first, static_cast<std::uint64_t>(writes));
  EXPECT_GT(announced.load(), 0U);
}

TEST(ReaderBiasTest, ReadersNeverSeeHalfAChange) {
  read_halves(Bias::ordered, scaled(700));
}

TEST(ReaderBiasTest, NorDoTheyWithPlainAnnouncements) {
  if (!has_barrier()) GTEST_SKIP() << "no process barriers here";
  read_halves(Bias::plain, scaled(300));
}

// -- In the maps ---------------------------------------------------------------------------------

// True when the only shard of the map has become biased.
template <class Read, class Map>
void read_until_biased(const Map& map, Read read) {
  await(
      [&] {
        read();
        return TestAccess::biased_shards(map) == 1;
      },
      "the bias");
}

TEST(ReaderBiasTest, LookUpsOfAMapLeaveABiasedShardAlone) {
  LockMap<int, int> map(Options{.shard_count = 1});
  map.insert(1, 10);
  read_until_biased(map, [&map] { EXPECT_EQ(map.get(1), 10); });
  EXPECT_TRUE(map.contains(1));
  EXPECT_FALSE(map.contains(2));
  EXPECT_EQ(map.get(2), std::nullopt);
  EXPECT_EQ(TestAccess::biased_shards(map), 1U);

  map.insert(1, 11);
  EXPECT_EQ(TestAccess::biased_shards(map), 0U);
  EXPECT_EQ(map.get(1), 11);
}

// The benchmarks' peer of the bias.
TEST(ReaderBiasTest, NoneWhileTheTestsWantNone) {
  LockMap<int, int> map(Options{.shard_count = 1});
  map.insert(1, 10);
  {
    const TestAccess::WithoutBias without_bias;
    for (int i = 0; i < 10'000; ++i) EXPECT_EQ(map.get(1), 10);
    EXPECT_EQ(TestAccess::biased_shards(map), 0U);
  }
  read_until_biased(map, [&map] { EXPECT_EQ(map.get(1), 10); });
}

TEST(ReaderBiasTest, OnlyLookUpsThatLeaveTheOrderAloneCountAsReadsOfACache) {
  LruLockMap<int, int> cache(LruOptions{.max_size = 8, .shard_count = 1});
  cache.insert(1, 10);
  for (int i = 0; i < 10'000; ++i) EXPECT_TRUE(cache.get(1).has_value());
  EXPECT_EQ(TestAccess::biased_shards(cache), 0U);
  read_until_biased(cache, [&cache] { EXPECT_EQ(cache.peek(1), 10); });
  EXPECT_TRUE(cache.contains(1));  // promotes
  EXPECT_EQ(TestAccess::biased_shards(cache), 0U);
}

TEST(ReaderBiasTest, ALookUpOfAHeldKeyWaitsInABiasedShardToo) {
  LockMap<int, int> map(Options{.shard_count = 1});
  map.insert(1, 10);
  map.insert(2, 20);
  Holder holder(map, 1, [](auto& entry) { *entry = 11; });
  read_until_biased(map, [&map] { EXPECT_EQ(map.get(2), 20); });
  std::optional<int> seen;
  Worker reader([&] { seen = map.get(1); });
  await([&map] { return TestAccess::waiters(map, 1) == 1; }, "the reader to wait");
  holder.release();
  reader.join();
  EXPECT_EQ(seen, 11);
}

TEST(ReaderBiasTest, AnEqualityThatThrowsLeavesTheShardFree) {
  bool throws = false;
  struct Equal {
    bool operator()(int a, int b) const {
      if (*throws) throw std::runtime_error("equality");
      return a == b;
    }
    const bool* throws;
  };
  LockMap<int, int, default_hash<int>, Equal> map(Options{.shard_count = 1}, {}, Equal{&throws});
  map.insert(1, 10);
  read_until_biased(map, [&map] { EXPECT_EQ(map.get(1), 10); });
  throws = true;
  EXPECT_THROW(static_cast<void>(map.get(1)), std::runtime_error);
  throws = false;
  in_another_thread([&map] { map.insert(1, 11); });
  EXPECT_EQ(map.get(1), 11);
}

TEST(ReaderBiasTest, AnEqualityMayReadAnotherMap) {
  LockMap<int, int> inner(Options{.shard_count = 1});
  inner.insert(1, 1);
  struct Equal {
    bool operator()(int a, int b) const { return inner->get(1).has_value() && a == b; }
    const LockMap<int, int>* inner;
  };
  LockMap<int, int, default_hash<int>, Equal> outer(Options{.shard_count = 1}, {}, Equal{&inner});
  outer.insert(1, 10);
  read_until_biased(inner, [&] { EXPECT_EQ(inner.get(1), 1); });
  read_until_biased(outer, [&] { EXPECT_EQ(outer.get(1), 10); });
  EXPECT_EQ(outer.get(1), 10);
  in_another_thread([&] {
    outer.insert(1, 11);
    inner.insert(1, 2);
  });
  EXPECT_EQ(outer.get(1), 11);
}

}  // namespace
}  // namespace lockmap::test
