// async_entry, try_async_entry, async_shared_entry: a coroutine waits for a key.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "coroutines.hpp"
#include "maps.hpp"
#include "small_stack.hpp"
#include "test_access.hpp"
#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap::test {
namespace async_entry_test {

using detail::TestAccess;

// All that a coroutine learns, outside of its frame.
struct Log {
  std::vector<int> order;
  bool canceled = false;
};

template <class Map>
Coroutine add(Map& map, int key, Log& log, int number, AsyncOptions options = {}) {
  auto entry = co_await map.async_entry(key, std::move(options));
  log.order.push_back(number);
  ++entry.or_insert(0);
}

template <class Map>
Coroutine look(Map& map, int key, Log& log, int number, AsyncOptions options = {}) {
  auto entry = co_await map.async_shared_entry(key, std::move(options));
  log.order.push_back(number);
}

template <class Map>
Coroutine try_to_add(Map& map, int key, Log& log, int number, AsyncOptions options) {
  auto entry = co_await map.try_async_entry(key, std::move(options));
  if (!entry.has_value()) {
    log.canceled = true;
    co_return;
  }
  log.order.push_back(number);
  ++entry->or_insert(0);
}

void expect_canceled(const Coroutine& coroutine) {
  ASSERT_TRUE(coroutine.done());
  try {
    coroutine.check();
    FAIL() << "it was not cancelled";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::operation_canceled);
  }
}

template <class Family>
class AsyncEntryTest : public testing::Test {
 public:
  using TestedMap = MapOf<Family, int, int>;
  void TearDown() override { TestAccess::check_invariants(map_); }
  TestedMap map_ = make_map<TestedMap>();
  Log log_;
  std::stop_source source_;

  AsyncOptions stoppable() const { return {.stop = source_.get_token()}; }
};

LOCKMAP_TEST_BOTH(AsyncEntryTest, AFreeKeyIsGivenAtOnce) {
  auto coroutine = add(this->map_, 1, this->log_, 1);
  EXPECT_TRUE(coroutine.done());
  coroutine.check();
  EXPECT_EQ(this->map_.get(1), 1);
  EXPECT_TRUE(look(this->map_, 1, this->log_, 2).done());
  EXPECT_TRUE(look(this->map_, 2, this->log_, 3).done());
  EXPECT_EQ(TestAccess::node_count(this->map_), 1U) << "an absent key leaves no trace";
}

LOCKMAP_TEST_BOTH(AsyncEntryTest, AnAwaitableThatIsNotAwaitedDoesNothing) {
  {
    auto awaitable = this->map_.async_entry(1);
    [[maybe_unused]] auto moved = std::move(awaitable);
    EXPECT_TRUE(this->map_.try_entry(1).has_value());
  }
  EXPECT_EQ(TestAccess::node_count(this->map_), 0U);
}

LOCKMAP_TEST_BOTH(AsyncEntryTest, AHeldKeyIsHandedOverInTurn) {
  std::vector<Coroutine> coroutines;
  {
    const auto held = this->map_.entry(1);
    for (int i = 0; i < 5; ++i) coroutines.push_back(add(this->map_, 1, this->log_, i));
    EXPECT_EQ(TestAccess::waiters(this->map_, 1), 5U);
    EXPECT_TRUE(this->log_.order.empty());
  }
  EXPECT_EQ(this->log_.order, (std::vector<int>{0, 1, 2, 3, 4}));
  EXPECT_EQ(this->map_.get(1), 5);
}

LOCKMAP_TEST_BOTH(AsyncEntryTest, ReadersAndWritersAreServedInTurn) {
  std::vector<Coroutine> coroutines;
  {
    const auto held = this->map_.shared_entry(1);
    EXPECT_TRUE(look(this->map_, 1, this->log_, 0).done());
    coroutines.push_back(add(this->map_, 1, this->log_, 1));
    coroutines.push_back(look(this->map_, 1, this->log_, 2));
    coroutines.push_back(look(this->map_, 1, this->log_, 3));
    coroutines.push_back(add(this->map_, 1, this->log_, 4));
    EXPECT_EQ(TestAccess::waiters(this->map_, 1), 4U);
  }
  EXPECT_EQ(this->log_.order, (std::vector<int>{0, 1, 2, 3, 4}));
}

