// HashedKey: what an operation was given to look up, and its hash. KeyTraits: how a map hashes,
// compares and makes keys.
//
// A heterogeneous key is an object of another type than Key that stands for one in a lookup.

#ifndef LOCKMAP_DETAIL_HASHED_KEY_HPP
#define LOCKMAP_DETAIL_HASHED_KEY_HPP

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/hash/hash.h"
#include "lockmap/detail/config.hpp"
#include "lockmap/detail/construct.hpp"

// Multiplying hashes wraps around on purpose, which clang's -fsanitize=integer reports.
#if defined(__clang__)
#define LOCKMAP_WRAPS_AROUND __attribute__((no_sanitize("unsigned-integer-overflow")))
#else
#define LOCKMAP_WRAPS_AROUND
#endif

namespace lockmap::detail {

// A template, since a cast between equal types that depends on no parameter is useless to g++.
template <class T>
[[nodiscard]] constexpr std::size_t to_size(const T& number) {
  return static_cast<std::size_t>(number);
}

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
[[nodiscard]] LOCKMAP_WRAPS_AROUND constexpr std::uint64_t mix(std::uint64_t hash) noexcept {
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
[[nodiscard]] LOCKMAP_WRAPS_AROUND constexpr std::size_t shard_index(
    std::uint64_t hash, std::uint64_t shards) noexcept {
  const std::uint64_t remixed = (hash * 0x9e3779b97f4a7c15U) >> 32U;
  return to_size((remixed * shards) >> 32U);
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

// True if a Q is looked up as it is. If false it is first converted to a key, once and outside
// every lock, rather than implicitly at each call of a hash and an equality that know only keys.
template <class Q, class Key, class Hash, class KeyEqual>
inline constexpr bool looked_up_directly = std::same_as<Q, Key> ||
                                           (HashedAndCompared<Q, Key, Hash, KeyEqual> &&
                                            (Transparent<Hash, KeyEqual> ||
                                             !std::convertible_to<const Q&, Key>));

// List-initialisation makes no number that may have another value than what it is made from. Keys
// of class type decide for themselves.
template <class From, class To>
concept ListInitializes = requires(const From& from) {
  To{from};
};
template <class From, class To>
inline constexpr bool narrows =
    std::is_arithmetic_v<To> && !std::same_as<From, To> && !ListInitializes<From, To>;

// Their names are the error message for a number of a type that would narrow, in a lookup and where
// a key is made.
template <class Q, class Key, class Hash, class KeyEqual>
concept LookupMustNotNarrow = !(narrows<Q, Key> && !looked_up_directly<Q, Key, Hash, KeyEqual>);
template <class Q, class Key>
concept KeyMustNotNarrow = !narrows<Q, Key>;

// A constant of a type that would narrow, such as the literal 1 for unsigned keys: accepted, as
// in list-initialisation, if the key has its value.
template <class Key>
struct Constant {
  template <class T>
  requires narrows<T, Key>
  // NOLINTNEXTLINE(google-explicit-constructor): it stands for a key.
  consteval Constant(T constant) : key(same_value(constant)) {}

  template <class T>
  [[nodiscard]] static consteval Key same_value(T constant) {
    const Key key = static_cast<Key>(constant);
    if (static_cast<T>(key) != constant || (key < Key{}) != (constant < T{})) {
      throw "lockmap: the key has not the value of this constant";
    }
    return key;
  }

  Key key;
};

template <class Q, class Key, class Hash, class KeyEqual>
concept ActsAsKey =
    HashedAndCompared<Q, Key, Hash, KeyEqual> || std::is_convertible_v<const Q&, Key>;

// A key or a heterogeneous key: Hash and KeyEqual accept it, or it converts to a key.
template <class Q, class Key, class Hash, class KeyEqual>
concept LookupKey = ActsAsKey<std::remove_cvref_t<Q>, Key, Hash, KeyEqual> &&
    LookupMustNotNarrow<std::remove_cvref_t<Q>, Key, Hash, KeyEqual>;

// All keys may be looked up as one type that is cheap to copy: one instantiation serves them all.
template <class Hash, class KeyEqual>
concept HasCanonicalKey = requires {
  requires std::same_as<typename Hash::canonical_key, typename KeyEqual::canonical_key>;
};

// A key can be made from it: one element of a batch.
template <class Q, class Key>
concept MakesKey = std::constructible_from<Key, Q> && KeyMustNotNarrow<std::remove_cvref_t<Q>, Key>;

// A key or a heterogeneous key, in an operation that may store it.
template <class Q, class Key, class Hash, class KeyEqual>
concept StoredKey = LookupKey<Q, Key, Hash, KeyEqual> && MakesKey<Q, Key>;

// The shards' tables are asked for this. T is a const reference to the caller's key or
// heterogeneous key, or its canonical form, or a Key that was made from it.
template <class T>
struct HashedKey {
  T key;
  std::uint64_t hash;

  // The same key for as long as this lives, passed in registers.
  [[nodiscard]] auto borrowed() const noexcept {
    if constexpr (std::is_trivially_copyable_v<HashedKey> && sizeof(HashedKey) <= 32) {
      return *this;
    } else {
      return HashedKey<const T&>{key, hash};
    }
  }
};

// How a map hashes, compares and makes keys.
template <class Key, class Hash, class KeyEqual, class Allocator = std::allocator<Key>>
struct KeyTraits {
  using key_type = Key;
  using hasher = Hash;
  using key_equal = KeyEqual;

  // Computes the one hash of an operation.
  template <class Q>
  [[nodiscard]] auto hashed(Q&& q) const {
    using Plain = std::remove_cvref_t<Q>;
    if constexpr (HasCanonicalKey<Hash, KeyEqual>) {
      const typename Hash::canonical_key canonical(q);
      return HashedKey<typename Hash::canonical_key>{canonical, hash_of(canonical)};
    } else if constexpr (looked_up_directly<Plain, Key, Hash, KeyEqual>) {
      return HashedKey<const Plain&>{q, hash_of(q)};
    } else {
      return hashed_copy(std::forward<Q>(q));
    }
  }

  // As `hashed`, for a key that outlives what it is made from.
  template <class Q>
  [[nodiscard]] HashedKey<Key> hashed_copy(Q&& q) const {
    HashedKey<Key> result{make_key(std::forward<Q>(q)), 0};
    result.hash = hash_of(result.key);
    return result;
  }

  // The argument for the constructor of a key in a node: the caller's own, unless `hashed` has made
  // a key from it. An lvalue is not passed as one that is not const, which a greedy constructor
  // template of Key would prefer to its copy constructor.
  template <class T, class Q>
  [[nodiscard]] static constexpr decltype(auto) stored_key(HashedKey<T>& hashed, Q&& q) noexcept {
    if constexpr (std::same_as<T, Key>) {
      return std::move(hashed.key);
    } else {
      return as_argument(std::forward<Q>(q));
    }
  }

  template <class Q>
  [[nodiscard]] std::uint64_t hash_of(const Q& q) const {
    const std::uint64_t hash = to_size(user_hash(q));
    return is_avalanching<Hash> ? hash : mix(hash);
  }

  [[no_unique_address]] Hash user_hash;
  [[no_unique_address]] KeyEqual equal;
  [[no_unique_address]] Allocator allocator;

 private:
  template <class Q>
  [[nodiscard]] static constexpr decltype(auto) as_argument(Q&& q) noexcept {
    if constexpr (std::same_as<Q, Key&>) {
      return std::as_const(q);
    } else {
      return std::forward<Q>(q);
    }
  }

  // As the allocator constructs keys in nodes: one that hands itself on to them does so here, or
  // temporary keys would take their memory from elsewhere.
  template <class Q>
  [[nodiscard]] Key make_key(Q&& q) const {
    if constexpr (constructed_by_allocator<Key, Allocator>) {
      return std::make_obj_using_allocator<Key>(allocator, as_argument(std::forward<Q>(q)));
    } else {
      return static_cast<Key>(as_argument(std::forward<Q>(q)));
    }
  }
};

// A table that is asked for these finds nothing, but begins to fetch what it would compare: the
// nodes; and, once those are here, the characters of keys that are strings.
struct NodePrefetch {
  std::uint64_t hash;
};
struct TextPrefetch {
  std::uint64_t hash;
};

// A key whose characters are elsewhere, unless they are few.
template <class Key>
inline constexpr bool is_string = false;
template <class Char, class Traits, class Allocator>
inline constexpr bool is_string<std::basic_string<Char, Traits, Allocator>> = true;

// The functors of the shards' tables. They never call the user's hash, and compare a node with
// another node by identity, so a rehash and an erasure run no user code.
struct NodeHash {
  using is_transparent = void;
  template <class Node>
  [[nodiscard]] std::size_t operator()(const Node* node) const noexcept {
    return to_size(node->hash);
  }
  template <class T>
  [[nodiscard]] std::size_t operator()(const HashedKey<T>& key) const noexcept {
    return to_size(key.hash);
  }
  [[nodiscard]] std::size_t operator()(const NodePrefetch& key) const noexcept {
    return to_size(key.hash);
  }
  [[nodiscard]] std::size_t operator()(const TextPrefetch& key) const noexcept {
    return to_size(key.hash);
  }
};

template <class KeyEqual>
class NodeEqual {
 public:
  using is_transparent = void;

  // For the map's own KeyEqual, which it refers to: so tables can be swapped whatever that is.
  explicit NodeEqual(const KeyEqual& equal) noexcept : equal_(std::addressof(equal)) {}

  template <class Node>
  [[nodiscard]] bool operator()(const Node* a, const Node* b) const noexcept {
    return a == b;
  }
  template <class Node, class T>
  [[nodiscard]] bool operator()(const Node* node, const HashedKey<T>& key) const {
    return node->hash == key.hash && static_cast<bool>((*equal_)(node->key, key.key));
  }
  template <class Node>
  [[nodiscard]] bool operator()(const Node* node, const NodePrefetch& /*key*/) const noexcept {
    detail::prefetch_for_reading(node);
    // One that does not begin with a cache line may end in the next.
    if constexpr (!std::has_single_bit(sizeof(Node))) {
      detail::prefetch_for_reading(reinterpret_cast<const std::byte*>(node + 1) - 1);
    }
    return false;
  }
  template <class Node>
  [[nodiscard]] bool operator()(const Node* node, const TextPrefetch& key) const noexcept {
    if (node->hash == key.hash) detail::prefetch_for_reading(node->key.data());
    return false;
  }

 private:
  const KeyEqual* equal_;
};

}  // namespace lockmap::detail

#undef LOCKMAP_WRAPS_AROUND

#endif  // LOCKMAP_DETAIL_HASHED_KEY_HPP
