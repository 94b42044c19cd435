// Registries: an operation on a map of another module says everything in that module's registry.

#include <gtest/gtest.h>

#include <atomic>

#include <lockmap/lockmap.hpp>

#include "test_access.hpp"
#include "threads.hpp"

namespace lockmap::test {
namespace {

using detail::Owner;
using detail::ReaderSlot;
using detail::Registry;
using detail::TestAccess;
using detail::ThisModule;
using detail::ThreadRecord;

// The module of a library that was built from the headers by itself.
class OtherModule {
 public:
  static Registry& registry() noexcept { return registry_; }
  static ThreadRecord& record() noexcept {
    static constinit thread_local ThreadRecord record{{}, &no_slot_, false};
    return record;
  }

 private:
  static ReaderSlot* join() noexcept {
    record().joined = true;
    if (ReaderSlot* const slot = registry_.readers.take()) record().slot = slot;
    return record().slot;
  }

  static inline constinit ReaderSlot no_slot_{nullptr};
  static inline constinit Registry registry_{&record, &join};
};

class Lock : public detail::StructureLock {
 public:
  explicit Lock(Registry& registry) : StructureLock(registry) {
    await(
        [this] {
          unlock_shared(lock_shared());
          return TestAccess::is_biased(*this);
        },
        "the bias");
  }
  using StructureLock::lock;
  using StructureLock::unlock;
  ReaderSlot* lock_shared() { return TestAccess::lock_shared(*this); }
  void unlock_shared(ReaderSlot* slot) { TestAccess::unlock_shared(*this, slot); }
};

TEST(RegistryTest, AReaderAnnouncesItselfWhereTheWritersOfTheLockLook) {
  Lock mine(ThisModule::registry());
  mine.unlock_shared(mine.lock_shared());  // so that the thread has a slot in both
  Lock theirs(OtherModule::registry());
  ReaderSlot* const slot = theirs.lock_shared();
  ASSERT_EQ(slot, OtherModule::record().slot);
  EXPECT_EQ(slot->reading.load(), static_cast<const detail::StructureLock*>(&theirs));
  std::atomic<bool> inside{false};
  Worker writer([&] {
    theirs.lock();
    inside = true;
    theirs.unlock();
  });
  await([&] { return !TestAccess::is_biased(theirs); }, "the end of the bias");
  EXPECT_FALSE(inside);
  theirs.unlock_shared(slot);
  writer.join();
  EXPECT_EQ(slot->reading.load(), &OtherModule::registry().readers);
}

TEST(RegistryTest, AThreadReadsUnderLocksOfSeveralRegistriesAtOnce) {
  Lock mine(ThisModule::registry());
  Lock theirs(OtherModule::registry());
  ReaderSlot* const first = mine.lock_shared();
  ReaderSlot* const second = theirs.lock_shared();
  EXPECT_NE(first, nullptr);
  EXPECT_EQ(second, OtherModule::record().slot);
  EXPECT_NE(first, second);
  theirs.unlock_shared(second);
  mine.unlock_shared(first);
}

TEST(RegistryTest, AThreadIsAnOwnerInEach) {
  Owner& here = ThisModule::owner(ThisModule::registry());
  Owner& there = ThisModule::owner(OtherModule::registry());
  EXPECT_NE(&here, &there);
  EXPECT_EQ(&there, &OtherModule::record().owner);
  EXPECT_NE(there.id, 0U);
  EXPECT_EQ(&ThisModule::owner(OtherModule::registry()), &there);
  in_another_thread([&there] {
    const Owner& other = ThisModule::owner(OtherModule::registry());
    EXPECT_NE(&other, &there);
    EXPECT_NE(other.id, there.id);
  });
}

}  // namespace
}  // namespace lockmap::test