// Notes whether the key was barged on between the release and the resumption.
LOCKMAP_TEST_BOTH(AsyncEntryTest, NobodyComesBetweenAReleaseAndTheWaiter) {
  std::coroutine_handle<> resumed;
  const Resume later = [&resumed](std::coroutine_handle<> handle) { resumed = handle; };
  std::optional<typename TestFixture::TestedMap::Entry> held(this->map_.entry(1));
  auto waiting = add(this->map_, 1, this->log_, 1, {.resume = later});
  held.reset();
  EXPECT_FALSE(waiting.done());
  ASSERT_TRUE(resumed);
  EXPECT_FALSE(this->map_.try_entry(1).has_value()) << "it is the coroutine's already";
  resumed.resume();
  EXPECT_TRUE(waiting.done());
  EXPECT_TRUE(this->map_.try_entry(1).has_value());
}

LOCKMAP_TEST_BOTH(AsyncEntryTest, ThreadsAndTasksTakeTurns) {
  std::optional<Worker> thread;
  Log log;
  auto held = std::make_unique<typename TestFixture::TestedMap::Entry>(this->map_.entry(1));
  auto first = add(this->map_, 1, log, 1);
  await_waiters(this->map_, 1, 1);
  thread.emplace([&] {
    auto entry = this->map_.entry(1);
    EXPECT_EQ(entry.value(), 1);
    ++*entry;
  });
  await([&] { return TestAccess::parked(this->map_, 1) == 2; }, "the thread to be queued");
  auto last = add(this->map_, 1, log, 3);
  held.reset();
  thread->join();
  await([&] { return last.done(); }, "the last task");
  EXPECT_EQ(this->map_.get(1), 3);
}

LOCKMAP_TEST_BOTH(AsyncEntryTest, AHoldIsReleasedOnAnotherThread) {
  Executor executor(2);
  const auto hop = [](auto& map, Executor& threads) -> Coroutine {
    auto entry = co_await map.async_entry(1);
    const auto before = std::this_thread::get_id();
    co_await threads.schedule();
    EXPECT_NE(before, std::this_thread::get_id());
    entry.insert(5);
  };
  auto coroutine = hop(this->map_, executor);
  await([&] { return coroutine.done(); }, "the coroutine");
  coroutine.check();
  EXPECT_EQ(this->map_.get(1), 5);
}

LOCKMAP_TEST_BOTH(AsyncEntryTest, AThreadResumesWhatItOwesBeforeItBlocks) {
  // The first task releases the key, which goes to the second; then it asks for it as a thread
  // does. The second would never be resumed if the thread slept.
  auto& map = this->map_;
  auto& log = this->log_;
  const auto block = [](auto& m, Log& l) -> Coroutine {
    { auto entry = co_await m.async_entry(1); }
    auto again = m.entry(1);
    l.order.push_back(2);
  };
  std::optional<typename TestFixture::TestedMap::Entry> held(map.entry(1));
  auto first = block(map, log);
  auto second = add(map, 1, log, 1);
  held.reset();
  EXPECT_TRUE(first.done());
  EXPECT_TRUE(second.done());
  EXPECT_EQ(log.order, (std::vector<int>{1, 2}));
}

// -- Stops -------------------------------------------------------------------------------------

LOCKMAP_TEST_BOTH(AsyncEntryTest, AStopEndsAWait) {
  const auto held = this->map_.entry(1);
  auto waiting = add(this->map_, 1, this->log_, 1, this->stoppable());
  auto trying = try_to_add(this->map_, 1, this->log_, 2, this->stoppable());
  auto looking = look(this->map_, 1, this->log_, 3, this->stoppable());
  EXPECT_EQ(TestAccess::waiters(this->map_, 1), 3U);
  this->source_.request_stop();
  EXPECT_EQ(TestAccess::waiters(this->map_, 1), 0U);
  expect_canceled(waiting);
  expect_canceled(looking);
  EXPECT_TRUE(trying.done());
  trying.check();
  EXPECT_TRUE(this->log_.canceled);
  EXPECT_TRUE(this->log_.order.empty());
}

LOCKMAP_TEST_BOTH(AsyncEntryTest, AStopThatCameBefore) {
  this->source_.request_stop();
  auto free = add(this->map_, 1, this->log_, 1, this->stoppable());
  EXPECT_TRUE(free.done());
  free.check();
  EXPECT_EQ(this->map_.get(1), 1) << "a free key is given";
  const auto held = this->map_.entry(1);
  auto waiting = add(this->map_, 1, this->log_, 1, this->stoppable());
  expect_canceled(waiting);
  auto trying = try_to_add(this->map_, 1, this->log_, 2, this->stoppable());
  EXPECT_TRUE(trying.done());
  EXPECT_TRUE(this->log_.canceled);
  const auto absent = this->map_.entry(2);
  expect_canceled(add(this->map_, 2, this->log_, 1, this->stoppable()));
}

