// Slab: where the nodes of one shard live.

#ifndef LOCKMAP_DETAIL_SLAB_HPP
#define LOCKMAP_DETAIL_SLAB_HPP

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "lockmap/detail/config.hpp"

namespace lockmap::detail {

// Nodes come from chunks that are allocated as they are needed and given back all together; the
// nodes that are not in use are linked through `next`. A node never moves, so its position is a
// place in a walk over all nodes that stays good while the shard mutex is free.
//
// Everything but `give_back` needs the shard mutex.
template <class Node, class Allocator>
class Slab {
 public:
  explicit Slab(const Allocator& allocator)
      : allocator_(allocator), chunks_(ChunkAllocator(allocator)) {}
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;
  ~Slab() { release_chunks(); }

  // Whether `take` has a node to hand out.
  [[nodiscard]] bool has_room() const noexcept { return available_ != 0; }

  // How many nodes there are, used and unused.
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

  // By how many nodes to grow when there is no room: by half as much again, so that at most a third
  // is idle, in chunks that malloc does not map one by one.
  [[nodiscard]] std::size_t increment() const noexcept {
    return std::clamp(capacity_ / 2, first_chunk, largest_chunk);
  }

  // Allocates room for `count` nodes more. Throws what the allocator throws; then nothing has
  // changed. Precondition: `count > 0`.
  void grow(std::size_t count) {
    // Room for the record first: after the allocation nothing may throw.
    if (chunks_.size() == chunks_.capacity()) chunks_.reserve(2 * chunks_.size() + 1);
    Node* const memory = NodeTraits::allocate(allocator_, count + padding);
    // What the last chunk has left goes to the unused nodes: every chunk but the last is carved.
    available_ -= fresh();
    while (fresh_ != fresh_end_) put(std::construct_at(fresh_++));
    fresh_ = aligned(memory);
    fresh_end_ = fresh_ + count;
    chunks_.push_back({memory, fresh_, count});
    capacity_ += count;
    available_ += count;
  }

  // Takes back what other threads gave back.
  void append_given_back() noexcept {
    Node* node = given_back_.exchange(nullptr, std::memory_order_acquire);
    while (node != nullptr) {
      Node* const next = node->next;
      link_unused(node);
      node = next;
    }
  }

  // Precondition: `has_room()`.
  [[nodiscard]] Node* take() noexcept {
    --available_;
    if (unused_ != nullptr) return std::exchange(unused_, unused_->next);
    Node* const node = std::construct_at(fresh_++);
    prefetch_for_writing(fresh_);  // memory that was never touched would be waited for next time
    return node;
  }

  // Precondition, also of `give_back`: the key and the value are destroyed, the state word is 0.
  void put(Node* node) noexcept {
    node->poison_contents();
    link_unused(node);
  }

  // `put` for a thread that does not hold the shard mutex, of a whole list of nodes.
  void give_back(Node* first) noexcept {
    Node* last = first;
    for (;;) {
      last->poison_contents();
      if (last->next == nullptr) break;
      last = last->next;
    }
    // Nodes are only pushed one list at a time and taken all together, so no node that is compared
    // here can have left the stack and come back unnoticed.
    last->next = given_back_.load(std::memory_order_relaxed);
    while (!given_back_.compare_exchange_weak(last->next, first, std::memory_order_release,
                                              std::memory_order_relaxed)) {
    }
  }

  // Gives all memory back, and returns true, if no node is in use, by a table or by a thread that is
  // ending its use.
  [[nodiscard]] bool release_if_unused() noexcept {
    append_given_back();
    if (available_ != capacity_) return false;
    release_chunks();
    return true;
  }

  // A walk over the nodes that are in the slab when it begins.
  class Walk {
    friend Slab;
    bool begun_ = false;
    std::size_t epoch_ = 0;
    std::size_t chunk_ = 0;
    std::size_t index_ = 0;
    std::size_t end_chunk_ = 0;
    std::size_t end_index_ = 0;
  };

  enum class Step { node, more, end };

