// Options of the maps, and what a cache counts.

#ifndef LOCKMAP_OPTIONS_HPP
#define LOCKMAP_OPTIONS_HPP

#include <cstddef>
#include <cstdint>

#include "lockmap/unlimited.hpp"

namespace lockmap {

/// Options of a LockMap.
struct Options {
  std::size_t initial_capacity = 0;  ///< keys to make room for at once
  std::size_t shard_count = 0;       ///< 0: a default from the number of processors
};

/// Options of an LruLockMap.
struct LruOptions {
  std::size_t max_size = 0;           ///< the bound: 1 or more keys
  std::size_t initial_capacity = 0;   ///< keys to make room for at once
  std::size_t shard_count = 0;        ///< 0: a default from the number of processors and max_size
  std::size_t max_evict = unlimited;  ///< evictions per operation and shard: 1 or more
};

/// What a cache has counted since its construction. A lookup is a `get`, `contains` or
/// `get_or_insert_with`.
struct LruStats {
  std::uint64_t hits = 0;        ///< lookups that found a value
  std::uint64_t misses = 0;      ///< lookups that did not
  std::uint64_t insertions = 0;  ///< values stored under a key that had none
  std::uint64_t evictions = 0;   ///< values that went because of the bound
};

/// For `get_or_insert_with`: callers that wait share the failure of the call that they wait for.
struct ShareFailure {};

/// The one of its type.
inline constexpr ShareFailure share_failure{};

}  // namespace lockmap

#endif  // LOCKMAP_OPTIONS_HPP