LOCKMAP_TEST_BOTH(AsyncEntryTest, AStoppedWriterAdmitsTheReadersBehindIt) {
  const auto held = this->map_.shared_entry(1);
  auto writer = add(this->map_, 1, this->log_, 1, this->stoppable());
  auto reader = look(this->map_, 1, this->log_, 2);
  auto next = look(this->map_, 1, this->log_, 3);
  EXPECT_FALSE(reader.done());
  this->source_.request_stop();
  expect_canceled(writer);
  EXPECT_EQ(this->log_.order, (std::vector<int>{2, 3}));
}

LOCKMAP_TEST_BOTH(AsyncEntryTest, AStopIsTooLateOnceTheKeyWasGranted) {
  std::coroutine_handle<> resumed;
  std::optional<typename TestFixture::TestedMap::Entry> held(this->map_.entry(1));
  auto waiting = add(this->map_, 1, this->log_, 1,
                     {.stop = this->source_.get_token(),
                      .resume = [&](std::coroutine_handle<> handle) { resumed = handle; }});
  held.reset();
  this->source_.request_stop();
  resumed.resume();
  EXPECT_TRUE(waiting.done());
  waiting.check();
  EXPECT_EQ(this->map_.get(1), 1);
}

LOCKMAP_TEST_BOTH(AsyncEntryTest, AStoppedCoroutineIsResumedByItsHook) {
  std::coroutine_handle<> resumed;
  const auto held = this->map_.entry(1);
  auto waiting = add(this->map_, 1, this->log_, 1,
                     {.stop = this->source_.get_token(),
                      .resume = [&](std::coroutine_handle<> handle) { resumed = handle; }});
  this->source_.request_stop();
  EXPECT_FALSE(waiting.done());
  ASSERT_TRUE(resumed);
  resumed.resume();
  expect_canceled(waiting);
}

LOCKMAP_TEST_BOTH(AsyncEntryTest, AStopAndAReleaseRace) {
  Executor executor(1);
  for (int round = 0; round < scaled(200); ++round) {
    std::stop_source source;
    Log log;
    std::optional<typename TestFixture::TestedMap::Entry> held(this->map_.entry(1));
    auto waiting = try_to_add(
        this->map_, 1, log, 1,
        round % 2 == 0 ? AsyncOptions{.stop = source.get_token()}
                       : AsyncOptions{.stop = source.get_token(), .resume = executor.resume()});
    std::atomic<bool> go{false};
    Worker stopping([&] {
      await([&] { return go.load(); }, "the start");
      for (int i = 0; i < round % 64; ++i) detail::cpu_pause();
      source.request_stop();
    });
    go = true;
    for (int i = 0; i < round % 16; ++i) detail::cpu_pause();
    held.reset();
    stopping.join();
    await([&] { return waiting.done(); }, "the task");
    EXPECT_NE(log.canceled, !log.order.empty());
    EXPECT_TRUE(this->map_.try_entry(1).has_value()) << "the key was lost";
  }
}

// -- The end of a coroutine ------------------------------------------------------------------

LOCKMAP_TEST_BOTH(AsyncEntryTest, ACoroutineIsDestroyedWhileItWaits) {
  std::optional<typename TestFixture::TestedMap::Entry> held(this->map_.entry(1));
  auto first = add(this->map_, 1, this->log_, 1);
  auto second = add(this->map_, 1, this->log_, 2, this->stoppable());
  auto third = add(this->map_, 1, this->log_, 3);
  second.destroy();
  first.destroy();
  EXPECT_EQ(TestAccess::waiters(this->map_, 1), 1U);
  held.reset();
  EXPECT_TRUE(third.done());
  EXPECT_EQ(this->log_.order, (std::vector<int>{3}));
  this->source_.request_stop();
}

LOCKMAP_TEST_BOTH(AsyncEntryTest, TheEndOfAWriterAdmitsTheReadersBehindIt) {
  const auto held = this->map_.shared_entry(1);
  auto writer = add(this->map_, 1, this->log_, 1);
  auto reader = look(this->map_, 1, this->log_, 2);
  writer.destroy();
  EXPECT_TRUE(reader.done());
}

