// WaitGraph: who waits for whom, to find deadlocks before they happen.

#ifndef LOCKMAP_DETAIL_WAIT_GRAPH_HPP
#define LOCKMAP_DETAIL_WAIT_GRAPH_HPP

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "lockmap/detail/config.hpp"
#include "lockmap/detail/owner.hpp"
#include "lockmap/detail/shard_mutex.hpp"
#include "lockmap/detail/state_word.hpp"

namespace lockmap::detail {

// One graph for all maps of a registry, so that a cycle through several maps is found too. Its
// edges are the owners that block on a key while they hold others (I8), each naming the key it
// waits for. From there the search goes on to whoever holds that key: the owner in its word or,
// if it is held shared, the recorded owners that hold it shared. Each of those may be the source of
// the next edge. An edge is a cycle's last if one of them is the owner that the search began with.
//
// Who is blocked waits for whoever holds the key, in whatever mode: an exclusive request for all of
// them; a shared one beside other sharers, because an exclusive one is queued before it (I12),
// which waits for all of them.
//
// No false negatives: a blocked owner acquires nothing but the key that it waits for, so the step
// that closes a cycle is always a wait. Of all the owners of a cycle, the one that adds its edge
// last sees all the others, because edges are added and followed under one mutex; what they hold
// has not changed since. A shared request adds its edge when it is queued already: only then is it
// certain to wait (an exclusive request may come into the queue before it). So does a task, in
// whatever mode.
//
// No false positives: a recorded owner cannot release a key, for it cannot go on before its edge is
// removed, which needs the mutex that the search holds. So each step of a search from a key to a
// recorded holder stays true for the rest of the search. An owner that was given the key of its
// own edge and has not woken yet is not waiting: for an exclusive request the word says so; for a
// shared one, which may have been given the key together with others, `look` tells whether it is
// still queued, and what the word was then; and so it does for a task, which may have been given
// the key, or have given up, long before it goes on and removes its edge. (Where an exclusive
// request that others queue behind has a time limit, waiting might have ended by that.)
//
// Tasks (task_owner.hpp). While a task waits, nothing comes to it but the key that it waits for
// (T1), so the first argument holds for it. But others may release what it holds (T2): a step from
// a key to a task that holds it need not stay true. It was true when the search began, though: a
// recorded task has got nothing since, and an edge that is met was there, under the mutex. So were
// all the steps before it, and those to threads are true throughout. Hence a cycle that is found
// existed when the search began: each of its owners then waited for a key that the next one held.
// It ends only when somebody else releases a task's hold; a task that counts on that must
// not wait as its owner. What is released earlier is never seen as held: the owner's record is
// changed first, and a word that is free has no way on. Whoever holds for nobody is no owner: it is
// never recorded, and no search goes on from its keys.
class WaitGraph {
 public:
  constexpr WaitGraph() noexcept = default;
  WaitGraph(const WaitGraph&) = delete;
  WaitGraph& operator=(const WaitGraph&) = delete;

  // The owners of a cycle, each waiting for a key that the next one holds, and the last for one of
  // the first's.
  using Cycle = std::vector<OwnerId>;

  // The edge of one blocked owner, in the graph from `add` to destruction. The waiter's pin keeps
  // `awaited` alive (I2).
  class Edge {
   public:
    // The key's state; a free one if the owner is no longer queued.
    using Look = State (*)(const Edge&) noexcept;

    Edge(WaitGraph& graph, const Owner& waiting, const StateWord& awaited, Look look) noexcept
        : Edge(graph, waiting, waiting.id, awaited, look) {}
    template <class AnyOwner>
    Edge(WaitGraph& graph, const AnyOwner& waiting, OwnerId id, const StateWord& awaited,
         Look look) noexcept
        : graph_(graph),
          id_(id),
          waiting_(&waiting),
          shares_([](const void* owner, const StateWord& word) noexcept {
            return static_cast<const AnyOwner*>(owner)->shares(word);
          }),
          awaited_(awaited),
          look_(look) {}
    Edge(const Edge&) = delete;
    Edge& operator=(const Edge&) = delete;
    ~Edge() {
      if (!added_) return;
      const std::lock_guard<ShardMutex> lock(graph_.mutex_);
      Edge** link = &graph_.chain(id_);
      while (*link != nullptr && *link != this) link = &(*link)->next_;
      if (*link != nullptr) *link = next_;  // else it was forgotten in a fork
    }

