// Many keys at a time, none of which is held while another is waited for.

#ifndef LOCKMAP_DETAIL_MANY_HPP
#define LOCKMAP_DETAIL_MANY_HPP

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <ranges>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "lockmap/detail/concepts.hpp"
#include "lockmap/detail/config.hpp"
#include "lockmap/detail/hashed_key.hpp"

namespace lockmap::detail {

// The halves of a pair, as std::get has them, or the pair's own `get`. They are moved out of an
// rvalue.
namespace pairs {
using std::get;

template <class Pair>
[[nodiscard]] constexpr auto key_of(Pair&& pair) -> decltype(get<0>(std::forward<Pair>(pair))) {
  return get<0>(std::forward<Pair>(pair));
}
template <class Pair>
[[nodiscard]] constexpr auto value_of(Pair&& pair) -> decltype(get<1>(std::forward<Pair>(pair))) {
  return get<1>(std::forward<Pair>(pair));
}
}  // namespace pairs

// Called with an element's position and its key's value.
template <class F, class Value>
concept IndexedVisitorOf = std::invocable<F&, std::size_t, const Value&>;

template <class Pair, class Key, class Value>
concept PairOf = requires(Pair&& pair) {
  { pairs::key_of(std::forward<Pair>(pair)) } -> MakesKey<Key>;
  { pairs::value_of(std::forward<Pair>(pair)) } -> std::convertible_to<Value>;
};
template <class Range, class Key, class Value>
concept RangeOfPairs =
    std::ranges::input_range<Range> && PairOf<std::ranges::range_reference_t<Range>, Key, Value>;

// A random key of a large map misses the cache in its table's control bytes, in the slot, and in
// the node. Elements of a range go through the map in groups, which takes each of these steps for
// all its keys before it takes the next, so that the misses overlap:
//
//   stage      hashes each key, and prefetches its shard
//   prefetch   in sections: the tags in the tables, then the nodes, then the text of string keys
//   attempt    in sections: the operation itself; it does not wait, and leaves over what is held
//   finish     at the very end, what was left over, one by one: it waits
//
// Neighbours in a group that are in one shard have one section. Nothing is known of a node from one
// section to the next: one that was prefetched may be gone, which costs time and nothing else.
inline constexpr std::size_t group_size = 16;

// Elements that are where they are until the range ends: they need not be copied, to be looked up
// later. Every other element is made a key at once.
template <class Range>
concept HasLastingElements = std::ranges::forward_range<Range> &&
    std::is_lvalue_reference_v<std::ranges::range_reference_t<Range>>;

// Keys to look up: anything that a key can be made from or, where no key needs to be made, anything
// that can be looked up.
template <class Range, class Key, class Hash, class KeyEqual>
concept RangeOfLookups = RangeOf<Range, Key> ||
    (HasLastingElements<Range>&&
         LookupKey<std::ranges::range_reference_t<Range>, Key, Hash, KeyEqual>);

// An element's key, as a hashed key that is good until the range ends. `lasting` says that `source`
// is.
template <bool lasting, class Keys, class Source>
[[nodiscard]] auto hashed_for_later(const Keys& keys, Source&& source) {
  using Plain = std::remove_cvref_t<Source>;
  if constexpr (lasting && LookupKey<Plain, typename Keys::key_type, typename Keys::hasher,
                                     typename Keys::key_equal>) {
    return keys.hashed(std::as_const(source));
  } else {
    return keys.hashed_copy(std::forward<Source>(source));
  }
}

// A key that is to be looked up, and where.
template <class T, class Shard>
struct Wanted {
  HashedKey<T> key;
  Shard* shard;
  std::size_t index;  // in the range
};

// A pair that is to be stored, and where. `Source` points to what its key is to be made of, unless
// that was made already.
template <class T, class Source, class Shard, class Value>
struct WantedPair {
  // Moved from only if it is stored.
  [[nodiscard]] decltype(auto) stored_key() noexcept {
    if constexpr (std::same_as<T, typename Shard::key_type>) {
      return std::move(key.key);
    } else {
      return *source;
    }
  }

