// The lock of one key, without a map: who gets it, in which order, and what a release leaves to do.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <latch>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "test_access.hpp"
#include "threads.hpp"

namespace lockmap::test {
namespace {

using detail::ExclusiveAccess;
using detail::ExclusiveSection;
using detail::KeyLock;
using detail::Mode;
using detail::NoDeadline;
using detail::Owner;
using detail::OwnerId;
using detail::Released;
using detail::State;
using detail::StateWord;
using detail::TestAccess;
using detail::Waiter;
using detail::WaitGraph;
using detail::WaitQueues;
using Wait = KeyLock::Wait;

constexpr std::chrono::hours an_hour{1};

// A key, and what its shard contributes to its lock.
class OneKey {
 public:
  OneKey() = default;

  // Held by one owner.
  OneKey(OwnerId owner, Mode mode, bool has_value = true) { lock_unpinned(owner, mode, has_value); }

  State state() const { return word_.load(std::memory_order_relaxed); }
  const StateWord& word() const { return word_; }
  KeyLock lock() { return {structure_, queues_, word_}; }
  static std::uint64_t generation() {
    return detail::ThisModule::registry().generation.load(std::memory_order_relaxed);
  }

  template <class F>
  auto in_section(F f) {
    const ExclusiveSection section(structure_);
    return f(section);
  }

  void lock_unpinned(OwnerId owner, Mode mode, bool has_value = true) {
    in_section(
        [&](ExclusiveAccess access) { lock().lock_unpinned(access, owner, mode, has_value); });
  }
  bool pin_and_try_lock(OwnerId owner, Mode mode) {
    return in_section(
        [&](ExclusiveAccess access) { return lock().pin_and_try_lock(access, owner, mode); });
  }
  void pin() {
    in_section([&](ExclusiveAccess access) { lock().pin(access); });
  }
  bool lock_or_enqueue(Waiter& waiter, bool on_its_way = false) {
    return in_section(
        [&](ExclusiveAccess access) { return lock().lock_or_enqueue(access, waiter, on_its_way); });
  }
  bool try_upgrade(OwnerId owner) {
    return in_section([&](ExclusiveAccess access) { return lock().try_upgrade(access, owner); });
  }
  bool withdraw(Waiter& waiter) {
    return in_section([&](ExclusiveAccess access) { return lock().withdraw(access, waiter); });
  }
  void stop_waking() {
    in_section([&](ExclusiveAccess access) { lock().stop_waking(access); });
  }
  bool set_aside() {
    return in_section([&](ExclusiveAccess access) { return lock().set_aside(access); });
  }
  void clear_set_aside() {
    in_section([&](ExclusiveAccess access) { lock().clear_set_aside(access); });
  }

  // These wake whom they let go on, outside of the section, as the shard does.
  Released release(bool has_value = true) {
    return woken(
        in_section([&](ExclusiveAccess access) { return lock().release(access, has_value); }));
  }
  Released release_shared() {
    return woken(in_section([&](ExclusiveAccess access) { return lock().release_shared(access); }));
  }
  Released downgrade(bool has_value = true) {
    return woken(
        in_section([&](ExclusiveAccess access) { return lock().downgrade(access, has_value); }));
  }
  Released unpin() {
    return woken(in_section([&](ExclusiveAccess access) { return lock().unpin(access); }));
  }

  // How many wait in the queue.
  std::size_t queued() {
    return in_section([&](ExclusiveAccess) {
      std::size_t count = 0;
      const Waiter* const first = queues_.first(word_);
      for (const Waiter* waiter = first; waiter != nullptr;
           waiter = WaitQueues::after(*first, *waiter)) {
        ++count;
      }
      TestAccess::check_queues(queues_, count);
      return count;
    });
  }

 private:
  static Released woken(Released released) {
    released.to_wake.wake_all();
    return released;
  }

  detail::StructureLock structure_{detail::ThisModule::registry()};
  WaitQueues queues_;
  StateWord word_;
};

enum class Patience { patient, starving };

// Notes its wake-ups instead of sleeping.
class NotingWaiter : public Waiter {
 public:
  // Pins the key and queues for it, or locks it.
  NotingWaiter(OneKey& key, OwnerId owner, Mode mode, Patience temper = Patience::patient,
               std::uint64_t generation = OneKey::generation())
      : Waiter(key.word(), owner, mode, generation, &note) {
    const auto now = std::chrono::steady_clock::now();
    TestAccess::set_waiting_since(*this,
                                  temper == Patience::starving ? now - an_hour : now + an_hour);
    key.pin();
    locked_at_once_ = key.lock_or_enqueue(*this);
  }

  bool locked_at_once() const { return locked_at_once_; }
  int wakes() const { return wakes_; }
  bool was_granted() const { return wakes_ == 1 && granted(); }
  bool was_woken_to_barge() const { return wakes_ == 1 && !granted(); }

 private:
  static void note(Waiter& waiter) noexcept { ++static_cast<NotingWaiter&>(waiter).wakes_; }

