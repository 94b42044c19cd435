// The memory that a map takes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "workloads/workload.hpp"

namespace bench {

// Counts what operator new sets aside while it lives. One at a time.
class CountedMemory {
 public:
  CountedMemory();
  CountedMemory(const CountedMemory&) = delete;
  CountedMemory& operator=(const CountedMemory&) = delete;
  ~CountedMemory();

  [[nodiscard]] double bytes() const;
};

// The peer, or that form of it whose memory comes from operator new.
template <class Peer>
struct CountedForm {
  using type = Peer;
};
template <class Peer>
requires requires {
  typename Peer::Counted;
}
struct CountedForm<Peer> {
  using type = typename Peer::Counted;
};

// The memory of a full map, per key.
struct Memory : OnIntegers {
  explicit Memory(std::uint64_t count, const std::string& what = "memory")
      : OnIntegers(what + ", " + count_name(count) + " keys", count) {}

  static constexpr const char* unit = "bytes";
  [[nodiscard]] static std::vector<unsigned> threads() { return {1}; }
  template <class Peer>
  Slice measure(Team& /*team*/) const {
    using Counted = typename CountedForm<Peer>::type;
    const CountedMemory counted;
    const auto peer = make_filled<Memory, Counted>(*this);
    Slice slice;
    slice.cost = counted.bytes() / static_cast<double>(keys);
    return slice;
  }
};

}  // namespace bench
