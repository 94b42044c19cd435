// A child of fork has one thread, the one that forked. Whatever the map knows of the others must
// not keep the child from using it.
#include <gtest/gtest.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <coroutine>
#include <csignal>
#include <cstddef>
#include <deque>
#include <lockmap/lockmap.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <system_error>
#include <utility>

#include "coroutines.hpp"
#include "maps.hpp"
#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap::test {
namespace {

using namespace std::chrono_literals;

// How the child ends if it does not hang. Everything that fails has a code of its own.
constexpr int all_is_well = 0;
constexpr int exception = 99;

// Forks, and returns how the child ended in which `work` ran, in words. `work` returns the exit
// code. A child that hangs ends by itself.
template <class F>
std::string end_of_child(F work) {
  constexpr unsigned seconds_until_it_hangs = 10;
  const pid_t child = fork();
  if (child == 0) {
    alarm(seconds_until_it_hangs);
    int code = exception;
    try {
      code = work();
    } catch (...) {
    }
    _exit(code);
  }
  if (child < 0) return "fork: " + std::generic_category().message(errno);
  int status = 0;
  if (waitpid(child, &status, 0) != child) {
    return "waitpid: " + std::generic_category().message(errno);
  }
  if (WIFEXITED(status)) {
    return WEXITSTATUS(status) == all_is_well ? "well"
                                              : "exit code " + std::to_string(WEXITSTATUS(status));
  }
  return WTERMSIG(status) == SIGALRM ? "hung" : "signal " + std::to_string(WTERMSIG(status));
}

// All that a child does with a map in which the keys from 0 to 9 have values. The code tells which
// step failed.
template <class Map>
int use_everything(Map& map) {
  constexpr int keys = 10;
  int step = 1;
  if (map.get(1) != 1) return step;
  ++step;
  if (map.insert(1, 11) != 1) return step;
  ++step;
  if (map.insert(100, 100).has_value()) return step;
  ++step;
  if (map.size() != keys + 1) return step;
  ++step;
  int visited = 0;
  map.for_each([&](int /*key*/, int /*value*/) { ++visited; });
  if (visited != keys + 1) return step;
  ++step;
  if (map.remove(2) != 2) return step;
  ++step;
  if (auto batch = map.batch_lock({1, 2, 3}); batch.size() != 3) return step;
  ++step;
  for (int i = 0; i < 1000; ++i) {
    if (map.get(1) != 11) return step;
  }
  ++step;
  map.clear();
  if (!map.empty()) return step;
  return all_is_well;
}

struct Gate {
  std::atomic<bool> reader_is_inside{false};
  std::atomic<bool> open{false};
};

struct GatedKey {
  int key;
  Gate* gate;
};

struct Hash {
  using is_transparent = void;
  std::size_t operator()(int key) const { return static_cast<std::size_t>(key); }
  std::size_t operator()(const GatedKey& gated) const { return (*this)(gated.key); }
};

// Stops a reader in the middle of a look-up.
struct Equal {
  using is_transparent = void;
  bool operator()(int a, int b) const { return a == b; }
  bool operator()(const GatedKey& a, int b) const {
    if (a.key != b) return false;
    a.gate->reader_is_inside.store(true);
    await([&] { return a.gate->open.load(); }, "a test to let its reader go on");
    return true;
  }
  bool operator()(int a, const GatedKey& b) const { return (*this)(b, a); }
};

template <class Family>
class ForkTest : public testing::Test {
 protected:
  using Map = MapOf<Family, int, int, Hash, Equal>;

  ForkTest() {
    for (int key = 0; key < 10; ++key) (void)map_.insert(key, key);
  }

