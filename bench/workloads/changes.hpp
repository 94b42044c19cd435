// Stores and removals.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "random.hpp"
#include "workloads/workload.hpp"

namespace bench {

// Look-ups, and values stored under keys that have one, so that the table stays as it is.
struct GetAndInsert : OnIntegers {
  GetAndInsert(std::string shares, std::uint64_t inserts, std::uint64_t count)
      : OnIntegers(std::move(shares) + ", " + count_name(count) + " keys", count),
        inserts_per_mille(inserts) {}

  template <class Peer>
  Value step(Peer& peer, Random& random) const {
    const Draw draw = random.draw();
    if (!draw.one_of_thousand(inserts_per_mille)) return peer.get(draw.key(keys));
    peer.insert(draw.key(keys), 1);
    return 0;
  }

  std::uint64_t inserts_per_mille;
};

// Half inserts and half removals of uniform keys: half of the keys are present all along.
struct Churn : OnIntegers {
  explicit Churn(std::uint64_t count)
      : OnIntegers("insert/remove churn, " + count_name(count) + " keys", count) {}

  template <class Peer>
  void fill(Peer& peer) const {
    for (Key key = 0; key < keys; key += 2) peer.insert(key, key);
  }
  template <class Peer>
  Value step(Peer& peer, Random& random) const {
    const Draw draw = random.draw();
    if (draw.one_of_thousand(500)) {
      peer.insert(draw.key(keys), 1);
    } else {
      peer.remove(draw.key(keys));
    }
    return 0;
  }
};

}  // namespace bench
