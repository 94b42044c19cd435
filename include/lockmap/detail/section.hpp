// StructureLock: the lock of a shard's structure, taken by sections. Its readers, while no writer
// comes, write nothing that other threads use.

#ifndef LOCKMAP_DETAIL_SECTION_HPP
#define LOCKMAP_DETAIL_SECTION_HPP

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

#include "lockmap/detail/config.hpp"
#include "lockmap/detail/owner.hpp"
#include "lockmap/detail/process_barrier.hpp"
#include "lockmap/detail/reader_slots.hpp"
#include "lockmap/detail/registry.hpp"
#include "lockmap/detail/shard_mutex.hpp"
#include "lockmap/detail/state_word.hpp"

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
//   bias := the lock's                          lock the mutex
//   if bias is ordered or plain:                if the lock is biased:
//     slot := this lock     (seq_cst, release)    bias of the lock := none         (seq_cst)
//     if still biased       (seq_cst, acquire)    unless it was ordered: process barrier
//       read; slot := none          (release)     for each slot of all threads     (seq_cst):
//       done                                        wait until it is not this lock
//     slot := none                  (release)     count the deferred holds under this lock
//   lock the mutex, read, unlock                read and write
//                                               unlock the mutex
//
// A hold that a reader begins can stay announced when it has left (deferred_hold.hpp).
//
// There are two kinds of bias for readers. Under `ordered`, announcing and looking again are
// sequentially consistent, which costs a fence. Under `plain` they are a plain store and load, and
// the writer's process barrier stands for the fence; that costs the writer microseconds. So a lock
// gets the plain bias, where the system has such a barrier, only from a reader that has paid for it
// by thousands of ordered announcements: however reads and writes are mixed, all the barriers
// together take a fraction of the time of all the reads.
//
// A third kind, `pinning`, is for those who lock keys that are there. They announce themselves as
// under `plain`, and then may pin nodes and lock keys by compare-exchange: that writes no line but
// the key's. Since values must not be read without a lock meanwhile, readers end this bias as
// writers do. It comes at the end of an exclusive section, if owners take turns in the shard and
// the one that is inside has locked so many keys under the mutex that they have paid for a barrier.
// A thread that has held as many keys in a row shared, while nobody held one otherwise, makes it
// the readers' bias.
//
// B1  A reader that announces itself and finds the lock still biased is not overlooked.
//     Ordered: in the single order of the seq_cst operations its look comes before the writer's
//     store, or it would have seen `none`; so its announcement does too, and the writer's look at
//     the slot comes after it. That also holds if the bias has become plain meanwhile, but if it
//     has become `pinning`, nobody may read (B5).
//     Plain: the barrier runs in the reader's thread somewhere. If that is before the reader's
//     look, the look sees the writer's `none`, or a bias that came after this writer had left. If
//     it is after the look, it is after the announcement too, and the writer's look at the slot
//     sees that. So the bias must still be plain: the writer that ends an ordered one runs no
//     barrier.
// B2  The bias comes and changes only under the mutex, by a reader or as the last step of a writer:
//     each writer that was inside has released the mutex before, or does nothing more. Whoever sees
//     the bias sees what they wrote.
// B3  A slot is in the list of slots before it is first used, and never leaves it
//     (reader_slots.hpp). But a thread that first reads in the destructor of a pthread key, after
//     those of its thread_local objects, hands on nothing.
// B4  A thread has one slot per registry, and announces in that of the lock's registry. A reader
//     whose slot is in use (KeyEqual of one map reads another map) takes the mutex, as does one
//     that has none (no memory, or its thread is ending).
// B5  A bias changes to or from `pinning` only through `none`: sections that read without locks and
//     sections that pin never overlap; and while it is `none` or `pinning`, no hold is deferred.
enum class Bias : std::uint8_t { none, pinning, ordered, plain };

class StructureLock {
 public:
  explicit StructureLock(Registry& registry) noexcept : registry_(registry) {}
  StructureLock(const StructureLock&) = delete;
  StructureLock& operator=(const StructureLock&) = delete;

  [[nodiscard]] Registry& registry() const noexcept { return registry_; }

 protected:
  LOCKMAP_ALWAYS_INLINE void lock() noexcept {
    lock_to_share();
    reads_ = 0;
  }
  // For an exclusive section that may turn out to be as good as a read.
  LOCKMAP_ALWAYS_INLINE void lock_to_share() noexcept {
    mutex_.lock();
    const Bias bias = bias_.load(std::memory_order_relaxed);
    if (bias != Bias::none) [[unlikely]] {
      revoke(bias);
    }
  }
  void unlock() noexcept { mutex_.unlock(); }

