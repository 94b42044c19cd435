// A thread that is cancelled while it waits for a key gets the key first, and ends at its next
// cancellation point: the wait is none.
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <lockmap/lockmap.hpp>
#include <optional>
#include <utility>

#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap::test {
namespace {

using namespace std::chrono_literals;
using Map = LockMap<int, int>;

constexpr int key = 1;

// A thread of POSIX: only these can be cancelled on every system.
class Cancelled {
 public:
  explicit Cancelled(std::function<void()> work) : work_(std::move(work)) {
    started_ = pthread_create(
                   &thread_, nullptr,
                   [](void* self) -> void* {
                     static_cast<Cancelled*>(self)->work_();
                     return nullptr;
                   },
                   this) == 0;
    EXPECT_TRUE(started_);
  }
  Cancelled(const Cancelled&) = delete;
  Cancelled& operator=(const Cancelled&) = delete;
  ~Cancelled() { (void)ended_as_cancelled(); }

  void cancel() const { EXPECT_EQ(pthread_cancel(thread_), 0); }

  // Waits for its end.
  bool ended_as_cancelled() {
    if (!started_) return false;
    void* result = nullptr;
    EXPECT_EQ(pthread_join(thread_, &result), 0);
    started_ = false;
    return result == PTHREAD_CANCELED;
  }

 private:
  std::function<void()> work_;
  pthread_t thread_{};
  bool started_ = false;
};

// Cancels a thread while it sleeps in `wait`, since another one holds the key; then the key is
// released. `wait` must have finished, and all is as if nobody had been cancelled.
void expect_wait_is_finished(Map& map, const std::function<void()>& wait) {
  std::atomic<bool> finished{false};
  std::atomic<bool> survived{false};
  {
    auto held = std::optional(map.entry(key));
    Cancelled thread([&] {
      wait();
      finished.store(true);
      pthread_testcancel();
      survived.store(true);
    });
    await([&] { return detail::TestAccess::parked(map, key) == 1; }, "a thread to sleep");
    thread.cancel();
    held.reset();
    EXPECT_TRUE(thread.ended_as_cancelled());
  }
  EXPECT_TRUE(finished.load()) << "the thread ended in the wait";
  EXPECT_FALSE(survived.load()) << "the cancellation was lost";
  EXPECT_TRUE(map.try_entry(key).has_value()) << "the key is still held";
  detail::TestAccess::check_invariants(map);
}

class CancelTest : public testing::Test {
 protected:
  CancelTest() { (void)map.insert(key, 1); }

  Map map;
};

TEST_F(CancelTest, AWaitForAnEntryIsFinished) {
  expect_wait_is_finished(map, [&] { EXPECT_TRUE(map.entry(key).has_value()); });
}

TEST_F(CancelTest, AWaitWithALimitIsFinished) {
  expect_wait_is_finished(map, [&] { EXPECT_TRUE(map.try_entry_for(key, 1h).has_value()); });
}

TEST_F(CancelTest, AReadIsFinished) {
  expect_wait_is_finished(map, [&] { EXPECT_EQ(map.get(key), 1); });
}

TEST_F(CancelTest, AWalkIsFinished) {
  expect_wait_is_finished(map, [&] { map.clear(); });
  EXPECT_TRUE(map.empty());
}

TEST_F(CancelTest, ABatchIsFinished) {
  expect_wait_is_finished(map, [&] { EXPECT_EQ(map.batch_lock({0, key, 2}).size(), 3U); });
  EXPECT_TRUE(map.try_batch_lock({0, key, 2}).has_value());
}

// Its edge leaves the wait-for graph.
TEST_F(CancelTest, AWaitOfAThreadThatHoldsAKeyIsFinished) {
  expect_wait_is_finished(map, [&] {
    const auto other = map.entry(2);
    EXPECT_TRUE(map.entry(key).has_value());
  });
  EXPECT_TRUE(map.try_entry(2).has_value());
}

TEST_F(CancelTest, AThreadThatWaitsInVainEndsAfterItsLimit) {
  std::atomic<bool> timed_out{false};
  std::atomic<bool> survived{false};
  const auto held = map.entry(key);
  Cancelled thread([&] {
    timed_out.store(!map.try_entry_for(key, 50ms).has_value());
    pthread_testcancel();
    survived.store(true);
  });
  thread.cancel();
  EXPECT_TRUE(thread.ended_as_cancelled());
  EXPECT_TRUE(timed_out.load());
  EXPECT_FALSE(survived.load());
}

// A thread that has switched cancellation off finds it off afterwards.
TEST_F(CancelTest, AWaitLeavesCancellationOffIfItWasOff) {
  auto held = std::optional(map.entry(key));
  Cancelled thread([&] {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
    EXPECT_TRUE(map.entry(key).has_value());
    pthread_testcancel();
  });
  await([&] { return detail::TestAccess::parked(map, key) == 1; }, "a thread to sleep");
  thread.cancel();
  held.reset();
  EXPECT_FALSE(thread.ended_as_cancelled());
}

#if defined(__GLIBC__)
// Where cancellation unwinds the stack, it releases guards.
TEST_F(CancelTest, TheGuardOfACancelledThreadIsReleased) {
  auto held = std::optional(map.entry(key));
  Cancelled thread([&] {
    const auto entry = map.entry(key);
    pthread_testcancel();
  });
  await([&] { return detail::TestAccess::parked(map, key) == 1; }, "a thread to sleep");
  thread.cancel();
  held.reset();
  EXPECT_TRUE(thread.ended_as_cancelled());
  EXPECT_TRUE(map.try_entry(key).has_value());
  detail::TestAccess::check_invariants(map);
}
#endif

}  // namespace
}  // namespace lockmap::test
