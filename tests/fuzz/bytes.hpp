#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace lockmap::fuzz {

// Decisions out of the bytes of an input; zeros when they are used up.
class Bytes {
 public:
  explicit Bytes(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  [[nodiscard]] bool empty() const { return bytes_.empty(); }

  // 0 to bound - 1; bound is at most 256.
  int below(int bound) {
    if (bytes_.empty()) return 0;
    const int byte = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return byte % bound;
  }
  bool one_in(int chances) { return below(chances) == chances - 1; }

 private:
  std::span<const std::uint8_t> bytes_;
};

}  // namespace lockmap::fuzz
