// Orders: what a map keeps of the sequence in which its keys were used.

#ifndef LOCKMAP_DETAIL_ORDER_HPP
#define LOCKMAP_DETAIL_ORDER_HPP

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>

#include "lockmap/detail/config.hpp"

namespace lockmap::detail {

// How an operation touches the key that it acquires.
enum class Touch {
  quiet,   // leaves the order alone
  use,     // makes the key the most recently used
  lookup,  // the same, and counts as a hit or a miss
};

// A number that changes under the shard mutex almost always and now and then by a key's holder,
// who does not have it. Two halves keep the usual case free of read-modify-writes.
class SplitCounter {
 public:
  // The caller holds the shard mutex.
  void add_exclusively(std::int64_t n) noexcept {
    exclusive_.store(exclusive_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  // Any thread.
  void add(std::int64_t n) noexcept { shared_.fetch_add(n, std::memory_order_relaxed); }

  // Never negative, though a half may be.
  [[nodiscard]] std::uint64_t load() const noexcept {
    const std::int64_t sum =
        exclusive_.load(std::memory_order_relaxed) + shared_.load(std::memory_order_relaxed);
    return sum > 0 ? static_cast<std::uint64_t>(sum) : 0;
  }

 private:
  std::atomic<std::int64_t> exclusive_{0};
  std::atomic<std::int64_t> shared_{0};
};

// LockMap's order: none, at no cost.
template <class Key, class Value>
class NoOrder {
 public:
  static constexpr bool enabled = false;
  struct Links {};

  // Whether an operation that touches a key so needs more than a reading section.
  [[nodiscard]] static constexpr bool changes_on(Touch /*touch*/) noexcept { return false; }

  template <class Node>
  void on_insert(Node& /*node*/) noexcept {}
  template <class Node>
  void on_erase(Node& /*node*/) noexcept {}
  template <class Node>
  void on_touch(Node& /*node*/, Touch /*touch*/, bool /*hit*/) noexcept {}
  void on_miss(Touch /*touch*/) noexcept {}
  void on_store_exclusively() noexcept {}
  void on_store() noexcept {}
};

// LruLockMap's order, for one shard: a list from the most to the least recently used key, the
// shard's bound, and what the cache counts. Everything needs the shard mutex unless said otherwise.
template <class Key, class Value>
class LruOrder {
 public:
  static constexpr bool enabled = true;
  using Listener = std::function<void(const Key&, Value&)>;

  struct Links {
    Links* newer = nullptr;
    Links* older = nullptr;
  };

  LruOrder() noexcept { ends_.newer = ends_.older = &ends_; }
  LruOrder(const LruOrder&) = delete;
  LruOrder& operator=(const LruOrder&) = delete;

  [[nodiscard]] static constexpr bool changes_on(Touch touch) noexcept {
    return touch != Touch::quiet;
  }

  void on_insert(Links& node) noexcept { link_as_newest(node); }
  void on_erase(Links& node) noexcept { unlink(node); }
  void on_touch(Links& node, Touch touch, bool hit) noexcept {
    if (touch == Touch::quiet) return;
    if (ends_.older != &node) {
      unlink(node);
      link_as_newest(node);
    }
    if (touch == Touch::lookup) count(hit ? hits_ : misses_);
  }
  // For a lookup that found no node to touch.
  void on_miss(Touch touch) noexcept {
    if (touch == Touch::lookup) count(misses_);
  }
  void on_evict() noexcept { count(evictions_); }
  // A value was stored under a key that had none: by an operation in the shard, ...
  void on_store_exclusively() noexcept { insertions_.add_exclusively(1); }
  // ... or by the key's holder, without the shard mutex.
  void on_store() noexcept { insertions_.add(1); }

  // How many of the shard's `size` keys an operation should evict now.
  [[nodiscard]] std::size_t excess(std::size_t size) const noexcept {
    return size > bound_ ? std::min(size - bound_, max_evict_) : 0;
  }

  // From the least recently used key towards newer ones; null past the newest.
  template <class Node>
  [[nodiscard]] Node* oldest() const noexcept {
    return as_node<Node>(ends_.newer);
  }
  template <class Node>
  [[nodiscard]] Node* newer(const Node& node) const noexcept {
    return as_node<Node>(node.newer);
  }

  void set_bound(std::size_t bound) noexcept { bound_ = bound; }
  void set_max_evict(std::size_t max_evict) noexcept { max_evict_ = max_evict; }

  // Set once, before the map is used.
  void set_listener(const Listener* listener) noexcept { listener_ = listener; }
  // Null if there is none. Any thread.
  [[nodiscard]] const Listener* listener() const noexcept { return listener_; }

  // Any thread.
  [[nodiscard]] std::uint64_t hits() const noexcept {
    return hits_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t misses() const noexcept {
    return misses_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t insertions() const noexcept { return insertions_.load(); }
  [[nodiscard]] std::uint64_t evictions() const noexcept {
    return evictions_.load(std::memory_order_relaxed);
  }

 private:
  friend struct TestAccess;

  void link_as_newest(Links& node) noexcept {
    node.newer = &ends_;
    node.older = ends_.older;
    ends_.older->newer = &node;
    ends_.older = &node;
  }
  static void unlink(Links& node) noexcept {
    node.newer->older = node.older;
    node.older->newer = node.newer;
  }

  template <class Node>
  [[nodiscard]] Node* as_node(Links* links) const noexcept {
    return links == &ends_ ? nullptr : static_cast<Node*>(links);
  }

  // Written under the shard mutex only, so no read-modify-write; atomic for `stats`, which reads
  // without it.
  static void count(std::atomic<std::uint64_t>& counter) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  Links ends_;  // a ring: the newest key is `older` than this, the oldest `newer`
  std::size_t bound_ = std::numeric_limits<std::size_t>::max();
  std::size_t max_evict_ = std::numeric_limits<std::size_t>::max();
  const Listener* listener_ = nullptr;
  std::atomic<std::uint64_t> hits_{0};
  std::atomic<std::uint64_t> misses_{0};
  std::atomic<std::uint64_t> evictions_{0};
  SplitCounter insertions_;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_ORDER_HPP