  int wakes_ = 0;
  bool locked_at_once_ = false;
};

constexpr OwnerId alice = 1;
constexpr OwnerId bob = 2;
constexpr OwnerId carol = 3;
constexpr OwnerId dave = 4;
constexpr OwnerId erin = 5;

bool is_waking(State state) {
  return state.is_set(State::waking_bit);
}

// -- Locking without waiting ----------------------------------------------------------------------

TEST(KeyLockTest, AnUnpinnedKeyIsLockedInEitherMode) {
  const OneKey exclusive(alice, Mode::exclusive, false);
  EXPECT_TRUE(exclusive.state().locked_by(alice));
  EXPECT_EQ(exclusive.state().sharers(), 0U);
  EXPECT_EQ(exclusive.state().pins(), 1U);
  EXPECT_FALSE(exclusive.state().has_value());

  const OneKey shared(alice, Mode::shared);
  EXPECT_FALSE(shared.state().locked());
  EXPECT_EQ(shared.state().sharers(), 1U);
  EXPECT_EQ(shared.state().pins(), 1U);
  EXPECT_TRUE(shared.state().has_value());
}

TEST(KeyLockTest, AnExclusiveHoldKeepsEverybodyOut) {
  OneKey key(alice, Mode::exclusive);
  const State before = key.state();
  for (const Mode mode : {Mode::exclusive, Mode::shared}) {
    EXPECT_FALSE(key.pin_and_try_lock(bob, mode));
    EXPECT_EQ(key.state().bits(), before.bits()) << "it gave up, and left a trace";
  }
  key.pin();
  for (const Mode mode : {Mode::exclusive, Mode::shared}) {
    EXPECT_FALSE(key.lock().try_lock_pinned(bob, mode));
    EXPECT_EQ(key.state().bits(), before.pin().bits());
  }
}

TEST(KeyLockTest, SharedHoldsGoTogetherAndKeepExclusiveOnesOut) {
  OneKey key(alice, Mode::shared);
  EXPECT_TRUE(key.pin_and_try_lock(bob, Mode::shared));
  key.pin();
  EXPECT_TRUE(key.lock().try_lock_pinned(carol, Mode::shared));
  EXPECT_EQ(key.state().sharers(), 3U);
  EXPECT_EQ(key.state().pins(), 3U);
  EXPECT_FALSE(key.pin_and_try_lock(dave, Mode::exclusive));
  EXPECT_EQ(key.state().pins(), 3U);
}

TEST(KeyLockTest, APinnedKeyThatNobodyHoldsIsLockedInEitherMode) {
  for (const Mode mode : {Mode::exclusive, Mode::shared}) {
    OneKey key(alice, Mode::exclusive);
    key.pin();
    EXPECT_TRUE(key.lock().try_release(true));
    EXPECT_TRUE(key.pin_and_try_lock(bob, mode));
    EXPECT_EQ(key.state().locked_by(bob), mode == Mode::exclusive);
    EXPECT_EQ(key.state().sharers(), mode == Mode::shared ? 1U : 0U);
    EXPECT_EQ(key.state().pins(), 2U);
  }
}

TEST(KeyLockTest, ASharedRequestDoesNotOvertakeTheQueue) {
  OneKey key(alice, Mode::shared);
  NotingWaiter writer(key, bob, Mode::exclusive);
  ASSERT_FALSE(writer.locked_at_once());
  EXPECT_FALSE(key.pin_and_try_lock(carol, Mode::shared));
  key.pin();
  EXPECT_FALSE(key.lock().try_lock_pinned(carol, Mode::shared));
  key.unpin();
  NotingWaiter reader(key, carol, Mode::shared);
  EXPECT_FALSE(reader.locked_at_once());
  EXPECT_EQ(key.queued(), 2U);

  key.release_shared();
  EXPECT_EQ(writer.wakes(), 1);
  EXPECT_EQ(reader.wakes(), 0);
}

// -- Queueing -------------------------------------------------------------------------------------

TEST(KeyLockTest, AWaiterOfAFreeKeyLocksItInsteadOfQueueing) {
  for (const Mode mode : {Mode::exclusive, Mode::shared}) {
    OneKey key(alice, Mode::exclusive);
    key.pin();
    key.release();
    const NotingWaiter waiter(key, bob, mode);
    EXPECT_TRUE(waiter.locked_at_once());
    EXPECT_FALSE(WaitQueues::contains(waiter));
    EXPECT_FALSE(key.state().has_waiters());
  }
}

TEST(KeyLockTest, AWaiterOfAHeldKeySetsTheWaiterBit) {
  OneKey key(alice, Mode::exclusive);
  const NotingWaiter waiter(key, bob, Mode::exclusive);
  EXPECT_FALSE(waiter.locked_at_once());
  EXPECT_TRUE(WaitQueues::contains(waiter));
  EXPECT_TRUE(key.state().has_waiters());
  EXPECT_TRUE(key.state().locked_by(alice));
  EXPECT_EQ(key.state().pins(), 2U);
}

// -- Releasing without a section ------------------------------------------------------------------

TEST(KeyLockTest, AnUnwantedKeyIsReleasedInOneStep) {
  for (const bool had_value : {false, true}) {
    OneKey key(alice, Mode::exclusive, had_value);
    EXPECT_FALSE(key.lock().try_release_unwanted(bob, had_value));
    EXPECT_FALSE(key.lock().try_release_unwanted(alice, !had_value));
    // A weak compare-exchange may fail for no reason.
    await([&] { return key.lock().try_release_unwanted(alice, had_value); }, "the release");
    EXPECT_EQ(key.state().bits(), State::has_value_bit);
  }
}

TEST(KeyLockTest, AWantedKeyIsNotTakenForAnUnwantedOne) {
  OneKey pinned(alice, Mode::exclusive);
  pinned.pin();
  EXPECT_FALSE(pinned.lock().try_release_unwanted(alice, true));
  OneKey set_aside(alice, Mode::exclusive);
  ASSERT_TRUE(set_aside.set_aside());
  EXPECT_FALSE(set_aside.lock().try_release_unwanted(alice, true));
}

TEST(KeyLockTest, AReleaseThatAdmitsNobodyTakesNoSection) {
  OneKey valued(alice, Mode::exclusive, false);
  EXPECT_TRUE(valued.lock().try_release(true));
  EXPECT_EQ(valued.state().bits(), State::has_value_bit);

  OneKey pinned(alice, Mode::exclusive);
  pinned.pin();
  EXPECT_TRUE(pinned.lock().try_release(false));
  EXPECT_EQ(pinned.state().bits(), State::one_pin);

  OneKey shared(alice, Mode::shared);
  EXPECT_TRUE(shared.lock().try_release_shared());
  EXPECT_EQ(shared.state().bits(), State::has_value_bit);
}

TEST(KeyLockTest, TheLastPinOfAValuelessKeyTakesASection) {
  OneKey exclusive(alice, Mode::exclusive);
  const State before = exclusive.state();
  EXPECT_FALSE(exclusive.lock().try_release(false));
  EXPECT_EQ(exclusive.state().bits(), before.bits());
  OneKey shared(alice, Mode::shared, false);
  EXPECT_FALSE(shared.lock().try_release_shared());
}

TEST(KeyLockTest, AKeyWithAWaiterToAdmitTakesASection) {
  OneKey exclusive(alice, Mode::exclusive);
  const NotingWaiter waiter(exclusive, bob, Mode::exclusive);
  EXPECT_FALSE(exclusive.lock().try_release(true));

  OneKey shared(alice, Mode::shared);
  ASSERT_TRUE(shared.pin_and_try_lock(bob, Mode::shared));
  const NotingWaiter writer(shared, carol, Mode::exclusive);
  EXPECT_TRUE(shared.lock().try_release_shared()) << "the other one still keeps the writer out";
  EXPECT_FALSE(shared.lock().try_release_shared());
}

TEST(KeyLockTest, AWaiterOnItsWaySparesOthersTheSection) {
  OneKey key(alice, Mode::exclusive);
  const NotingWaiter first(key, bob, Mode::exclusive);
  const NotingWaiter second(key, carol, Mode::exclusive);
  key.release();
  ASSERT_TRUE(is_waking(key.state()));
  ASSERT_TRUE(key.pin_and_try_lock(dave, Mode::exclusive));
  EXPECT_TRUE(key.lock().try_release(true));
  EXPECT_EQ(second.wakes(), 0);
}

TEST(KeyLockTest, AKeyThatIsSetAsideTakesASectionOnlyForItsLastPin) {
  OneKey key(alice, Mode::shared);
  ASSERT_TRUE(key.pin_and_try_lock(bob, Mode::shared));
  ASSERT_TRUE(key.set_aside());
  EXPECT_TRUE(key.lock().try_release_shared());
  EXPECT_FALSE(key.lock().try_release_shared());
}

// -- Admitting waiters ----------------------------------------------------------------------------

TEST(KeyLockTest, ExclusiveWaitersAreAdmittedOneByOneInTheirOrder) {
  OneKey key(alice, Mode::exclusive);
  std::deque<NotingWaiter> waiters;
  for (OwnerId owner = bob; owner < bob + 4; ++owner) {
    waiters.emplace_back(key, owner, Mode::exclusive, Patience::starving);
  }
  for (std::size_t i = 0; i < waiters.size(); ++i) {
    EXPECT_EQ(waiters[i].wakes(), 0);
    key.release();
    EXPECT_TRUE(waiters[i].was_granted());
    EXPECT_TRUE(key.state().locked_by(waiters[i].owner()));
    EXPECT_EQ(key.queued(), waiters.size() - i - 1);
  }
  EXPECT_FALSE(key.state().has_waiters());
  key.release();
  EXPECT_EQ(key.state().bits(), State::has_value_bit);
}

TEST(KeyLockTest, APatientWaiterIsWokenToBargeAndAStarvingOneGetsTheKey) {
  OneKey patient(alice, Mode::exclusive);
  const NotingWaiter barges(patient, bob, Mode::exclusive);
  patient.release();
  EXPECT_TRUE(barges.was_woken_to_barge());
  EXPECT_TRUE(patient.state().free());
  EXPECT_TRUE(is_waking(patient.state()));
  EXPECT_FALSE(patient.state().has_waiters());
  EXPECT_TRUE(patient.lock().try_lock_pinned(bob, Mode::exclusive, State::waking_bit));
  EXPECT_FALSE(is_waking(patient.state()));

  OneKey starving(alice, Mode::exclusive);
  const NotingWaiter granted(starving, bob, Mode::exclusive, Patience::starving);
  starving.release();
  EXPECT_TRUE(granted.was_granted());
  EXPECT_TRUE(starving.state().locked_by(bob));
  EXPECT_FALSE(is_waking(starving.state()));
}

TEST(KeyLockTest, PatienceGrowsWithTheNumberOfWaiters) {
  OneKey key(alice, Mode::exclusive);
  NotingWaiter waiter(key, bob, Mode::exclusive, Patience::starving);
  constexpr std::uint64_t many = 100'000'000;
  EXPECT_TRUE(waiter.is_starving(1));
  EXPECT_FALSE(waiter.is_starving(many));
}

TEST(KeyLockTest, OneWaiterIsOnItsWayAtATime) {
  OneKey key(alice, Mode::exclusive);
  const NotingWaiter first(key, bob, Mode::exclusive);
  const NotingWaiter second(key, carol, Mode::exclusive, Patience::starving);
  key.release();
  ASSERT_TRUE(first.was_woken_to_barge());
  ASSERT_TRUE(key.pin_and_try_lock(dave, Mode::exclusive));
  key.release();
  EXPECT_EQ(second.wakes(), 0);
  EXPECT_TRUE(key.state().free());
}

TEST(KeyLockTest, SharedWaitersAreAdmittedTogetherUpToTheNextExclusiveOne) {
  OneKey key(alice, Mode::exclusive);
  const NotingWaiter first(key, bob, Mode::shared);
  const NotingWaiter second(key, carol, Mode::shared);
  const NotingWaiter writer(key, dave, Mode::exclusive);
  const NotingWaiter last(key, erin, Mode::shared);
  key.release();
  EXPECT_TRUE(first.was_granted());
  EXPECT_TRUE(second.was_granted());
  EXPECT_EQ(writer.wakes(), 0);
  EXPECT_EQ(last.wakes(), 0);
  EXPECT_EQ(key.state().sharers(), 2U);
  EXPECT_TRUE(key.state().has_waiters());
  EXPECT_FALSE(is_waking(key.state()));

  key.release_shared();
  EXPECT_EQ(writer.wakes(), 0) << "one still holds it";
  key.release_shared();
  EXPECT_TRUE(writer.was_woken_to_barge());
  ASSERT_TRUE(key.lock().try_lock_pinned(dave, Mode::exclusive, State::waking_bit));
  key.release();
  EXPECT_TRUE(last.was_granted());
  EXPECT_FALSE(key.state().has_waiters());
  EXPECT_EQ(key.state().pins(), 1U);
}

TEST(KeyLockTest, AllSharedWaitersAreAdmittedIfNoExclusiveOneComesAfterThem) {
  OneKey key(alice, Mode::exclusive);
  std::deque<NotingWaiter> readers;
  for (OwnerId owner = bob; owner < bob + 20; ++owner) {
    readers.emplace_back(key, owner, Mode::shared);
  }
  key.release();
  for (const NotingWaiter& reader : readers) EXPECT_TRUE(reader.was_granted());
  EXPECT_EQ(key.state().sharers(), readers.size());
  EXPECT_FALSE(key.state().has_waiters());
}

TEST(KeyLockTest, TheLastSharedReleaseGrantsTheKeyToAStarvingWriter) {
  OneKey key(alice, Mode::shared);
  const NotingWaiter writer(key, bob, Mode::exclusive, Patience::starving);
  key.release_shared();
  EXPECT_TRUE(writer.was_granted());
  EXPECT_TRUE(key.state().locked_by(bob));
  EXPECT_EQ(key.state().sharers(), 0U);
}

TEST(KeyLockTest, AWaiterThatMetABargingOwnerKeepsItsTurn) {
  OneKey key(alice, Mode::exclusive);
  NotingWaiter first(key, bob, Mode::exclusive);
  const NotingWaiter second(key, carol, Mode::exclusive);
  key.release();
  ASSERT_TRUE(first.was_woken_to_barge());
  ASSERT_TRUE(key.pin_and_try_lock(dave, Mode::exclusive));
  ASSERT_FALSE(key.lock_or_enqueue(first, true));
  EXPECT_FALSE(is_waking(key.state())) << "I9";
  EXPECT_TRUE(key.state().has_waiters());
  key.release();
  EXPECT_EQ(first.wakes(), 2);
  EXPECT_EQ(second.wakes(), 0);
}

TEST(KeyLockTest, AWaiterOnItsWayGoesBeforeThoseThatAreQueued) {
  OneKey key(alice, Mode::exclusive);
  NotingWaiter first(key, bob, Mode::exclusive);
  const NotingWaiter second(key, carol, Mode::shared);
  key.release();
  ASSERT_TRUE(first.was_woken_to_barge());
  EXPECT_FALSE(key.lock().try_lock_pinned(dave, Mode::shared));
  EXPECT_TRUE(key.lock_or_enqueue(first, true));
  EXPECT_TRUE(key.state().locked_by(bob));
  EXPECT_FALSE(is_waking(key.state()));
  EXPECT_TRUE(key.state().has_waiters());
}

TEST(KeyLockTest, AWaiterMayEndAsSoonAsItIsWoken) {
  struct Fleeting : Waiter {
    explicit Fleeting(OneKey& key, OwnerId owner)
        : Waiter(key.word(), owner, Mode::shared, OneKey::generation(), &end) {}
    static void end(Waiter& waiter) noexcept { delete static_cast<Fleeting*>(&waiter); }
  };
  OneKey key(alice, Mode::exclusive);
  for (OwnerId owner = bob; owner < bob + 3; ++owner) {
    key.pin();
    ASSERT_FALSE(key.lock_or_enqueue(*std::make_unique<Fleeting>(key, owner).release()));
  }
  key.release();
  EXPECT_EQ(key.state().sharers(), 3U);
}

TEST(KeyLockTest, AReleaseLeavesTheWaitersOfOtherKeysAlone) {
  detail::StructureLock structure(detail::ThisModule::registry());
  WaitQueues queues;
  StateWord words[2];
  struct Sleeper : Waiter {
    Sleeper(const StateWord& word, OwnerId owner)
        : Waiter(word, owner, Mode::shared, OneKey::generation(), &note) {}
    static void note(Waiter& waiter) noexcept { ++static_cast<Sleeper&>(waiter).wakes; }
    int wakes = 0;
  };
  Sleeper first(words[0], bob);
  Sleeper second(words[1], carol);
  const ExclusiveSection section(structure);
  for (StateWord& word : words) {
    KeyLock(structure, queues, word).lock_unpinned(section, alice, Mode::exclusive, true);
    KeyLock(structure, queues, word).pin(section);
    Sleeper& waiter = &word == words ? first : second;
    ASSERT_FALSE(KeyLock(structure, queues, word).lock_or_enqueue(section, waiter, false));
  }
  KeyLock(structure, queues, words[1]).release(section, true).to_wake.wake_all();
  EXPECT_EQ(first.wakes, 0);
  EXPECT_EQ(second.wakes, 1);
  ASSERT_TRUE(KeyLock(structure, queues, words[0]).withdraw(section, first));
  EXPECT_FALSE(words[0].load(std::memory_order_relaxed).has_waiters());
}

// -- Giving up ------------------------------------------------------------------------------------

TEST(KeyLockTest, TheWaiterBitGoesWithTheLastWaiter) {
  OneKey key(alice, Mode::exclusive);
  NotingWaiter first(key, bob, Mode::exclusive);
  NotingWaiter second(key, carol, Mode::shared);
  EXPECT_TRUE(key.withdraw(first));
  EXPECT_FALSE(WaitQueues::contains(first));
  EXPECT_TRUE(key.state().has_waiters());
  EXPECT_TRUE(key.withdraw(second));
  EXPECT_FALSE(key.state().has_waiters());
  EXPECT_FALSE(key.withdraw(second));
  EXPECT_EQ(key.state().pins(), 3U);
}

TEST(KeyLockTest, AWithdrawnWriterLetsTheReadersBehindItGoOn) {
  OneKey key(alice, Mode::shared);
  NotingWaiter writer(key, bob, Mode::exclusive);
  const NotingWaiter reader(key, carol, Mode::shared);
  const NotingWaiter other(key, dave, Mode::shared);
  const NotingWaiter last(key, erin, Mode::exclusive);
  ASSERT_TRUE(key.withdraw(writer));
  EXPECT_EQ(reader.wakes(), 0);
  key.unpin();
  EXPECT_TRUE(reader.was_granted());
  EXPECT_TRUE(other.was_granted());
  EXPECT_EQ(last.wakes(), 0);
  EXPECT_EQ(key.state().sharers(), 3U);
  EXPECT_EQ(key.state().pins(), 4U);
}

TEST(KeyLockTest, AWithdrawalFromTheMiddleChangesNothingForTheOthers) {
  OneKey key(alice, Mode::exclusive);
  const NotingWaiter first(key, bob, Mode::shared);
  NotingWaiter writer(key, carol, Mode::exclusive);
  const NotingWaiter last(key, dave, Mode::shared);
  ASSERT_TRUE(key.withdraw(writer));
  key.unpin();
  EXPECT_EQ(first.wakes() + last.wakes(), 0) << "the key is held";
  key.release();
  EXPECT_TRUE(first.was_granted());
  EXPECT_TRUE(last.was_granted());
}

TEST(KeyLockTest, AnAdmittedWaiterCannotWithdraw) {
  OneKey key(alice, Mode::exclusive);
  NotingWaiter waiter(key, bob, Mode::exclusive);
  key.release();
  EXPECT_FALSE(key.withdraw(waiter));
}

TEST(KeyLockTest, AWaiterOnItsWayThatGivesUpAdmitsTheNextOne) {
  for (const Mode mode : {Mode::exclusive, Mode::shared}) {
    OneKey key(alice, Mode::exclusive);
    const NotingWaiter first(key, bob, Mode::exclusive);
    const NotingWaiter second(key, carol, mode, Patience::starving);
    key.release();
    ASSERT_TRUE(first.was_woken_to_barge());
    key.stop_waking();
    EXPECT_FALSE(is_waking(key.state()));
    EXPECT_EQ(second.wakes(), 0);
    key.unpin();
    EXPECT_TRUE(second.was_granted());
    EXPECT_EQ(key.state().pins(), 1U);
  }
}

TEST(KeyLockTest, ItLeavesThemToWhoeverHoldsTheKey) {
  OneKey key(alice, Mode::exclusive);
  const NotingWaiter first(key, bob, Mode::exclusive);
  const NotingWaiter second(key, carol, Mode::exclusive);
  key.release();
  ASSERT_TRUE(key.pin_and_try_lock(dave, Mode::exclusive));
  key.stop_waking();
  key.unpin();
  EXPECT_EQ(second.wakes(), 0);
  EXPECT_TRUE(key.state().locked_by(dave));
  EXPECT_FALSE(key.lock().try_release(true)) << "there is somebody to admit";
  key.release();
  EXPECT_EQ(second.wakes(), 1);
}

// -- Holds that change ----------------------------------------------------------------------------

TEST(KeyLockTest, ASharerTakesTheKeyOnceMoreWhoeverWaits) {
  OneKey key(alice, Mode::shared);
  const NotingWaiter writer(key, bob, Mode::exclusive);
  ASSERT_FALSE(key.pin_and_try_lock(alice, Mode::shared)) << "it would queue behind the writer";
  const State before = key.state();
  key.lock().lock_again();
  EXPECT_EQ(key.state().bits(), before.pin().lock(alice, Mode::shared).bits());

  EXPECT_TRUE(key.lock().try_release_shared()) << "the other hold keeps the writer out";
  EXPECT_EQ(key.state().bits(), before.bits());
  key.release_shared();
  EXPECT_TRUE(writer.was_woken_to_barge());
}

TEST(KeyLockTest, EachHoldOfASharerIsOneOfItsPins) {
  OneKey key(alice, Mode::shared, false);
  key.lock().lock_again();
  key.lock().lock_again();
  EXPECT_EQ(key.state().sharers(), 3U);
  EXPECT_EQ(key.state().pins(), 3U);
  EXPECT_TRUE(key.lock().try_release_shared());
  EXPECT_FALSE(key.release_shared().unused);
  EXPECT_TRUE(key.release_shared().unused);
  EXPECT_EQ(key.state().bits(), 0U);
}

TEST(KeyLockTest, TheOnlySharerIsMadeTheExclusiveHolder) {
  for (const bool has_value : {false, true}) {
    OneKey key(alice, Mode::shared, has_value);
    ASSERT_TRUE(key.try_upgrade(alice));
    EXPECT_EQ(key.state().bits(), State::of_sole_holder(alice, Mode::exclusive, has_value).bits());
    await([&] { return key.lock().try_release_unwanted(alice, has_value); }, "the release");
  }
}

TEST(KeyLockTest, NobodyIsMadeExclusiveBesideASharer) {
  OneKey key(alice, Mode::shared);
  ASSERT_TRUE(key.pin_and_try_lock(bob, Mode::shared));
  const State before = key.state();
  EXPECT_FALSE(key.try_upgrade(alice));
  EXPECT_EQ(key.state().bits(), before.bits());
  key.release_shared();
  EXPECT_TRUE(key.try_upgrade(alice));

  OneKey twice(alice, Mode::shared);
  twice.lock().lock_again();
  EXPECT_FALSE(twice.try_upgrade(alice)) << "what the other hold reads would change";
  twice.release_shared();
  EXPECT_TRUE(twice.try_upgrade(alice));
}

TEST(KeyLockTest, AnUpgradeGoesBeforeThoseThatWait) {
  OneKey key(alice, Mode::shared);
  const NotingWaiter writer(key, bob, Mode::exclusive, Patience::starving);
  const NotingWaiter reader(key, carol, Mode::shared);
  ASSERT_TRUE(key.set_aside());
  ASSERT_TRUE(key.try_upgrade(alice));
  EXPECT_TRUE(key.state().locked_by(alice));
  EXPECT_TRUE(key.state().has_waiters());
  EXPECT_TRUE(key.state().evict_on_release());
  EXPECT_EQ(key.state().pins(), 3U);
  EXPECT_EQ(key.queued(), 2U);
  EXPECT_EQ(writer.wakes() + reader.wakes(), 0);

  key.release();
  EXPECT_TRUE(writer.was_granted());
  key.release();
  EXPECT_TRUE(reader.was_granted());
  EXPECT_TRUE(key.release_shared().put_back);
}

TEST(KeyLockTest, AnUpgradeLeavesAWaiterOnItsWay) {
  OneKey key(alice, Mode::exclusive);
  NotingWaiter writer(key, bob, Mode::exclusive);
  key.release();
  ASSERT_TRUE(key.pin_and_try_lock(carol, Mode::shared));
  ASSERT_TRUE(key.try_upgrade(carol));
  EXPECT_TRUE(is_waking(key.state())) << "I9";
  EXPECT_FALSE(key.lock_or_enqueue(writer, true));
  key.release();
  EXPECT_EQ(writer.wakes(), 2);
}

TEST(KeyLockTest, ADowngradeLeavesTheHolderASharer) {
  for (const bool has_value : {false, true}) {
    OneKey in_one_step(alice, Mode::exclusive, !has_value);
    EXPECT_TRUE(in_one_step.lock().try_downgrade(has_value));
    OneKey in_section(alice, Mode::exclusive, !has_value);
    const Released released = in_section.downgrade(has_value);
    EXPECT_TRUE(released.to_wake.empty());
    EXPECT_FALSE(released.unused) << "its pin keeps it";
    for (OneKey* const key : {&in_one_step, &in_section}) {
      EXPECT_EQ(key->state().bits(), State::of_sole_holder(alice, Mode::shared, has_value).bits());
      EXPECT_TRUE(key->pin_and_try_lock(bob, Mode::shared));
      EXPECT_FALSE(key->pin_and_try_lock(carol, Mode::exclusive));
      EXPECT_TRUE(key->lock().try_release_shared());
      EXPECT_EQ(key->release_shared().unused, !has_value);
    }
  }
}

TEST(KeyLockTest, ADowngradeBesideAWaiterTakesASection) {
  for (const Mode mode : {Mode::exclusive, Mode::shared}) {
    OneKey key(alice, Mode::exclusive);
    const NotingWaiter waiter(key, bob, mode);
    const State before = key.state();
    EXPECT_FALSE(key.lock().try_downgrade(false));
    EXPECT_EQ(key.state().bits(), before.bits());
  }
}

TEST(KeyLockTest, ADowngradeAdmitsTheReadersUpToTheNextWriter) {
  OneKey key(alice, Mode::exclusive);
  const NotingWaiter first(key, bob, Mode::shared);
  const NotingWaiter second(key, carol, Mode::shared);
  const NotingWaiter writer(key, dave, Mode::exclusive, Patience::starving);
  const NotingWaiter last(key, erin, Mode::shared);
  key.downgrade();
  EXPECT_TRUE(first.was_granted());
  EXPECT_TRUE(second.was_granted());
  EXPECT_EQ(writer.wakes() + last.wakes(), 0);
  EXPECT_EQ(key.state().sharers(), 3U);
  EXPECT_EQ(key.state().pins(), 5U);
  EXPECT_TRUE(key.state().has_waiters());

  key.release_shared();
  key.release_shared();
  EXPECT_EQ(writer.wakes(), 0) << "one still holds it";
  key.release_shared();
  EXPECT_TRUE(writer.was_granted());
}

TEST(KeyLockTest, ADowngradeThatAdmitsThemAllClearsTheWaiterBit) {
  OneKey key(alice, Mode::exclusive);
  const NotingWaiter first(key, bob, Mode::shared);
  const NotingWaiter second(key, carol, Mode::shared);
  key.downgrade();
  EXPECT_TRUE(first.was_granted());
  EXPECT_TRUE(second.was_granted());
  EXPECT_FALSE(key.state().has_waiters()) << "I7";
  EXPECT_EQ(key.queued(), 0U);
}

TEST(KeyLockTest, ADowngradeLetsNobodyPassAWriter) {
  OneKey key(alice, Mode::exclusive);
  const NotingWaiter writer(key, bob, Mode::exclusive, Patience::starving);
  const NotingWaiter reader(key, carol, Mode::shared);
  EXPECT_TRUE(key.downgrade().to_wake.empty());
  EXPECT_EQ(writer.wakes() + reader.wakes(), 0);
  EXPECT_EQ(key.state().sharers(), 1U);
  EXPECT_FALSE(is_waking(key.state()));
  EXPECT_FALSE(key.pin_and_try_lock(dave, Mode::shared));
  key.release_shared();
  EXPECT_TRUE(writer.was_granted());
}

TEST(KeyLockTest, ADowngradeLeavesTheReadersBehindAWaiterOnItsWayToThatOne) {
  for (const bool gives_up : {false, true}) {
    OneKey key(alice, Mode::exclusive);
    NotingWaiter writer(key, bob, Mode::exclusive);
    const NotingWaiter reader(key, carol, Mode::shared);
    key.release();
    ASSERT_TRUE(writer.was_woken_to_barge());
    ASSERT_TRUE(key.pin_and_try_lock(dave, Mode::exclusive));
    EXPECT_TRUE(key.downgrade().to_wake.empty());
    EXPECT_EQ(reader.wakes(), 0);
    if (gives_up) {
      key.stop_waking();
      key.unpin();
      EXPECT_TRUE(reader.was_granted());
      EXPECT_EQ(key.state().sharers(), 2U);
    } else {
      ASSERT_FALSE(key.lock_or_enqueue(writer, true));
      key.release_shared();
      EXPECT_EQ(writer.wakes(), 2);
      EXPECT_EQ(reader.wakes(), 0);
    }
  }
}

TEST(KeyLockTest, AHoldThatChangesLeavesAKeySetAside) {
  OneKey key(alice, Mode::exclusive);
  ASSERT_TRUE(key.set_aside());
  ASSERT_TRUE(key.lock().try_downgrade(true));
  ASSERT_TRUE(key.try_upgrade(alice));
  EXPECT_FALSE(key.downgrade().put_back);
  EXPECT_TRUE(key.state().evict_on_release());
  EXPECT_TRUE(key.release_shared().put_back);
}

// -- The end of a key -----------------------------------------------------------------------------

TEST(KeyLockTest, AKeyIsUnusedOnceItHasNeitherValueNorPin) {
  OneKey removed(alice, Mode::exclusive);
  EXPECT_TRUE(removed.release(false).unused);
  EXPECT_EQ(removed.state().bits(), 0U);
  OneKey kept(alice, Mode::exclusive, false);
  EXPECT_FALSE(kept.release(true).unused);

  OneKey pinned(alice, Mode::exclusive);
  pinned.pin();
  EXPECT_FALSE(pinned.release(false).unused);
  EXPECT_TRUE(pinned.unpin().unused);
  EXPECT_EQ(pinned.state().bits(), 0U);

  OneKey shared(alice, Mode::shared, false);
  ASSERT_TRUE(shared.pin_and_try_lock(bob, Mode::shared));
  EXPECT_FALSE(shared.release_shared().unused);
  EXPECT_TRUE(shared.release_shared().unused);

  OneKey valued(alice, Mode::exclusive);
  valued.pin();
  EXPECT_FALSE(valued.release(true).unused);
  EXPECT_FALSE(valued.unpin().unused);
}

TEST(KeyLockTest, AWaiterKeepsAValuelessKey) {
  OneKey key(alice, Mode::exclusive);
  NotingWaiter waiter(key, bob, Mode::exclusive, Patience::starving);
  EXPECT_FALSE(key.release(false).unused);
  ASSERT_TRUE(waiter.was_granted());
  EXPECT_FALSE(key.state().has_value());
  EXPECT_TRUE(key.release(false).unused);
}

TEST(KeyLockTest, AKeyThatIsSetAsideIsPutBackByItsLastPin) {
  OneKey exclusive(alice, Mode::exclusive);
  ASSERT_TRUE(exclusive.set_aside());
  EXPECT_TRUE(exclusive.release().put_back);
  EXPECT_EQ(exclusive.state().bits(), State::has_value_bit);

  OneKey shared(alice, Mode::shared);
  ASSERT_TRUE(shared.pin_and_try_lock(bob, Mode::shared));
  ASSERT_TRUE(shared.set_aside());
  EXPECT_FALSE(shared.release_shared().put_back);
  EXPECT_TRUE(shared.state().evict_on_release());
  EXPECT_TRUE(shared.release_shared().put_back);
  EXPECT_EQ(shared.state().bits(), State::has_value_bit);

  OneKey pinned(alice, Mode::exclusive);
  pinned.pin();
  ASSERT_TRUE(pinned.set_aside());
  EXPECT_FALSE(pinned.release().put_back);
  EXPECT_TRUE(pinned.unpin().put_back);
  EXPECT_FALSE(pinned.state().evict_on_release());

  OneKey removed(alice, Mode::exclusive);
  ASSERT_TRUE(removed.set_aside());
  const Released released = removed.release(false);
  EXPECT_TRUE(released.unused);
  EXPECT_TRUE(released.put_back);
}

TEST(KeyLockTest, AKeyThatIsSetAsideStaysSoWhileItGoesFromHandToHand) {
  OneKey key(alice, Mode::exclusive);
  NotingWaiter granted(key, bob, Mode::exclusive, Patience::starving);
  NotingWaiter barges(key, carol, Mode::exclusive);
  ASSERT_TRUE(key.set_aside());
  EXPECT_FALSE(key.release().put_back);
  EXPECT_FALSE(key.release().put_back);
  ASSERT_TRUE(barges.was_woken_to_barge());
  EXPECT_TRUE(key.state().evict_on_release());
  ASSERT_TRUE(key.lock_or_enqueue(barges, true));
  EXPECT_TRUE(key.release().put_back);
}

TEST(KeyLockTest, AKeyWhoseLastPinHasGoneIsNotSetAside) {
  OneKey key(alice, Mode::exclusive);
  key.release();
  EXPECT_FALSE(key.set_aside());
  EXPECT_EQ(key.state().bits(), State::has_value_bit);
}

TEST(KeyLockTest, AKeyThatIsUsedAgainIsNotPutBackASecondTime) {
  OneKey key(alice, Mode::exclusive);
  ASSERT_TRUE(key.set_aside());
  key.clear_set_aside();
  EXPECT_FALSE(key.release().put_back);
}

// -- After a fork ---------------------------------------------------------------------------------

TEST(KeyLockTest, WaitersThatAForkLeftBehindAreForgotten) {
  const std::uint64_t before = OneKey::generation() - 1;
  OneKey key(alice, Mode::exclusive);
  const NotingWaiter writer(key, bob, Mode::exclusive, Patience::starving, before);
  const NotingWaiter reader(key, carol, Mode::shared, Patience::starving, before);
  const NotingWaiter alive(key, dave, Mode::exclusive, Patience::starving);
  ASSERT_EQ(key.state().pins(), 4U);
  key.release();
  EXPECT_EQ(writer.wakes() + reader.wakes(), 0);
  EXPECT_TRUE(alive.was_granted());
  EXPECT_EQ(key.state().pins(), 1U);
  EXPECT_TRUE(key.state().locked_by(dave));
}

TEST(KeyLockTest, ASharedReleaseForgetsThemToo) {
  const std::uint64_t before = OneKey::generation() - 1;
  OneKey key(alice, Mode::shared, false);
  const NotingWaiter writer(key, bob, Mode::exclusive, Patience::starving, before);
  const NotingWaiter reader(key, carol, Mode::shared, Patience::starving, before);
  EXPECT_TRUE(key.release_shared().unused);
  EXPECT_EQ(writer.wakes() + reader.wakes(), 0);
  EXPECT_EQ(key.state().bits(), 0U);
  EXPECT_EQ(key.queued(), 0U);
}

TEST(KeyLockTest, ForgettingAWriterAdmitsTheReadersThatItKeptOut) {
  OneKey key(alice, Mode::shared);
  ASSERT_TRUE(key.pin_and_try_lock(bob, Mode::shared));
  const NotingWaiter writer(key, carol, Mode::exclusive, Patience::patient,
                            OneKey::generation() - 1);
  const NotingWaiter reader(key, dave, Mode::shared);
  ASSERT_FALSE(reader.locked_at_once());
  key.release_shared();
  EXPECT_TRUE(reader.was_granted());
  EXPECT_EQ(key.state().sharers(), 2U);
  EXPECT_EQ(key.state().pins(), 2U);
}

TEST(KeyLockTest, ADowngradeForgetsThemToo) {
  const std::uint64_t before = OneKey::generation() - 1;
  OneKey key(alice, Mode::exclusive);
  const NotingWaiter writer(key, bob, Mode::exclusive, Patience::starving, before);
  const NotingWaiter reader(key, carol, Mode::shared);
  key.downgrade();
  EXPECT_EQ(writer.wakes(), 0);
  EXPECT_TRUE(reader.was_granted());
  EXPECT_EQ(key.state().sharers(), 2U);
  EXPECT_EQ(key.state().pins(), 2U);
}

// -- Waiting, for a thread ------------------------------------------------------------------------

// Waits on another thread for a key that this one holds, beginning with the pin.
template <class D>
class Waits {
 public:
  Waits(OneKey& key, OwnerId owner, Mode mode, const D& deadline)
      : worker_([this, &key, owner, mode, deadline] {
          key.pin();
          WaitGraph::Cycle cycle;
          result_ = key.lock().wait(Owner{owner, 0}, mode, deadline, cycle);
        }) {}

