// Entry: the guard of one key. Batch: the guards of several.

#ifndef LOCKMAP_ENTRY_HPP
#define LOCKMAP_ENTRY_HPP

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "lockmap/detail/config.hpp"
#include "lockmap/detail/describe.hpp"
#include "lockmap/detail/hashed_key.hpp"
#include "lockmap/detail/shard.hpp"

namespace lockmap {

namespace detail {
template <class Key, class Value, class Hash, class KeyEqual, class Allocator, class Order>
class ShardedMap;
}

// The exclusive guard of one key of a LockMap or LruLockMap, whether the key has a value or not: a
// locked std::optional<Value> with its key. The destructor unlocks; a key that is then without a
// value leaves no trace in the map.
//
// Entries come from `entry` and its variants; the name of the type is `Map::Entry`. An entry
// belongs to the thread that acquired it, as std::unique_lock<std::mutex> does: that thread must
// release it, and no two threads may use one entry at the same time. It must not outlive its map.
//
// No member waits for anything, and none but `unlock`, the destructor and the assignment, which may
// take a shard's internal lock for a moment, touches what other threads use. Destructors and copies
// of values run while this key, and no internal lock, is held. Every member takes constant time,
// unless it releases a key and that wakes a waiter or evicts. After a move from the entry, or
// `unlock`, only destruction and assignment are allowed.
template <class Shard>
class [[nodiscard]] Entry {
 public:
  // As the standard containers name them.
  using key_type = typename Shard::key_type;
  using mapped_type = typename Shard::mapped_type;

  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

  // Takes over the key that the other entry holds.
  Entry(Entry&& other) noexcept
      : shard_(other.shard_),
        lock_(std::exchange(other.lock_, {})),
        has_value_(other.has_value_),
        keep_(other.keep_) {}

  // Releases the key that this entry holds, then takes over the other's.
  Entry& operator=(Entry&& other) noexcept {
    if (this != &other) {
      unlock();
      shard_ = other.shard_;
      lock_ = std::exchange(other.lock_, {});
      has_value_ = other.has_value_;
      keep_ = other.keep_;
    }
    return *this;
  }

  // Releases the key.
  ~Entry() { unlock(); }

  // The key, as the map stores it.
  [[nodiscard]] const key_type& key() const noexcept { return node().key; }

  // Whether the key has a value.
  [[nodiscard]] bool has_value() const noexcept {
    LOCKMAP_ASSERT(lock_.node != nullptr);
    return has_value_;
  }

  // The value; null if there is none.
  [[nodiscard]] mapped_type* get() noexcept {
    return has_value() ? std::addressof(lock_.node->value) : nullptr;
  }
  [[nodiscard]] const mapped_type* get() const noexcept {
    return has_value() ? std::addressof(lock_.node->value) : nullptr;
  }

  // The value. Throws std::bad_optional_access if there is none.
  [[nodiscard]] mapped_type& value() {
    if (!has_value()) throw std::bad_optional_access();
    return lock_.node->value;
  }
  [[nodiscard]] const mapped_type& value() const {
    if (!has_value()) throw std::bad_optional_access();
    return lock_.node->value;
  }

  // The value. Precondition: there is one.
  [[nodiscard]] mapped_type& operator*() noexcept {
    LOCKMAP_ASSERT(has_value());
    return lock_.node->value;
  }
  [[nodiscard]] const mapped_type& operator*() const noexcept {
    LOCKMAP_ASSERT(has_value());
    return lock_.node->value;
  }
  [[nodiscard]] mapped_type* operator->() noexcept { return std::addressof(**this); }
  [[nodiscard]] const mapped_type* operator->() const noexcept { return std::addressof(**this); }

  // A copy of the value, or `fallback` if there is none. Throws what the copy or the conversion
  // throws.
  template <class U = mapped_type>
  [[nodiscard]] mapped_type value_or(U&& fallback) const {
    return has_value() ? lock_.node->value : static_cast<mapped_type>(std::forward<U>(fallback));
  }