LOCKMAP_TEST_BOTH(AsyncEntryTest, ACoroutineIsDestroyedAfterItWasGrantedTheKey) {
  for (const bool shared : {false, true}) {
    std::coroutine_handle<> resumed;
    const Resume drop = [&resumed](std::coroutine_handle<> handle) { resumed = handle; };
    std::optional<typename TestFixture::TestedMap::Entry> held(this->map_.entry(1));
    auto waiting = shared ? look(this->map_, 1, this->log_, 1, {.resume = drop})
                          : add(this->map_, 1, this->log_, 1, {.resume = drop});
    auto next = add(this->map_, 1, this->log_, 2);
    held.reset();
    EXPECT_TRUE(resumed);
    EXPECT_FALSE(next.done());
    waiting.destroy();
    EXPECT_TRUE(next.done());
  }
}

LOCKMAP_TEST_BOTH(AsyncEntryTest, ACoroutineIsDestroyedByOneThatIsResumedBeforeIt) {
  // Both are granted the key by one release; when the first is resumed, the second is in the queue
  // of those to be resumed.
  struct Killer {
    Coroutine* victim = nullptr;
  } killer;
  const auto kill = [](auto& map, Killer& k) -> Coroutine {
    auto entry = co_await map.async_shared_entry(1);
    k.victim->destroy();
  };
  std::optional<typename TestFixture::TestedMap::Entry> held(this->map_.entry(1));
  auto first = kill(this->map_, killer);
  auto second = look(this->map_, 1, this->log_, 2, this->stoppable());
  auto third = look(this->map_, 1, this->log_, 3);
  killer.victim = &second;
  held.reset();
  EXPECT_TRUE(first.done());
  EXPECT_EQ(this->log_.order, (std::vector<int>{3}));
  EXPECT_TRUE(this->map_.try_entry(1).has_value());
}

LOCKMAP_TEST_BOTH(AsyncEntryTest, ACoroutineIsDestroyedBesideARelease) {
  for (int round = 0; round < scaled(200); ++round) {
    std::atomic<bool> given{false};
    const Resume hook = [&](std::coroutine_handle<>) { given = true; };  // drops it
    std::optional<typename TestFixture::TestedMap::TaskEntry> held(this->map_.entry(1).detach());
    Log log;
    auto waiting = add(this->map_, 1, log, 1, {.resume = hook});
    std::atomic<bool> go{false};
    Worker releasing([&] {
      await([&] { return go.load(); }, "the start");
      held.reset();
    });
    go = true;
    for (int i = 0; i < round % 64; ++i) detail::cpu_pause();
    waiting.destroy();
    releasing.join();
    EXPECT_TRUE(this->map_.try_entry(1).has_value()) << "the key was lost";
  }
}

// -- Stacks and hooks --------------------------------------------------------------------------

LOCKMAP_TEST_BOTH(AsyncEntryTest, AChainOfHandOversDoesNotGrowTheStack) {
  const int count = sanitized ? 20'000 : 100'000;
  run_on_small_stack([&] {
    std::vector<Coroutine> coroutines;
    coroutines.reserve(static_cast<std::size_t>(count));
    {
      const auto held = this->map_.entry(1);
      for (int i = 0; i < count; ++i) coroutines.push_back(add(this->map_, 1, this->log_, i));
    }
    EXPECT_TRUE(coroutines.back().done());
  });
  EXPECT_EQ(this->map_.get(1), count);
}

LOCKMAP_TEST_BOTH(AsyncEntryTest, ManyReadersAreResumedOnAConstantStack) {
  const int count = sanitized ? 10'000 : 100'000;
  run_on_small_stack([&] {
    std::vector<Coroutine> coroutines;
    {
      const auto held = this->map_.entry(1);
      for (int i = 0; i < count; ++i) coroutines.push_back(look(this->map_, 1, this->log_, i));
    }
    EXPECT_TRUE(coroutines.back().done());
  });
}

LOCKMAP_TEST_BOTH(AsyncEntryTest, AHookIsCalledOutsideOfEveryLock) {
  const Resume hook = [this](std::coroutine_handle<> handle) {
    EXPECT_EQ(this->map_.size(), 1U);
    this->map_.insert(2, 2);
    handle.resume();
    EXPECT_TRUE(this->map_.try_entry(1).has_value());
  };
  std::optional<typename TestFixture::TestedMap::Entry> held(this->map_.entry(1));
  held->insert(1);
  auto waiting = add(this->map_, 1, this->log_, 1, {.resume = hook});
  held.reset();
  EXPECT_TRUE(waiting.done());
}

