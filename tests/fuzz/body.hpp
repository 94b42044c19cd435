#pragma once

#include <cstdint>
#include <span>

namespace lockmap::fuzz {

// Decodes the bytes into operations, and runs them on a map and on the reference. Throws Mismatch
// where the two disagree.
void run(std::span<const std::uint8_t> input);

}  // namespace lockmap::fuzz