  // Goes on to the next node that is in a table and yields it. `more` means that the walk has
  // looked at enough nodes for one critical section and is to be continued in another. Nodes that
  // were added behind the walk's end are left out, so a walk ends whatever is inserted meanwhile.
  [[nodiscard]] Step step(Walk& walk, Node*& node) const noexcept {
    if (!walk.begun_) {
      walk.begun_ = true;
      walk.epoch_ = epoch_;
      walk.end_chunk_ = chunks_.size();
      walk.end_index_ =
          chunks_.empty() ? 0 : static_cast<std::size_t>(fresh_ - chunks_.back().nodes);
    }
    // The shard was empty since the walk began: whatever is here now has come later.
    if (walk.epoch_ != epoch_) return Step::end;
    for (int looks = 0; looks < looks_per_step; ++looks) {
      if (walk.chunk_ == walk.end_chunk_) return Step::end;
      const Chunk& chunk = chunks_[walk.chunk_];
      const std::size_t end = walk.chunk_ + 1 == walk.end_chunk_ ? walk.end_index_ : chunk.capacity;
      if (walk.index_ == end) {
        ++walk.chunk_;
        walk.index_ = 0;
        continue;
      }
      Node* candidate = chunk.nodes + walk.index_++;
      if (candidate->state.load(std::memory_order_relaxed).in_table()) {
        node = candidate;
        return Step::node;
      }
    }
    return Step::more;
  }

 private:
  friend struct TestAccess;

  struct Chunk {
    Node* memory;  // as allocated: `capacity + padding` nodes
    Node* nodes;
    std::size_t capacity;
  };
  using NodeAllocator = typename std::allocator_traits<Allocator>::template rebind_alloc<Node>;
  using ChunkAllocator = typename std::allocator_traits<Allocator>::template rebind_alloc<Chunk>;
  using NodeTraits = std::allocator_traits<NodeAllocator>;
  static_assert(std::is_same_v<typename NodeTraits::pointer, Node*>,
                "lockmap: the Allocator's pointer type must be a plain pointer");

  // In nodes: small for the many shards of a small map, large enough for big maps, one by one for
  // very large values.
  static constexpr std::size_t first_chunk = std::clamp<std::size_t>(4 * 1024 / sizeof(Node), 1, 8);
  static constexpr std::size_t largest_chunk =
      std::max<std::size_t>(32 * 1024 / sizeof(Node), first_chunk);
  static constexpr int looks_per_step = 256;

  // A node whose size is a power of two fits into one line if it begins at a multiple of it: an
  // access to a key then misses the cache once, not up to twice. One node more makes room for that.
  static constexpr bool fits_line = std::has_single_bit(sizeof(Node)) &&
                                    sizeof(Node) > alignof(Node) && sizeof(Node) <= 64;
  static constexpr std::size_t padding = fits_line ? 1 : 0;

  [[nodiscard]] static Node* aligned(Node* memory) noexcept {
    if constexpr (fits_line) {
      const std::size_t excess = reinterpret_cast<std::uintptr_t>(memory) % sizeof(Node);
      if (excess == 0) return memory;
      return reinterpret_cast<Node*>(reinterpret_cast<std::byte*>(memory) + sizeof(Node) - excess);
    } else {
      return memory;
    }
  }

  void link_unused(Node* node) noexcept {
    node->next = unused_;
    unused_ = node;
    ++available_;
  }

  // How many nodes of the last chunk were never in use.
  [[nodiscard]] std::size_t fresh() const noexcept {
    return static_cast<std::size_t>(fresh_end_ - fresh_);
  }

  void release_chunks() noexcept {
    for (const Chunk& chunk : chunks_) {
      Node* const end =
          chunk.nodes + chunk.capacity == fresh_end_ ? fresh_ : chunk.nodes + chunk.capacity;
      for (Node* node = chunk.nodes; node != end; ++node) {
        node->unpoison_contents();
        std::destroy_at(node);
      }
      NodeTraits::deallocate(allocator_, chunk.memory, chunk.capacity + padding);
    }
    chunks_.clear();
    chunks_.shrink_to_fit();
    unused_ = nullptr;
    given_back_.store(nullptr, std::memory_order_relaxed);
    fresh_ = nullptr;
    fresh_end_ = nullptr;
    capacity_ = 0;
    available_ = 0;
    ++epoch_;
  }

  std::size_t available_ = 0;  // those in `unused_`, and what is left of the last chunk
  Node* unused_ = nullptr;     // a list of nodes that were in use before
  Node* fresh_ = nullptr;      // [fresh_, fresh_end_) of the last chunk was never in use
  Node* fresh_end_ = nullptr;
  std::atomic<Node*> given_back_{nullptr};
  std::size_t capacity_ = 0;
  std::size_t epoch_ = 0;  // how often all memory was given back
  NodeAllocator allocator_;
  std::vector<Chunk, ChunkAllocator> chunks_;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_SLAB_HPP
