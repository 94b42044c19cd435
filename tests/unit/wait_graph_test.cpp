// The wait-for graph: cycles through exclusive and shared holds are found, and nothing else is.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <system_error>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "test_access.hpp"
#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap::test::wait_graph {
namespace {

using detail::ExclusiveAccess;
using detail::ExclusiveSection;
using detail::KeyLock;
using detail::Mode;
using detail::Owner;
using detail::OwnerId;
using detail::Released;
using detail::State;
using detail::StateWord;
using detail::TestAccess;
using detail::ThisModule;
using detail::Waiter;
using detail::WaitGraph;
using detail::WaitQueues;

// -- Against a graph by brute force ---------------------------------------------------------------

// A few owners take keys of two shards in a random order, in both modes, as threads would; who
// would have to wait is queued and adds an edge. A second, plain graph says whether that closes a
// cycle.
class Schedule {
 public:
  explicit Schedule(unsigned seed) : random_(seed) {
    const std::size_t owners = 2 + random_() % 7;
    for (std::size_t i = 0; i < owners; ++i) {
      actors_.push_back(std::make_unique<Actor>());
      actors_.back()->owner.id = first_id + i;
    }
    for (Key& key : keys_) key.shard = &shards_[random_() % shards_.size()];
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      Actor& actor = *actors_[random_() % actors_.size()];
      if (actor.waits_for != nullptr) {
        if (chance(15)) withdraw(actor);
      } else if (!actor.holds.empty() && chance(35)) {
        release(actor, random_() % actor.holds.size());
      } else {
        request(actor, keys_[random_() % keys_.size()],
                chance(50) ? Mode::shared : Mode::exclusive);
      }
      if (testing::Test::HasFailure()) return;
    }
    finish();
  }

  int cycles() const { return cycles_; }
  int waits() const { return waits_; }

 private:
  static constexpr OwnerId first_id = 1000;

  struct Shard : detail::StructureLock {
    Shard() : StructureLock(ThisModule::registry()) {}
    WaitQueues queues;
  };
  struct Key {
    KeyLock lock() { return {*shard, shard->queues, word}; }
    Shard* shard;
    StateWord word;
  };
  struct Hold {
    Key* key;
    Mode mode;
  };
  class NotingWaiter : public Waiter {
   public:
    NotingWaiter(Key& key, OwnerId owner, Mode mode)
        : Waiter(key.word, owner, mode, ThisModule::registry().generation.load(),
                 [](Waiter& self) noexcept { static_cast<NotingWaiter&>(self).woken = true; }) {
      // It starves from the beginning: whoever is admitted is granted the key.
      TestAccess::set_waiting_since(*this,
                                    std::chrono::steady_clock::now() - std::chrono::hours(1));
    }
    bool woken = false;
  };
  struct Actor {
    Owner owner;
    std::vector<Hold> holds;
    Key* waits_for = nullptr;
    std::optional<NotingWaiter> waiter;
    std::optional<KeyLock::Edge> edge;
  };

  bool chance(unsigned percent) { return random_() % 100 < percent; }

  static bool holds(const Actor& actor, const Key& key) {
    return std::any_of(actor.holds.begin(), actor.holds.end(),
                       [&](const Hold& hold) { return hold.key == &key; });
  }

  static void take(Actor& actor, Key& key, Mode mode) {
    ++actor.owner.held;
    if (mode == Mode::shared) actor.owner.shared.add(key.word);
    actor.holds.push_back({&key, mode});
  }

  void request(Actor& actor, Key& key, Mode mode) {
    if (holds(actor, key)) return;  // the map sees to that
    {
      const ExclusiveSection section(*key.shard);
      if (key.lock().pin_and_try_lock(section, actor.owner.id, mode)) {
        take(actor, key, mode);
        return;
      }
      key.lock().pin(section);
      actor.waiter.emplace(key, actor.owner.id, mode);
      ASSERT_FALSE(key.lock().lock_or_enqueue(section, *actor.waiter, false));
    }
    ++waits_;
    actor.waits_for = &key;
    // An owner without a hold needs no edge (I8): nobody waits for it.
    const bool closes = closes_cycle(actor);
    if (actor.owner.held == 0) {
      ASSERT_FALSE(closes);
      return;
    }
    ASSERT_EQ(actor.edge.emplace(key.lock(), actor.owner, *actor.waiter).add(), !closes);
    if (!closes) return;
    ++cycles_;
    expect_true_cycle(actor.edge->cycle(), actor);
    withdraw(actor);
  }

