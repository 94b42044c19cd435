// Deadlocks between tasks, and between tasks and threads: found when they are, and only then.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <stop_token>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "coroutines.hpp"
#include "maps.hpp"
#include "test_access.hpp"
#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap::test {
namespace async_deadlock_test {

using detail::Mode;
using detail::TestAccess;

enum class Outcome { none, held, deadlock, canceled };

// One owner, and what it holds.
template <class Map>
struct Actor {
  struct Held {
    int key;
    Mode mode;
    std::variant<typename Map::TaskEntry, typename Map::SharedTaskEntry> entry;
  };

  Owner owner;
  std::vector<Held> holds;
  Coroutine request;
  Outcome outcome = Outcome::none;

  ~Actor() {
    request.destroy();
    holds.clear();
  }

  void ask(Map& map, int key, Mode mode, AsyncOptions options = {}) {
    outcome = Outcome::none;
    options.owner = &owner;
    request = run(map, key, mode, std::move(options));
  }

  Coroutine run(Map& map, int key, Mode mode, AsyncOptions options) {
    try {
      if (mode == Mode::exclusive) {
        auto entry = co_await map.async_entry(key, std::move(options));
        holds.push_back({key, mode, std::move(entry)});
      } else {
        auto entry = co_await map.async_shared_entry(key, std::move(options));
        holds.push_back({key, mode, std::move(entry)});
      }
      outcome = Outcome::held;
    } catch (const std::system_error& error) {
      outcome = error.code() == std::errc::resource_deadlock_would_occur ? Outcome::deadlock
                                                                         : Outcome::canceled;
    }
  }
};

template <class Family>
class AsyncDeadlockTest : public testing::Test {
 public:
  using TestedMap = MapOf<Family, int, int>;
  using TestedActor = Actor<TestedMap>;
  void TearDown() override {
    TestAccess::check_invariants(map_);
    EXPECT_EQ(TestAccess::blocked_owners(), 0U);
  }
  TestedMap map_ = make_map<TestedMap>();
};

LOCKMAP_TEST_BOTH(AsyncDeadlockTest, AnOwnerThatAsksForWhatItHolds) {
  typename TestFixture::TestedActor actor;
  actor.ask(this->map_, 1, Mode::exclusive);
  for (const Mode mode : {Mode::exclusive, Mode::shared}) {
    actor.ask(this->map_, 1, mode);
    EXPECT_EQ(actor.outcome, Outcome::deadlock);
  }
  actor.ask(this->map_, 2, Mode::shared);
  actor.ask(this->map_, 2, Mode::exclusive);
  EXPECT_EQ(actor.outcome, Outcome::deadlock);
  EXPECT_EQ(actor.holds.size(), 2U);
}

LOCKMAP_TEST_BOTH(AsyncDeadlockTest, AnOwnerReadsAgainWhoeverWaits) {
  typename TestFixture::TestedActor reader;
  typename TestFixture::TestedActor writer;
  reader.ask(this->map_, 1, Mode::shared);
  writer.ask(this->map_, 1, Mode::exclusive);
  EXPECT_EQ(writer.outcome, Outcome::none);
  reader.ask(this->map_, 1, Mode::shared);
  EXPECT_EQ(reader.outcome, Outcome::held);
  reader.holds.clear();
  EXPECT_EQ(writer.outcome, Outcome::held);
}

LOCKMAP_TEST_BOTH(AsyncDeadlockTest, TwoTasks) {
  typename TestFixture::TestedActor a;
  typename TestFixture::TestedActor b;
  a.ask(this->map_, 1, Mode::exclusive);
  b.ask(this->map_, 2, Mode::exclusive);
  a.ask(this->map_, 2, Mode::exclusive);
  EXPECT_EQ(a.outcome, Outcome::none);
  EXPECT_EQ(TestAccess::blocked_owners(), 1U);
  b.ask(this->map_, 1, Mode::exclusive);
  EXPECT_EQ(b.outcome, Outcome::deadlock);
  EXPECT_EQ(TestAccess::waiters(this->map_, 1), 0U);
  b.holds.clear();
  EXPECT_EQ(a.outcome, Outcome::held);
}

LOCKMAP_TEST_BOTH(AsyncDeadlockTest, ATaskAndAThread) {
  typename TestFixture::TestedActor task;
  task.ask(this->map_, 1, Mode::exclusive);
  {
    // The thread closes the cycle.
    auto mine = this->map_.entry(2);
    task.ask(this->map_, 2, Mode::shared);
    EXPECT_EQ(task.outcome, Outcome::none);
    EXPECT_THROW((void)this->map_.entry(1), std::system_error);
    EXPECT_THROW((void)this->map_.get(1), std::system_error);
  }
  EXPECT_EQ(task.outcome, Outcome::held);
  task.holds.erase(task.holds.begin() + 1);
  // The task does.
  Worker thread([&] {
    auto mine = this->map_.entry(3);
    (void)this->map_.entry(1);
  });
  await([] { return TestAccess::blocked_owners() == 1; }, "the thread to block");
  task.ask(this->map_, 3, Mode::exclusive);
  EXPECT_EQ(task.outcome, Outcome::deadlock);
  task.holds.clear();
}

LOCKMAP_TEST_BOTH(AsyncDeadlockTest, NobodyIsPartOfACycle) {
  const auto wait = [](auto& map) -> Coroutine {
    auto first = co_await map.async_entry(1);
    auto second = co_await map.async_entry(2);
  };
  auto mine = this->map_.entry(2);
  auto task = wait(this->map_);
  EXPECT_FALSE(this->map_.try_entry_for(1, std::chrono::milliseconds(1)).has_value());
  mine.unlock();
  EXPECT_TRUE(task.done());
}

LOCKMAP_TEST_BOTH(AsyncDeadlockTest, ADetachedHoldIsPartOfOneIfItHasAnOwner) {
  typename TestFixture::TestedActor task;
  auto detached = this->map_.entry(1).detach(task.owner);
  auto mine = this->map_.entry(2);
  task.ask(this->map_, 2, Mode::exclusive);
  EXPECT_THROW((void)this->map_.entry(1), std::system_error);
  auto shared = std::move(detached).downgrade();
  EXPECT_THROW((void)this->map_.entry(1), std::system_error);
  EXPECT_TRUE(this->map_.try_shared_entry(1).has_value());
  auto again = std::move(shared).try_upgrade();
  EXPECT_THROW((void)this->map_.get(1), std::system_error);
  again.reset();
  EXPECT_TRUE(this->map_.try_entry(1).has_value());
  mine.unlock();
  EXPECT_EQ(task.outcome, Outcome::held);
}

LOCKMAP_TEST_BOTH(AsyncDeadlockTest, AWaitThatHasEndedIsNoEdge) {
  for (const bool stopped : {false, true}) {
    typename TestFixture::TestedActor task;
    std::stop_source stop;
    task.ask(this->map_, 1, Mode::exclusive);
    auto mine = this->map_.entry(2);
    task.ask(this->map_, 2, Mode::exclusive, {.stop = stop.get_token()});
    EXPECT_EQ(TestAccess::blocked_owners(), 1U);
    if (stopped) {
      stop.request_stop();
      EXPECT_EQ(task.outcome, Outcome::canceled);
    } else {
      task.request.destroy();
    }
    EXPECT_EQ(TestAccess::blocked_owners(), 0U);
    EXPECT_FALSE(this->map_.try_entry_for(1, std::chrono::milliseconds(1)).has_value());
  }
}

// Nor is one that has ended before its coroutine has gone on and taken its edge away.
LOCKMAP_TEST_BOTH(AsyncDeadlockTest, ATaskThatHasYetToGoOnDoesNotWait) {
  using TaskEntry = typename TestFixture::TestedMap::TaskEntry;
  for (const bool stopped : {false, true}) {
    typename TestFixture::TestedActor a;
    typename TestFixture::TestedActor b;
    std::stop_source stop;
    std::coroutine_handle<> resumed;
    a.ask(this->map_, 1, Mode::exclusive);
    b.ask(this->map_, 2, Mode::exclusive);
    a.ask(this->map_, 2, Mode::shared,
          {.stop = stop.get_token(),
           .resume = [&resumed](std::coroutine_handle<> handle) { resumed = handle; }});
    if (stopped) {
      stop.request_stop();
    } else {
      auto shared = std::get<TaskEntry>(std::move(b.holds[0].entry)).downgrade();
      b.holds[0] = {2, Mode::shared, std::move(shared)};
    }
    ASSERT_TRUE(resumed);
    b.ask(this->map_, 1, Mode::exclusive);
    EXPECT_EQ(b.outcome, Outcome::none) << "it waits: a holds 1, and waits for nothing";
    resumed.resume();
    EXPECT_EQ(a.outcome, stopped ? Outcome::canceled : Outcome::held);
    a.holds.clear();
    EXPECT_EQ(b.outcome, Outcome::held);
  }
}

LOCKMAP_TEST_BOTH(AsyncDeadlockTest, AGrantedTaskIsNotWaiting) {
  // It has the key, and has not been resumed: whoever asks for what it holds waits.
  for (const Mode mode : {Mode::exclusive, Mode::shared}) {
    std::coroutine_handle<> resumed;
    typename TestFixture::TestedActor task;
    task.ask(this->map_, 1, Mode::exclusive);
    std::optional<typename TestFixture::TestedMap::Entry> mine(this->map_.entry(2));
    const auto other = this->map_.entry(3);
    task.ask(this->map_, 2, mode,
             {.resume = [&](std::coroutine_handle<> handle) { resumed = handle; }});
    mine.reset();
    EXPECT_FALSE(this->map_.try_entry_for(1, std::chrono::milliseconds(1)).has_value());
    EXPECT_FALSE(this->map_.try_entry_for(2, std::chrono::milliseconds(1)).has_value());
    resumed.resume();
    EXPECT_EQ(task.outcome, Outcome::held);
  }
}

// -- Against brute force ---------------------------------------------------------------------

// Owners take and release keys of two maps at random, also while they wait. A plain model says who
// holds what and who waits, and whether a wait would close a cycle.
template <class Map>
class Schedule {
 public:
  explicit Schedule(unsigned seed) : random_(seed) {
    actors_.resize(2 + random_() % 6);
    for (auto& actor : actors_) actor = std::make_unique<Actor<Map>>();
    waits_.resize(actors_.size());
  }
  ~Schedule() {
    for (auto& actor : actors_) actor->request.destroy();
  }
  Schedule(const Schedule&) = delete;
  Schedule& operator=(const Schedule&) = delete;

