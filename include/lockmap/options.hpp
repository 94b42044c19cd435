// Options of the maps, and what a cache counts.

#ifndef LOCKMAP_OPTIONS_HPP
#define LOCKMAP_OPTIONS_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "lockmap/unlimited.hpp"

namespace lockmap {

/// Options of a LockMap.
struct Options {
  std::size_t initial_capacity = 0;  ///< keys to make room for at once
  std::size_t shard_count = 0;       ///< 0: a default from the number of processors
};

/// Which touches of a key reorder its shard.
enum class Recency {
  automatic,  ///< exact with one shard, else relaxed
  relaxed,    ///< those of keys outside the most recently used quarter; the others write nothing
  exact,      ///< all of them
};

/// Why a value has left a cache.
enum class EvictionCause {
  capacity,  ///< it was the least recently used where there was no room, or too heavy
  expired,   ///< its time was over
};

/// Options of an LruLockMap. It needs a `max_size`, a `max_weight`, or both.
struct LruOptions {
  std::size_t max_size = unlimited;          ///< the bound: 1 or more keys
  std::size_t initial_capacity = 0;          ///< keys to make room for at once
  std::size_t shard_count = 0;               ///< 0: a default from processors and bounds
  std::size_t max_evict = unlimited;         ///< evictions per operation and shard: 1 or more
  std::size_t max_weight = unlimited;        ///< the bound of all weights together: 1 or more
  std::chrono::nanoseconds time_to_live{0};  ///< from when a value is stored; 0: for ever
  std::chrono::nanoseconds time_to_idle{0};  ///< from when its key is touched; 0: for ever
  Recency recency = Recency::automatic;      ///< which touches reorder
  /// The clock; null: std::chrono::steady_clock. It must not throw, and runs under internal locks.
  std::chrono::steady_clock::time_point (*now)() = nullptr;
};

/// Counts of a cache since its construction. A lookup is a `get`, `contains`, `read`,
/// `get_or_insert_with` or `get_or_refresh`, and each key of `get_many` and `read_many`. Guards and
/// `peek` are none.
struct LruStats {
  std::uint64_t hits = 0;                 ///< lookups that found a value
  std::uint64_t misses = 0;               ///< lookups that did not
  std::uint64_t insertions = 0;           ///< values stored under a key that had none
  std::uint64_t evictions = 0;            ///< values that went because of a bound
  std::uint64_t expirations = 0;          ///< values that went because their time was over
  std::uint64_t loads = 0;                ///< makers that returned a value
  std::uint64_t load_failures = 0;        ///< makers that threw
  std::chrono::nanoseconds load_time{0};  ///< what both took
};

/// For `get_or_insert_with`: callers that wait share the failure of the call that they wait for.
struct ShareFailure {};

/// The one of its type.
inline constexpr ShareFailure share_failure{};

}  // namespace lockmap

#endif  // LOCKMAP_OPTIONS_HPP