  // Each waits for a key that the next one holds.
  void expect_true_cycle(const WaitGraph::Cycle& cycle, const Actor& last) {
    ASSERT_GE(cycle.size(), 2U);
    EXPECT_EQ(cycle.front(), last.owner.id);
    for (std::size_t i = 0; i < cycle.size(); ++i) {
      const Actor& from = *actors_[cycle[i] - first_id];
      const Actor& to = *actors_[cycle[(i + 1) % cycle.size()] - first_id];
      ASSERT_NE(from.waits_for, nullptr);
      EXPECT_TRUE(holds(to, *from.waits_for));
    }
  }

  void withdraw(Actor& actor) {
    Key& key = *actor.waits_for;
    actor.edge.reset();
    Released released;
    {
      const ExclusiveSection section(*key.shard);
      ASSERT_TRUE(key.lock().withdraw(section, *actor.waiter));
      released = key.lock().unpin(section);
    }
    actor.waits_for = nullptr;
    go_on(released);
  }

  void release(Actor& actor, std::size_t index) {
    const auto [key, mode] = actor.holds[index];
    actor.holds.erase(actor.holds.begin() + static_cast<std::ptrdiff_t>(index));
    --actor.owner.held;
    if (mode == Mode::shared) actor.owner.shared.remove(key->word);
    Released released;
    {
      const ExclusiveSection section(*key->shard);
      released = mode == Mode::shared ? key->lock().release_shared(section)
                                      : key->lock().release(section, true);
    }
    go_on(released);
  }

  void go_on(Released& released) {
    released.to_wake.wake_all();
    for (const auto& actor : actors_) {
      if (actor->waits_for == nullptr || !actor->waiter->woken) continue;
      ASSERT_TRUE(actor->waiter->granted());
      Key& key = *actor->waits_for;
      actor->edge.reset();
      actor->waits_for = nullptr;
      take(*actor, key, actor->waiter->mode());
    }
  }

  // Whether a way leads from the actor, which is queued, back to it: each queued owner waits for
  // all that hold its key.
  bool closes_cycle(const Actor& start) const {
    std::vector<const Actor*> reached;
    std::vector<const Actor*> to_visit{&start};
    while (!to_visit.empty()) {
      const Actor& from = *to_visit.back();
      to_visit.pop_back();
      if (from.waits_for == nullptr) continue;
      for (const auto& to : actors_) {
        if (!holds(*to, *from.waits_for)) continue;
        if (to.get() == &start) return true;
        if (std::find(reached.begin(), reached.end(), to.get()) != reached.end()) continue;
        reached.push_back(to.get());
        to_visit.push_back(to.get());
      }
    }
    return false;
  }

  // Nobody waits for ever.
  void finish() {
    for (bool again = true; again;) {
      again = false;
      for (const auto& actor : actors_) {
        while (actor->waits_for == nullptr && !actor->holds.empty()) {
          release(*actor, 0);
          again = true;
        }
      }
    }
    for (const auto& actor : actors_) EXPECT_EQ(actor->waits_for, nullptr) << "a missed deadlock";
    for (Key& key : keys_) EXPECT_EQ(key.word.load(std::memory_order_relaxed).pins(), 0U);
  }

  std::mt19937 random_;
  std::array<Shard, 2> shards_;
  std::array<Key, 5> keys_{};
  std::vector<std::unique_ptr<Actor>> actors_;
  int cycles_ = 0;
  int waits_ = 0;
};

TEST(WaitGraphTest, FindsWhatBruteForceFinds) {
  int cycles = 0;
  int waits = 0;
  const int schedules = scaled(5000);
  for (int seed = 0; seed < schedules; ++seed) {
    Schedule schedule(static_cast<unsigned>(seed));
    schedule.run(60);
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
    cycles += schedule.cycles();
    waits += schedule.waits();
  }
  EXPECT_GT(cycles, schedules);
  EXPECT_GT(waits, 5 * schedules);
  EXPECT_EQ(TestAccess::blocked_owners(), 0U);
}

// -- With threads and maps ------------------------------------------------------------------------

bool is_deadlock(const std::system_error& error) {
  return error.code() == std::errc::resource_deadlock_would_occur;
}

void await_blocked(std::size_t owners) {
  await([&] { return TestAccess::blocked_owners() == owners; }, "owners to block");
}

template <class F>
void expect_deadlock(F f) {
  try {
    f();
    ADD_FAILURE() << "no error";
  } catch (const std::system_error& error) {
    EXPECT_TRUE(is_deadlock(error));
  }
}

template <class Family>
class SharedDeadlockTest : public testing::Test {
 protected:
  using Map = MapOf<Family, int, int>;

  // Another thread, which reads 1 and waits for 9.
  class BlockedReader {
   public:
    explicit BlockedReader(Map& map)
        : held_(map.entry(9)), reader_([&map] {
            const auto shared = map.shared_entry(1);
            (void)map.shared_entry(9);
          }) {
      await_blocked(1);
    }

    void release() {
      held_.unlock();
      reader_.join();
    }

   private:
    typename Map::Entry held_;
    Worker reader_;
  };

