// ShardedMap: every operation of LockMap and LruLockMap, once.

#ifndef LOCKMAP_DETAIL_SHARDED_MAP_HPP
#define LOCKMAP_DETAIL_SHARDED_MAP_HPP

#include <algorithm>
#include <bit>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "lockmap/detail/config.hpp"
#include "lockmap/detail/describe.hpp"
#include "lockmap/detail/hashed_key.hpp"
#include "lockmap/detail/order.hpp"
#include "lockmap/detail/shard.hpp"
#include "lockmap/detail/waiter.hpp"
#include "lockmap/entry.hpp"

namespace lockmap {

// No bound.
inline constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

namespace detail {

// So many shards that two threads seldom meet in one, and no fewer where there are few processors:
// an empty shard costs less than a wait.
[[nodiscard]] inline std::size_t default_shard_count() {
  const std::size_t threads = std::max(1U, std::thread::hardware_concurrency());
  return std::clamp<std::size_t>(std::bit_ceil(threads * 16), 64, 1024);
}

// A fixed number of shards. They come from std::allocator, which aligns them as they want; nodes
// and tables come from the user's.
template <class Shard>
class ShardArray {
 public:
  template <class... Args>
  explicit ShardArray(std::size_t count, const Args&... args) : capacity_(checked(count)) {
    shards_ = std::allocator<Shard>().allocate(capacity_);
    try {
      for (; size_ < capacity_; ++size_) std::construct_at(shards_ + size_, args...);
    } catch (...) {
      release();
      throw;
    }
  }
  ShardArray(const ShardArray&) = delete;
  ShardArray& operator=(const ShardArray&) = delete;
  ~ShardArray() { release(); }

  [[nodiscard]] std::span<Shard> get() const noexcept { return {shards_, size_}; }

 private:
  static std::size_t checked(std::size_t count) {
    if (count > max_shards ||
        count >
            static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) / sizeof(Shard)) {
      throw std::length_error("lockmap: shard_count is too large: " + describe(count));
    }
    return count;
  }

  void release() noexcept {
    std::destroy_n(shards_, size_);
    std::allocator<Shard>().deallocate(shards_, capacity_);
  }

  std::size_t capacity_;
  std::size_t size_ = 0;
  Shard* shards_ = nullptr;
};

// What `batch_lock` takes: anything that a key can be constructed from, many times.
template <class Range, class Key>
concept RangeOf =
    std::ranges::input_range<Range> && MakesKey<std::ranges::range_reference_t<Range>, Key>;

// What `for_each` and `retain` take.
template <class F, class Key, class Value>
concept VisitorOf = std::invocable<F&, const Key&, const Value&>;
template <class F, class Key, class Value>
concept FilterOf = std::predicate<F&, const Key&, Value&>;

// What the two maps offer is documented there: lock_map.hpp, lru_lock_map.hpp. How keys are locked:
// shard.hpp.
template <class Key, class Value, class Hash, class KeyEqual, class Allocator, class Order>
class ShardedMap {
  static_assert(std::is_object_v<Key> && std::same_as<Key, std::remove_cv_t<Key>>,
                "lockmap: Key must be an object type without const or volatile");
  static_assert(std::is_object_v<Value> && std::same_as<Value, std::remove_cv_t<Value>>,
                "lockmap: Value must be an object type without const or volatile");
  static_assert(std::move_constructible<Key>, "lockmap: Key must be movable");
  static_assert(std::move_constructible<Value>, "lockmap: Value must be movable");
  static_assert(HashedAndCompared<Key, Key, Hash, KeyEqual>,
                "lockmap: Hash must hash a const Key and KeyEqual compare two");

 protected:
  using Shard = detail::Shard<Key, Value, KeyEqual, Allocator, Order>;

