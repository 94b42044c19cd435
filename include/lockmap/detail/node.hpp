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
#include "lockmap/detail/state_word.hpp"

namespace lockmap::detail {

// What makes a value when it is called.
template <class F, class Value>
concept MakerOf = std::is_invocable_r_v<Value, F>;

// A node lives as long as the slab that it is part of. Its key lives while the node is in use, its
// value while the key has one; both are made and ended by hand. `Links` is what the map's order
// keeps in each node, a base class so that an order that keeps nothing takes no room.
template <class Key, class Value, class Links>
struct Node : Links {
  // The unions begin without a member, and whoever ends the node's use ends the members.
  Node() noexcept {}
  ~Node() {}
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // True if ending this node's use runs no user code and may happen under the shard mutex (I6).
  static constexpr bool trivially_ended =
      std::is_trivially_destructible_v<Key> && std::is_trivially_destructible_v<Value>;

  template <class... Args>
  void construct_key(Args&&... args) {
    unpoison_contents();
    std::construct_at(std::addressof(key), std::forward<Args>(args)...);
  }

  template <class... Args>
  void construct_value(Args&&... args) {
    std::construct_at(std::addressof(value), std::forward<Args>(args)...);
  }

  // From what `make()` returns, in place: nothing is moved if it returns a Value.
  template <class F>
  void construct_value_from(F&& make) {
    ::new (static_cast<void*>(std::addressof(value))) Value(std::invoke(std::forward<F>(make)));
  }

  void destroy_value() noexcept { std::destroy_at(std::addressof(value)); }

  void destroy_key() noexcept { std::destroy_at(std::addressof(key)); }

  // Makes every access to the key and the value an error for AddressSanitizer.
  void poison_contents() noexcept { poison(std::addressof(key), sizeof(*this) - key_offset()); }

  // Undoes it, before the node is used again or its memory goes back to the allocator.
  void unpoison_contents() noexcept { unpoison(std::addressof(key), sizeof(*this) - key_offset()); }

  StateWord state;
  union {
    std::uint64_t hash;  // while the node is in a table
    Node* next;          // in a list of nodes that are in none
  };
  union {
    Key key;
  };
  union {
    Value value;
  };

 private:
  [[nodiscard]] std::size_t key_offset() const noexcept {
    return static_cast<std::size_t>(reinterpret_cast<const std::byte*>(std::addressof(key)) -
                                    reinterpret_cast<const std::byte*>(this));
  }
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_NODE_HPP