LOCKMAP_TEST_BOTH(AsyncEntryTest, AHookMayBeLarge) {
  struct Large {
    std::vector<std::coroutine_handle<>>* handles;
    std::vector<int> text = std::vector<int>(100);
    void operator()(std::coroutine_handle<> handle) const { handles->push_back(handle); }
  };
  std::vector<std::coroutine_handle<>> handles;
  std::optional<typename TestFixture::TestedMap::Entry> held(this->map_.entry(1));
  auto waiting = add(this->map_, 1, this->log_, 1, {.resume = Large{&handles}});
  held.reset();
  ASSERT_EQ(handles.size(), 1U);
  handles[0].resume();
  EXPECT_TRUE(waiting.done());
}

TEST(AsyncEntryDeathTest, AHookThatThrowsEndsTheProgram) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto release = [] {
    LockMap<int, int> map;
    Log log;
    std::optional<LockMap<int, int>::Entry> held(map.entry(1));
    auto waiting = add(map, 1, log, 1, {.resume = [](std::coroutine_handle<>) { throw 1; }});
    held.reset();
  };
  EXPECT_DEATH(release(), "");
}

// -- Keys --------------------------------------------------------------------------------------

template <class Family>
class AsyncKeyTest : public testing::Test {
 public:
  using TestedMap = MapOf<Family, std::string, int>;
  TestedMap map_ = make_map<TestedMap>();
};

LOCKMAP_TEST_BOTH(AsyncKeyTest, KeysAreMovedInOrReferredTo) {
  const auto go = [](auto& map) -> Coroutine {
    std::string key(100, 'a');
    {
      auto entry = co_await map.async_entry(key);
      EXPECT_EQ(entry.key(), key);
    }
    {
      auto awaitable = map.async_entry(std::string(100, 'b'));
      auto entry = co_await std::move(awaitable);
      entry.insert(1);
    }
    {
      auto view = co_await map.async_entry(std::string_view("view"));
      auto literal = co_await map.async_shared_entry("literal");
      EXPECT_EQ(view.key() + literal.key(), "viewliteral");
    }
    const char* const moved_from = key.data();
    auto entry = co_await map.async_entry(std::move(key));
    EXPECT_EQ(entry.key().data(), moved_from) << "it was copied";
  };
  auto coroutine = go(this->map_);
  ASSERT_TRUE(coroutine.done());
  coroutine.check();
  EXPECT_EQ(this->map_.get(std::string(100, 'b')), 1);
}

// -- The cache ---------------------------------------------------------------------------------

TEST(AsyncCacheTest, AKeyThatIsWaitedForIsNotEvicted) {
  LruLockMap<int, int> map(LruOptions{.max_size = 2, .shard_count = 1});
  map.insert(1, 1);
  Log log;
  std::optional<LruLockMap<int, int>::Entry> held(map.entry(1));
  std::coroutine_handle<> resumed;
  auto waiting =
      add(map, 1, log, 1, {.resume = [&](std::coroutine_handle<> handle) { resumed = handle; }});
  held.reset();
  map.insert(2, 2);
  map.insert(3, 3);
  EXPECT_EQ(map.size(), 2U);
  TestAccess::check_invariants(map);
  resumed.resume();
  TestAccess::check_invariants(map);
  map.insert(4, 4);
  EXPECT_TRUE(map.contains(1)) << "the wait has made it the most recently used one";
}

TEST(AsyncCacheTest, TheReleaseOfADestroyedTaskEvicts) {
  LruLockMap<int, int> map(LruOptions{.max_size = 1, .shard_count = 1});
  map.insert(1, 1);
  Log log;
  std::optional<LruLockMap<int, int>::Entry> held(map.entry(1));
  auto waiting = add(map, 1, log, 1, {.resume = [](std::coroutine_handle<>) {}});
  map.insert(2, 2);
  held.reset();
  TestAccess::check_invariants(map);
  waiting.destroy();
  TestAccess::check_invariants(map);
  EXPECT_EQ(map.size(), 1U);
}

}  // namespace async_entry_test
}  // namespace lockmap::test
