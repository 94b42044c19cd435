#pragma once

// Support for the tests of the cache.

#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <stdexcept>
#include <string>

#include <lockmap/lockmap.hpp>

#include "function_ref.hpp"

namespace lockmap::test {

// With a hash that is the same in every run, so is what falls into which shard.
using SpreadCache = LruLockMap<int, int, std::hash<int>>;

// With one shard, the order is exact.
inline LruOptions one_shard(std::size_t max_size) {
  return {.max_size = max_size, .shard_count = 1};
}

inline void expect_invalid(FunctionRef<void()> call, const std::string& parameter,
                           const std::string& value) {
  try {
    call();
    ADD_FAILURE() << "no exception for " << parameter << " = " << value;
  } catch (const std::invalid_argument& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find(parameter), std::string::npos) << message;
    EXPECT_NE(message.find(value), std::string::npos) << message;
  }
}

}  // namespace lockmap::test