  Map map_ = make_map<Map>();
};

// A reader waits for a writer that waits for the reader's other key.
LOCKMAP_TEST_BOTH(SharedDeadlockTest, ReaderAndWriter) {
  auto& map = this->map_;
  std::optional read(map.shared_entry(1));
  Worker writer([&] {
    auto own = map.entry(2);
    auto other = map.entry(1);
    other.insert(10);
  });
  await_blocked(1);
  expect_deadlock([&] { (void)map.shared_entry(2); });
  expect_deadlock([&] { (void)map.try_shared_entry_for(2, std::chrono::hours(1)); });
  read.reset();
  writer.join();
  EXPECT_EQ(map.get(1), 10);
  expect_quiet(map);
}

// Two readers that want to write: each waits for the other's shared hold.
LOCKMAP_TEST_BOTH(SharedDeadlockTest, TwoReadersThatWantToWriteEachOthersKey) {
  auto& map = this->map_;
  std::optional read(map.shared_entry(1));
  Worker other([&] {
    const auto own = map.shared_entry(2);
    map.insert(1, 10);
  });
  await_blocked(1);
  expect_deadlock([&] { map.insert(2, 20); });
  read.reset();
  other.join();
  EXPECT_EQ(map.get(1), 10);
  expect_quiet(map);
}

// A new reader is queued behind a writer, which waits for another reader: it waits for that one.
LOCKMAP_TEST_BOTH(SharedDeadlockTest, WriterBetweenReaders) {
  auto& map = this->map_;
  typename TestFixture::BlockedReader reader(map);
  Worker writer([&] { map.insert(1, 10); });
  await([&] { return TestAccess::parked(map, 1) == 1; }, "the writer to wait");
  expect_deadlock([&] { (void)map.shared_entry(1); });
  EXPECT_FALSE(map.try_shared_entry(1).has_value());
  reader.release();
  writer.join();
  expect_quiet(map);
}

// Without the writer, there is nothing to wait for.
LOCKMAP_TEST_BOTH(SharedDeadlockTest, ReadersAloneDoNotWait) {
  auto& map = this->map_;
  typename TestFixture::BlockedReader reader(map);
  EXPECT_EQ(map.shared_entry(1).key(), 1);
  reader.release();
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(SharedDeadlockTest, ThroughAWalk) {
  auto& map = this->map_;
  map.insert(1, 10);
  map.insert(2, 20);
  std::optional<Worker> writer;
  int deadlocks = 0;
  map.for_each([&](const int& key, const int&) {
    if (writer.has_value()) return;
    const int other = 3 - key;
    writer.emplace([&, key, other] {
      auto own = map.entry(other);
      map.insert(key, 0);
    });
    await_blocked(1);
    try {
      (void)map.get_or_insert_with(other, [] { return 0; });
    } catch (const std::system_error& error) {
      EXPECT_TRUE(is_deadlock(error));
      ++deadlocks;
    }
  });
  writer.reset();
  EXPECT_EQ(deadlocks, 1);
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(SharedDeadlockTest, ThroughBatchesAndMaps) {
  auto& map = this->map_;
  LockMap<int, std::string> texts;
  std::optional read(map.shared_batch_lock({1, 2, 3}));
  Worker other([&] {
    const auto own = texts.shared_entry(1);
    (void)map.batch_lock({3, 4});
  });
  await_blocked(1);
  expect_deadlock([&] { texts.insert(1, "one"); });
  EXPECT_EQ(texts.get(1), std::nullopt) << "reading it is no deadlock";
  read.reset();
  other.join();
  expect_quiet(map);
  expect_quiet(texts);
}

// Threads that take any keys in any mode: some get errors, and none hangs.
LOCKMAP_TEST_BOTH(SharedDeadlockTest, ManyThreads) {
  auto& map = this->map_;
  constexpr int keys = 4;
  std::atomic<int> errors = 0;
  run_together(6, [&](int thread) {
    std::mt19937 random(static_cast<unsigned>(thread));
    const auto any_key = [&] { return static_cast<int>(random() % keys); };
    for (int i = 0; i < scaled(3000); ++i) {
      try {
        const auto first = map.shared_entry(any_key());
        if (random() % 2 == 0) {
          auto second = map.entry(any_key());
          second.insert(thread);
          (void)map.get(any_key());
        } else {
          const auto second = map.shared_entry(any_key());
          map.insert(any_key(), thread);
        }
      } catch (const std::system_error& error) {
        ASSERT_TRUE(is_deadlock(error));
        ++errors;
      }
    }
    EXPECT_EQ(TestAccess::held(), 0U);
  });
  EXPECT_GT(errors, 0);
  EXPECT_EQ(TestAccess::blocked_owners(), 0U);
  expect_quiet(map);
}

}  // namespace
}  // namespace lockmap::test::wait_graph
