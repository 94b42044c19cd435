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

// Each thread counts in one of several stripes. Some share one, so counting is a read-modify-write,
// but of a line that is mostly the own processor's.
class LookupCounts {
 public:
  // For so many processors; 0: nothing will be counted.
  explicit LookupCounts(std::size_t processors)
      : stripes_(processors == 0 ? 0 : std::bit_ceil((std::min)(2 * processors, most_stripes))),
        first_(stripes_.data()),
        mask_(stripes_.size() - 1) {}

  void add(std::size_t thread, bool hit) noexcept {
    Stripe& stripe = first_[thread & mask_];
    (hit ? stripe.hits : stripe.misses).fetch_add(1, std::memory_order_relaxed);
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

  std::vector<Stripe> stripes_;
  Stripe* first_;
  std::size_t mask_;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_LOOKUP_COUNTS_HPP
