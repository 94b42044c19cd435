// ReaderSlots: where threads announce which shard they read.

#ifndef LOCKMAP_DETAIL_READER_SLOTS_HPP
#define LOCKMAP_DETAIL_READER_SLOTS_HPP

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include "lockmap/detail/backoff.hpp"
#include "lockmap/detail/config.hpp"
#include "lockmap/detail/deferred_hold.hpp"
#include "lockmap/detail/process_barrier.hpp"
#include "lockmap/detail/state_word.hpp"

namespace lockmap::detail {

// Where one thread announces what it reads; only that thread writes `reading`. One cache line.
struct alignas(cache_line) ReaderSlot {
  static constexpr std::uint32_t per_barrier = ProcessBarrier::price;

  explicit constexpr ReaderSlot(const void* idle, std::uint32_t number = 0) noexcept
      : reading(idle), number_in_list(number) {}

  // The structure lock that the thread reads under; while it reads nothing, the slots that this one
  // belongs to: so one comparison tells that the slot is free and that writers will look at it.
  std::atomic<const void*> reading;
  std::atomic<bool> owned{true};
  std::uint32_t reads_to_barrier = per_barrier;   // until reads have paid for a barrier
  std::uint32_t shares_to_barrier = per_barrier;  // the same of shared holds in pinning sections
  std::uint32_t number_in_list;                   // so many were there before it
  ReaderSlot* next = nullptr;
  DeferredHolds deferred{};
};

// The slots of all threads that read under the locks of one registry. A slot is in the list before
// it is first used, and never leaves it: a thread that ends hands its slot to a later one. So the
// list grows to the largest number of threads that ever read at a time, and looking through it
// needs no lock (B3).
class ReaderSlots {
 public:
  constexpr ReaderSlots() noexcept = default;
  ReaderSlots(const ReaderSlots&) = delete;
  ReaderSlots& operator=(const ReaderSlots&) = delete;

  // A slot for the calling thread; null if there is no memory.
  [[nodiscard]] ReaderSlot* take() noexcept {
    for (ReaderSlot* slot = first_.load(std::memory_order_acquire); slot != nullptr;
         slot = slot->next) {
      bool owned = slot->owned.load(std::memory_order_relaxed);
      if (!owned && slot->owned.compare_exchange_strong(owned, true, std::memory_order_acquire,
                                                        std::memory_order_relaxed)) {
        return slot;
      }
    }
    auto* const slot = new (std::nothrow) ReaderSlot(this);
    if (slot == nullptr) return nullptr;
    slot->number_in_list =
        static_cast<std::uint32_t>(count_.fetch_add(1, std::memory_order_relaxed));
    slot->next = first_.load(std::memory_order_relaxed);
    while (!first_.compare_exchange_weak(slot->next, slot, std::memory_order_seq_cst,
                                         std::memory_order_relaxed)) {
    }
    return slot;
  }

  // Gives a slot to a later thread.
  static void give_back(ReaderSlot& slot) noexcept {
    slot.owned.store(false, std::memory_order_release);
  }

  // How many threads have read at a time, at most.
  [[nodiscard]] std::size_t count() const noexcept {
    return count_.load(std::memory_order_relaxed);
  }

  // Waits until no thread announces `lock`. Nobody may be allowed to announce it any more.
  void wait_for_readers(const void* lock) const noexcept {
    for (const ReaderSlot* slot = first_.load(std::memory_order_seq_cst); slot != nullptr;
         slot = slot->next) {
      Backoff::Crowd alone{0};
      Backoff backoff(alone);
      while (slot->reading.load(std::memory_order_seq_cst) == lock) backoff.pause();
    }
  }

  // Counts the deferred holds under `lock` in the words of their keys. Nobody may announce it any
  // more.
  void count_deferred(const void* lock) const noexcept {
    for (ReaderSlot* slot = first_.load(std::memory_order_acquire); slot != nullptr;
         slot = slot->next) {
      slot->deferred.count(lock);
    }
  }

  // Ends a deferred hold of a key, wherever it is.
  [[nodiscard]] DeferredHold::End end_deferred(const StateWord& word) const noexcept {
    for (;;) {  // others' releases of the key may pass it on between looks
      for (ReaderSlot* slot = first_.load(std::memory_order_acquire); slot != nullptr;
           slot = slot->next) {
        const DeferredHold::End end = slot->deferred.end(word);
        if (end != DeferredHold::End::not_here) return end;
      }
    }
  }

  // For the child of a fork: the other threads, and so their announcements, are gone.
  void keep_only(const ReaderSlot* mine) noexcept {
    for (ReaderSlot* slot = first_.load(std::memory_order_relaxed); slot != nullptr;
         slot = slot->next) {
      if (slot == mine) continue;
      slot->reading.store(this, std::memory_order_relaxed);
      slot->owned.store(false, std::memory_order_relaxed);
    }
  }

 private:
  friend struct TestAccess;

  std::atomic<ReaderSlot*> first_{nullptr};
  std::atomic<std::size_t> count_{0};
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_READER_SLOTS_HPP