  // Stores a value and returns the previous one. Throws what the value's move throws; then the
  // previous value is in place again (lost only if moving it back throws as well).
  std::optional<mapped_type> insert(mapped_type value) {
    std::optional<mapped_type> previous;
    if (!has_value()) {
      construct(std::move(value));
    } else {
      previous.emplace(std::move(lock_.node->value));
      lock_.node->destroy_value();
      if constexpr (std::is_nothrow_move_constructible_v<mapped_type>) {
        lock_.node->construct_value(std::move(value));
      } else {
        try {
          lock_.node->construct_value(std::move(value));
        } catch (...) {
          restore(*previous);
          throw;
        }
      }
    }
    return previous;  // never moved: a move that throws would lose it
  }

  // Constructs a value in place, after destroying the one that is there. Throws what the
  // constructor throws; then there is no value.
  template <class... Args>
  mapped_type& emplace(Args&&... args) {
    if (!has_value()) {
      construct(std::forward<Args>(args)...);
      return lock_.node->value;
    }
    lock_.node->destroy_value();
    try {
      lock_.node->construct_value(std::forward<Args>(args)...);
    } catch (...) {
      note_removed();
      throw;
    }
    return lock_.node->value;
  }

  // The value; if there is none, stores the given one first. Throws what the value's move throws;
  // then there is still none.
  mapped_type& or_insert(mapped_type value) {
    if (!has_value()) construct(std::move(value));
    return lock_.node->value;
  }

  // The value; if there is none, stores what `make()` returns first. `make` may use other keys of
  // the map. Throws what it throws; then there is still no value.
  template <detail::MakerOf<mapped_type> F>
  mapped_type& or_insert_with(F&& make) {
    if (!has_value()) {
      lock_.node->construct_value_from(std::forward<F>(make));
      note_stored();
    }
    return lock_.node->value;
  }

  // Removes the value and returns it. Throws what its move throws; then it is still there.
  std::optional<mapped_type> remove() {
    std::optional<mapped_type> previous;
    if (has_value()) {
      previous.emplace(std::move(lock_.node->value));
      reset();
    }
    return previous;
  }

  // Stores a value, or removes it for an empty `value`; returns the previous one. Throws as
  // `insert` and `remove` do.
  std::optional<mapped_type> swap(std::optional<mapped_type> value) {
    return value.has_value() ? insert(std::move(*value)) : remove();
  }

  // Releases the key before the entry dies.
  void unlock() noexcept {
    if (lock_.node != nullptr) shard_->release(std::exchange(lock_, {}), has_value_, keep_);
  }

 private:
  template <class Key, class Value, class Hash, class KeyEqual, class Allocator, class Order>
  friend class detail::ShardedMap;
  template <class S, class Hash, class KeyEqual>
  friend class Batch;

  using Node = typename Shard::Node;

  using Lock = typename Shard::Lock;

  // For a key that the calling thread has locked.
  Entry(Shard& shard, const Lock& lock) noexcept
      : shard_(&shard), lock_(lock), has_value_(lock.has_value) {}

  [[nodiscard]] Node& node() const noexcept {
    LOCKMAP_ASSERT(lock_.node != nullptr);
    return *lock_.node;
  }

  template <class... Args>
  void construct(Args&&... args) {
    lock_.node->construct_value(std::forward<Args>(args)...);
    note_stored();
  }

  void note_stored() noexcept {
    has_value_ = true;
    shard_->on_value_stored();
  }

  void note_removed() noexcept {
    has_value_ = false;
    shard_->on_value_removed();
  }

  // Puts a value back where there is none but was one.
  void restore(mapped_type& value) noexcept {
    try {
      lock_.node->construct_value(std::move(value));
    } catch (...) {
      note_removed();
    }
  }

  // Destroys the value, if there is one.
  void reset() noexcept {
    if (!has_value()) return;
    note_removed();
    lock_.node->destroy_value();
  }

  Shard* shard_;
  Lock lock_;          // without a node after a move and after `unlock`
  bool has_value_;     // the truth while the key is locked; the release writes it to the state word
  bool keep_ = false;  // see Shard::release
};

// The guards of several keys, as a range of Entry in the order in which they were taken. The name
// of the type is `Map::Batch`. Entries are released in reverse order. What is said of an Entry
// holds for each.
template <class Shard, class Hash, class KeyEqual>
class [[nodiscard]] Batch {
 public:
  // As the standard containers name them.
  using Entry = lockmap::Entry<Shard>;
  using key_type = typename Shard::key_type;
  using value_type = Entry;
  using size_type = std::size_t;
  using iterator = Entry*;
  using const_iterator = const Entry*;

  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  // Takes over the keys that the other batch holds.
  Batch(Batch&& other) noexcept = default;