  // An exclusive section was as good as a read, or was not. Whether readers are to have the bias
  // when it ends.
  [[nodiscard]] bool count_read(bool was_read) noexcept {
    reads_ = was_read ? reads_ + 1 : 0;
    return reads_ >= least_reads && reads_pay();
  }
  // At the end of an exclusive section.
  void let_read() noexcept {
    reads_ = 0;
    bias_.store(Bias::ordered, std::memory_order_seq_cst);
  }
  void let_pin() noexcept {
    if (registry_.has_barrier.load(std::memory_order_relaxed)) {
      bias_.store(Bias::pinning, std::memory_order_release);
    }
  }
  // Whether readers may announce themselves, for now.
  [[nodiscard]] bool lets_read() const noexcept {
    return bias_.load(std::memory_order_relaxed) > Bias::pinning;
  }
  [[nodiscard]] bool lets_pin() const noexcept {
    return bias_.load(std::memory_order_relaxed) == Bias::pinning;
  }
  // Outside of every section: the pinning bias gives way to readers.
  LOCKMAP_NOINLINE void let_read_instead_of_pin() noexcept {
    lock();
    let_read();
    unlock();
  }

 private:
  friend class ExclusiveSection;
  friend class PinningSection;
  friend class SharedSection;
  friend struct TestAccess;

  // So many reads in a row, and as many for each slot, are what a revocation costs.
  static constexpr std::uint32_t least_reads = 64;
  static constexpr std::size_t reads_per_slot = 16;

  // `unlock_shared` wants the result.
  [[nodiscard]] LOCKMAP_ALWAYS_INLINE ReaderSlot* lock_shared() noexcept {
    const Bias bias = bias_.load(std::memory_order_relaxed);
    if (bias > Bias::pinning) {
      if (ReaderSlot* const slot = announced_slot(bias)) return slot;
    }
    mutex_.lock();
    if (bias_.load(std::memory_order_relaxed) == Bias::pinning) [[unlikely]] {
      revoke(Bias::pinning);  // B5
    }
    if (++reads_ >= least_reads) [[unlikely]] {
      consider_bias();
    }
    return nullptr;
  }
  void unlock_shared(ReaderSlot* slot) noexcept {
    if (slot != nullptr) {
      withdraw(*slot);
    } else {
      mutex_.unlock();
    }
  }

  // The slot with an announcement that counts; null if there is none.
  [[nodiscard]] LOCKMAP_ALWAYS_INLINE ReaderSlot* announced_slot(Bias bias) noexcept {
    ReaderSlot* const slot = ThisModule::available_slot(registry_);
    if (slot == nullptr || announce(*slot, bias)) return slot;
    withdraw(*slot);
    return nullptr;
  }

  // Release, if nothing was read, too: a writer that sees this has to see what the thread read
  // before as done.
  void withdraw(ReaderSlot& slot) noexcept {
    slot.reading.store(&registry_.readers, std::memory_order_release);
  }

  // Whether the announcement counts (B1).
  [[nodiscard]] LOCKMAP_ALWAYS_INLINE bool announce(ReaderSlot& slot, Bias bias) noexcept {
    if (bias != Bias::ordered) [[likely]] {
      slot.reading.store(this, ProcessBarrier::store_order);
      std::atomic_signal_fence(std::memory_order_seq_cst);
      return bias_.load(ProcessBarrier::load_order) == bias;
    }
    if (--slot.reads_to_barrier == 0) [[unlikely]] {
      make_plain(slot);
    }
    slot.reading.store(this, std::memory_order_seq_cst);
    return bias_.load(std::memory_order_seq_cst) > Bias::pinning;
  }

  [[nodiscard]] bool reads_pay() const noexcept {
    return reads_ >= reads_per_slot * registry_.readers.count();
  }
  LOCKMAP_NOINLINE void consider_bias() noexcept {
    if (!reads_pay()) return;
    reads_ = 0;
    if (bias_.load(std::memory_order_relaxed) == Bias::none) let_read();  // B2
  }

  LOCKMAP_NOINLINE void make_plain(ReaderSlot& slot) noexcept {
    slot.reads_to_barrier = ReaderSlot::per_barrier;
    if (!registry_.has_barrier.load(std::memory_order_relaxed)) return;
    const std::lock_guard<ShardMutex> lock(mutex_);
    if (bias_.load(std::memory_order_relaxed) == Bias::ordered) {
      bias_.store(Bias::plain, std::memory_order_seq_cst);  // B2
    }
  }

