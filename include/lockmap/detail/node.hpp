// Node: the state of one key.

#ifndef LOCKMAP_DETAIL_NODE_HPP
#define LOCKMAP_DETAIL_NODE_HPP

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "lockmap/detail/config.hpp"
#include "lockmap/detail/construct.hpp"
#include "lockmap/detail/state_word.hpp"

namespace lockmap::detail {

// A value that is copied and replaced under the shard mutex (I6) rather than under its key's lock.
template <class Value>
inline constexpr bool copied_in_place =
    sizeof(Value) <= 64 &&
    std::conjunction_v<std::is_trivially_copyable<Value>, std::is_copy_constructible<Value>>;

// The state word of a node that is in no table and whose memory is not free yet.
inline constexpr State unlinked_state{State::waking_bit};

// The same, of one whose value has expired.
inline constexpr State expired_state{State::waking_bit | State::evict_on_release_bit};

// The value of keys that never have one: those of a LockSet.
struct NoValue {};

// A node without its value.
template <class Node, class Key, class Links>
struct NodeHead : Links {
  // The unions start inactive; the owner constructs and destroys the members.
  NodeHead() noexcept {}
  ~NodeHead() {}
  NodeHead(const NodeHead&) = delete;
  NodeHead& operator=(const NodeHead&) = delete;

  StateWord state;
  union {
    std::uint64_t hash;  // while the node is in a table
    Node* next;          // in a list of nodes that are in none
  };
  union {
    Key key;
  };
};

// A place for a value, as a base class: where there is never one, it takes no room.
template <class Value>
struct ValuePlace {
  ValuePlace() noexcept {}
  ~ValuePlace() {}
  ValuePlace(const ValuePlace&) = delete;
  ValuePlace& operator=(const ValuePlace&) = delete;

  union {
    Value value;
  };
};
template <>
struct ValuePlace<NoValue> {
  static inline NoValue value;
};

// A node lives as long as the slab that it is part of. Its key lives while the node is in use, its
// value while the key has one. `Links` is the eviction policy's part of each node, a base class so
// that a policy that keeps nothing takes no room.
template <class Key, class Value, class Links>
struct Node : NodeHead<Node<Key, Value, Links>, Key, Links>, ValuePlace<Value> {
  using Head = NodeHead<Node, Key, Links>;
  using Head::hash;
  using Head::key;
  using Head::next;
  using Head::state;
  using ValuePlace<Value>::value;

  // Destroying key and value runs no user code and may happen under the shard mutex (I6).
  static constexpr bool trivially_destroyed =
      std::is_trivially_destructible_v<Key> && std::is_trivially_destructible_v<Value>;

  template <class Allocator, class... Args>
  void construct_key(const Allocator& allocator, Args&&... args) {
    unpoison_contents();
    detail::construct(std::addressof(key), allocator, std::forward<Args>(args)...);
  }

  template <class Allocator, class... Args>
  void construct_value(const Allocator& allocator, Args&&... args) {
    detail::construct(std::addressof(value), allocator, std::forward<Args>(args)...);
  }

  // From what `make()` returns, in place: nothing is moved if it returns a Value.
  template <class Allocator, class F>
  void construct_value_from(const Allocator& allocator, F&& make) {
    if constexpr (constructed_by_allocator<Value, Allocator>) {
      construct_value(allocator, std::invoke(std::forward<F>(make)));
    } else {
      ::new (static_cast<void*>(std::addressof(value))) Value(std::invoke(std::forward<F>(make)));
    }
  }

  // Moves key, value and hash to another node; what is left here is still to be destroyed.
  void move_contents_to(Node& other) noexcept {
    other.unpoison_contents();
    other.hash = hash;
    std::construct_at(std::addressof(other.key), std::move(key));
    std::construct_at(std::addressof(other.value), std::move(value));
  }

  void destroy_value() noexcept { std::destroy_at(std::addressof(value)); }

  void destroy_key() noexcept { std::destroy_at(std::addressof(key)); }

  // Makes every access to the key and the value an error for AddressSanitizer.
  void poison_contents() noexcept {
    detail::poison(std::addressof(key), sizeof(*this) - key_offset());
  }

  // Undoes it, before the node is used again or its memory goes back to the allocator.
  void unpoison_contents() noexcept {
    detail::unpoison(std::addressof(key), sizeof(*this) - key_offset());
  }

 private:
  [[nodiscard]] std::size_t key_offset() const noexcept {
    return static_cast<std::size_t>(reinterpret_cast<const std::byte*>(std::addressof(key)) -
                                    reinterpret_cast<const std::byte*>(this));
  }
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_NODE_HPP
