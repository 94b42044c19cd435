// The random numbers of the tests and the benchmarks: cheap, good in every bit, and the same with
// every standard library, unlike the standard distributions.
#pragma once

#include <cstdint>
#include <limits>

namespace support {

// SplitMix64, a UniformRandomBitGenerator. About 1 ns a number. A seed should be hashed (by a first
// generator, say) where there are several: those of seeds that differ by a multiple of the
// increment give the same numbers, shifted.
class SplitMix64 {
 public:
  using result_type = std::uint64_t;

  explicit SplitMix64(std::uint64_t seed) : state_(seed) {}

  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return std::numeric_limits<result_type>::max(); }

  result_type operator()() {
    state_ += 0x9e3779b97f4a7c15U;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31U);
  }

 private:
  std::uint64_t state_;
};

}  // namespace support