  Wait result() {
    worker_.join();
    return result_;
  }

 private:
  Wait result_ = Wait::deadlock;
  Worker worker_;
};

void await_queued(OneKey& key, std::size_t count) {
  await([&] { return key.queued() == count; }, "the queue");
}

TEST(KeyLockTest, AThreadSleepsUntilItHasTheKey) {
  for (const Mode held : {Mode::exclusive, Mode::shared}) {
    for (const Mode wanted : {Mode::exclusive, Mode::shared}) {
      if (held == Mode::shared && wanted == Mode::shared) continue;
      OneKey key(alice, held);
      Waits waits(key, bob, wanted, NoDeadline{});
      await_queued(key, 1);
      held == Mode::exclusive ? key.release() : key.release_shared();
      EXPECT_EQ(waits.result(), Wait::locked);
      EXPECT_EQ(key.state().locked_by(bob), wanted == Mode::exclusive);
      EXPECT_EQ(key.state().sharers(), wanted == Mode::shared ? 1U : 0U);
      EXPECT_EQ(key.state().pins(), 1U);
      EXPECT_FALSE(is_waking(key.state()));
    }
  }
}

TEST(KeyLockTest, AThreadThatSleepsToReadGetsInAtADowngrade) {
  OneKey key(alice, Mode::exclusive);
  Waits waits(key, bob, Mode::shared, NoDeadline{});
  await_queued(key, 1);
  key.downgrade();
  EXPECT_EQ(waits.result(), Wait::locked);
  EXPECT_EQ(key.state().sharers(), 2U);
  EXPECT_EQ(key.state().pins(), 2U);
}

TEST(KeyLockTest, ThoseWhoComeAfterADowngradeSeeWhatWasWritten) {
  OneKey key(alice, Mode::exclusive);
  key.pin();
  int written = 0;  // plain memory: ThreadSanitizer sees every access
  Worker reader([&] {
    await([&] { return key.lock().try_lock_pinned(bob, Mode::shared); }, "the downgrade");
    EXPECT_EQ(written, 1);
  });
  written = 1;
  EXPECT_TRUE(key.lock().try_downgrade(true));
  reader.join();
  EXPECT_EQ(key.state().sharers(), 2U);
}

TEST(KeyLockTest, AFreeKeyIsLockedWithoutQueueing) {
  OneKey key(alice, Mode::exclusive);
  key.pin();
  key.release();
  WaitGraph::Cycle cycle;
  EXPECT_EQ(key.lock().wait(Owner{bob, 0}, Mode::exclusive, NoDeadline{}, cycle), Wait::locked);
  EXPECT_TRUE(key.state().locked_by(bob));
}

using Soon = detail::Deadline<std::chrono::steady_clock, std::chrono::steady_clock::duration>;

TEST(KeyLockTest, ADeadlineThatHasPassedIsNotWaitedFor) {
  OneKey key(alice, Mode::exclusive);
  key.pin();
  const State before = key.state();
  WaitGraph::Cycle cycle;
  const Soon past{std::chrono::steady_clock::now() - an_hour};
  EXPECT_EQ(key.lock().wait(Owner{bob, 1}, Mode::exclusive, past, cycle), Wait::expired);
  EXPECT_EQ(key.state().bits(), before.bits());
}

TEST(KeyLockTest, AThreadLeavesTheQueueAtItsDeadline) {
  for (const std::size_t held : {0U, 1U}) {
    for (const Mode mode : {Mode::exclusive, Mode::shared}) {
      OneKey key(alice, Mode::exclusive);
      key.pin();
      WaitGraph::Cycle cycle;
      const Soon soon{std::chrono::steady_clock::now() + std::chrono::milliseconds(1)};
      EXPECT_EQ(key.lock().wait(Owner{bob, held}, mode, soon, cycle), Wait::expired);
      EXPECT_EQ(key.queued(), 0U);
      EXPECT_FALSE(key.state().has_waiters());
      EXPECT_EQ(key.state().pins(), 2U) << "the caller gives up its pin";
      EXPECT_FALSE(key.unpin().unused);
    }
  }
}

// Passes once the thread is about to sleep, while another does something.
struct PassesMeanwhile {
  struct Meeting {
    std::atomic<int> looks{0};
    std::latch about_to_sleep{1};
    std::latch done{1};
  };
  bool expired() const noexcept {
    if (meeting->looks.fetch_add(1) == 0) return false;  // before it queues
    meeting->about_to_sleep.count_down();
    meeting->done.wait();
    return true;
  }
  static std::chrono::nanoseconds nap() noexcept { return an_hour; }

