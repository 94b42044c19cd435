// Registry: what all users of a map must have in common.

#ifndef LOCKMAP_DETAIL_REGISTRY_HPP
#define LOCKMAP_DETAIL_REGISTRY_HPP

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "lockmap/detail/config.hpp"
#include "lockmap/detail/owner.hpp"
#include "lockmap/detail/process_barrier.hpp"
#include "lockmap/detail/reader_slots.hpp"
#include "lockmap/detail/resume_queue.hpp"
#include "lockmap/detail/shard_mutex.hpp"
#include "lockmap/detail/wait_graph.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace lockmap::detail {

// ONE MAP, SEVERAL MODULES
//
// A program and the libraries that it opens may each have static variables of their own, though
// they are built from one header: whether two of them share one depends on compilers, flags, how
// the program was linked and how the library was opened. Two users of a map that disagree on who a
// thread is, or on where readers announce themselves, corrupt it. So an operation gets at what must
// be common through the map, never through its own module: a map refers to the registry of the
// module that made it, and a registry knows the function of its module that finds the calling
// thread's record there.
//
// G1  All that is said of a map's keys (owners, counts of held keys, announcements, the wait-for
//     graph) is said in the map's registry, whichever module runs the operation.
// G2  A record belongs to one thread and one registry; only that thread touches it.
// G3  A module that made a map is loaded for as long as the map lives.
//
// Modules that share a registry find cycles through all their maps; a cycle through maps of
// different registries is not found.

struct Registry;

// One thread, as a registry knows it.
struct ThreadRecord {
  Owner owner;
  ReaderSlot* slot;     // one that is never free, if the thread cannot announce reads
  bool joined = false;  // has asked for a slot
  ResumeQueue to_resume{};
};

// The ids of a registry's owners. Those of tasks that have ended are used again: a server may see
// more requests than there are ids. By then, an id is in no state word that a search may look at,
// and in no edge.
class OwnerIds {
 public:
  // `nobody`, if there is none left: then deadlocks of the owner are not found.
  [[nodiscard]] OwnerId take() noexcept {
    const std::lock_guard<ShardMutex> lock(mutex_);
    if (free_count_ != 0) return free_[--free_count_];
    return next_ != nobody ? next_++ : nobody;
  }
  void give_back(OwnerId id) noexcept {
    const std::lock_guard<ShardMutex> lock(mutex_);
    if (id != nobody && free_count_ != free_.size()) free_[free_count_++] = id;
  }

 private:
  ShardMutex mutex_;
  OwnerId next_ = 1;
  std::size_t free_count_ = 0;
  std::array<OwnerId, 512> free_{};  // more that end at the same time are not used again
};

struct Registry {
  constexpr explicit Registry(ThreadRecord& (*find_record)() noexcept,
                              ReaderSlot* (*take_slot)() noexcept) noexcept
      : record_of_this_thread(find_record), join(take_slot) {}
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  ThreadRecord& (*record_of_this_thread)() noexcept;
  ReaderSlot* (*join)() noexcept;
  OwnerIds ids;
  // How often the process was forked: waiters of another generation have no thread any more.
  std::atomic<std::uint64_t> generation{0};
  // Whether ProcessBarrier is there for writers. Known before there is a map.
  std::atomic<bool> has_barrier{false};
  // After so many holds an owner has paid for a barrier. Fewer, as in tests: whatever it costs.
  static constexpr std::uint32_t enough_holds = ProcessBarrier::price;
  std::atomic<std::uint32_t> holds_per_barrier{enough_holds};
  ReaderSlots readers;
  WaitGraph graph;
  ResumeMutexes resume_mutexes{};
};

// The registry of the module that this code is part of, and the calling thread there.
class LOCKMAP_ONE_PER_PROCESS ThisModule {
 public:
  // For a new map.
  [[nodiscard]] static Registry& registry() noexcept {
    [[maybe_unused]] static const bool prepared = prepare();
    return registry_;
  }

  // The calling thread in this module's registry, and in any.
  [[nodiscard]] static Owner& owner() noexcept { return record_.owner; }
  [[nodiscard]] static ThreadRecord& record(const Registry& registry) noexcept {
    return &registry == &registry_ ? record_ : registry.record_of_this_thread();
  }

  [[nodiscard]] static Owner& owner(Registry& registry) noexcept {
    Owner& mine = record(registry).owner;
    if (mine.id == 0) [[unlikely]] {
      enroll(mine, registry);
    }
    return mine;
  }

  // Null if the calling thread cannot announce a read now (B4).
  [[nodiscard]] static ReaderSlot* available_slot(const Registry& registry) noexcept {
    ReaderSlot* const slot = record_.slot;
    if (slot->reading.load(std::memory_order_relaxed) == &registry.readers) [[likely]] {
      return slot;
    }
    return find_slot(registry);
  }

 private:
  friend struct TestAccess;

  LOCKMAP_NOINLINE static void enroll(Owner& owner, Registry& registry) noexcept {
    owner.id = registry.ids.take();
  }

  LOCKMAP_NOINLINE static ReaderSlot* find_slot(const Registry& registry) noexcept {
    const ThreadRecord& record = ThisModule::record(registry);
    ReaderSlot* const slot = record.joined ? record.slot : registry.join();
    return slot->reading.load(std::memory_order_relaxed) == &registry.readers ? slot : nullptr;
  }

  // Gives the slot to a later thread when this one ends. What reads after that takes the mutex.
  struct Leave {
    ~Leave() {
      ReaderSlot* const slot = record_.slot;
      record_.slot = &no_slot_;
      if (!slot->deferred.empty()) return;  // the owner's holds, for searches for deadlocks
      record_.owner.deferred = nullptr;
      ReaderSlots::give_back(*slot);
    }
  };

  LOCKMAP_NOINLINE static ReaderSlot* join() noexcept {
    record_.joined = true;
    if (ReaderSlot* const slot = registry_.readers.take()) {
      record_.slot = slot;
      record_.owner.deferred = &slot->deferred;
// It runs when a thread ends, not at the program's exit.
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wexit-time-destructors"
#endif
      static thread_local Leave leave;
#if defined(__clang__)
#pragma clang diagnostic pop
#endif
    }
    return record_.slot;
  }

  static ThreadRecord& find_record() noexcept {
    return record_;
  }

  static bool prepare() noexcept {
    registry_.has_barrier.store(ProcessBarrier::enable(), std::memory_order_relaxed);
#if defined(__unix__) || defined(__APPLE__)
    // A child has one thread of its parent's: announcements and waits of the others would hang it.
    pthread_atfork(nullptr, nullptr, [] {
      registry_.generation.fetch_add(1, std::memory_order_relaxed);
      registry_.readers.keep_only(record_.slot);
      registry_.graph.clear();
    });
#endif
    return true;
  }

  // Looks as if it were in use, so one check serves for all.
  static inline constinit ReaderSlot no_slot_{nullptr};
  static inline constinit Registry registry_{&find_record, &join};
  // Constant initialisation spares every access the check for a first use.
  static inline constinit thread_local ThreadRecord record_{{}, &no_slot_, false, {}};
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_REGISTRY_HPP