  void run(int steps) {
    for (int i = 0; i < steps && !testing::Test::HasFailure(); ++i) {
      const std::size_t who = random_() % actors_.size();
      const auto dice = random_() % 10;
      if (dice < 3 && !actors_[who]->holds.empty()) {
        release(who);
      } else if (waits_[who].has_value()) {
        if (dice == 9) give_up(who);
      } else {
        ask(who, static_cast<int>(random_() % key_count),
            random_() % 2 == 0 ? Mode::exclusive : Mode::shared);
      }
      check();
    }
    for (const auto& map : maps_) TestAccess::check_invariants(map);
  }

  int deadlocks() const { return deadlocks_; }

 private:
  static constexpr std::size_t key_count = 6;

  struct Wait {
    std::size_t key;
    Mode mode;
  };
  struct Key {
    std::vector<std::pair<std::size_t, Mode>> holders;
    std::deque<std::size_t> queue;
  };

  Map& map_of(std::size_t key) { return maps_[key % maps_.size()]; }

  bool holds(std::size_t who, std::size_t key, Mode mode) const {
    const auto& holders = keys_[key].holders;
    return std::count(holders.begin(), holders.end(), std::pair(who, mode)) != 0;
  }

  void ask(std::size_t who, int number, Mode mode) {
    const auto key = static_cast<std::size_t>(number);
    Outcome expected = Outcome::none;
    Key& wanted = keys_[key];
    if (holds(who, key, Mode::exclusive) ||
        (mode == Mode::exclusive && holds(who, key, Mode::shared))) {
      expected = Outcome::deadlock;
    } else if (wanted.holders.empty() || (mode == Mode::shared && holds(who, key, Mode::shared)) ||
               (mode == Mode::shared && wanted.queue.empty() &&
                wanted.holders.front().second == Mode::shared)) {
      wanted.holders.emplace_back(who, mode);
      expected = Outcome::held;
    } else if (reaches(key, who)) {
      expected = Outcome::deadlock;
    } else {
      wanted.queue.push_back(who);
      waits_[who] = Wait{key, mode};
    }
    deadlocks_ += expected == Outcome::deadlock ? 1 : 0;
    actors_[who]->ask(map_of(key), number, mode);
    EXPECT_EQ(actors_[who]->outcome, expected);
  }