  HashedKey<T> key;
  Source source;
  Shard* shard;
  Value value;
};

template <bool lasting, class Shard, class Value, class Keys, class Shards, class Pair>
[[nodiscard]] auto pair_for_later(const Keys& keys, const Shards& shards, Pair&& pair) {
  using Part = decltype(pairs::key_of(std::forward<Pair>(pair)));
  constexpr bool key_lasts = lasting && std::is_lvalue_reference_v<Part>;
  using Source = std::conditional_t<key_lasts, std::add_pointer_t<const std::remove_cvref_t<Part>>,
                                    std::nullptr_t>;
  Source source = nullptr;
  if constexpr (key_lasts) source = std::addressof(std::as_const(pairs::key_of(pair)));
  auto key = detail::hashed_for_later<key_lasts>(keys, pairs::key_of(std::forward<Pair>(pair)));
  Shard& shard = shards.of(key.hash);
  detail::prefetch_for_writing(&shard);
  return WantedPair<decltype(key.key), Source, Shard, Value>{
      std::move(key), source, &shard, pairs::value_of(std::forward<Pair>(pair))};
}

// The hashes of pairs that were left over: a later pair with such a key has to come after them.
class HashesLeftOver {
 public:
  [[nodiscard]] bool contains(std::uint64_t hash) const noexcept {
    return !hashes_.empty() && hashes_.contains(hash);
  }
  void add(std::uint64_t hash) { hashes_.insert(hash); }

 private:
  absl::flat_hash_set<std::uint64_t> hashes_;
};

// Calls `f(section, item)` for each item in a section of its shard.
template <class Section, class Item, class F>
void in_sections(std::span<Item> items, const F& f) {
  const Item* const end = items.data() + items.size();
  for (Item* item = items.data(); item != end;) {
    auto& shard = *item->shard;
    Section section(shard);
    do {
      f(section, *item);
      ++item;
    } while (item != end && item->shard == &shard);
  }
}

// Where a key is looked up.
template <class Shard>
struct Place {
  std::uint64_t hash;
  Shard* shard;
};

template <class Shard>
LOCKMAP_NOINLINE void prefetch(std::span<const Place<Shard>> places) {
  using Section = typename Shard::ReadSection;
  using At = const Place<Shard>&;
  detail::in_sections<Section>(
      places, [](const Section& section, At place) { section.prefetch_tag(place.hash); });
  detail::in_sections<Section>(
      places, [](const Section& section, At place) { section.prefetch_node(place.hash); });
  if constexpr (is_string<typename Shard::key_type>) {
    detail::in_sections<Section>(
        places, [](const Section& section, At place) { section.prefetch_text(place.hash); });
  }
}

// For any number of keys: calls `place(key)` for each.
template <class Shard, class Key, class F>
void prefetch(std::span<Key> keys, const F& place) {
  for (std::size_t first = 0; first < keys.size(); first += group_size) {
    const std::size_t count = (std::min)(group_size, keys.size() - first);
    std::array<Place<Shard>, group_size> places;
    for (std::size_t i = 0; i < count; ++i) places[i] = place(keys[first + i]);
    detail::prefetch(std::span<const Place<Shard>>(places.data(), count));
  }
}

// Which items of a group were not dealt with.
class LeftOver {
 public:
  template <class Item>
  void add(std::span<Item> group, const Item& item) noexcept {
    bits_ |= std::uint32_t{1} << static_cast<unsigned>(&item - group.data());
  }
  [[nodiscard]] bool empty() const noexcept { return bits_ == 0; }
  [[nodiscard]] bool contains(std::size_t position) const noexcept {
    return (bits_ >> position & 1U) != 0;
  }

 private:
  static_assert(group_size <= 32);
  std::uint32_t bits_ = 0;
};

// The items on their way.
template <class Item>
class Group {
 public:
  Group() noexcept {}
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
  ~Group() { std::destroy_n(items_.data(), size_); }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::span<Item> items() noexcept { return {items_.data(), size_}; }

  // Constructs what `make()` returns, in place. Precondition: there is room.
  template <class F>
  void add(const F& make) {
    LOCKMAP_ASSERT(size_ < group_size);
    ::new (static_cast<void*>(items_.data() + size_)) Item(make());
    ++size_;
  }

 private:
  std::size_t size_ = 0;
  union {
    std::array<Item, group_size> items_;
  };
};

// Takes a range through a map. `operation.stage(element, index)` returns an item,
// `attempt(items)` returns what it left over, and `finish(item)` deals with such a one.
template <class Range, class Operation>
void take_through(Range&& range, Operation&& operation) {
  using Item = decltype(operation.stage(*std::ranges::begin(range), std::size_t{}));
  std::vector<Item> later;
  std::size_t index = 0;
  auto place = std::ranges::begin(range);
  const auto end = std::ranges::end(range);
  while (place != end) {
    Group<Item> group;
    for (; group.size() < group_size && place != end; ++place, ++index) {
      group.add([&] { return operation.stage(*place, index); });
    }
    const LeftOver left_over = operation.attempt(group.items());
    if (left_over.empty()) [[likely]] {
      continue;
    }
    for (std::size_t i = 0; i < group.size(); ++i) {
      if (left_over.contains(i)) later.push_back(std::move(group.items()[i]));
    }
  }
  for (Item& item : later) operation.finish(item);
}

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_MANY_HPP