  // Releases the keys that this batch holds, then takes over the other's.
  Batch& operator=(Batch&& other) noexcept {
    if (this != &other) {
      release();
      keys_ = other.keys_;
      entries_ = std::move(other.entries_);
    }
    return *this;
  }

  // Releases the keys, the last one first.
  ~Batch() { release(); }

  // The range of the entries, in the order in which they were taken. Constant time.
  [[nodiscard]] size_type size() const noexcept { return entries_.size(); }
  [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
  [[nodiscard]] iterator begin() noexcept { return entries_.data(); }
  [[nodiscard]] iterator end() noexcept { return entries_.data() + entries_.size(); }
  [[nodiscard]] const_iterator begin() const noexcept { return entries_.data(); }
  [[nodiscard]] const_iterator end() const noexcept { return entries_.data() + entries_.size(); }

  // The entry at a position. Precondition: `index < size()`. Constant time.
  [[nodiscard]] Entry& operator[](size_type index) noexcept {
    LOCKMAP_ASSERT(index < size());
    return entries_[index];
  }
  [[nodiscard]] const Entry& operator[](size_type index) const noexcept {
    LOCKMAP_ASSERT(index < size());
    return entries_[index];
  }

  // The entry of a key; null if the batch does not hold it, or not any more. Throws what the map's
  // Hash and KeyEqual throw. Linear in `size()`, comparing hashes.
  template <detail::LookupKey<key_type, Hash, KeyEqual> Q = key_type>
  [[nodiscard]] Entry* find(const Q& key) {
    return const_cast<Entry*>(std::as_const(*this).find(key));
  }
  template <detail::LookupKey<key_type, Hash, KeyEqual> Q = key_type>
  [[nodiscard]] const Entry* find(const Q& key) const {
    const auto probe = keys_->hashed(key);
    const detail::NodeEqual<KeyEqual> is_node_of(keys_->equal);
    for (const Entry& entry : entries_) {
      if (entry.lock_.node != nullptr && is_node_of(entry.lock_.node, probe)) return &entry;
    }
    return nullptr;
  }

  // Whether the batch holds a key. As `find`.
  template <detail::LookupKey<key_type, Hash, KeyEqual> Q = key_type>
  [[nodiscard]] bool contains(const Q& key) const {
    return find(key) != nullptr;
  }

  // The entry of a key. Throws std::out_of_range if the batch does not hold it; else as `find`.
  template <detail::LookupKey<key_type, Hash, KeyEqual> Q = key_type>
  [[nodiscard]] Entry& at(const Q& key) {
    return const_cast<Entry&>(std::as_const(*this).at(key));
  }
  template <detail::LookupKey<key_type, Hash, KeyEqual> Q = key_type>
  [[nodiscard]] const Entry& at(const Q& key) const {
    if (const Entry* const entry = find(key)) return *entry;
    throw std::out_of_range("lockmap: Batch::at: key " + detail::describe(key) +
                            " is not in the batch");
  }

 private:
  template <class Key, class Value, class H, class E, class Allocator, class Order>
  friend class detail::ShardedMap;

  using Keys = detail::KeyTraits<key_type, Hash, KeyEqual, typename Shard::allocator_type>;

  explicit Batch(const Keys& keys) noexcept : keys_(&keys) {}

  // From the last one, where duplicates of a sorted range are.
  [[nodiscard]] bool holds(const typename Shard::Node& node) const noexcept {
    return std::any_of(entries_.rbegin(), entries_.rend(),
                       [&node](const Entry& entry) { return entry.lock_.node == &node; });
  }

  void release() noexcept {
    while (!entries_.empty()) entries_.pop_back();
  }

  const Keys* keys_;
  std::vector<Entry> entries_;
};

}  // namespace lockmap

#endif  // LOCKMAP_ENTRY_HPP
