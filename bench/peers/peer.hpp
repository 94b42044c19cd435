// The interface of a map that is compared: the same few operations, on 64-bit values if not said
// otherwise.
//
//   Peer(capacity)            a map with room for so many keys, 0 for none
//                             a cache (`bounded`) that holds at most so many
//   get(q)                    the value, or 0
//   peek(q)                   the same of a cache, without promoting
//   insert(key, value)        stores it, whether there was one or not
//   remove(q)                 the key goes
//   guard(key)                changes the value of a present key under its exclusive lock
//   guard_each(keys)          the same for one key after the other
//   read(key, f)              calls f(value) under the shared lock of a present key, in place
//   shared_guard(key)         the value, under a shared lock of its key that could be kept
//   while_held(key, f)        calls f() under the exclusive lock of a present key
//   guard_absent(key)         takes and drops the exclusive lock of an absent key; no trace stays
//   guard_four(keys)          changes the values of four present keys under the locks of all
//   get_many(qs)              the sum of the values of a group of present keys
//   insert_many(pairs)        stores the values of a group of keys
//   Hold(peer, key)           keeps the lock of a key for as long as the object lives
//   DuringSlice               lives while the peer is measured
//
// A peer has only the operations that it can do. All of them hash with the same function, if they
// take one, and all look a string up by a view. What is "under a lock" is the same everywhere: an
// increment.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

namespace bench {

using Value = std::uint64_t;

inline constexpr std::size_t batch_size = 4;
template <class Key>
using BatchKeys = std::array<Key, batch_size>;

inline constexpr std::size_t group_size = 16;
template <class Q>
using GroupKeys = std::array<Q, group_size>;
template <class Key>
using GroupPairs = std::array<std::pair<Key, Value>, group_size>;

// The properties of a peer unless it says otherwise.
struct PeerDefaults {
  static constexpr unsigned max_threads = std::numeric_limits<unsigned>::max();
  static constexpr bool bounded = false;          // a cache
  static constexpr bool held_key_blocks = false;  // holding a key would block others
};

template <class Peer>
concept GuardsKeys = requires(Peer& peer, const typename Peer::Key& key) {
  peer.guard(key);
};
template <class Peer>
concept GuardsAbsentKeys = requires(Peer& peer, const typename Peer::Key& key) {
  peer.guard_absent(key);
};
template <class Peer>
concept GuardsFourKeys = requires(Peer& peer, const BatchKeys<typename Peer::Key>& keys) {
  peer.guard_four(keys);
};
template <class Peer>
concept InsertsMany = requires(Peer& peer, const GroupPairs<typename Peer::Key>& pairs) {
  peer.insert_many(pairs);
};
template <class Peer>
concept Peeks = requires(Peer& peer, const typename Peer::Key& key) {
  peer.peek(key);
};
template <class Peer>
concept HoldsKeys = requires {
  typename Peer::Hold;
};

// -- Lists of peers ------------------------------------------------------------------------------

template <template <class> class... Peer>
struct PeerList {};

template <class... Lists>
struct JoinedPeers;
template <template <class> class... Peer>
struct JoinedPeers<PeerList<Peer...>> {
  using type = PeerList<Peer...>;
};
template <template <class> class... First, template <class> class... Second, class... Others>
struct JoinedPeers<PeerList<First...>, PeerList<Second...>, Others...>
    : JoinedPeers<PeerList<First..., Second...>, Others...> {};

// One list of all the peers in several. A header of a library that is not installed has empty ones.
template <class... Lists>
using Joined = typename JoinedPeers<Lists...>::type;

}  // namespace bench
