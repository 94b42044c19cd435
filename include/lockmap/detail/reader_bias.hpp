// ReaderBiasedMutex: a shard's mutex whose readers, while no writer comes, write nothing that other
// threads use.

#ifndef LOCKMAP_DETAIL_READER_BIAS_HPP
#define LOCKMAP_DETAIL_READER_BIAS_HPP

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include "lockmap/detail/backoff.hpp"
#include "lockmap/detail/config.hpp"
#include "lockmap/detail/shard_mutex.hpp"

namespace lockmap::detail {

// THE READER BIAS
//
// A mutex makes each of its users write its cache line, readers too, so two of them slow each other
// down though neither changes anything. Here a reader writes a line of its own thread instead: it
// announces in its slot which mutex it reads under. A writer has to look into the slots of all
// threads, which is dear; so announcing is allowed only while the mutex is biased, that is, after
// many reads in a row, and the first writer ends it. (The idea is that of BRAVO, Dice and Kogan,
// USENIX ATC 2019.)
//
//   reader                                      writer
//   if biased:                                  lock the mutex
//     slot := this mutex        (seq_cst)       if biased:
//     if biased                 (seq_cst):        biased := false                 (seq_cst)
//       read; slot := none      (release)         for each slot of all threads    (seq_cst):
//       done                                        wait until it is not this mutex
//     slot := none          (release)           read and write
//   lock the mutex, read, unlock                unlock the mutex
//
// B1  A reader that finds the mutex biased after it has announced itself is not overlooked. In the
//     single order of the seq_cst operations its look comes before the writer's store, or it would
//     have seen `false`; so its announcement does too, and the writer's look at the slot comes
//     after it.
// B2  `biased` becomes true only under the mutex, by a reader: no writer is inside then, and each
//     that was has released the mutex before. A reader that sees `true` sees what they wrote.
// B3  A slot is in the list of slots before it is first used, and never leaves it: a thread that
//     ends hands its slot to a later one. So the list grows to the largest number of threads that
//     ever read at a time, and looking through it needs no lock. (But a thread that first reads in
//     the destructor of a pthread key, after those of its thread_local objects, hands on nothing.)
// B4  A thread has one slot. A reader whose slot is in use (KeyEqual of one map reads another map)
//     takes the mutex, as does one that has none (no memory, or its thread is ending).

// Where one thread announces what it reads.
struct alignas(cache_line) ReaderSlot {
  std::atomic<const void*> reading{nullptr};
  std::atomic<bool> owned{true};
  ReaderSlot* next = nullptr;
};

// The slots of all threads of the process.
class LOCKMAP_ONE_PER_PROCESS ReaderSlots {
 public:
  // Null if the calling thread cannot announce a read now (B4).
  [[nodiscard]] static ReaderSlot* available() noexcept {
    ReaderSlot* const slot = of_this_thread;
    // Nobody else writes a thread's slot.
    if (slot->reading.load(std::memory_order_relaxed) == nullptr) [[likely]] {
      return slot;
    }
    return slot == &not_joined ? join() : nullptr;
  }

  // How many threads have read at a time, at most.
  [[nodiscard]] static std::size_t count() noexcept {
    return count_.load(std::memory_order_relaxed);
  }

  // Waits until no thread reads under `mutex`. The bias must be off: else it might wait for ever.
  static void wait_for_readers(const void* mutex) noexcept {
    for (const ReaderSlot* slot = first.load(std::memory_order_seq_cst); slot != nullptr;
         slot = slot->next) {
      Backoff backoff;
      while (slot->reading.load(std::memory_order_seq_cst) == mutex) backoff.pause();
    }
  }

 private:
  friend struct TestAccess;

  // Gives the slot to a later thread when this one ends. What reads after that takes the mutex.
  struct Leave {
    ~Leave() {
      ReaderSlot* const slot = of_this_thread;
      of_this_thread = &left;
      slot->owned.store(false, std::memory_order_release);
    }
  };

