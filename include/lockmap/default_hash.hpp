// default_hash, default_equal: how maps tell keys apart unless told otherwise.

#ifndef LOCKMAP_DEFAULT_HASH_HPP
#define LOCKMAP_DEFAULT_HASH_HPP

#include <concepts>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"

namespace lockmap {

namespace detail {

// Both take whatever converts to a view, so that every kind of string hashes alike. Abseil hashes
// the bytes of the code units: it knows no char8_t, and its string_view may be one of its own.
template <class Char>
struct TextHash {
  using canonical_key = std::basic_string_view<Char>;
  using is_transparent = void;
  using is_avalanching = void;
  [[nodiscard]] std::size_t operator()(std::basic_string_view<Char> text) const {
    return absl::Hash<absl::string_view>{}(
        absl::string_view(reinterpret_cast<const char*>(text.data()), text.size() * sizeof(Char)));
  }
};
template <class Char>
struct TextEqual {
  using canonical_key = std::basic_string_view<Char>;
  using is_transparent = void;
  [[nodiscard]] bool operator()(std::basic_string_view<Char> a,
                                std::basic_string_view<Char> b) const noexcept {
    return a == b;
  }
};

template <class Key>
struct Defaults {
  using Hash = absl::Hash<Key>;
  using Equal = std::equal_to<Key>;
};
template <std::integral Char>
struct Defaults<std::basic_string_view<Char, std::char_traits<Char>>> {
  using Hash = TextHash<Char>;
  using Equal = TextEqual<Char>;
};
template <std::integral Char, class Allocator>
struct Defaults<std::basic_string<Char, std::char_traits<Char>, Allocator>>
    : Defaults<std::basic_string_view<Char>> {};

}  // namespace detail

/// The hash of LockMap and LruLockMap unless told otherwise. For keys that are a std::basic_string
/// or std::basic_string_view of any character type (std::string, std::u8string, std::pmr::wstring)
/// it is transparent: it takes everything that converts to such a view, so that a view or a literal
/// finds a key without a string being made. For any other key it is absl::Hash<Key>, which knows
/// what std::hash knows, pairs, tuples and containers, and what an AbslHashValue is written for.
template <class Key>
using default_hash = typename detail::Defaults<Key>::Hash;

/// The equality that belongs to default_hash, and transparent where it is: of views for strings,
/// and std::equal_to<Key> for any other key.
template <class Key>
using default_equal = typename detail::Defaults<Key>::Equal;

}  // namespace lockmap

#endif  // LOCKMAP_DEFAULT_HASH_HPP
