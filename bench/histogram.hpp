// The distribution of many durations in little memory.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace bench {

// Counts by size, in steps of at most a 32nd of the value. The largest is kept as it is.
class Histogram {
 public:
  void add(std::uint64_t nanoseconds) {
    ++counts_[index_of(nanoseconds)];
    ++count_;
    largest_ = std::max(largest_, nanoseconds);
  }

  void merge(const Histogram& other) {
    for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    count_ += other.count_;
    largest_ = std::max(largest_, other.largest_);
  }

  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::uint64_t largest() const { return largest_; }

  // The value that the given part of all values does not exceed, to the next step; 0 if there are
  // none.
  [[nodiscard]] std::uint64_t quantile(double part) const {
    const auto rank = static_cast<std::uint64_t>(std::ceil(part * static_cast<double>(count_)));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen >= rank && counts_[i] != 0) return std::min(last_of(i), largest_);
    }
    return largest_;
  }

 private:
  static constexpr unsigned step_bits = 5;
  // From a power of 2 to the next.
  static constexpr std::size_t steps = std::size_t{1} << step_bits;

  // Below `steps` every value has a place of its own; beyond, its highest step_bits + 1 bits count.
  static std::size_t index_of(std::uint64_t value) {
    if (value < steps) return static_cast<std::size_t>(value);
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - (step_bits + 1);
    return steps * shift + static_cast<std::size_t>(value >> shift);
  }
  // The largest value with an index.
  static std::uint64_t last_of(std::size_t index) {
    if (index < 2 * steps) return index;
    const std::size_t shift = index / steps - 1;
    const std::uint64_t top = index % steps + steps;
    return ((top + 1) << shift) - 1;
  }

  std::array<std::uint64_t, (64 - step_bits + 1) * steps> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t largest_ = 0;
};

}  // namespace bench
