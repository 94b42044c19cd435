// The loads that the reader bias (detail/section.hpp) likes least.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "lockmap/lockmap.hpp"
#include "random.hpp"
#include "workloads/workload.hpp"

namespace bench {

// Operations of one kind in a row, just as many as bring the next bias, and then what ends it: 64
// reads or the price of a process barrier, as many guards, an insertion, a removal. Few keys, so
// that all is in the caches and the bias is what shows.
struct Bursts : OnIntegers {
  explicit Bursts(std::uint64_t count)
      : OnIntegers("bursts that flip the bias, one shard, " + count_name(count) + " keys", count) {}

  enum class Kind { read, guard, insert, remove };
  struct State {
    Random random;
    Kind kind = Kind::insert;
    std::uint32_t left = 0;
  };

  [[nodiscard]] State state(std::uint64_t seed) const { return {Random(seed)}; }
  template <class Peer>
  Value step(Peer& peer, State& state) const {
    const Draw draw = state.random.draw();
    if (state.left == 0) begin_burst(state);
    --state.left;
    const Key key = draw.key(keys);
    switch (state.kind) {
      case Kind::read:
        return peer.get(key);
      case Kind::guard:
        peer.guard(key);
        return 0;
      case Kind::insert:
        peer.insert(keys + key, 1);
        return 0;
      default:
        peer.remove(keys + key);  // not one that the guards want
        return 0;
    }
  }

 private:
  static void begin_burst(State& state) {
    constexpr std::uint32_t price = lockmap::detail::ProcessBarrier::price;
    // A load that brings a bias for readers, the same as paid for by reads, and by guards.
    constexpr std::array<std::uint32_t, 4> lengths{64, 256, price, 2 * price};
    const Draw draw = state.random.draw();
    state.kind = static_cast<Kind>(draw.key(4));
    const bool is_write = state.kind == Kind::insert || state.kind == Kind::remove;
    const bool is_long = draw.one_of_thousand(20);  // or there would be little else
    state.left = is_write ? 1 : lengths[(is_long ? 2U : 0U) + state.random.draw().key(2)];
  }
};

}  // namespace bench