  Map map_ = make_map<Map>(1);
};

// A look-up that does not promote.
template <class Map, class Q>
std::optional<int> look_up(const Map& map, const Q& key) {
  if constexpr (is_lru<Map>) {
    return map.peek(key);
  } else {
    return map.get(key);
  }
}

// Makes the map let readers announce themselves instead of locking: from then on they hold no lock.
template <class Map>
void read_often(const Map& map) {
  for (int i = 0; i < 10'000; ++i) ASSERT_EQ(look_up(map, 1), 1);
  ASSERT_EQ(detail::TestAccess::biased_shards(map), 1U);
}

LOCKMAP_TEST_BOTH(ForkTest, AChildWritesWhileAThreadOfItsParentReads) {
  auto& map = this->map_;
  Gate gate;
  std::string end;
  {
    Worker reader([&] {
      read_often(map);
      EXPECT_EQ(look_up(map, GatedKey{1, &gate}), 1);
    });
    await([&] { return gate.reader_is_inside.load() || reader.done(); }, "the reader");
    end = end_of_child([&] { return use_everything(map); });
    gate.open.store(true);
  }
  EXPECT_EQ(end, "well");
}

// The forking thread has itself announced reads, and still may in the child.
LOCKMAP_TEST_BOTH(ForkTest, AChildReadsAsItsParentDid) {
  auto& map = this->map_;
  read_often(map);
  EXPECT_EQ(end_of_child([&] {
              if (use_everything(map) != all_is_well) return 50;
              if (map.insert(1, 1).has_value()) return 51;
              for (int i = 0; i < 10'000; ++i) {
                if (look_up(map, 1) != 1) return 52;
              }
              return detail::TestAccess::biased_shards(map) == 1 ? all_is_well : 53;
            }),
            "well");
  EXPECT_EQ(look_up(map, 1), 1);
}

LOCKMAP_TEST_BOTH(ForkTest, ChildrenWriteWhileThreadsOfTheirParentRead) {
  constexpr int forks = scaled(16);
  auto& map = this->map_;
  std::atomic<bool> stop{false};
  std::atomic<int> reading{0};
  std::deque<Worker> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      read_often(map);
      reading.fetch_add(1);
      while (!stop.load(std::memory_order_relaxed)) (void)look_up(map, 1);
    });
  }
  await([&] { return reading.load() == 2; }, "two readers");
  int well = 0;
  std::string last_failure;
  for (int i = 0; i < forks && last_failure.empty(); ++i) {
    const std::string end = end_of_child([&] { return use_everything(map); });
    if (end == "well") {
      ++well;
    } else {
      last_failure = end;
    }
  }
  stop.store(true);
  readers.clear();
  EXPECT_EQ(well, forks) << "the child after those: " << last_failure;
}

// A release in the child has nobody to hand the key to.
LOCKMAP_TEST_BOTH(ForkTest, AChildReleasesAKeyThatThreadsOfItsParentWaitFor) {
  constexpr int key = 1;
  auto& map = this->map_;
  std::string end;
  {
    std::deque<Worker> waiters;
    auto entry = std::optional(map.entry(key));
    waiters.emplace_back([&] { EXPECT_TRUE(map.entry(key).has_value()); });
    waiters.emplace_back([&] { EXPECT_EQ(map.get(key), 1); });
    waiters.emplace_back([&] { EXPECT_TRUE(map.try_entry_for(key, 1h).has_value()); });
    await_waiters(map, key, 3);
    await([&] { return detail::TestAccess::parked(map, key) == 3; }, "three threads to sleep");
    end = end_of_child([&] {
      entry.reset();
      for (int i = 0; i < 100; ++i) {
        // Long enough for a hand-over to be due.
        auto again = map.entry(key);
        if (!again.has_value()) return 50;
        if (map.try_entry(key).has_value()) return 51;
      }
      {
        const auto again = map.entry(key);
        pass_time(2ms);
      }
      if (!map.try_entry(key).has_value()) return 52;
      if (!map.try_entry_for(key, 1ms).has_value()) return 53;
      return use_everything(map);
    });
    entry.reset();
  }
  EXPECT_EQ(end, "well");
  EXPECT_EQ(map.get(key), 1);
}

// The remains of waiting threads hold no key back, and makes no cycle.
LOCKMAP_TEST_BOTH(ForkTest, AChildFindsDeadlocksOfItsOwnOnly) {
  auto& map = this->map_;
  std::string end;
  {
    auto entry = std::optional(map.entry(1));
    Worker waiter([&] {
      const auto held = map.entry(2);
      EXPECT_TRUE(map.entry(1).has_value());
    });
    await_waiters(map, 1, 1);
    await([&] { return detail::TestAccess::parked(map, 1) == 1; }, "a thread to sleep");
    end = end_of_child([&] {
      if (map.try_entry(2).has_value()) return 50;  // the thread that holds it is gone
      try {
        (void)map.entry(1);
        return 51;
      } catch (const std::system_error&) {
      }
      entry.reset();
      if (map.try_entry_for(2, 1ms).has_value()) return 52;
      const auto again = map.entry(1);
      return again.has_value() ? all_is_well : 53;
    });
    entry.reset();
  }
  EXPECT_EQ(end, "well");
}

// -- Tasks: the child has a copy of each coroutine, and nobody but its one thread to run it. -----

