// Hashing: from a key, or what stands for one, to the one hash that an operation computes.

#ifndef LOCKMAP_DETAIL_HASH_HPP
#define LOCKMAP_DETAIL_HASH_HPP

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "lockmap/detail/config.hpp"

namespace lockmap {

namespace detail {

// Both for everything that is convertible to std::string_view. Abseil may have a string_view of its
// own, and hashes a view and a string of equal text differently: hence one canonical view.
struct StringHash {
  using is_transparent = void;
  using is_avalanching = void;
  [[nodiscard]] std::size_t operator()(std::string_view text) const {
    return absl::Hash<absl::string_view>{}(absl::string_view(text.data(), text.size()));
  }
};
struct StringEqual {
  using is_transparent = void;
  [[nodiscard]] bool operator()(std::string_view a, std::string_view b) const noexcept {
    return a == b;
  }
};

template <class Key>
struct Defaults {
  using hash = absl::Hash<Key>;
  using equal = std::equal_to<Key>;
};
template <class Allocator>
struct Defaults<std::basic_string<char, std::char_traits<char>, Allocator>> {
  using hash = StringHash;
  using equal = StringEqual;
};
template <>
struct Defaults<std::string_view> {
  using hash = StringHash;
  using equal = StringEqual;
};

}  // namespace detail

// What LockMap and LruLockMap hash with unless told otherwise. For std::string and std::string_view
// keys, transparent over everything that is convertible to std::string_view; else absl::Hash.
template <class Key>
using default_hash = typename detail::Defaults<Key>::hash;

// The equality that belongs to default_hash.
template <class Key>
using default_equal = typename detail::Defaults<Key>::equal;

namespace detail {

// True for a hash whose every bit depends on the whole key, so that any of its bits may be used.
template <class Hash>
inline constexpr bool is_avalanching = [] {
  if constexpr (requires { typename Hash::is_avalanching; }) {
    return !std::is_same_v<typename Hash::is_avalanching, std::false_type>;
  } else {
    return false;
  }
}();
template <class Key>
inline constexpr bool is_avalanching<absl::Hash<Key>> = true;

// Spreads the bits of a weak hash such as an identity (the finalizer of MurmurHash3).
[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t hash) noexcept {
  hash ^= hash >> 33U;
  hash *= 0xff51afd7ed558ccdU;
  hash ^= hash >> 33U;
  hash *= 0xc4ceb9fe1a85ec53U;
  hash ^= hash >> 33U;
  return hash;
}

// The shard of a hash. Abseil's table takes its position and its tag from the low bits or from the
// high ones, depending on the release; a product's high bits depend on all of them and are no
// slice of the hash, so the keys of one shard stay spread within its table.
[[nodiscard]] constexpr std::size_t shard_index(std::uint64_t hash, std::size_t shards) noexcept {
  const std::uint64_t remixed = (hash * 0x9e3779b97f4a7c15U) >> 32U;
  return static_cast<std::size_t>((remixed * shards) >> 32U);
}
// More shards than this would leave some without keys.
inline constexpr std::uint64_t max_shards = std::uint64_t{1} << 32U;

template <class Q, class Key, class Hash, class KeyEqual>
concept HashedAndCompared = requires(const Q& q, const Key& key, const Hash& hash,
                                     const KeyEqual& equal) {
  { hash(q) } -> std::convertible_to<std::size_t>;
  { equal(key, q) } -> std::convertible_to<bool>;
};

template <class Hash, class KeyEqual>
concept Transparent = requires {
  typename Hash::is_transparent;
  typename KeyEqual::is_transparent;
};

// What may stand for a key in a lookup: what Hash and KeyEqual accept, or converts to a key.
template <class Q, class Key, class Hash, class KeyEqual>
concept LookupKey = HashedAndCompared<std::remove_cvref_t<Q>, Key, Hash, KeyEqual> ||
                    std::convertible_to < const std::remove_cvref_t<Q>
&, Key > ;

// What may stand for a key in an operation that may store it.
template <class Q, class Key, class Hash, class KeyEqual>
concept StoredKey = LookupKey<Q, Key, Hash, KeyEqual> && std::constructible_from<Key, Q>;

// True if a Q is looked up as it is. If false it is first converted to a key, once and outside
// every lock, rather than implicitly at each call of a hash and an equality that know only keys.
template <class Q, class Key, class Hash, class KeyEqual>
inline constexpr bool looked_up_directly = std::same_as<Q, Key> ||
                                           (HashedAndCompared<Q, Key, Hash, KeyEqual> &&
                                            (Transparent<Hash, KeyEqual> ||
                                             !std::convertible_to<const Q&, Key>));

// What the shards' tables are asked for: a key, or what stands for one, and its hash. T is a const
// reference to what the caller gave, or a Key that it was converted to.
template <class T>
struct Probe {
  T key;
  std::uint64_t hash;
};

// How a map tells keys apart.
template <class Key, class Hash, class KeyEqual>
struct Keys {
  // Hashes what an operation was given: the one hash of the operation.
  template <class Q>
  [[nodiscard]] auto probe(Q&& q) const {
    using Plain = std::remove_cvref_t<Q>;
    if constexpr (looked_up_directly<Plain, Key, Hash, KeyEqual>) {
      return Probe<const Plain&>{q, hash_of(q)};
    } else {
      Key key = static_cast<Key>(std::forward<Q>(q));
      const std::uint64_t hash = hash_of(key);
      return Probe<Key>{std::move(key), hash};
    }
  }

  // What a key is to be constructed from, should one be stored: what the caller gave, unless
  // `probe` has converted it.
  template <class T, class Q>
  [[nodiscard]] static constexpr decltype(auto) stored_key(Probe<T>& probe, Q&& q) noexcept {
    if constexpr (std::is_reference_v<T>) {
      return std::forward<Q>(q);
    } else {
      return std::move(probe.key);
    }
  }

  template <class Q>
  [[nodiscard]] std::uint64_t hash_of(const Q& q) const {
    const auto hash = static_cast<std::uint64_t>(static_cast<std::size_t>(user_hash(q)));
    return is_avalanching<Hash> ? hash : mix(hash);
  }

  [[no_unique_address]] Hash user_hash;
  [[no_unique_address]] KeyEqual equal;
};

// The functors of the shards' tables. They never call the user's hash, and compare a node with
// another node by identity, so a rehash and an erasure run no user code.
struct NodeHash {
  using is_transparent = void;
  template <class Node>
  [[nodiscard]] std::size_t operator()(const Node* node) const noexcept {
    return static_cast<std::size_t>(node->hash);
  }
  template <class T>
  [[nodiscard]] std::size_t operator()(const Probe<T>& probe) const noexcept {
    return static_cast<std::size_t>(probe.hash);
  }
};

template <class KeyEqual>
struct NodeEqual {
  using is_transparent = void;
  template <class Node>
  [[nodiscard]] bool operator()(const Node* a, const Node* b) const noexcept {
    return a == b;
  }
  template <class Node, class T>
  [[nodiscard]] bool operator()(const Node* node, const Probe<T>& probe) const {
    return node->hash == probe.hash && static_cast<bool>((*equal)(node->key, probe.key));
  }
  const KeyEqual* equal;  // the map's own: so tables can be swapped whatever it is
};

}  // namespace detail
}  // namespace lockmap

#endif  // LOCKMAP_DETAIL_HASH_HPP