  Meeting* meeting;
};

// A release whose wake-ups arrive only after the deadline has passed.
template <class F>
Wait wait_beside_late_wake_up(OneKey& key, F after_release) {
  PassesMeanwhile::Meeting meeting;
  Waits waits(key, bob, Mode::exclusive, PassesMeanwhile{&meeting});
  meeting.about_to_sleep.wait();
  EXPECT_EQ(key.queued(), 1U);
  Released released =
      key.in_section([&](ExclusiveAccess access) { return key.lock().release(access, true); });
  EXPECT_FALSE(released.to_wake.empty());
  after_release();
  meeting.done.count_down();
  released.to_wake.wake_all();
  return waits.result();
}

TEST(KeyLockTest, AThreadThatWasAdmittedAtItsDeadlineTakesTheKey) {
  OneKey key(alice, Mode::exclusive);
  EXPECT_EQ(wait_beside_late_wake_up(key, [] {}), Wait::locked);
  EXPECT_TRUE(key.state().locked_by(bob));
  EXPECT_EQ(key.state().pins(), 1U);
  EXPECT_FALSE(is_waking(key.state()));
}

TEST(KeyLockTest, AThreadThatMeetsABargingOwnerAtItsDeadlineGivesUp) {
  OneKey key(alice, Mode::exclusive);
  bool granted = false;
  const Wait wait = wait_beside_late_wake_up(key, [&] {
    // If the waiter's patience was over by then, it has the key.
    granted = !key.pin_and_try_lock(carol, Mode::exclusive);
  });
  EXPECT_EQ(wait, granted ? Wait::locked : Wait::expired);
  EXPECT_FALSE(is_waking(key.state())) << "I9";
  EXPECT_FALSE(key.state().has_waiters());
  EXPECT_EQ(key.state().pins(), granted ? 1U : 2U);
}

// The holders that an edge of an exclusive request looks at.
State state_awaited(const WaitGraph::Edge& edge) noexcept {
  return edge.awaited().load(std::memory_order_acquire);
}

TEST(KeyLockTest, ACycleIsReportedInsteadOfWaitedFor) {
  OneKey of_alice(alice, Mode::exclusive);
  OneKey of_bob(bob, Mode::exclusive);
  of_alice.pin();
  of_bob.pin();
  const State before = of_bob.state();
  WaitGraph& graph = detail::ThisModule::registry().graph;
  {
    const Owner waiting_bob{bob, 1};
    WaitGraph::Edge bob_waits(graph, waiting_bob, of_alice.word(), &state_awaited);
    ASSERT_TRUE(bob_waits.add());
    WaitGraph::Cycle cycle;
    EXPECT_EQ(of_bob.lock().wait(Owner{alice, 1}, Mode::exclusive, NoDeadline{}, cycle),
              Wait::deadlock);
    EXPECT_EQ(cycle, (WaitGraph::Cycle{alice, bob}));
    EXPECT_EQ(of_bob.state().bits(), before.bits());
    EXPECT_EQ(of_bob.queued(), 0U);
  }
  const Owner waiting_alice{alice, 1};
  WaitGraph::Edge nobody_waits(graph, waiting_alice, of_bob.word(), &state_awaited);
  EXPECT_TRUE(nobody_waits.add()) << "an edge was left behind";
}

// Holds a key, and perhaps shares others.
Owner owner_with(OwnerId id, std::initializer_list<const OneKey*> shared = {}) {
  Owner owner{id, 1};
  for (const OneKey* const key : shared) owner.shared.add(key->word());
  return owner;
}

TEST(KeyLockTest, ACycleThroughSharedHoldsIsReported) {
  OneKey of_alice(alice, Mode::shared);
  OneKey of_bob(bob, Mode::shared);
  ASSERT_TRUE(of_bob.pin_and_try_lock(carol, Mode::shared));
  of_alice.pin();
  of_bob.pin();
  const Owner sharing_alice = owner_with(alice, {&of_alice});
  const Owner sharing_bob = owner_with(bob, {&of_bob});
  const Owner sharing_carol = owner_with(carol, {&of_bob});
  WaitGraph& graph = detail::ThisModule::registry().graph;
  WaitGraph::Cycle cycle;
  {
    WaitGraph::Edge bob_waits(graph, sharing_bob, of_alice.word(), &state_awaited);
    ASSERT_TRUE(bob_waits.add());
    EXPECT_EQ(of_bob.lock().wait(sharing_alice, Mode::exclusive, NoDeadline{}, cycle),
              Wait::deadlock);
    EXPECT_EQ(cycle, (WaitGraph::Cycle{alice, bob}));
  }
  WaitGraph::Edge carol_waits(graph, sharing_carol, of_alice.word(), &state_awaited);
  ASSERT_TRUE(carol_waits.add());
  const NotingWaiter writer(of_bob, dave, Mode::exclusive);
  const State before = of_bob.state();
  EXPECT_EQ(of_bob.lock().wait(sharing_alice, Mode::shared, NoDeadline{}, cycle), Wait::deadlock)
      << "it waits for the writer, which waits for all who share the key";
  EXPECT_EQ(cycle, (WaitGraph::Cycle{alice, carol}));
  EXPECT_EQ(of_bob.state().bits(), before.bits());
  EXPECT_EQ(of_bob.queued(), 1U) << "it is not in the queue any more";
}

TEST(KeyLockTest, AReaderThatWasLetInAndHasNotWokenWaitsForNobody) {
  OneKey of_bob(bob, Mode::exclusive);
  OneKey key(alice, Mode::exclusive);
  const NotingWaiter waiting_carol(key, carol, Mode::shared);
  WaitGraph& graph = detail::ThisModule::registry().graph;
  Wait bobs_wait = Wait::deadlock;
  Worker bobs_thread([&] {
    key.pin();
    WaitGraph::Cycle cycle;
    bobs_wait = key.lock().wait(owner_with(bob), Mode::shared, NoDeadline{}, cycle);
  });
  await([&] { return graph.count() == 1; }, "bob's edge");
  Released released =
      key.in_section([&](ExclusiveAccess access) { return key.lock().release(access, true); });
  ASSERT_EQ(key.state().sharers(), 2U);

  of_bob.pin();
  const Soon soon{std::chrono::steady_clock::now() + std::chrono::milliseconds(1)};
  WaitGraph::Cycle cycle;
  EXPECT_EQ(of_bob.lock().wait(owner_with(carol, {&key}), Mode::exclusive, soon, cycle),
            Wait::expired)
      << "bob has the key, and goes on";
  released.to_wake.wake_all();
  bobs_thread.join();
  EXPECT_EQ(bobs_wait, Wait::locked);
}

// -- Everything at once ---------------------------------------------------------------------------

// Owners take steps in a random order, and a plain list says who waits: after each step the word
// must say what the list does, and nobody may wait who could go on.
class RandomSteps {
 public:
  explicit RandomSteps(unsigned seed) : random_(seed) {}

