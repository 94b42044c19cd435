// DeferredHold: a shared hold that is announced instead of counted.

#ifndef LOCKMAP_DETAIL_DEFERRED_HOLD_HPP
#define LOCKMAP_DETAIL_DEFERRED_HOLD_HPP

#include <array>
#include <atomic>
#include <cstdint>

#include "lockmap/detail/config.hpp"
#include "lockmap/detail/state_word.hpp"

namespace lockmap::detail {

// A place for one shared hold in the slot of a thread. Readers of one key that count themselves in
// its word take turns with its line; one that leaves its hold here writes nothing that others use.
// (folly::SharedMutex defers its readers in this way.)
//
//   reader, in an announced section              writer, which has ended the readers' bias and
//                                                waited until nobody announces the lock
//   lock := the section's          (release)     for each place of each slot:
//   word := the key's              (release)       if word is set, not marked (acquire),
//   leave the section; read                        and lock is this one       (acquire):
//   word := none, if it is marked:  (acq_rel)        count a hold in the word
//     the hold is counted: release it there          mark, or if it has gone, uncount (acq_rel)
//
// D1  Begun in an announced section of a key that nobody but sharers has a pin for. So as long as
//     it is not marked, nobody holds its key exclusively or waits for it, and its node stays: all
//     of that takes a pin or a change that exclusive and pinning sections make, and those come
//     after it was counted.
// D2  No hold is overlooked: the announcement that covers its beginning was not (B1), and the place
//     is filled before that is withdrawn. A place that was seen with another lock has been filled
//     anew, after the hold was released.
// D3  The word that is counted in is one of the writer's own shard: once nobody announces the lock,
//     no hold under it begins, so a place with that lock has no newer word.
// D4  Holds of one key are alike: whoever releases one may empty any of the key's places, in
//     whatever slot. So it may be another thread than began it.
class DeferredHold {
 public:
  // For the thread whose slot it is. False if there is one already.
  [[nodiscard]] bool begin(const StateWord& word, const void* lock) noexcept {
    if (word_.load(std::memory_order_relaxed) != 0) return false;
    lock_.store(lock, std::memory_order_release);
    word_.store(place_of(word), std::memory_order_release);
    return true;
  }

  [[nodiscard]] bool is_empty() const noexcept {
    return word_.load(std::memory_order_relaxed) == 0;
  }
  [[nodiscard]] bool is_of(const StateWord& word) const noexcept {
    return (word_.load(std::memory_order_relaxed) & ~counted_bit) == place_of(word);
  }

  enum class End : std::uint8_t { not_here, released, counted };

  // Empties the place, if it has a hold of this key. A `counted` one is yet to be released.
  [[nodiscard]] End end(const StateWord& word) noexcept {
    std::uintptr_t held = word_.load(std::memory_order_relaxed);
    while ((held & ~counted_bit) == place_of(word)) {
      if (word_.compare_exchange_weak(held, 0, std::memory_order_acq_rel,
                                      std::memory_order_relaxed)) {
        return held == place_of(word) ? End::released : End::counted;
      }
    }
    return End::not_here;
  }

  // Counts the hold in its key's word, if it is one under `lock`.
  void count(const void* lock) noexcept {
    std::uintptr_t held = word_.load(std::memory_order_acquire);
    if (held == 0 || (held & counted_bit) != 0) return;
    if (lock_.load(std::memory_order_acquire) != lock) return;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): it was one.
    StateWord& word = *reinterpret_cast<StateWord*>(held);
    word.add_sharer(std::memory_order_relaxed);
    if (!word_.compare_exchange_strong(held, held | counted_bit, std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
      word.drop_sharer(std::memory_order_relaxed);  // nobody waits for the key: D1
    }
  }

 private:
  static constexpr std::uintptr_t counted_bit = 1;

  [[nodiscard]] static std::uintptr_t place_of(const StateWord& word) noexcept {
    return reinterpret_cast<std::uintptr_t>(&word);
  }

  std::atomic<std::uintptr_t> word_{0};  // its address, and whether it is counted there
  std::atomic<const void*> lock_{nullptr};
};

// Those of one thread.
class DeferredHolds {
 public:
  // False if there are too many.
  [[nodiscard]] LOCKMAP_ALWAYS_INLINE bool begin(const StateWord& word, const void* lock) noexcept {
    return places_[0].begin(word, lock) || places_[1].begin(word, lock);
  }
  [[nodiscard]] LOCKMAP_ALWAYS_INLINE DeferredHold::End end(const StateWord& word) noexcept {
    const DeferredHold::End end = places_[0].end(word);
    return end != DeferredHold::End::not_here ? end : places_[1].end(word);
  }
  void count(const void* lock) noexcept {
    for (DeferredHold& place : places_) place.count(lock);
  }
  // Any thread may ask while the slot's thread does nothing.
  [[nodiscard]] bool contains(const StateWord& word) const noexcept {
    return places_[0].is_of(word) || places_[1].is_of(word);
  }
  [[nodiscard]] bool empty() const noexcept {
    return places_[0].is_empty() && places_[1].is_empty();
  }

 private:
  std::array<DeferredHold, 2> places_;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_DEFERRED_HOLD_HPP
