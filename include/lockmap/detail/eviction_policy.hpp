// Eviction policies: a map's order of use, its bound and its counts, for one shard.

#ifndef LOCKMAP_DETAIL_EVICTION_POLICY_HPP
#define LOCKMAP_DETAIL_EVICTION_POLICY_HPP

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "lockmap/detail/config.hpp"
#include "lockmap/detail/intrusive_list.hpp"
#include "lockmap/unlimited.hpp"

namespace lockmap::detail {

// How an operation touches the key that it acquires.
enum class Touch {
  quiet,   // leaves the order alone
  use,     // makes the key the most recently used
  lookup,  // the same, and counts as a hit or a miss
};

// Why a node leaves the table.
enum class Removal {
  removed,  // by the user, or it has no value
  evicted,  // because of the bound
};

// LockMap's policy: no bound and no order, at no cost.
template <class Key, class Value>
class NoEviction {
 public:
  static constexpr bool enabled = false;
  struct Links {};

  // Whether an operation that touches a key so needs more than a shared section.
  [[nodiscard]] static constexpr bool changes_on(Touch /*touch*/) noexcept { return false; }

  template <class Node>
  void on_insert(Node& /*node*/) noexcept {}
  template <class Node>
  void on_unlink(Node& /*node*/, Removal /*cause*/) noexcept {}
  template <class Node>
  void on_relocate(const Node& /*from*/, Node& /*to*/) noexcept {}
  template <class Node>
  void on_touch(Node& /*node*/, Touch /*touch*/, bool /*hit*/) noexcept {}
  void on_miss(Touch /*touch*/) noexcept {}
  void on_store_locked() noexcept {}
  void on_store() noexcept {}
};

// LruLockMap's policy: a list from the least to the most recently used key. Keys that eviction has
// met while they were pinned are set aside, so that it never meets them twice; their release puts
// them back at the old end (I10). Everything needs the shard mutex unless said otherwise.
template <class Key, class Value>
class LruEviction {
 public:
  static constexpr bool enabled = true;
  using Links = ListLinks;
  using Listener = absl::AnyInvocable<void(const Key&, Value&) const>;

  [[nodiscard]] static constexpr bool changes_on(Touch touch) noexcept {
    return touch != Touch::quiet;
  }

  void on_insert(Links& node) noexcept { order_.push_back(node); }
  void on_unlink(Links& node, Removal cause) noexcept {
    node.unlink();
    if (cause == Removal::evicted) count(evictions_);
  }
  void on_relocate(const Links& from, Links& to) noexcept { to.replace(from); }
  void on_touch(Links& node, Touch touch, bool hit) noexcept {
    if (touch == Touch::quiet) return;
    if (!order_.is_back(node)) {
      node.unlink();
      order_.push_back(node);
    }
    if (touch == Touch::lookup) count(hit ? hits_ : misses_);
  }
  // For a lookup that found no node to touch.
  void on_miss(Touch touch) noexcept {
    if (touch == Touch::lookup) count(misses_);
  }
  // A value was stored under a key that had none: under the shard mutex, ...
  void on_store_locked() noexcept { count(insertions_locked_); }
  // ... or by the key's holder, without it.
  void on_store() noexcept { insertions_.fetch_add(1, std::memory_order_relaxed); }

  void set_aside(Links& node) noexcept {
    node.unlink();
    set_aside_.push_back(node);
  }
  void put_back(Links& node) noexcept {
    node.unlink();
    order_.push_front(node);
  }

  // How many of the shard's `size` keys an operation should evict now.
  [[nodiscard]] std::size_t excess(std::size_t size) const noexcept {
    return size > bound_ ? std::min<std::size_t>(size - bound_, max_evict_) : 0;
  }

  // From the least recently used key that is not set aside towards newer ones; null at the end.
  template <class Node>
  [[nodiscard]] Node* oldest() const noexcept {
    return order_.template front<Node>();
  }
  template <class Node>
  [[nodiscard]] Node* newer(const Node& node) const noexcept {
    return order_.template after<Node>(node);
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
  [[nodiscard]] std::uint64_t insertions() const noexcept {
    return insertions_locked_.load(std::memory_order_relaxed) +
           insertions_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t evictions() const noexcept {
    return evictions_.load(std::memory_order_relaxed);
  }

 private:
  friend struct TestAccess;

  // Written under the shard mutex only, so no read-modify-write; atomic for `stats`, which reads
  // without it.
  static void count(std::atomic<std::uint64_t>& counter) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  IntrusiveList order_;
  IntrusiveList set_aside_;
  std::size_t bound_ = unlimited;
  std::size_t max_evict_ = unlimited;
  const Listener* listener_ = nullptr;
  std::atomic<std::uint64_t> hits_{0};
  std::atomic<std::uint64_t> misses_{0};
  std::atomic<std::uint64_t> evictions_{0};
  std::atomic<std::uint64_t> insertions_locked_{0};
  std::atomic<std::uint64_t> insertions_{0};
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_EVICTION_POLICY_HPP