  void take(int steps) {
    for (int i = 0; i < steps; ++i) {
      if (chance(10)) {
        const bool pinned = count([](const Actor& a) { return a.doing != Doing::nothing; }) != 0;
        ASSERT_EQ(key_.set_aside(), pinned);
        set_aside_ = pinned;
      } else {
        step(actors_[random_() % actors_.size()]);
      }
      ASSERT_NO_FATAL_FAILURE(check());
    }
  }

 private:
  enum class Doing { nothing, queued, on_its_way, holding };
  struct Actor {
    OwnerId id = 0;
    Doing doing = Doing::nothing;
    Mode mode = Mode::exclusive;
    std::size_t holds = 0;  // more than one only if they are shared
    std::unique_ptr<NotingWaiter> waiter{};
    int wakes = 0;  // as far as noticed
  };

  bool chance(unsigned one_in) { return random_() % one_in == 0; }

  template <class F>
  std::size_t count(F f) const {
    return static_cast<std::size_t>(std::count_if(actors_.begin(), actors_.end(), f));
  }

  // How many holds of a mode there are.
  std::size_t holds(Mode mode) const {
    std::size_t sum = 0;
    for (const Actor& actor : actors_) {
      if (actor.doing == Doing::holding && actor.mode == mode) sum += actor.holds;
    }
    return sum;
  }

