// Locks of keys.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "random.hpp"
#include "workloads/workload.hpp"

namespace bench {

// Keys that are there, all of them or the first few.
struct Guard : OnIntegers {
  Guard(const std::string& what, std::uint64_t wanted_keys, std::uint64_t count)
      : OnIntegers(what + ", " + count_name(count) + " keys", count), wanted(wanted_keys) {}

  template <GuardsKeys Peer>
  Value step(Peer& peer, Random& random) const {
    peer.guard(random.draw().key(wanted));
    return 0;
  }

  std::uint64_t wanted;
};

struct GuardUniform : Guard {
  explicit GuardUniform(std::uint64_t count) : Guard("guard on a uniform key", count, count) {}
};

struct GuardHot : Guard {
  explicit GuardHot(std::uint64_t count) : Guard("guard on 8 hot keys", 8, count) {}
  [[nodiscard]] static std::vector<unsigned> threads() { return {1, 2, 4, 8}; }
};

// The same with a look at the clock after each operation, for the longest of them. The cost of the
// clock is in the figure, of every peer alike.
struct GuardHotTimed : Guard {
  explicit GuardHotTimed(std::uint64_t count)
      : Guard("guard on 8 hot keys, each timed", 8, count) {}
  static constexpr unsigned chunk = 1;
  [[nodiscard]] static std::vector<unsigned> threads() { return {2, 4, 8}; }
};

// So many guards as a coroutine takes one after the other. One step is all of them.
struct GuardSeveral : OnIntegers {
  explicit GuardSeveral(std::uint64_t count)
      : OnIntegers("guard, by a coroutine, " + count_name(count) + " keys", count) {}

  static constexpr unsigned operations = 64;
  static constexpr unsigned chunk = 4;
  template <class Peer>
  Value step(Peer& peer, Random& random) const {
    std::array<Key, operations> several;
    for (Key& key : several) key = random.draw().key(keys);
    peer.guard_each(several);
    return 0;
  }
};

// One key that everybody reads.
struct SharedGuardHot : OnIntegers {
  explicit SharedGuardHot(std::uint64_t count)
      : OnIntegers("shared guard, one hot key, " + count_name(count) + " keys", count) {}
  template <class Peer>
  Value step(Peer& peer, Random& /*random*/) const {
    return peer.shared_guard(0);
  }
};

// A pool of locks: keys that are never there.
struct GuardAbsent : OnIntegers {
  explicit GuardAbsent(std::uint64_t count, const std::string& what = "guard on absent keys")
      : OnIntegers(what + ", " + count_name(count) + " keys", count) {}

  template <class Peer>
  void fill(Peer& /*peer*/) const {}
  template <GuardsAbsentKeys Peer>
  Value step(Peer& peer, Random& random) const {
    peer.guard_absent(random.draw().key(keys));
    return 0;
  }
};

// The locks of four keys at once. One step is all four.
struct GuardFour : OnIntegers {
  explicit GuardFour(std::uint64_t count)
      : OnIntegers("batch of 4 guards, " + count_name(count) + " keys", count) {}

  template <GuardsFourKeys Peer>
  Value step(Peer& peer, Random& random) const {
    BatchKeys<Key> four;
    for (Key& key : four) key = random.draw().key(keys);
    peer.guard_four(four);
    return 0;
  }
};

}  // namespace bench