 public:
  using key_type = Key;
  using mapped_type = Value;
  using size_type = std::size_t;
  using hasher = Hash;
  using key_equal = KeyEqual;
  using allocator_type = Allocator;
  using Entry = lockmap::Entry<Shard>;
  using Batch = lockmap::Batch<Shard, Hash, KeyEqual>;

  ShardedMap(const ShardedMap&) = delete;
  ShardedMap& operator=(const ShardedMap&) = delete;

  // -- One key -----------------------------------------------------------------------------------

  template <LookupKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] std::optional<Value> get(const Q& key) const {
    return copy_of<Touch::lookup>(key);
  }

  template <LookupKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] bool contains(const Q& key) const {
    const auto probe = keys_.hashed(key);
    Shard& shard = shard_of(probe.hash);
    if constexpr (!Order::changes_on(Touch::lookup)) {
      const ReadSection section(shard);
      const Node* const node = shard.find(section, probe);
      if (node == nullptr) return false;
      if (!Shard::is_pinned(*node)) return true;  // has a value, then (I4)
    } else {
      Section section(shard);
      Node* const node = shard.find(section, probe);
      if (node == nullptr) {
        shard.miss(section, Touch::lookup);
        return false;
      }
      if (!Shard::is_pinned(*node)) {
        shard.touch(section, *node, Touch::lookup, true);
        return true;
      }
    }
    const std::optional<Entry> entry = lock_existing(shard, probe, Touch::lookup);
    return entry.has_value() && entry->has_value();
  }

  template <StoredKey<Key, Hash, KeyEqual> Q = Key>
  std::optional<Value> insert(Q&& key, Value value) {
    auto probe = keys_.hashed(std::forward<Q>(key));
    Shard& shard = shard_of(probe.hash);
    Section section(shard);
    const Found found = find_or_make(shard, section, probe, std::forward<Q>(key));
    if (found.made) {
      store_first(shard, section, *found.node, std::move(value));
      return std::nullopt;
    }
    if constexpr (copied_in_place<Value>) {
      if (!Shard::is_pinned(*found.node)) {
        std::optional<Value> previous(found.node->value);
        found.node->construct_value(value);
        shard.touch(section, *found.node, Touch::use, true);
        return previous;
      }
    }
    Entry entry = lock(shard, section, found, Touch::use);
    entry.keep_ = true;
    return entry.insert(std::move(value));
  }

  template <StoredKey<Key, Hash, KeyEqual> Q = Key>
  bool try_insert(Q&& key, Value value) {
    auto probe = keys_.hashed(std::forward<Q>(key));
    Shard& shard = shard_of(probe.hash);
    Section section(shard);
    const Found found = find_or_make(shard, section, probe, std::forward<Q>(key));
    if (found.made) {
      store_first(shard, section, *found.node, std::move(value));
      return true;
    }
    if (!Shard::is_pinned(*found.node)) {  // has a value, then (I4)
      shard.touch(section, *found.node, Touch::use, true);
      return false;
    }
    Entry entry = lock(shard, section, found, Touch::use);
    if (entry.has_value()) return false;
    entry.keep_ = true;
    entry.construct(std::move(value));
    return true;
  }

  template <LookupKey<Key, Hash, KeyEqual> Q = Key>
  std::optional<Value> remove(const Q& key) {
    const auto probe = keys_.hashed(key);
    Shard& shard = shard_of(probe.hash);
    Section section(shard);
    const auto position = shard.find_position(section, probe);
    if (position == shard.absent()) return std::nullopt;
    Node& node = **position;
    if constexpr (std::is_nothrow_move_constructible_v<Value>) {
      if (!Shard::is_pinned(node)) {
        shard.unlink(section, position);
        if constexpr (copied_in_place<Value> && Node::trivially_ended) {
          std::optional<Value> removed(node.value);
          shard.recycle(section, &node);
          return removed;
        } else {
          section.leave();
          std::optional<Value> removed(std::move(node.value));
          shard.end_nodes(&node);
          return removed;
        }
      }
    }
    return lock(shard, section, {&node}, Touch::quiet).remove();
  }

  template <StoredKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] Entry entry(Q&& key) {
    auto probe = keys_.hashed(std::forward<Q>(key));
    Shard& shard = shard_of(probe.hash);
    Section section(shard);
    const Found found = find_or_make(shard, section, probe, std::forward<Q>(key));
    return lock(shard, section, found, Touch::use);
  }

  template <StoredKey<Key, Hash, KeyEqual> Q = Key>
  [[nodiscard]] std::optional<Entry> try_entry(Q&& key) {
    return lock_entry(std::forward<Q>(key), Immediately{});
  }

  template <StoredKey<Key, Hash, KeyEqual> Q = Key, class Rep, class Period>
  [[nodiscard]] std::optional<Entry> try_entry_for(
      Q&& key, const std::chrono::duration<Rep, Period>& limit) {
    using Clock = std::chrono::steady_clock;
    // Compared as doubles: in any integer type, a huge limit would overflow.
    const std::chrono::duration<double> seconds(limit);
    if (!(seconds.count() > 0)) return try_entry(std::forward<Q>(key));
    if (seconds > std::chrono::hours(24 * 365)) {
      return lock_entry(std::forward<Q>(key), NoDeadline{});
    }
    return try_entry_until(std::forward<Q>(key),
                           Clock::now() + std::chrono::ceil<Clock::duration>(limit));
  }

  template <StoredKey<Key, Hash, KeyEqual> Q = Key, class Clock, class Duration>
  [[nodiscard]] std::optional<Entry> try_entry_until(
      Q&& key, const std::chrono::time_point<Clock, Duration>& time) {
    return lock_entry(std::forward<Q>(key), Deadline<Clock, Duration>{time});
  }

  template <StoredKey<Key, Hash, KeyEqual> Q = Key, MakerOf<Value> F>
  Value get_or_insert_with(Q&& key, F&& make) {
    static_assert(std::copy_constructible<Value>,
                  "lockmap: get_or_insert_with returns a copy, so Value must be copyable");
    auto probe = keys_.hashed(std::forward<Q>(key));
    Shard& shard = shard_of(probe.hash);
    Section section(shard);
    const Found found = find_or_make(shard, section, probe, std::forward<Q>(key));
    if constexpr (copied_in_place<Value>) {
      if (!found.made && !Shard::is_pinned(*found.node)) {
        shard.touch(section, *found.node, Touch::lookup, true);
        return found.node->value;
      }
    }
    Entry entry = lock(shard, section, found, Touch::lookup);
    entry.keep_ = true;
    return entry.or_insert_with(std::forward<F>(make));
  }

  // -- Several keys ------------------------------------------------------------------------------

  template <RangeOf<Key> Range, class Less = std::less<>>
  [[nodiscard]] Batch batch_lock(Range&& keys, Less less = {}) {
    Batch batch(keys_);
    (void)lock_batch(batch, std::forward<Range>(keys), less, NoDeadline{});
    return batch;
  }
  template <class Less = std::less<>>
  [[nodiscard]] Batch batch_lock(std::initializer_list<Key> keys, Less less = {}) {
    return batch_lock<const std::initializer_list<Key>&>(keys, std::move(less));
  }

  template <RangeOf<Key> Range, class Less = std::less<>>
  [[nodiscard]] std::optional<Batch> try_batch_lock(Range&& keys, Less less = {}) {
    std::optional<Batch> batch(Batch{keys_});
    if (!lock_batch(*batch, std::forward<Range>(keys), less, Immediately{})) batch.reset();
    return batch;
  }
  template <class Less = std::less<>>
  [[nodiscard]] std::optional<Batch> try_batch_lock(std::initializer_list<Key> keys,
                                                    Less less = {}) {
    return try_batch_lock<const std::initializer_list<Key>&>(keys, std::move(less));
  }

  // -- All keys ----------------------------------------------------------------------------------

  template <VisitorOf<Key, Value> F>
  void for_each(F f) const {
    visit_all([&f](Entry& entry) { std::invoke(f, entry.key(), std::as_const(*entry)); });
  }

  template <FilterOf<Key, Value> F>
  size_type retain(F f) {
    size_type removed = 0;
    visit_all([&](Entry& entry) {
      if (std::invoke(f, entry.key(), *entry)) return;
      entry.reset();
      ++removed;
    });
    return removed;
  }

  void clear() {
    visit_all([](Entry& entry) { entry.reset(); });
    for (Shard& shard : shards()) {
      Section section(shard);
      shard.release_memory_if_empty(section);
    }
  }

  [[nodiscard]] size_type size() const noexcept {
    std::uint64_t size = 0;
    for (const Shard& shard : shards()) size += shard.size();
    return static_cast<size_type>(size);
  }

  [[nodiscard]] bool empty() const noexcept { return size() == 0; }

  [[nodiscard]] size_type shard_count() const noexcept { return shards().size(); }

 protected:
  using Node = typename Shard::Node;
  using Section = typename Shard::Section;
  using ReadSection = typename Shard::ReadSection;
  using Lock = typename Shard::Lock;
  using Found = typename Shard::Found;

  ShardedMap(std::size_t shard_count, std::size_t initial_capacity, Hash hash, KeyEqual equal,
             const Allocator& allocator)
      : keys_{std::move(hash), std::move(equal), allocator},
        shards_(shard_count, keys_.equal, allocator) {
    if (initial_capacity >
        static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) / (2 * sizeof(Node))) {
      throw std::length_error("lockmap: initial_capacity is too large: " +
                              describe(initial_capacity));
    }
    const std::size_t per_shard = initial_capacity / shard_count;
    std::size_t rest = initial_capacity % shard_count;
    for (Shard& shard : shards()) {
      shard.reserve(rest > 0 ? per_shard + 1 : per_shard);
      if (rest > 0) --rest;
    }
  }

  ~ShardedMap() = default;

  // For the destructors of the maps: ends all values while the whole map can still be used. (A
  // value whose destructor uses the map may store values there; then there is another round.)
  void end_all_values() noexcept {
    for (const Shard& shard : shards()) shard.assert_unused();
    if constexpr (!Node::trivially_ended) {
      bool again = true;
      while (again) {
        again = false;
        for (Shard& shard : shards()) again = shard.end_all_nodes() || again;
      }
    }
  }

  [[nodiscard]] std::span<Shard> shards() const noexcept { return shards_.get(); }

  template <Touch touch, class Q>
  [[nodiscard]] std::optional<Value> copy_of(const Q& key) const {
    static_assert(std::copy_constructible<Value>,
                  "lockmap: get returns a copy, so Value must be copyable; use entry instead");
    const auto probe = keys_.hashed(key);
    Shard& shard = shard_of(probe.hash);
    if constexpr (copied_in_place<Value> && !Order::changes_on(touch)) {
      const ReadSection section(shard);
      const Node* const node = shard.find(section, probe);
      if (node == nullptr) return std::nullopt;
      if (!Shard::is_pinned(*node)) return node->value;
    } else if constexpr (copied_in_place<Value>) {
      Section section(shard);
      Node* const node = shard.find(section, probe);
      if (node == nullptr) {
        shard.miss(section, touch);
        return std::nullopt;
      }
      if (!Shard::is_pinned(*node)) {
        shard.touch(section, *node, touch, true);
        return node->value;
      }
    }
    return locked_copy(shard, probe, touch);
  }

  // Not inlined, so that what is before it is.
  template <class T>
  [[nodiscard]] LOCKMAP_NOINLINE static std::optional<Value> locked_copy(Shard& shard,
                                                                         const HashedKey<T>& probe,
                                                                         Touch touch) {
    const std::optional<Entry> entry = lock_existing(shard, probe, touch);
    if (!entry.has_value() || !entry->has_value()) return std::nullopt;
    return **entry;
  }

  // Locks a key if it has a node, waiting as long as it takes.
  template <class T>
  [[nodiscard]] LOCKMAP_NOINLINE static std::optional<Entry> lock_existing(
      Shard& shard, const HashedKey<T>& probe, Touch touch) {
    Section section(shard);
    Node* const node = shard.find(section, probe);
    if (node == nullptr) {
      shard.miss(section, touch);
      return std::nullopt;
    }
    return lock(shard, section, {node}, touch);
  }

  // Locks the key of a node, evicts if the node was made for it, and leaves the section in any
  // case: neither the entry nor others of the caller may be released inside. Without a node if the
  // deadline was too early.
  template <class D>
  [[nodiscard]] static Lock lock_found(Shard& shard, Section& section, Found found, Touch touch,
                                       const D& deadline) {
    const Lock lock = shard.lock_if_free(section, found, touch);
    if (lock.node == nullptr) [[unlikely]] {
      // Never a node that was just made: nobody else knows of it.
      return shard.lock_key(std::move(section), *found.node, touch, deadline);
    }
    if (found.made) shard.shrink(section, found.node);
    section.leave();
    return lock;
  }

  [[nodiscard]] static Entry lock(Shard& shard, Section& section, Found found, Touch touch) {
    return Entry(shard, lock_found(shard, section, found, touch, NoDeadline{}));
  }
  template <class D>
  [[nodiscard]] static std::optional<Entry> lock(Shard& shard, Section& section, Found found,
                                                 Touch touch, const D& deadline) {
    const Lock lock = lock_found(shard, section, found, touch, deadline);
    if (lock.node == nullptr) return std::nullopt;
    return Entry(shard, lock);
  }

  // Moves the least recently used key of the shard that nobody holds or waits for to `popped`, with
  // its value. If a move throws, both are still there.
  static void pop_oldest(Shard& shard,
                         std::optional<std::pair<Key, Value>>& popped) requires(Order::enabled) {
    Section section(shard);
    Node* const node = shard.oldest_unpinned(section);
    if (node == nullptr) return;
    if constexpr (std::is_nothrow_move_constructible_v<Key> &&
                  std::is_nothrow_move_constructible_v<Value>) {
      shard.unlink(section, *node);
      section.leave();
      popped.emplace(std::move(node->key), std::move(node->value));
      shard.end_nodes(node);
    } else {
      static_assert(std::copy_constructible<Key>,
                    "lockmap: pop_lru needs a Key and a Value whose moves do not throw, or a Key "
                    "that can be copied");
      Entry entry = lock(shard, section, {node}, Touch::quiet);
      popped.emplace(entry.key(), std::move(*entry));
      entry.reset();
    }
  }

 private:
  friend struct TestAccess;

  using MapKeys = KeyTraits<Key, Hash, KeyEqual, Allocator>;

  [[nodiscard]] Shard& shard_of(std::uint64_t hash) const noexcept {
    const std::span<Shard> all = shards();
    return all[shard_index(hash, all.size())];
  }

  // `key` is what `probe` was made from.
  template <class T, class Q>
  [[nodiscard]] static Found find_or_make(Shard& shard, Section& section, HashedKey<T>& probe,
                                          Q&& key) {
    return shard.find_or_make(section, probe, MapKeys::stored_key(probe, std::forward<Q>(key)));
  }

  // Gives a node that was just made its first value, and evicts for it if that succeeds.
  static void store_first(Shard& shard, Section& section, Node& node, Value&& value) {
    if constexpr (std::is_nothrow_move_constructible_v<Value>) {
      shard.store_first(section, node, std::move(value));
      shard.shrink(section, &node);
    } else {
      // What may throw may be a copy, too (I6): under the key's lock. The release evicts: also if
      // this throws, but the node stays for a thread that waits for the key.
      const Lock lock = shard.lock_if_free(section, {&node, true}, Touch::use);
      shard.shrink_on_release(section, node);
      section.leave();
      Entry entry(shard, lock);
      entry.keep_ = true;
      entry.construct(std::move(value));
    }
  }

  template <class Q, class D>
  [[nodiscard]] std::optional<Entry> lock_entry(Q&& key, const D& deadline) {
    auto probe = keys_.hashed(std::forward<Q>(key));
    Shard& shard = shard_of(probe.hash);
    Section section(shard);
    const Found found = find_or_make(shard, section, probe, std::forward<Q>(key));
    return lock(shard, section, found, Touch::use, deadline);
  }

  // What a batch needs while it is taken; without an allocation for a few keys.
  template <class T>
  using Few = absl::InlinedVector<T, 8>;

  // Adds guards of all keys to an empty batch. False if the deadline was too early for one of them.
  template <class Range, class Less, class D>
  [[nodiscard]] bool lock_batch(Batch& batch, Range&& range, Less& less, const D& deadline) {
    Few<HashedKey<Key>> keys;
    if constexpr (std::ranges::sized_range<Range>) keys.reserve(std::ranges::size(range));
    for (auto&& element : range) {
      HashedKey<Key> key = keys_.hashed_copy(std::forward<decltype(element)>(element));
      prefetch_for_writing(&shard_of(key.hash));  // the misses of all keys at once
      keys.push_back(std::move(key));
    }
    batch.entries_.reserve(keys.size());
    for (HashedKey<Key>* const probe : sorted(keys, less)) {
      Shard& shard = shard_of(probe->hash);
      Section section(shard);
      const Found found = shard.find_or_make(section, *probe, std::move(probe->key));
      // Duplicates are neighbours, unless KeyEqual is coarser than the order.
      if (Shard::is_held_by_this_thread(*found.node) && batch.holds(*found.node)) continue;
      const Lock lock = lock_found(shard, section, found, Touch::use, deadline);
      if (lock.node == nullptr) return false;
      batch.entries_.push_back(Entry(shard, lock));
    }
    return true;
  }

  // The keys of a batch in the order in which they are to be locked. Pointers, so that keys need
  // not be assignable.
  template <class Less>
  [[nodiscard]] static Few<HashedKey<Key>*> sorted(Few<HashedKey<Key>>& keys, Less& less) {
    static_assert(std::predicate<Less&, const Key&, const Key&>,
                  "lockmap: batch_lock takes keys in sorted order, and these cannot be compared by "
                  "std::less<>: pass a comparator as the second argument");
    Few<HashedKey<Key>*> order;
    order.reserve(keys.size());
    for (HashedKey<Key>& key : keys) order.push_back(&key);
    if constexpr (std::predicate<Less&, const Key&, const Key&>) {  // else one error is enough
      std::sort(order.begin(), order.end(),
                [&less](const HashedKey<Key>* a, const HashedKey<Key>* b) {
                  return static_cast<bool>(less(std::as_const(a->key), std::as_const(b->key)));
                });
    }
    return order;
  }

  // Calls `visit(entry)` for every key that is there for the whole call and has a value, holding
  // it.
  template <class F>
  void visit_all(const F& visit) const {
    for (Shard& shard : shards()) {
      typename Shard::Walk walk;
      for (;;) {
        Section section(shard);
        Node* node = nullptr;
        const typename Shard::Step step = shard.step(section, walk, node);
        if (step == Shard::Step::end) break;
        if (step == Shard::Step::more) continue;
        Entry entry = lock(shard, section, {node}, Touch::quiet);
        if (entry.has_value()) visit(entry);
      }
    }
  }

  MapKeys keys_;
  ShardArray<Shard> shards_;
};

}  // namespace detail
}  // namespace lockmap

#endif  // LOCKMAP_DETAIL_SHARDED_MAP_HPP