  // Whether whoever waits for the key waits for that owner.
  bool reaches(std::size_t key, std::size_t who) const {
    std::vector<std::size_t> todo{key};
    std::vector<bool> seen(actors_.size());
    while (!todo.empty()) {
      const std::size_t next = todo.back();
      todo.pop_back();
      for (const auto& [holder, mode] : keys_[next].holders) {
        if (holder == who) return true;
        if (seen[holder] || !waits_[holder].has_value()) continue;
        seen[holder] = true;
        todo.push_back(waits_[holder]->key);
      }
    }
    return false;
  }

  void release(std::size_t who) {
    auto& mine = actors_[who]->holds;
    const std::size_t index = random_() % mine.size();
    const auto key = static_cast<std::size_t>(mine[index].key);
    auto& holders = keys_[key].holders;
    holders.erase(std::find(holders.begin(), holders.end(), std::pair(who, mine[index].mode)));
    admit(key);
    const auto hold = std::move(mine[index]);
    mine.erase(mine.begin() + static_cast<std::ptrdiff_t>(index));
  }

  void give_up(std::size_t who) {
    const std::size_t key = waits_[who]->key;
    auto& queue = keys_[key].queue;
    queue.erase(std::find(queue.begin(), queue.end(), who));
    waits_[who].reset();
    admit(key);
    actors_[who]->request.destroy();
  }