// Holds the key while it is suspended for a second time, until it is resumed or destroyed.
template <class Map>
Coroutine hold(Map& map, int key, std::coroutine_handle<>& suspended, AsyncOptions options) {
  struct Pause {
    static bool await_ready() noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) const noexcept { *paused = handle; }
    static void await_resume() noexcept {}
    std::coroutine_handle<>* paused;
  };
  auto entry = co_await map.async_entry(key, std::move(options));
  co_await Pause{&suspended};
  entry.insert(key * 11);
}

// Resumed or destroyed, a task lets go in the child what it held when the process was forked.
LOCKMAP_TEST_BOTH(ForkTest, AChildEndsATaskThatHoldsAKey) {
  auto& map = this->map_;
  for (const bool resumes : {false, true}) {
    Owner owner;
    std::coroutine_handle<> suspended;
    auto task = hold(map, 1, suspended, {.owner = &owner});
    ASSERT_TRUE(suspended);
    const auto end_task = [&] {
      if (resumes) {
        suspended.resume();
      } else {
        task.destroy();
      }
    };
    EXPECT_EQ(end_of_child([&] {
                if (map.try_entry(1).has_value()) return 50;
                end_task();
                if (map.insert(1, 1) != (resumes ? 11 : 1)) return 51;
                return use_everything(map);
              }),
              "well");
    EXPECT_FALSE(map.try_entry(1).has_value()) << "the parent's is another one";
    end_task();
    EXPECT_EQ(map.insert(1, 1), resumes ? 11 : 1);
  }
}

// One that waited is as a thread that waited: nobody resumes it in the child, and it keeps nobody
// out. It may be stopped and destroyed there, before and after the key has gone on without it.
LOCKMAP_TEST_BOTH(ForkTest, ATaskThatWaitedIsNotHandedTheKeyInAChild) {
  auto& map = this->map_;
  for (int what = 0; what < 6; ++what) {
    Owner owner;
    std::stop_source stop;
    std::coroutine_handle<> suspended;
    std::optional held(map.entry(1).detach());
    std::optional other(map.entry(2).detach(owner));  // so that its wait is in the graph
    std::optional task(hold(map, 1, suspended, {.owner = &owner, .stop = stop.get_token()}));
    auto last = hold(map, 1, suspended, {});
    const std::string end = end_of_child([&] {
      const bool early = what < 3;
      if (!early) held.reset();
      switch (what % 3) {
        case 0:
          break;
        case 1:
          task.reset();
          break;
        default:
          stop.request_stop();
          if (task->done() != early) return 50;
      }
      if (early) held.reset();
      if (suspended) return 51;
      if (!map.try_entry(1).has_value()) return 52;
      other.reset();
      auto again = hold(map, 1, suspended, {.owner = &owner});
      if (!suspended) return 53;
      auto waiting = hold(map, 1, suspended, {});
      again.destroy();
      if (detail::TestAccess::waiters(map, 1) != 0) return 54;
      waiting.destroy();
      task.reset();
      last.destroy();
      detail::TestAccess::check_invariants(map);
      if (testing::Test::HasFailure()) return 55;
      return use_everything(map);
    });
    EXPECT_EQ(end, "well") << what;
    held.reset();
    EXPECT_TRUE(suspended) << "the parent's is handed the key";
    other.reset();
  }
}

// A child that is forked by a task that was resumed by a release: the others that the same release
// let go on are in the thread's queue, and go on in the child, as in the parent.
LOCKMAP_TEST_BOTH(ForkTest, ATaskForksBeforeOthersAreResumed) {
  auto& map = this->map_;
  std::string end;
  int resumed = 0;
  bool in_child = false;
  const auto fork_or_count = [&](bool forks) -> Coroutine {
    auto entry = co_await map.async_shared_entry(1);
    ++resumed;
    if (!forks) co_return;
    entry.unlock();
    end = end_of_child([&] {
      in_child = true;
      auto mine = map.entry(1);  // it resumes the others before it sleeps
      mine.unlock();
      if (resumed != 3) return 50;
      return use_everything(map);
    });
  };
  std::optional held(map.entry(1));
  auto first = fork_or_count(true);
  auto second = fork_or_count(false);
  auto third = fork_or_count(false);
  held.reset();
  EXPECT_EQ(end, "well");
  EXPECT_EQ(resumed, 3);
  EXPECT_FALSE(in_child);
}

}  // namespace
}  // namespace lockmap::test
