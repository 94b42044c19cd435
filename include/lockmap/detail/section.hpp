// StructureLock: the lock of a shard's structure, taken by sections. Its readers, while no writer
// comes, write nothing that other threads use.

#ifndef LOCKMAP_DETAIL_SECTION_HPP
#define LOCKMAP_DETAIL_SECTION_HPP

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "lockmap/detail/config.hpp"
#include "lockmap/detail/reader_slots.hpp"
#include "lockmap/detail/registry.hpp"
#include "lockmap/detail/shard_mutex.hpp"

namespace lockmap::detail {

// THE READER BIAS
//
// A mutex makes each of its users write its cache line, readers too, so two of them slow each other
// down though neither changes anything. Here a reader writes a line of its own thread instead: it
// announces in its slot which lock it reads under. A writer has to look into the slots of all
// threads, which is expensive; so announcing is allowed only while the lock is biased, that is,
// after many reads in a row, and the first writer ends it. (The idea is that of BRAVO, Dice and
// Kogan, USENIX ATC 2019.)
//
//   reader                                      writer
//   if biased:                                  lock the mutex
//     slot := this lock         (seq_cst)       if biased:
//     if biased                 (seq_cst):        biased := false                 (seq_cst)
//       read; slot := none      (release)         for each slot of all threads    (seq_cst):
//       done                                        wait until it is not this lock
//     slot := none          (release)           read and write
//   lock the mutex, read, unlock                unlock the mutex
//
// B1  A reader that finds the lock biased after it has announced itself is not overlooked. In the
//     single order of the seq_cst operations its look comes before the writer's store, or it would
//     have seen `false`; so its announcement does too, and the writer's look at the slot comes
//     after it.
// B2  `biased` becomes true only under the mutex, by a reader: no writer is inside then, and each
//     that was has released the mutex before. A reader that sees `true` sees what they wrote.
// B3  A slot is in the list of slots before it is first used, and never leaves it
//     (reader_slots.hpp). But a thread that first reads in the destructor of a pthread key, after
//     those of its thread_local objects, hands on nothing.
// B4  A thread has one slot per registry, and announces in that of the lock's registry. A reader
//     whose slot is in use (KeyEqual of one map reads another map) takes the mutex, as does one
//     that has none (no memory, or its thread is ending).
class StructureLock {
 public:
  explicit StructureLock(Registry& registry) noexcept : registry_(registry) {}
  StructureLock(const StructureLock&) = delete;
  StructureLock& operator=(const StructureLock&) = delete;

  [[nodiscard]] Registry& registry() const noexcept { return registry_; }

 protected:
  LOCKMAP_ALWAYS_INLINE void lock() noexcept {
    mutex_.lock();
    reads_ = 0;
    if (biased_.load(std::memory_order_relaxed)) [[unlikely]] {
      revoke();
    }
  }
  void unlock() noexcept { mutex_.unlock(); }

 private:
  friend class ExclusiveSection;
  friend class SharedSection;
  friend struct TestAccess;

  // So many reads in a row, and as many for each slot, are what a revocation costs.
  static constexpr std::uint32_t least_reads = 64;
  static constexpr std::size_t reads_per_slot = 16;

  // `unlock_shared` wants the result.
  [[nodiscard]] ReaderSlot* lock_shared() noexcept {
    if (biased_.load(std::memory_order_relaxed)) {
      if (ReaderSlot* const slot = ThisModule::available_slot(registry_)) {
        slot->reading.store(this, std::memory_order_seq_cst);
        if (biased_.load(std::memory_order_seq_cst)) return slot;  // B1
        // Release, too: a writer that sees this has to see what the thread read before as done.
        slot->reading.store(&registry_.readers, std::memory_order_release);
      }
    }
    mutex_.lock();
    if (++reads_ >= least_reads) [[unlikely]] {
      consider_bias();
    }
    return nullptr;
  }
  void unlock_shared(ReaderSlot* slot) noexcept {
    if (slot != nullptr) {
      slot->reading.store(&registry_.readers, std::memory_order_release);
    } else {
      mutex_.unlock();
    }
  }

  LOCKMAP_NOINLINE void consider_bias() noexcept {
    if (reads_ < reads_per_slot * registry_.readers.count()) return;
    reads_ = 0;
    biased_.store(true, std::memory_order_seq_cst);  // B2
  }

  LOCKMAP_NOINLINE void revoke() noexcept {
    biased_.store(false, std::memory_order_seq_cst);
    registry_.readers.wait_for_readers(this);
  }

  ShardMutex mutex_;
  std::uint32_t reads_ = 0;  // since the last writer; guarded by the mutex
  std::atomic<bool> biased_{false};
  Registry& registry_;
};

// Says, as a parameter, that the calling thread is in an exclusive section: it holds the shard
// mutex, and nobody else is in a section of the shard. Only sections make one.
class ExclusiveAccess {
 private:
  friend class ExclusiveSection;
  template <class Key, class Value, class KeyEqual, class Allocator, class Policy>
  friend class Shard;

  ExclusiveAccess() = default;
};

// An exclusive section that changes no structure.
class ExclusiveSection {
 public:
  explicit ExclusiveSection(StructureLock& lock) noexcept : lock_(lock) { lock.lock(); }
  ExclusiveSection(const ExclusiveSection&) = delete;
  ExclusiveSection& operator=(const ExclusiveSection&) = delete;
  ~ExclusiveSection() { lock_.unlock(); }

  // NOLINTNEXTLINE(google-explicit-constructor): a section is access.
  operator ExclusiveAccess() const noexcept { return {}; }

 private:
  StructureLock& lock_;
};

// The time during which a thread looks into the shard and changes nothing (I11). Others may do so
// at the same time.
class SharedSection {
 public:
  explicit SharedSection(StructureLock& lock) noexcept : lock_(lock), slot_(lock.lock_shared()) {}
  SharedSection(const SharedSection&) = delete;
  SharedSection& operator=(const SharedSection&) = delete;
  ~SharedSection() { lock_.unlock_shared(slot_); }

 private:
  StructureLock& lock_;
  ReaderSlot* slot_;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_SECTION_HPP
