// Slab: the memory of one shard's nodes.

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
#include "lockmap/detail/node.hpp"

namespace lockmap::detail {

// Nodes come from chunks; free ones are linked through `next`. The position of a node is a place in
// a walk over all nodes that stays good while the shard mutex is free. The state word of a node
// says whether it is in the table, unlinked (its owner is still to free it) or free (0).
//
// Everything but `free_remote` needs the shard mutex.
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

  // How many nodes there are, used and free.
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

  // By how many nodes to grow when there is no room: by half as much again, so that at most a third
  // is idle, in chunks that malloc does not map one by one.
  [[nodiscard]] std::size_t increment() const noexcept {
    return std::clamp<std::size_t>(capacity_ / 2, first_chunk, largest_chunk);
  }

  // Allocates room for `count` nodes more. Throws what the allocator throws; then nothing has
  // changed. Precondition: `count > 0`.
  void grow(std::size_t count) {
    // Room for the record first: after the allocation nothing may throw.
    if (chunks_.size() == chunks_.capacity()) chunks_.reserve(2 * chunks_.size() + 1);
    Node* const memory = NodeTraits::allocate(allocator_, count + padding);
    // The rest of the last chunk goes to the free nodes: every chunk but the last is carved.
    available_ -= fresh();
    while (fresh_ != fresh_end_) free(std::construct_at(fresh_++));
    fresh_ = aligned(memory);
    fresh_end_ = fresh_ + count;
    chunks_.push_back({memory, fresh_, count});
    capacity_ += count;
    available_ += count;
  }

  // Takes back the nodes that other threads freed.
  void reclaim() noexcept {
    Node* node = freed_remotely_.exchange(nullptr, std::memory_order_acquire);
    while (node != nullptr) {
      Node* const next = node->next;
      link_free(node);
      node = next;
    }
  }

  // Precondition: `has_room()`.
  [[nodiscard]] Node* take() noexcept {
    --available_;
    if (free_ != nullptr) return std::exchange(free_, free_->next);
    Node* const node = std::construct_at(fresh_++);
    // Memory that was never touched would be waited for next time.
    detail::prefetch_for_writing(fresh_);
    return node;
  }

  // Precondition, also of `free_remote`: the key and the value are destroyed.
  void free(Node* node) noexcept {
    node->poison_contents();
    link_free(node);
  }

  // `free` for a thread that does not hold the shard mutex, of a whole list of nodes.
  void free_remote(Node* first) noexcept {
    Node* last = first;
    for (;;) {
      last->poison_contents();
      if (last->next == nullptr) break;
      last = last->next;
    }
    // Nodes are only pushed one list at a time and taken all together, so no node that is compared
    // here can have left the stack and come back unnoticed.
    last->next = freed_remotely_.load(std::memory_order_relaxed);
    while (!freed_remotely_.compare_exchange_weak(last->next, first, std::memory_order_release,
                                                  std::memory_order_relaxed)) {
    }
  }

  // -- Giving memory back ------------------------------------------------------------------------

  // In four steps: `mark` finds the chunks that must stay, because `stays(node)` holds for one of
  // their nodes or one is unlinked; `withhold` keeps all that is free from being handed out; `grow`
  // and `take` make new room for the nodes that are to move; `sweep` frees the other chunks.
  struct Staying {
    std::size_t chunks = 0;
    std::size_t capacity = 0;
  };
  template <class F>
  [[nodiscard]] Staying mark(const F& stays) noexcept {
    reclaim();
    Staying staying;
    for (Chunk& chunk : chunks_) {
      chunk.stays = false;
      for (Node* node = chunk.nodes; node != carved_end(chunk) && !chunk.stays; ++node) {
        const State state = node->state.load(std::memory_order_acquire);
        chunk.stays = state.in_table() ? stays(*node) : state.bits() != 0;
      }
      if (chunk.stays) {
        ++staying.chunks;
        staying.capacity += chunk.capacity;
      }
    }
    return staying;
  }

  void withhold() noexcept {
    while (fresh_ != fresh_end_) free(std::construct_at(fresh_++));
    free_ = nullptr;
    available_ = 0;
  }