    // False, and nothing is added, if it would close a cycle: then the owner must not wait.
    [[nodiscard]] bool add() noexcept {
      const std::lock_guard<ShardMutex> lock(graph_.mutex_);
      if (graph_.last_of_cycle(*this) != nullptr) return false;
      added_ = true;
      next_ = graph_.chain(id_);
      graph_.chain(id_) = this;
      return true;
    }

    // The cycle that it would close. Throws if there is no memory.
    [[nodiscard]] Cycle cycle() const {
      const std::lock_guard<ShardMutex> lock(graph_.mutex_);
      Cycle owners;
      for (const Edge* edge = graph_.last_of_cycle(*this); edge != nullptr; edge = edge->from_) {
        owners.push_back(edge->id_);
      }
      std::reverse(owners.begin(), owners.end());
      return owners;
    }

    [[nodiscard]] const StateWord& awaited() const noexcept { return awaited_; }

   private:
    friend WaitGraph;

    [[nodiscard]] bool owner_shares(const StateWord& word) const noexcept {
      return shares_(waiting_, word);
    }

    WaitGraph& graph_;
    OwnerId id_;
    const void* waiting_;  // an owner of whatever kind
    bool (*shares_)(const void* owner, const StateWord& word) noexcept;
    const StateWord& awaited_;
    Look look_;
    bool added_ = false;
    Edge* next_ = nullptr;  // in its chain

    // Of the search that has last come here.
    mutable std::uint64_t search_ = 0;
    mutable const Edge* from_ = nullptr;      // null for the edge that it began with
    mutable const Edge* to_visit_ = nullptr;  // the next in line
  };

  // How many owners block.
  [[nodiscard]] std::size_t count() noexcept {
    const std::lock_guard<ShardMutex> lock(mutex_);
    std::size_t count = 0;
    for (const Edge* edge : chains_) {
      for (; edge != nullptr; edge = edge->next_) ++count;
    }
    return count;
  }

  // For the child of a fork, in which no thread waits.
  void clear() noexcept { chains_ = {}; }

 private:
  // Edges by waiting owner, in as many chains as keep each short with thousands of owners.
  [[nodiscard]] Edge*& chain(OwnerId owner) noexcept { return chains_[owner % chains_.size()]; }

  [[nodiscard]] const Edge* find(OwnerId owner) noexcept {
    const Edge* edge = chain(owner);
    while (edge != nullptr && edge->id_ != owner) edge = edge->next_;
    return edge;
  }

  // Searches for a way from the key that `first` awaits back to its owner: breadth first, without
  // memory of its own. Returns the last edge of the cycle, from which `from_` leads back to
  // `first`; null if there is none. Needs the mutex.
  [[nodiscard]] const Edge* last_of_cycle(const Edge& first) noexcept {
    ++searches_;
    first.search_ = searches_;
    first.from_ = first.to_visit_ = nullptr;
    const Edge* last = &first;
    const auto come_to = [&](const Edge* edge, const Edge& from) {
      if (edge == nullptr || edge->search_ == searches_) return;
      edge->search_ = searches_;
      edge->from_ = &from;
      edge->to_visit_ = nullptr;
      last->to_visit_ = edge;
      last = edge;
    };
    for (const Edge* edge = &first; edge != nullptr; edge = edge->to_visit_) {
      const State state = edge->look_(*edge);
      if (state.locked()) {
        if (state.owner() == first.id_) return edge;
        come_to(find(state.owner()), *edge);
      } else if (state.sharers() != 0) {
        if (first.owner_shares(edge->awaited_)) return edge;
        for (const Edge* next : chains_) {
          for (; next != nullptr; next = next->next_) {
            if (next->owner_shares(edge->awaited_)) come_to(next, *edge);
          }
        }
      }
    }
    return nullptr;
  }

  ShardMutex mutex_;
  std::uint64_t searches_ = 0;
  std::array<Edge*, 256> chains_{};
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_WAIT_GRAPH_HPP