  void step(Actor& actor) {
    switch (actor.doing) {
      case Doing::nothing:
        return come(actor);
      case Doing::queued:
        return withdraw(actor);
      case Doing::on_its_way:
        return go_on(actor);
      case Doing::holding:
        return change_or_release(actor);
    }
  }

  static void hold(Actor& actor) {
    actor.doing = Doing::holding;
    actor.holds = 1;
  }

  void come(Actor& actor) {
    actor.mode = chance(2) ? Mode::exclusive : Mode::shared;
    if (!key_.state().pinned()) {
      key_.lock_unpinned(actor.id, actor.mode, has_value_);
      hold(actor);
    } else if (key_.pin_and_try_lock(actor.id, actor.mode)) {
      hold(actor);
    } else {
      actor.waiter = std::make_unique<NotingWaiter>(
          key_, actor.id, actor.mode, chance(2) ? Patience::starving : Patience::patient);
      ASSERT_FALSE(actor.waiter->locked_at_once());
      actor.doing = Doing::queued;
      actor.wakes = 0;
      order_.push_back(&actor);
    }
  }

  void withdraw(Actor& actor) {
    if (!chance(3)) return;
    ASSERT_TRUE(key_.withdraw(*actor.waiter));
    std::erase(order_, &actor);
    give_up(actor);
  }