  LOCKMAP_NOINLINE void revoke(Bias bias) noexcept {
    bias_.store(Bias::none, std::memory_order_seq_cst);
    if (bias != Bias::ordered) ProcessBarrier::run();
    registry_.readers.wait_for_readers(this);
    if (bias != Bias::pinning) registry_.readers.count_deferred(this);  // B5
  }

  ShardMutex mutex_;
  std::uint32_t reads_ = 0;  // since the last writer; guarded by the mutex
  std::atomic<Bias> bias_{Bias::none};
  std::atomic<bool> pinned_exclusively_{false};  // in a pinning section, since that was asked
  Registry& registry_;
};

// Says, as a parameter, that the calling thread is in a section in which keys may be held shared.
// Only sections make one.
class ShareAccess {
 protected:
  friend class SharedSection;

  ShareAccess() = default;
};

// The same of a section in which nodes may be pinned.
class PinAccess : public ShareAccess {
 protected:
  friend class PinningSection;

  PinAccess() = default;
};

// The same of an exclusive section: it holds the shard mutex, and nobody else is in a section of
// the shard.
class ExclusiveAccess : public PinAccess {
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
  LOCKMAP_ALWAYS_INLINE explicit SharedSection(StructureLock& lock) noexcept
      : lock_(lock), slot_(lock.lock_shared()) {}
  SharedSection(const SharedSection&) = delete;
  SharedSection& operator=(const SharedSection&) = delete;
  LOCKMAP_ALWAYS_INLINE ~SharedSection() { lock_.unlock_shared(slot_); }

  // NOLINTNEXTLINE(google-explicit-constructor): a section is access.
  operator ShareAccess() const noexcept { return {}; }

  // Announces a shared hold, which stays when the section has ended. False if that cannot be.
  [[nodiscard]] bool defer(const StateWord& word) const noexcept {
    return slot_ != nullptr && slot_->deferred.begin(word, &lock_);
  }

 protected:
  // Whether nobody else is in a section: then this one is as good as an exclusive one. (The bias
  // comes under the mutex only.)
  [[nodiscard]] bool is_alone() const noexcept {
    return slot_ == nullptr && lock_.bias_.load(std::memory_order_relaxed) == Bias::none;
  }
  // Of its slot, which no other thread has meanwhile; if it is in none, a number of no slot.
  [[nodiscard]] std::size_t slot_number() const noexcept {
    return slot_ == nullptr ? std::size_t(-1) : slot_->number_in_list;
  }

 private:
  StructureLock& lock_;
  ReaderSlot* slot_;
};

// The time during which a thread may pin nodes and lock keys by compare-exchange; others may do so
// at the same time. False if it could not begin.
class PinningSection {
 public:
  explicit PinningSection(StructureLock& lock) noexcept
      : PinningSection(lock, lock.announced_slot(Bias::pinning)) {}
  PinningSection(const PinningSection&) = delete;
  PinningSection& operator=(const PinningSection&) = delete;
  ~PinningSection() { leave(); }

  void leave() noexcept {
    if (slot_ != nullptr) lock_.unlock_shared(std::exchange(slot_, nullptr));
  }
  [[nodiscard]] explicit operator bool() const noexcept { return slot_ != nullptr; }

  // NOLINTNEXTLINE(google-explicit-constructor): a section is access.
  operator PinAccess() const noexcept { return {}; }

  // A key was locked. Whether so many were in a row, by this thread, that readers are to have the
  // bias instead.
  [[nodiscard]] bool count_hold(Mode mode) const noexcept {
    std::atomic<bool>& exclusively = lock_.pinned_exclusively_;
    if (mode == Mode::exclusive) {
      if (!exclusively.load(std::memory_order_relaxed)) {
        exclusively.store(true, std::memory_order_relaxed);
      }
      return false;
    }
    if (--slot_->shares_to_barrier != 0) return false;
    slot_->shares_to_barrier = ReaderSlot::per_barrier;
    return !exclusively.exchange(false, std::memory_order_relaxed);
  }

 protected:
  PinningSection(StructureLock& lock, ReaderSlot* slot) noexcept : lock_(lock), slot_(slot) {}
  [[nodiscard]] ReaderSlot* hand_over() noexcept { return std::exchange(slot_, nullptr); }

 private:
  StructureLock& lock_;
  ReaderSlot* slot_;  // null: not begun, or left
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_SECTION_HPP
