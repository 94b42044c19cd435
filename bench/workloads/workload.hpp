// The concept of a workload.
//
// Most are steps: a peer is filled, and then each thread calls `step(peer, state)` over and over,
// with a state of its own that says which key comes next. The others (`measure`) are a whole, such
// as filling a map.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "paired.hpp"
#include "peers/peer.hpp"
#include "random.hpp"
#include "team.hpp"

namespace bench {

// "64k", "4M", "1000".
inline std::string count_name(std::uint64_t count) {
  if (count % 1'000'000 == 0) return std::to_string(count / 1'000'000) + "M";
  if (count % 1024 == 0) return std::to_string(count / 1024) + "k";
  return std::to_string(count);
}

struct Sizes {
  std::uint64_t keys = 64 * 1024;     // tables of a few megabytes
  std::uint64_t large = 4'000'000;    // far beyond the caches
  std::uint64_t popular = 1'000'000;  // for keys of unequal popularity
  std::uint64_t bulk = 1'000'000;
};

// The properties of a workload unless it says otherwise.
struct WorkloadDefaults {
  static constexpr const char* unit = "ns";
  static constexpr unsigned chunk = 128;          // steps between two looks at the clock
  static constexpr unsigned operations = 1;       // that a step counts for
  static constexpr bool holds_first_key = false;  // the lock of key 0 is held all the time
  static constexpr bool counts_hits = false;      // steps return 1 for a hit, 0 for a miss
  [[nodiscard]] static std::vector<unsigned> threads() { return {1, 2, 4}; }
};

// Steps on keys 0, 1, ... of which all are present at first.
struct OnIntegers : WorkloadDefaults {
  using Key = std::uint64_t;

  OnIntegers(std::string its_name, std::uint64_t count) : name(std::move(its_name)), keys(count) {}

  // A cache has room to spare: its shards do not get equal parts of the keys.
  [[nodiscard]] std::size_t bound() const { return 2 * keys; }
  template <class Peer>
  void fill(Peer& peer) const {
    for (Key key = 0; key < keys; ++key) peer.insert(key, key);
  }
  [[nodiscard]] Random state(std::uint64_t seed) const { return Random(seed); }

  std::string name;
  std::uint64_t keys;
};

template <class Workload, class Peer>
std::unique_ptr<Peer> make_filled(const Workload& workload) {
  auto peer = std::make_unique<Peer>(Peer::bounded ? workload.bound() : 0);
  workload.fill(*peer);
  return peer;
}

// -- Whether a peer can do it --------------------------------------------------------------------

enum class Support { full, none, blocks };

template <class Workload>
concept MadeOfSteps = requires(const Workload& workload) {
  workload.state(std::uint64_t{});
};
template <class Workload, class Peer>
concept MeasuresItself = requires(const Workload& workload, Team& team) {
  workload.template measure<Peer>(team);
};
template <class Workload, class Peer>
inline constexpr bool measured_by_steps = MadeOfSteps<Workload> && !MeasuresItself<Workload, Peer>;

template <class Workload, class Peer>
constexpr Support support() {
  if constexpr (Workload::holds_first_key && !HoldsKeys<Peer>) {
    // Tried, it would not be slow: it would hang as soon as it met the lock.
    return Peer::held_key_blocks ? Support::blocks : Support::none;
  } else if constexpr (measured_by_steps<Workload, Peer>) {
    using State = decltype(std::declval<const Workload&>().state(0));
    constexpr bool able = requires(const Workload& workload, Peer& peer, State& state) {
      workload.step(peer, state);
    };
    return able ? Support::full : Support::none;
  } else {
    return Support::full;
  }
}

}  // namespace bench
