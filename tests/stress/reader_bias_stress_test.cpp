// The reader bias under load: see section.hpp.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include <lockmap/lockmap.hpp>

#include "bare_lock.hpp"
#include "test_access.hpp"
#include "threads.hpp"

namespace lockmap::test {
namespace {

using detail::Bias;
using detail::ReaderSlot;
using detail::TestAccess;

// Store buffering, the one thing that a fence is for: a reader announces itself in the same moment
// in which a writer ends the bias, again and again.
void announce_and_revoke(Bias kind) {
  BareLock mutex;
  const int rounds = scaled(30'000);
  // On a busy machine, where the two seldom run at the same time, a round takes milliseconds.
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  constexpr int over = -1;
  std::atomic<int> begun{0};
  std::atomic<int> done{0};
  std::atomic<int> written{0};
  int overlaps = 0;
  Worker reader([&] {
    for (int last = 0;;) {
      int round = last;
      while (round == last) {
        detail::cpu_pause();
        round = begun.load(std::memory_order_relaxed);
      }
      if (round == over) break;
      ReaderSlot* const slot = mutex.lock_shared();
      const int before = written.load(std::memory_order_relaxed);
      for (int i = 0; i < 20; ++i) detail::cpu_pause();
      if (written.load(std::memory_order_relaxed) != before) ++overlaps;
      mutex.unlock_shared(slot);
      done.store(round);
      last = round;
    }
  });
  for (int round = 1; round <= rounds && std::chrono::steady_clock::now() < end; ++round) {
    TestAccess::set_bias(mutex, kind);
    begun.store(round, std::memory_order_relaxed);
    for (int i = 0; i < round % 16; ++i) detail::cpu_pause();
    mutex.lock();
    written.store(round, std::memory_order_relaxed);
    mutex.unlock();
    while (done.load() != round) std::this_thread::yield();
  }
  begun = over;
  reader.join();
  EXPECT_EQ(overlaps, 0);
}

TEST(ReaderBiasStressTest, AWriterOverlooksNoOrderedAnnouncementOnItsWayToMemory) {
  announce_and_revoke(Bias::ordered);
}

TEST(ReaderBiasStressTest, AWriterOverlooksNoPlainAnnouncementOnItsWayToMemory) {
  if (!has_barrier()) GTEST_SKIP() << "no process barriers here";
  announce_and_revoke(Bias::plain);
}

}  // namespace
}  // namespace lockmap::test