  void admit(std::size_t key) {
    auto& [holders, queue] = keys_[key];
    while (!queue.empty()) {
      const std::size_t next = queue.front();
      const Mode mode = waits_[next]->mode;
      if (!holders.empty() &&
          (mode == Mode::exclusive || holders.front().second == Mode::exclusive)) {
        break;
      }
      holders.emplace_back(next, mode);
      waits_[next].reset();
      queue.pop_front();
    }
  }

  void check() const {
    std::size_t holds = 0;
    for (const Key& key : keys_) holds += key.holders.size();
    for (std::size_t who = 0; who < actors_.size(); ++who) {
      if (waits_[who].has_value()) {
        EXPECT_EQ(actors_[who]->outcome, Outcome::none);
      }
      for (const auto& hold : actors_[who]->holds) {
        EXPECT_TRUE(this->holds(who, static_cast<std::size_t>(hold.key), hold.mode));
        --holds;
      }
    }
    EXPECT_EQ(holds, 0U) << "somebody should hold a key and does not, or the reverse";
  }

  std::mt19937 random_;
  std::array<Map, 2> maps_{make_map<Map>(), make_map<Map>()};
  std::array<Key, key_count> keys_;
  std::vector<std::unique_ptr<Actor<Map>>> actors_;
  std::vector<std::optional<Wait>> waits_;
  int deadlocks_ = 0;
};

LOCKMAP_TEST_BOTH(AsyncDeadlockTest, FindsWhatBruteForceFinds) {
  int deadlocks = 0;
  for (unsigned seed = 0; seed < static_cast<unsigned>(scaled(2000)); ++seed) {
    SCOPED_TRACE(seed);
    Schedule<typename TestFixture::TestedMap> schedule(seed);
    schedule.run(60);
    deadlocks += schedule.deadlocks();
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(deadlocks, scaled(2000));
}

// Tasks on threads, and threads, that take two keys each in any order: every deadlock is found, or
// the test would not end; and whoever gets the error lets go and tries again.
LOCKMAP_TEST_BOTH(AsyncDeadlockTest, TasksAndThreadsTogether) {
  constexpr int keys = 4;
  constexpr int rounds = scaled(300);
  auto& map = this->map_;
  const auto transfer = [](auto& m, Executor& executor, unsigned seed) -> Coroutine {
    std::mt19937 random(seed);
    co_await executor.schedule();
    for (int i = 0; i < rounds; ++i) {
      const int first = static_cast<int>(random() % keys);
      const int second = static_cast<int>(random() % keys);
      if (first == second) continue;
      Owner owner;
      const AsyncOptions options{.owner = &owner, .resume = executor.resume()};
      try {
        auto a = co_await m.async_entry(first, options);
        co_await executor.schedule();
        auto b = co_await m.async_entry(second, options);
        ++a.or_insert(0);
        --b.or_insert(0);
      } catch (const std::system_error& error) {
        EXPECT_EQ(error.code(), std::errc::resource_deadlock_would_occur);
      }
    }
  };
  {
    std::vector<Coroutine> tasks;
    Executor executor(2);
    for (unsigned i = 0; i < 6; ++i) tasks.push_back(transfer(map, executor, i));
    run_together(2, [&](int thread) {
      std::mt19937 random(100U + static_cast<unsigned>(thread));
      for (int i = 0; i < rounds; ++i) {
        const int first = static_cast<int>(random() % keys);
        const int second = static_cast<int>(random() % keys);
        if (first == second) continue;
        try {
          auto a = map.entry(first);
          std::this_thread::yield();
          auto b = map.entry(second);
          ++a.or_insert(0);
          --b.or_insert(0);
        } catch (const std::system_error& error) {
          EXPECT_EQ(error.code(), std::errc::resource_deadlock_would_occur);
        }
      }
    });
    for (const Coroutine& task : tasks) {
      await([&] { return task.done(); }, "a task");
      task.check();
    }
  }
  int sum = 0;
  map.for_each([&](int, int value) { sum += value; });
  EXPECT_EQ(sum, 0);
}

}  // namespace async_deadlock_test
}  // namespace lockmap::test
