// Maps that are filled and destroyed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "team.hpp"
#include "workloads/workload.hpp"

namespace bench {

// Else a slice pays for what the one before has left in the heap: up to twice its own time, to put
// a million freed blocks together.
inline void begin_with_fresh_memory() {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

// From nothing to a map of so many keys, per key: its construction and, by all threads together,
// the insertion of every key.
struct BulkInsert : WorkloadDefaults {
  using Key = std::uint64_t;

  BulkInsert(std::uint64_t count, bool reserve)
      : name("bulk insert of " + count_name(count) + (reserve ? ", room reserved" : "")),
        keys(count),
        capacity(reserve ? count : 0) {}

  template <class Peer>
  Slice measure(Team& team) const {
    Slice slice;
    slice.line_ns = line_transfer(team);
    begin_with_fresh_memory();
    const Clock::time_point begin = Clock::now();
    Peer peer(capacity);
    team.run([&](unsigned worker) {
      const Key end = keys * (worker + 1) / team.size();
      for (Key key = keys * worker / team.size(); key < end; ++key) peer.insert(key, key);
    });
    slice.cost = nanoseconds(Clock::now() - begin) / static_cast<double>(keys);
    return slice;
  }

  std::string name;
  std::uint64_t keys;
  std::size_t capacity;
};

// The destruction of a full map, per key.
struct Destroy : OnIntegers {
  explicit Destroy(std::uint64_t count, const std::string& what = "destroy")
      : OnIntegers(what + ", " + count_name(count) + " keys", count) {}

  [[nodiscard]] static std::vector<unsigned> threads() { return {1}; }
  template <class Peer>
  Slice measure(Team& team) const {
    Slice slice;
    team.run([&](unsigned worker) {
      if (worker != 0) return;
      std::unique_ptr<Peer> peer = make_filled<Destroy, Peer>(*this);
      const Clock::time_point begin = Clock::now();
      peer.reset();
      slice.cost = nanoseconds(Clock::now() - begin) / static_cast<double>(keys);
    });
    return slice;
  }
};

}  // namespace bench