  void go_on(Actor& actor) {
    if (chance(3)) {
      key_.stop_waking();
      give_up(actor);
    } else if (key_.lock_or_enqueue(*actor.waiter, true)) {
      hold(actor);
    } else {
      actor.doing = Doing::queued;
      order_.push_front(&actor);
    }
  }

  void give_up(Actor& actor) {
    actor.doing = Doing::nothing;
    leave(key_.unpin());
  }

  void change_or_release(Actor& actor) {
    if (chance(2)) return release(actor);
    if (actor.mode == Mode::exclusive) return downgrade(actor);
    if (chance(2)) {
      key_.lock().lock_again();
      ++actor.holds;
    } else {
      upgrade(actor);
    }
  }

  void upgrade(Actor& actor) {
    const bool alone = holds(Mode::shared) == 1;
    ASSERT_EQ(key_.try_upgrade(actor.id), alone);
    if (alone) actor.mode = Mode::exclusive;
  }

  void downgrade(Actor& actor) {
    has_value_ = chance(2);
    actor.mode = Mode::shared;
    if (key_.lock().try_downgrade(has_value_)) {
      ASSERT_TRUE(order_.empty());
      leave({});
    } else {
      leave(key_.downgrade(has_value_));
    }
  }

  void release(Actor& actor) {
    if (--actor.holds == 0) actor.doing = Doing::nothing;
    if (actor.mode == Mode::shared) {
      if (!key_.lock().try_release_shared()) return leave(key_.release_shared());
    } else {
      has_value_ = chance(2);
      if (!key_.lock().try_release(has_value_)) return leave(key_.release(has_value_));
    }
    leave({});
  }

