// Owner: whoever holds keys.

#ifndef LOCKMAP_DETAIL_OWNER_HPP
#define LOCKMAP_DETAIL_OWNER_HPP

#include <cstddef>
#include <cstdint>

namespace lockmap::detail {

// Small enough to share a key's state word with its flags and its pins; never 0. Ids are not
// reused: 2^40 of them outlast any process.
using OwnerId = std::uint64_t;

// Each thread is an owner. Only the owner's own thread touches it.
struct Owner {
  OwnerId id = 0;  // 0: not enrolled yet
  // Keys it holds: only an owner that holds one can be part of a deadlock (I8).
  std::size_t held = 0;
};

// How a key is held: by one owner alone, or together with others that only read.
enum class Mode : std::uint8_t { exclusive, shared };

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_OWNER_HPP