  LOCKMAP_NOINLINE static ReaderSlot* join() noexcept {
    ReaderSlot* slot = take_over();
    if (slot == nullptr) slot = make();
    if (slot == nullptr) return nullptr;
    of_this_thread = slot;
    static thread_local Leave leave;
    return slot;
  }

  // The slot of a thread that has ended; null if there is none.
  [[nodiscard]] static ReaderSlot* take_over() noexcept {
    for (ReaderSlot* slot = first.load(std::memory_order_acquire); slot != nullptr;
         slot = slot->next) {
      bool owned = slot->owned.load(std::memory_order_relaxed);
      if (!owned && slot->owned.compare_exchange_strong(owned, true, std::memory_order_acquire,
                                                        std::memory_order_relaxed)) {
        return slot;
      }
    }
    return nullptr;
  }

  // Null if there is no memory: then the thread does without.
  [[nodiscard]] static ReaderSlot* make() noexcept {
    auto* const slot = new (std::nothrow) ReaderSlot;
    if (slot == nullptr) return nullptr;
    count_.fetch_add(1, std::memory_order_relaxed);
    slot->next = first.load(std::memory_order_relaxed);
    while (!first.compare_exchange_weak(slot->next, slot, std::memory_order_seq_cst,
                                        std::memory_order_relaxed)) {
    }
    return slot;
  }

  // These stand for no slot. They look as if they were in use, so one check serves for all.
  static constexpr char no_mutex = 0;
  static inline constinit ReaderSlot not_joined{&no_mutex};
  static inline constinit ReaderSlot left{&no_mutex};

  static inline constinit thread_local ReaderSlot* of_this_thread = &not_joined;
  static inline constinit std::atomic<ReaderSlot*> first{nullptr};
  static inline constinit std::atomic<std::size_t> count_{0};
};

class ReaderBiasedMutex {
 public:
  ReaderBiasedMutex() noexcept = default;
  ReaderBiasedMutex(const ReaderBiasedMutex&) = delete;
  ReaderBiasedMutex& operator=(const ReaderBiasedMutex&) = delete;

  void lock() noexcept {
    mutex_.lock();
    reads_ = 0;
    if (biased_.load(std::memory_order_relaxed)) [[unlikely]] {
      revoke();
    }
  }

  void unlock() noexcept { mutex_.unlock(); }

  // For a thread that only reads what the mutex protects. Returns what `unlock_shared` wants.
  [[nodiscard]] ReaderSlot* lock_shared() noexcept {
    if (biased_.load(std::memory_order_relaxed)) {
      if (ReaderSlot* const slot = ReaderSlots::available()) {
        slot->reading.store(this, std::memory_order_seq_cst);
        if (biased_.load(std::memory_order_seq_cst)) return slot;  // B1
        // Release, too: a writer that sees this has to see what the thread read before as done.
        slot->reading.store(nullptr, std::memory_order_release);
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
      slot->reading.store(nullptr, std::memory_order_release);
    } else {
      mutex_.unlock();
    }
  }

 private:
  friend struct TestAccess;

  // So many reads in a row, and as many for each slot, are what a revocation costs.
  static constexpr std::uint32_t least_reads = 64;
  static constexpr std::size_t reads_per_slot = 16;

  LOCKMAP_NOINLINE void consider_bias() noexcept {
    if (reads_ < reads_per_slot * ReaderSlots::count()) return;
    reads_ = 0;
    biased_.store(true, std::memory_order_seq_cst);  // B2
  }

  LOCKMAP_NOINLINE void revoke() noexcept {
    biased_.store(false, std::memory_order_seq_cst);
    ReaderSlots::wait_for_readers(this);
  }

  ShardMutex mutex_;
  std::uint32_t reads_ = 0;  // since the last writer; guarded by the mutex
  std::atomic<bool> biased_{false};
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_READER_BIAS_HPP