  // Notices what a release or a withdrawal has done.
  void leave(const Released& released) {
    const bool last = count([](const Actor& a) { return a.doing != Doing::nothing; }) == 0;
    EXPECT_EQ(released.unused, last && !has_value_);
    EXPECT_EQ(released.put_back, last && set_aside_);
    if (last) set_aside_ = false;
    while (!order_.empty() && order_.front()->waiter->wakes() > order_.front()->wakes) {
      Actor& admitted = *order_.front();
      order_.pop_front();
      ++admitted.wakes;
      if (admitted.waiter->granted()) {
        hold(admitted);
      } else {
        admitted.doing = Doing::on_its_way;
      }
    }
    for (const Actor* waiting : order_) {
      EXPECT_EQ(waiting->waiter->wakes(), waiting->wakes) << "one overtook another";
    }
  }

  void check() {
    const State state = key_.state();
    const std::size_t writers = holds(Mode::exclusive);
    const std::size_t readers = holds(Mode::shared);
    const std::size_t waiting = count(
        [](const Actor& a) { return a.doing != Doing::nothing && a.doing != Doing::holding; });
    const bool on_its_way = count([](const Actor& a) { return a.doing == Doing::on_its_way; }) != 0;
    ASSERT_LE(writers + (readers != 0 ? 1 : 0), 1U);
    ASSERT_EQ(state.locked(), writers == 1);
    ASSERT_EQ(state.sharers(), readers);
    ASSERT_EQ(state.pins(), writers + readers + waiting);
    ASSERT_EQ(state.has_waiters(), !order_.empty()) << "I7";
    ASSERT_EQ(is_waking(state), on_its_way) << "I9";
    ASSERT_EQ(state.evict_on_release(), set_aside_) << "I10";
    ASSERT_EQ(key_.queued(), order_.size());
    if (state.locked()) {
      ASSERT_EQ(
          count([&](const Actor& a) { return a.doing == Doing::holding && a.id == state.owner(); }),
          1U);
    } else {
      ASSERT_EQ(state.has_value(), has_value_);
    }
    if (!order_.empty() && !on_its_way) {
      const bool could_go_on =
          order_.front()->mode == Mode::exclusive ? state.free() : !state.locked();
      ASSERT_FALSE(could_go_on) << "a wake-up is lost";
    }
  }

  std::mt19937 random_;
  OneKey key_;
  bool has_value_ = false;
  bool set_aside_ = false;
  std::deque<Actor*> order_;
  std::vector<Actor> actors_ = [] {
    std::vector<Actor> actors(6);
    for (std::size_t i = 0; i < actors.size(); ++i) actors[i].id = i + 1;
    return actors;
  }();
};

TEST(KeyLockTest, RandomStepsKeepTheInvariants) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    ASSERT_NO_FATAL_FAILURE(RandomSteps(seed).take(2000));
  }
}

TEST(KeyLockTest, ThreadsExcludeEachOtherAsTheirModesSay) {
  constexpr int threads = 4;
  const int rounds = scaled(3000);
  OneKey key(alice, Mode::exclusive);
  key.pin();  // so that the key is never unpinned
  key.release();
  std::uint64_t written = 0;  // plain memory: ThreadSanitizer sees every access
  std::atomic<std::uint64_t> writes{0};
  run_together(threads, [&](int i) {
    std::mt19937 random(static_cast<unsigned>(i));
    const Owner owner{static_cast<OwnerId>(i) + 2, 0};
    for (int round = 0; round < rounds; ++round) {
      const Mode mode = random() % 3 == 0 ? Mode::exclusive : Mode::shared;
      const bool limited = random() % 4 == 0;
      key.pin();
      WaitGraph::Cycle cycle;
      const Soon soon{std::chrono::steady_clock::now() + std::chrono::microseconds(20)};
      const Wait wait = limited ? key.lock().wait(owner, mode, soon, cycle)
                                : key.lock().wait(owner, mode, NoDeadline{}, cycle);
      if (wait == Wait::expired) {
        EXPECT_TRUE(limited);
        key.unpin();
        continue;
      }
      const auto write = [&] {
        EXPECT_TRUE(key.state().locked_by(owner.id));
        ++written;
        writes.fetch_add(1, std::memory_order_relaxed);
      };
      const auto read = [&](std::uint64_t expected) {
        EXPECT_FALSE(key.state().locked());
        std::this_thread::yield();
        EXPECT_EQ(written, expected);
      };
      const auto release_shared = [&] {
        if (!key.lock().try_release_shared()) key.release_shared();
      };
      const bool changes = random() % 2 == 0;
      const std::uint64_t before = written;
      if (mode == Mode::exclusive) {
        write();
        if (changes) {
          if (!key.lock().try_downgrade(true)) key.downgrade();
          read(before + 1);
          release_shared();
        } else if (!key.lock().try_release(true)) {
          key.release(true);
        }
      } else {
        read(before);
        if (changes) {
          key.lock().lock_again();
          release_shared();
          read(before);
        }
        if (changes && key.try_upgrade(owner.id)) {
          EXPECT_EQ(written, before) << "somebody came in between";
          write();
          if (!key.lock().try_release(true)) key.release(true);
        } else {
          release_shared();
        }
      }
    }
  });
  EXPECT_EQ(written, writes.load());
  key.unpin();
  EXPECT_EQ(key.state().bits(), State::has_value_bit);
}

}  // namespace
}  // namespace lockmap::test
