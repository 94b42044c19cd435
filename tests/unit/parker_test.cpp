// Parkers: no wake-up is lost, and none is taken for the next one.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>

#include <lockmap/detail/portable_parker.hpp>
#include <lockmap/lockmap.hpp>

#include "threads.hpp"

namespace lockmap::test {
namespace {

using detail::NoDeadline;
using Steady = std::chrono::steady_clock;
using Soon = detail::Deadline<Steady, Steady::duration>;

template <class Parker>
class ParkerTest : public testing::Test {};
using Parkers = testing::Types<detail::Parker, detail::PortableParker>;
TYPED_TEST_SUITE(ParkerTest, Parkers);

TYPED_TEST(ParkerTest, AWakeUpThatComesFirstEndsTheNextSleep) {
  TypeParam parker;
  parker.unpark();
  EXPECT_TRUE(parker.park(NoDeadline{}));
}

TYPED_TEST(ParkerTest, EachWakeUpEndsOneSleep) {
  TypeParam parker;
  const Soon past{Steady::now() - std::chrono::hours(1)};
  EXPECT_FALSE(parker.park(past));
  for (int i = 0; i < 3; ++i) {
    parker.unpark();
    EXPECT_TRUE(parker.park(past)) << "a wake-up that came counts more than the deadline";
    EXPECT_FALSE(parker.park(past));
  }
}

TYPED_TEST(ParkerTest, ASleepEndsAtItsDeadline) {
  TypeParam parker;
  EXPECT_FALSE(parker.park(Soon{Steady::now() + std::chrono::milliseconds(2)}));
}

// Says that the sleeper has looked at it, which it does before it sleeps.
struct Watched {
  bool expired() const noexcept {
    looked->store(true);
    return false;
  }
  static std::chrono::nanoseconds nap() noexcept { return std::chrono::hours(1); }

  std::atomic<bool>* looked;
};

TYPED_TEST(ParkerTest, AWakeUpFromAnotherThreadEndsASleep) {
  // Each time at another moment of falling asleep.
  for (int round = 0; round < scaled(200); ++round) {
    TypeParam parker;
    std::atomic<bool> looked{false};
    Worker waker([&] {
      await([&] { return looked.load(); }, "the sleeper");
      for (int i = 0; i < round; ++i) detail::cpu_pause();
      parker.unpark();
    });
    EXPECT_TRUE(parker.park(Watched{&looked}));
    waker.join();
  }
}

TYPED_TEST(ParkerTest, ANapThatEndsEarlyGoesOnUntilTheDeadline) {
  struct Naps {
    bool expired() const noexcept { return ++*looks > 3; }
    static std::chrono::nanoseconds nap() noexcept { return std::chrono::nanoseconds(1); }
    int* looks;
  };
  TypeParam parker;
  int looks = 0;
  EXPECT_FALSE(parker.park(Naps{&looks}));
  EXPECT_EQ(looks, 4);
}

TYPED_TEST(ParkerTest, AParkerMayEndWithItsSleep) {
  // Two threads wake each other in turn, each on a parker that ends as soon as it was slept on:
  // sanitizers see what touches it later.
  const int rounds = scaled(2000);
  std::atomic<TypeParam*> sleepers[2]{nullptr, nullptr};
  run_together(2, [&](int i) {
    for (int round = 0; round < rounds; ++round) {
      if (round % 2 == i) {
        const auto parker = std::make_unique<TypeParam>();
        sleepers[i].store(parker.get());
        EXPECT_TRUE(parker->park(NoDeadline{}));
      } else {
        TypeParam* sleeper = nullptr;
        await([&] { return (sleeper = sleepers[1 - i].exchange(nullptr)) != nullptr; },
              "the other to sleep");
        sleeper->unpark();
      }
    }
  });
}

}  // namespace
}  // namespace lockmap::test
