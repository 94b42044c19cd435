// Batch: the guards of several keys.

#ifndef LOCKMAP_BATCH_HPP
#define LOCKMAP_BATCH_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <stdexcept>
#include <utility>
#include <vector>

#include "lockmap/detail/config.hpp"
#include "lockmap/detail/describe.hpp"
#include "lockmap/detail/guard_array.hpp"
#include "lockmap/detail/hashed_key.hpp"
#include "lockmap/entry.hpp"

namespace lockmap {

/// The guards of several keys, as a range in the order in which they were taken: that of the keys.
/// The name of the type is `Map::Batch`. Guards are released in reverse order. All that is said of
/// a guard holds for each.
template <class Guard, class KeyTraits>
class [[nodiscard]] Batch {
  using Hash = typename KeyTraits::hasher;
  using KeyEqual = typename KeyTraits::key_equal;

 public:
  using key_type = typename Guard::key_type;  ///< of the keys
  using value_type = Guard;                   ///< of the guards
  using size_type = std::size_t;              ///< of positions
  using iterator = Guard*;                    ///< contiguous
  using const_iterator = const Guard*;        ///< contiguous

  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  /// Takes over the keys that the other batch holds.
  Batch(Batch&& other) noexcept = default;

  /// Releases the keys that this batch holds, then takes over the other's.
  Batch& operator=(Batch&& other) noexcept {
    if (this != &other) {
      keys_ = other.keys_;
      guards_ = std::move(other.guards_);
      by_hash_ = std::move(other.by_hash_);
    }
    return *this;
  }

  /// Releases the keys, the last one first.
  ~Batch() = default;

  /// The number of guards. Constant time.
  [[nodiscard]] size_type size() const noexcept { return guards_.size(); }
  /// Whether there are none. Constant time.
  [[nodiscard]] bool empty() const noexcept { return guards_.size() == 0; }

  /// The first guard. Constant time.
  [[nodiscard]] iterator begin() noexcept { return guards_.begin(); }
  /// Behind the last guard. Constant time.
  [[nodiscard]] iterator end() noexcept { return guards_.end(); }
  /// The first guard. Constant time.
  [[nodiscard]] const_iterator begin() const noexcept { return guards_.begin(); }
  /// Behind the last guard. Constant time.
  [[nodiscard]] const_iterator end() const noexcept { return guards_.end(); }

  /// The guard at a position. Precondition: `index < size()`. Constant time.
  [[nodiscard]] Guard& operator[](size_type index) noexcept LOCKMAP_LIFETIMEBOUND {
    LOCKMAP_ASSERT(index < size());
    return begin()[index];
  }
  /// The same.
  [[nodiscard]] const Guard& operator[](size_type index) const noexcept LOCKMAP_LIFETIMEBOUND {
    LOCKMAP_ASSERT(index < size());
    return begin()[index];
  }

  /// The guard of a key; null if the batch does not hold it, or not any more. Throws what the map's
  /// Hash and KeyEqual throw. Logarithmic in `size()`.
  template <detail::LookupKey<key_type, Hash, KeyEqual> Q = key_type>
  [[nodiscard]] Guard* find(const Q& key) LOCKMAP_LIFETIMEBOUND {
    return const_cast<Guard*>(std::as_const(*this).find(key));
  }
  /// The same.
  template <detail::LookupKey<key_type, Hash, KeyEqual> Q = key_type>
  [[nodiscard]] const Guard* find(const Q& key) const LOCKMAP_LIFETIMEBOUND {
    const auto hashed = keys_->hashed(key);
    const auto is_guard_of = [&](const Guard& guard) {
      return guard.hold_ && detail::NodeEqual<KeyEqual>(keys_->equal)(guard.hold_.node(), hashed);
    };
    if (by_hash_.empty()) {
      const auto found = std::find_if(guards_.begin(), guards_.end(), is_guard_of);
      return found == guards_.end() ? nullptr : found;
    }
    for (auto place = std::lower_bound(by_hash_.begin(), by_hash_.end(), Place{hashed.hash, 0});
         place != by_hash_.end() && place->hash == hashed.hash; ++place) {
      if (is_guard_of(begin()[place->index])) return begin() + place->index;
    }
    return nullptr;
  }

  /// For a constant as the key.
  [[nodiscard]] Guard* find(
      detail::Constant<key_type> key) requires std::is_arithmetic_v<key_type> {
    return find(key.key);
  }

  /// Whether the batch holds a key. As `find`.
  template <detail::LookupKey<key_type, Hash, KeyEqual> Q = key_type>
  [[nodiscard]] bool contains(const Q& key) const {
    return find(key) != nullptr;
  }
  /// For a constant as the key.
  [[nodiscard]] bool contains(
      detail::Constant<key_type> key) const requires std::is_arithmetic_v<key_type> {
    return contains(key.key);
  }

  /// The guard of a key. Throws std::out_of_range if the batch does not hold it; else as `find`.
  template <detail::LookupKey<key_type, Hash, KeyEqual> Q = key_type>
  [[nodiscard]] Guard& at(const Q& key) LOCKMAP_LIFETIMEBOUND {
    return const_cast<Guard&>(std::as_const(*this).at(key));
  }
  /// The same.
  template <detail::LookupKey<key_type, Hash, KeyEqual> Q = key_type>
  [[nodiscard]] const Guard& at(const Q& key) const LOCKMAP_LIFETIMEBOUND {
    if (const Guard* const guard = find(key)) return *guard;
    throw std::out_of_range("lockmap: Batch::at: key " + detail::describe(key) +
                            " is not in the batch");
  }

  /// For a constant as the key.
  [[nodiscard]] Guard& at(detail::Constant<key_type> key) requires std::is_arithmetic_v<key_type> {
    return at(key.key);
  }

 private:
  template <class Key, class Value, class H, class E, class Allocator, class Policy>
  friend class detail::ShardedMap;

  // Where the guard of a hash is.
  struct Place {
    std::uint64_t hash;
    size_type index;

    [[nodiscard]] bool operator<(const Place& other) const noexcept {
      return hash != other.hash ? hash < other.hash : index < other.index;
    }
  };

  // With fewer guards, looking at each is as fast.
  static constexpr size_type least_indexed = 16;

  explicit Batch(const KeyTraits& keys) noexcept : keys_(&keys) {}

  // From the last one, where duplicates of a sorted range are.
  [[nodiscard]] bool holds(const typename Guard::Node& node) const noexcept {
    return std::any_of(std::make_reverse_iterator(end()), std::make_reverse_iterator(begin()),
                       [&node](const Guard& guard) { return guard.hold_.node() == &node; });
  }

  // Once all guards are there.
  void make_index() {
    if (size() < least_indexed) return;
    by_hash_.reserve(size());
    for (const Guard& guard : guards_)
      by_hash_.push_back({guard.hold_.node()->hash, by_hash_.size()});
    std::sort(by_hash_.begin(), by_hash_.end());
  }

  const KeyTraits* keys_;
  detail::GuardArray<Guard> guards_;  // released in reverse order
  std::vector<Place> by_hash_;        // sorted; empty for few guards
};

}  // namespace lockmap

#endif  // LOCKMAP_BATCH_HPP
