// try_entry and try_shared_entry with a stop token: a stop ends a wait and nothing else, and leaves
// nothing behind.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <system_error>
#include <utility>

#include <lockmap/detail/portable_parker.hpp>
#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "test_access.hpp"
#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap::test {
namespace stop_token_test {
namespace {

using detail::TestAccess;

template <class Family>
class StopTokenTest : public testing::Test {
 public:
  using TestedMap = MapOf<Family, int, int>;
  void TearDown() override { TestAccess::check_invariants(map_); }
  TestedMap map_ = make_map<TestedMap>();
  std::stop_source source_;
};

LOCKMAP_TEST_BOTH(StopTokenTest, AFreeKeyIsGivenWhateverWasRequested) {
  this->source_.request_stop();
  EXPECT_TRUE(this->map_.try_entry(1, this->source_.get_token()).has_value());
  EXPECT_TRUE(this->map_.try_shared_entry(1, this->source_.get_token()).has_value());
  const auto reader = this->map_.shared_entry(2);
  EXPECT_TRUE(this->map_.try_shared_entry(2, this->source_.get_token()).has_value());
}

LOCKMAP_TEST_BOTH(StopTokenTest, AHeldKeyIsRefusedAfterAStop) {
  this->source_.request_stop();
  const auto held = this->map_.entry(1);
  in_another_thread([&] {
    EXPECT_FALSE(this->map_.try_entry(1, this->source_.get_token()).has_value());
    EXPECT_FALSE(this->map_.try_shared_entry(1, this->source_.get_token()).has_value());
  });
}

LOCKMAP_TEST_BOTH(StopTokenTest, AStopEndsAWait) {
  for (const bool shared : {false, true}) {
    std::stop_source source;
    std::optional<Worker> waiting;
    const auto held = this->map_.entry(1);
    waiting.emplace([&] {
      if (shared) {
        EXPECT_FALSE(this->map_.try_shared_entry(1, source.get_token()).has_value());
      } else {
        EXPECT_FALSE(this->map_.try_entry(1, source.get_token()).has_value());
      }
    });
    await_waiters(this->map_, 1, 1);
    EXPECT_FALSE(waiting->done());
    source.request_stop();
    waiting->join();
    EXPECT_EQ(TestAccess::waiters(this->map_, 1), 0U);
  }
}

LOCKMAP_TEST_BOTH(StopTokenTest, ATokenThatNobodyStopsWaits) {
  auto& map = this->map_;
  EXPECT_TRUE(
      expect_waits(map, 1, [&] { return map.try_entry(1, std::stop_token()).has_value(); }));
  EXPECT_TRUE(expect_waits(
      map, 1, [&] { return map.try_shared_entry(1, this->source_.get_token()).has_value(); }));
}

LOCKMAP_TEST_BOTH(StopTokenTest, AStoppedWriterAdmitsTheReadersBehindIt) {
  std::optional<Worker> writer;
  std::optional<Worker> reader;
  const auto held = this->map_.shared_entry(1);
  writer.emplace(
      [&] { EXPECT_FALSE(this->map_.try_entry(1, this->source_.get_token()).has_value()); });
  // Until it is queued, a reader would not queue behind it.
  await([&] { return TestAccess::parked(this->map_, 1) == 1; }, "the writer to be queued");
  reader.emplace([&] { EXPECT_FALSE(this->map_.shared_entry(1).has_value()); });
  await_waiters(this->map_, 1, 2);
  this->source_.request_stop();
  writer->join();
  reader->join();
}

LOCKMAP_TEST_BOTH(StopTokenTest, ADeadlockIsReportedAtOnce) {
  const auto held = this->map_.entry(1);
  EXPECT_THROW((void)this->map_.try_entry(1, this->source_.get_token()), std::system_error);
  this->source_.request_stop();
  EXPECT_FALSE(this->map_.try_entry(1, this->source_.get_token()).has_value())
      << "it would not wait";
}

LOCKMAP_TEST_BOTH(StopTokenTest, AStopAndAReleaseRace) {
  // Whatever comes first: the key is held or it is not, and nobody is left behind.
  for (int round = 0; round < scaled(400); ++round) {
    std::stop_source source;
    std::optional<typename TestFixture::TestedMap::Entry> held(this->map_.entry(1));
    std::atomic<bool> got{false};
    Worker waiting([&] {
      if (auto entry = this->map_.try_entry(1, source.get_token())) {
        got = true;
        entry->insert(round);
      }
    });
    Worker stopping([&] {
      for (int i = 0; i < round % 64; ++i) detail::cpu_pause();
      source.request_stop();
    });
    for (int i = 0; i < round % 32; ++i) detail::cpu_pause();
    held.reset();
    waiting.join();
    stopping.join();
    if (got.load()) {
      EXPECT_EQ(this->map_.get(1), round);
    }
  }
}

// -- Nudges ------------------------------------------------------------------------------------

template <class Parker>
class NudgeTest : public testing::Test {};
using Parkers = testing::Types<detail::Parker, detail::PortableParker>;
TYPED_TEST_SUITE(NudgeTest, Parkers);

struct WhenSet {
  bool expired() const noexcept {
    looks->fetch_add(1);
    return set->load();
  }
  static std::chrono::nanoseconds nap() noexcept { return std::chrono::hours(1); }

  std::atomic<bool>* set;
  std::atomic<int>* looks;
};

TYPED_TEST(NudgeTest, ANudgeMakesASleeperLookAgain) {
  for (int round = 0; round < scaled(200); ++round) {
    TypeParam parker;
    std::atomic<bool> set{false};
    std::atomic<int> looks{0};
    Worker nudging([&] {
      await([&] { return looks.load() != 0; }, "the sleeper");
      for (int i = 0; i < round; ++i) detail::cpu_pause();
      set = true;
      parker.nudge();
    });
    EXPECT_FALSE(parker.park(WhenSet{&set, &looks}));
    nudging.join();
  }
}

#if defined(__linux__)
// The other parker excludes that by a mutex.
TEST(NudgeBeforeSleepTest, ANudgeBetweenTheLookAndTheSleepIsNotLost) {
  struct NudgedAfterALook {
    bool expired() const noexcept {
      if (std::exchange(*looked, true)) return true;
      parker->nudge();
      return false;
    }
    static std::chrono::nanoseconds nap() noexcept { return std::chrono::hours(1); }

    detail::Parker* parker;
    bool* looked;
  };
  in_another_thread([] {
    detail::Parker parker;
    bool looked = false;
    EXPECT_FALSE(parker.park(NudgedAfterALook{&parker, &looked}));
  });
}
#endif

TYPED_TEST(NudgeTest, ANudgeHidesNoWakeUp) {
  TypeParam parker;
  std::atomic<bool> set{true};
  std::atomic<int> looks{0};
  parker.unpark();
  parker.nudge();
  EXPECT_TRUE(parker.park(WhenSet{&set, &looks}));
  parker.nudge();
  EXPECT_FALSE(parker.park(WhenSet{&set, &looks}));
  parker.nudge();
  parker.unpark();
  EXPECT_TRUE(parker.park(WhenSet{&set, &looks}));
}

}  // namespace
}  // namespace stop_token_test
}  // namespace lockmap::test