  void sweep() noexcept {
    free_ = nullptr;
    available_ = fresh();
    capacity_ = 0;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < chunks_.size(); ++i) {
      const Chunk chunk = chunks_[i];
      if (!chunk.stays) {
        release(chunk);
        continue;
      }
      chunks_[kept++] = chunk;
      capacity_ += chunk.capacity;
      for (Node* node = chunk.nodes; node != carved_end(chunk); ++node) {
        if (node->state.load(std::memory_order_relaxed).bits() == 0) link_free(node);
      }
    }
    chunks_.erase(chunks_.begin() + static_cast<std::ptrdiff_t>(kept), chunks_.end());
    if (4 * kept < chunks_.capacity()) chunks_.shrink_to_fit();
  }
  // Undoes `withhold`, and frees nothing.
  void give_up() noexcept {
    for (Chunk& chunk : chunks_) chunk.stays = true;
    sweep();
  }

  // -- Walks -------------------------------------------------------------------------------------

  // The place of a walk over the nodes that are there when it begins. No chunk may come to its end
  // meanwhile: the shard sees to that.
  class Walk {
    friend Slab;
    std::size_t chunk_ = 0;
    std::size_t index_ = 0;
    std::size_t end_chunk_ = 0;
    std::size_t end_index_ = 0;
  };

  enum class Step { node, more, end };

  [[nodiscard]] Walk begin_walk() const noexcept {
    Walk walk;
    walk.end_chunk_ = chunks_.size();
    if (!chunks_.empty()) {
      walk.end_index_ = static_cast<std::size_t>(carved_end(chunks_.back()) - chunks_.back().nodes);
    }
    return walk;
  }

  // Goes on to the next node that is in a table and yields it. `more` means that the walk has
  // looked at enough nodes for one critical section and is to be continued in another. Nodes that
  // were added behind the walk's end are left out, so a walk ends whatever is inserted meanwhile.
  [[nodiscard]] Step step(Walk& walk, Node*& node) const noexcept {
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

  // In nodes: small for the many shards of a small map, large enough for big maps, one by one for
  // very large values.
  static constexpr std::size_t first_chunk = std::clamp<std::size_t>(4 * 1024 / sizeof(Node), 1, 8);
  static constexpr std::size_t largest_chunk = 32 * 1024 / sizeof(Node) > first_chunk
                                                   ? 32 * 1024 / sizeof(Node)
                                                   : first_chunk;

 private:
  friend struct TestAccess;

  struct Chunk {
    Node* memory;  // as allocated: `capacity + padding` nodes
    Node* nodes;
    std::size_t capacity;
    bool stays = true;

    [[nodiscard]] Node* end() const noexcept { return nodes + capacity; }
  };
  using NodeAllocator = typename std::allocator_traits<Allocator>::template rebind_alloc<Node>;
  using ChunkAllocator = typename std::allocator_traits<Allocator>::template rebind_alloc<Chunk>;
  using NodeTraits = std::allocator_traits<NodeAllocator>;
  static_assert(std::is_same_v<typename NodeTraits::pointer, Node*>,
                "lockmap: the Allocator's pointer type must be a plain pointer");

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

  void link_free(Node* node) noexcept {
    node->state.store(State(), std::memory_order_relaxed);
    node->next = free_;
    free_ = node;
    ++available_;
  }

  // How many nodes of the last chunk were never in use.
  [[nodiscard]] std::size_t fresh() const noexcept {
    return static_cast<std::size_t>(fresh_end_ - fresh_);
  }

  // The end of a chunk's nodes that were ever in use.
  [[nodiscard]] Node* carved_end(const Chunk& chunk) const noexcept {
    return chunk.end() == fresh_end_ ? fresh_ : chunk.end();
  }

  void release(const Chunk& chunk) noexcept {
    for (Node* node = chunk.nodes; node != carved_end(chunk); ++node) {
      node->unpoison_contents();
      std::destroy_at(node);
    }
    NodeTraits::deallocate(allocator_, chunk.memory, chunk.capacity + padding);
  }

  void release_chunks() noexcept {
    for (const Chunk& chunk : chunks_) release(chunk);
  }

  std::size_t available_ = 0;  // the free nodes, and the rest of the last chunk
  Node* free_ = nullptr;       // a list of nodes that were in use before
  Node* fresh_ = nullptr;      // [fresh_, fresh_end_) of the last chunk was never in use
  Node* fresh_end_ = nullptr;
  std::atomic<Node*> freed_remotely_{nullptr};
  std::size_t capacity_ = 0;
  NodeAllocator allocator_;
  std::vector<Chunk, ChunkAllocator> chunks_;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_SLAB_HPP
