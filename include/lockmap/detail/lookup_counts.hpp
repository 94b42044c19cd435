// LookupCounts: how often a cache's lookups found a value, counted without a line that all share.

#ifndef LOCKMAP_DETAIL_LOOKUP_COUNTS_HPP
#define LOCKMAP_DETAIL_LOOKUP_COUNTS_HPP

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "lockmap/detail/config.hpp"

namespace lockmap::detail {

// A thread counts in the stripe of its reader slot, which it alone writes while it has the slot: so
// counting takes no read-modify-write. Where there are more slots than stripes of their own, the
// others share as many.
class LookupCounts {
 public:
  // For so many processors; 0: nothing will be counted.
  explicit LookupCounts(std::size_t processors)
      : own_(processors == 0 ? 0 : std::bit_ceil((std::min)(2 * processors, most_stripes))),
        stripes_(2 * own_),
        first_(stripes_.data()) {}

  // `slot`: the number of the calling thread's slot; any that no slot has if it is in none.
  void add(std::size_t slot, bool hit) noexcept {
    const bool alone = slot < own_;
    Stripe& stripe = first_[alone ? slot : own_ + (slot & (own_ - 1))];
    std::atomic<std::uint64_t>& count = hit ? stripe.hits : stripe.misses;
    if (alone) [[likely]] {
      count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    } else {
      count.fetch_add(1, std::memory_order_relaxed);
    }
  }

  [[nodiscard]] std::uint64_t hits() const noexcept { return sum(&Stripe::hits); }
  [[nodiscard]] std::uint64_t misses() const noexcept { return sum(&Stripe::misses); }

 private:
  static constexpr std::size_t most_stripes = 64;

  struct alignas(cache_line) Stripe {
    std::atomic<std::uint64_t> hits{0};
    std::atomic<std::uint64_t> misses{0};
  };

  [[nodiscard]] std::uint64_t sum(std::atomic<std::uint64_t> Stripe::*count) const noexcept {
    std::uint64_t sum = 0;
    for (const Stripe& stripe : stripes_) sum += (stripe.*count).load(std::memory_order_relaxed);
    return sum;
  }

  std::size_t own_;
  std::vector<Stripe> stripes_;
  Stripe* first_;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_LOOKUP_COUNTS_HPP
