// WaitGraph: who waits for whom, to find deadlocks before they happen.

#ifndef LOCKMAP_DETAIL_WAIT_GRAPH_HPP
#define LOCKMAP_DETAIL_WAIT_GRAPH_HPP

#include <array>
#include <cstddef>
#include <mutex>
#include <vector>

#include "lockmap/detail/config.hpp"
#include "lockmap/detail/owner.hpp"
#include "lockmap/detail/shard_mutex.hpp"
#include "lockmap/detail/state_word.hpp"

namespace lockmap::detail {

// One graph for all maps of a registry, so that a cycle through several maps is found too. Its
// edges are the owners that block on a key while they hold others (I8), each naming the key it
// waits for; the key's state word names the owner that holds it, which may be the source of the
// next edge.
//
// No false negatives: a blocked owner acquires nothing but the key that it waits for, so the step
// that closes a cycle is always a wait, and whoever takes it sees all the other edges, because they
// are added and followed under one mutex.
//
// No false positives: a recorded owner cannot release a key, for it cannot go on before its edge is
// removed, which needs the mutex that the walk holds. So each step of a walk from holder to
// recorded holder stays true for the rest of the walk. An owner that was handed the key of its own
// edge and has not woken yet is not waiting: there the walk stops.
//
// A walk ends: the edge that would close a cycle is never left in the graph.
class WaitGraph {
 public:
  constexpr WaitGraph() noexcept = default;
  WaitGraph(const WaitGraph&) = delete;
  WaitGraph& operator=(const WaitGraph&) = delete;

  // The owners of a cycle, each waiting for a key that the next one holds, and the last for one of
  // the first's.
  using Cycle = std::vector<OwnerId>;

  // The edge of one blocked owner, in the graph from construction to destruction unless that would
  // close a cycle. The waiter's pin keeps `awaited` alive (I2).
  class Edge {
   public:
    Edge(WaitGraph& graph, OwnerId waiting, const StateWord& awaited) noexcept
        : graph_(graph), waiting_(waiting), awaited_(awaited) {
      const std::lock_guard<ShardMutex> lock(graph_.mutex_);
      closes_cycle_ = follow([](OwnerId /*holder*/) {});
      if (!closes_cycle_) {
        next_ = graph_.chain(waiting_);
        graph_.chain(waiting_) = this;
      }
    }
    Edge(const Edge&) = delete;
    Edge& operator=(const Edge&) = delete;
    ~Edge() {
      if (closes_cycle_) return;
      const std::lock_guard<ShardMutex> lock(graph_.mutex_);
      Edge** link = &graph_.chain(waiting_);
      while (*link != this) link = &(*link)->next_;
      *link = next_;
    }

    // If so, the owner must not sleep.
    [[nodiscard]] bool closes_cycle() const noexcept { return closes_cycle_; }

    // The cycle that it closes. Throws if there is no memory.
    [[nodiscard]] Cycle cycle() const {
      const std::lock_guard<ShardMutex> lock(graph_.mutex_);
      Cycle owners{waiting_};
      (void)follow([&owners](OwnerId holder) { owners.push_back(holder); });
      return owners;
    }

   private:
    friend WaitGraph;

    // Follows the edges from the key that this owner is about to wait for, and calls
    // `visit(owner)` for each owner on the way. True if the way leads back to this one.
    template <class F>
    [[nodiscard]] bool follow(const F& visit) const {
      const StateWord* awaited = &awaited_;
      for (;;) {
        const OwnerId holder = awaited->load(std::memory_order_acquire).owner();
        if (holder == 0) return false;
        if (holder == waiting_) return true;
        const Edge* const edge = graph_.find(holder);
        if (edge == nullptr || &edge->awaited_ == awaited) return false;
        visit(holder);
        awaited = &edge->awaited_;
      }
    }

    WaitGraph& graph_;
    OwnerId waiting_;
    const StateWord& awaited_;
    bool closes_cycle_;
    Edge* next_ = nullptr;
  };

  // For the child of a fork, in which no thread waits.
  void clear() noexcept { chains_ = {}; }

 private:
  // Edges by waiting owner, in as many chains as keep each short with thousands of owners.
  [[nodiscard]] Edge*& chain(OwnerId owner) noexcept { return chains_[owner % chains_.size()]; }

  [[nodiscard]] const Edge* find(OwnerId owner) noexcept {
    const Edge* edge = chain(owner);
    while (edge != nullptr && edge->waiting_ != owner) edge = edge->next_;
    return edge;
  }

  ShardMutex mutex_;
  std::array<Edge*, 256> chains_{};
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_WAIT_GRAPH_HPP
