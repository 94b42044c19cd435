// Called by libFuzzer. A Mismatch ends the program, as every crash does.

#include <cstddef>
#include <cstdint>

#include "body.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  lockmap::fuzz::run({data, size});
  return 0;
}
