// get_or_insert_with(key, make, share_failure): whoever waited for a make that threw gets its
// exception. Without it, each tries.

#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <exception>
#include <latch>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap::test::failures {
namespace {

constexpr int callers = 16;
constexpr int key = 1;

template <class Family>
class ShareFailureTest : public testing::Test {
 protected:
  using Map = MapOf<Family, int, std::string>;

  // The call that the others wait for: it ends when it is told to.
  template <class Last>
  void first_call(Last last) {
    (void)map_.get_or_insert_with(
        key,
        [&]() -> std::string {
          ++made_;
          loading_.count_down();
          end_.wait();
          return last();
        },
        share_failure);
  }

  // Makes a value at once. `map_` holds what it comes to.
  std::string make_quickly() {
    ++made_;
    return "made by a waiter";
  }

  // Starts the first call, which throws `message`, and all that wait for it; returns when they
  // wait.
  template <class Wait>
  void start(const std::string& message, int waiters, Wait wait) {
    workers_.emplace_back([this, message] {
      EXPECT_EQ(message_of([&] {
                  first_call([&]() -> std::string { throw std::runtime_error(message); });
                }),
                message);
    });
    loading_.wait();
    for (int i = 0; i < waiters; ++i) workers_.emplace_back(wait);
    await_waiters(map_, key, static_cast<std::size_t>(waiters));
  }

  void finish() {
    end_.count_down();
    workers_.clear();
  }

  // The exception of `call`; empty if it throws nothing. The exception is kept for as long as the
  // test: ThreadSanitizer does not see the counting of references in the standard library, and
  // would report that one thread destroys it after another has read it.
  template <class Call>
  std::string message_of(Call call) {
    try {
      call();
    } catch (const std::runtime_error& error) {
      const std::lock_guard<std::mutex> lock(mutex_);
      exceptions_.push_back(std::current_exception());
      return error.what();
    }
    return {};
  }

  Map map_ = make_map<Map>();
  std::atomic<int> made_ = 0;
  std::atomic<int> failed_ = 0;
  std::latch loading_{1};
  std::latch end_{1};
  std::mutex mutex_;
  std::vector<std::exception_ptr> exceptions_;
  std::deque<Worker> workers_;
};

LOCKMAP_TEST_BOTH(ShareFailureTest, AllThatWaitedGetTheException) {
  this->start("no value", callers - 1, [this] {
    const std::string message = this->message_of([this] {
      (void)this->map_.get_or_insert_with(
          key, [this] { return this->make_quickly(); }, share_failure);
    });
    EXPECT_EQ(message, "no value");
    ++this->failed_;
  });
  this->finish();
  EXPECT_EQ(this->made_, 1);
  EXPECT_EQ(this->failed_, callers - 1);
  EXPECT_TRUE(this->map_.empty());
  expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(ShareFailureTest, WithoutItEachTries) {
  this->start("no value", callers - 1, [this] {
    const std::string message = this->message_of([this] {
      (void)this->map_.get_or_insert_with(key, [this]() -> std::string {
        ++this->made_;
        throw std::runtime_error("none either");
      });
    });
    EXPECT_EQ(message, "none either");
  });
  this->finish();
  EXPECT_EQ(this->made_, callers);
  EXPECT_TRUE(this->map_.empty());
  expect_quiet(this->map_);
}

// Those that want the failure get it, wherever the first of the others comes in.
LOCKMAP_TEST_BOTH(ShareFailureTest, SomeWantItAndOthersTry) {
  std::atomic<int> number = 0;
  this->start("no value", callers, [this, &number] {
    std::string value;
    if (number++ % 2 == 0) {
      const std::string message = this->message_of([&] {
        value = this->map_.get_or_insert_with(
            key, [this] { return this->make_quickly(); }, share_failure);
      });
      // The failure, unless one that tried was before it, and stored.
      EXPECT_TRUE(message == "no value" || value == "made by a waiter") << message << value;
      if (!message.empty()) ++this->failed_;
    } else {
      value = this->map_.get_or_insert_with(key, [this] { return this->make_quickly(); });
      EXPECT_EQ(value, "made by a waiter");
    }
  });
  this->finish();
  EXPECT_EQ(this->made_, 2);
  EXPECT_EQ(this->map_.get(key), "made by a waiter");
  expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(ShareFailureTest, ASuccessIsSharedAsEver) {
  this->workers_.emplace_back([this] { this->first_call([] { return std::string("value"); }); });
  this->loading_.wait();
  for (int i = 0; i < callers; ++i) {
    this->workers_.emplace_back([this] {
      EXPECT_EQ(this->map_.get_or_insert_with(
                    key, [this] { return this->make_quickly(); }, share_failure),
                "value");
    });
  }
  await_waiters(this->map_, key, callers);
  this->finish();
  EXPECT_EQ(this->made_, 1);
  expect_quiet(this->map_);
}

// A call that begins after the failure has not waited for it.
LOCKMAP_TEST_BOTH(ShareFailureTest, TheNextCallTries) {
  auto& map = this->map_;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(this->message_of([&] {
      (void)map.get_or_insert_with(
          key, [&]() -> std::string { throw std::runtime_error(std::to_string(i)); },
          share_failure);
    }),
              std::to_string(i));
  }
  EXPECT_EQ(map.get_or_insert_with(
                key, [] { return std::string("value"); }, share_failure),
            "value");
  EXPECT_EQ(map.get_or_insert_with(
                key, []() -> std::string { throw std::runtime_error("unused"); }, share_failure),
            "value");
  expect_quiet(map);
}

// Waiting for a guard is not waiting for a load: there is no failure to share.
LOCKMAP_TEST_BOTH(ShareFailureTest, WhoWaitedForAGuardTries) {
  auto& map = this->map_;
  EXPECT_EQ(expect_waits(map, key,
                         [&] {
                           return map.get_or_insert_with(
                               key, [] { return std::string("value"); }, share_failure);
                         }),
            "value");
  EXPECT_EQ(expect_waits(
                map, key,
                [&] {
                  return map.get_or_insert_with(
                      key, [] { return std::string("unused"); }, share_failure);
                },
                [](auto& guard) { guard.insert("of the guard"); }),
            "of the guard");
  expect_quiet(map);
}

// Loads of other keys of the shard share nothing.
LOCKMAP_TEST_BOTH(ShareFailureTest, OtherKeysAreNotConcerned) {
  auto map = make_map<typename TestFixture::Map>(1);
  std::latch both(2);
  std::latch end(1);
  std::deque<Worker>& workers = this->workers_;
  for (const int own : {1, 2}) {
    workers.emplace_back([&, own] {
      const std::string message = this->message_of([&] {
        (void)map.get_or_insert_with(
            own,
            [&]() -> std::string {
              both.count_down();
              end.wait();
              if (own == 1) throw std::runtime_error("no value");
              return "two";
            },
            share_failure);
      });
      EXPECT_EQ(message, own == 1 ? "no value" : "");
    });
  }
  both.wait();
  for (const int own : {1, 2}) {
    for (int i = 0; i < 4; ++i) {
      workers.emplace_back([&, own] {
        std::string value;
        const std::string message = this->message_of([&] {
          value = map.get_or_insert_with(
              own, [] { return std::string("unused"); }, share_failure);
        });
        EXPECT_EQ(message, own == 1 ? "no value" : "");
        EXPECT_EQ(value, own == 1 ? "" : "two");
      });
    }
    await_waiters(map, own, 4);
  }
  end.count_down();
  workers.clear();
  EXPECT_EQ(map.size(), 1U);
  expect_quiet(map);
}

}  // namespace
}  // namespace lockmap::test::failures
