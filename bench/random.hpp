// Random keys and operations for the benchmarks.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "splitmix64.hpp"

namespace bench {

// One random number, taken apart so that the choice of the key and the choice of the operation do
// not depend on each other: the key comes from the high half, the operation from the low half. (A
// benchmark that takes both from the low bits gives each operation keys of its own.)
class Draw {
 public:
  explicit Draw(std::uint64_t bits) : bits_(bits) {}

  // Uniform in [0, count), for a count of at most 2^32.
  [[nodiscard]] std::uint64_t key(std::uint64_t count) const {
    return ((bits_ >> 32U) * count) >> 32U;
  }

  // True for so many of a thousand numbers.
  [[nodiscard]] bool one_of_thousand(std::uint64_t per_mille) const {
    return ((bits_ & 0xffffffffU) * 1000) >> 32U < per_mille;
  }

 private:
  std::uint64_t bits_;
};

// One per thread.
class Random : public support::SplitMix64 {
 public:
  using SplitMix64::SplitMix64;

  Draw draw() { return Draw((*this)()); }
};

// A seed for one thread in one round. It does not depend on who is measured: in a round, every
// implementation is asked for the same keys in the same order.
inline std::uint64_t seed(std::uint64_t round, std::uint64_t thread) {
  return Random((round << 16U) ^ thread)();
}

// `length` numbers in [0, count), number k with a probability proportional to 1 / (k + 1)^exponent.
// Drawn beforehand: to draw one costs more than to look a key up.
inline std::vector<std::uint32_t> zipf_sequence(std::size_t count, double exponent,
                                                std::size_t length) {
  std::vector<double> cumulative(count);
  double sum = 0;
  for (std::size_t k = 0; k < count; ++k) {
    sum += std::pow(static_cast<double>(k + 1), -exponent);
    cumulative[k] = sum;
  }
  Random random(1);
  std::vector<std::uint32_t> sequence(length);
  for (std::uint32_t& number : sequence) {
    const double at = static_cast<double>(random() >> 11U) * 0x1p-53 * sum;
    const auto found = std::upper_bound(cumulative.begin(), cumulative.end(), at);
    number = static_cast<std::uint32_t>(std::min<std::ptrdiff_t>(
        found - cumulative.begin(), static_cast<std::ptrdiff_t>(count) - 1));
  }
  return sequence;
}

}  // namespace bench
