// WaitGraph: who waits for whom, to find deadlocks before they happen.

#ifndef LOCKMAP_DETAIL_WAIT_GRAPH_HPP
#define LOCKMAP_DETAIL_WAIT_GRAPH_HPP

#include <array>
#include <cstddef>
#include <mutex>
#include <string>
#include <system_error>

#include "lockmap/detail/config.hpp"
#include "lockmap/detail/state_word.hpp"

namespace lockmap::detail {

// One graph for the process, so that a cycle through several maps is found too. Its edges are the
// threads that block on a key while they hold others (I8), each naming the key it waits for; the
// key's state word names the thread that holds it, which may be the source of the next edge.
//
// Nothing is missed: a blocked thread acquires nothing but the key that it waits for, so the step
// that closes a cycle is always a wait, and whoever takes it sees all the other edges, because they
// are added and followed under one mutex.
//
// Nothing is reported that is no deadlock: a recorded thread cannot let go of a key, for it cannot
// go on before its edge is removed, which needs the mutex that the walk holds. So each step of a
// walk from holder to recorded holder stays true for the rest of the walk. A thread that was handed
// the key of its own edge and has not woken yet is not waiting: there the walk stops.
//
// A walk ends: the edge that would close a cycle is never left in the graph.
class LOCKMAP_ONE_PER_PROCESS WaitGraph {
 public:
  // The edge of one blocked thread, in the graph from construction to destruction unless that would
  // close a cycle. The waiting thread's pin keeps `awaited` alive (I2).
  class Edge {
   public:
    Edge(ThreadId waiting, const StateWord& awaited) : waiting_(waiting), awaited_(&awaited) {
      const std::lock_guard lock(mutex);
      cycle_length_ = find_cycle();
      if (cycle_length_ == 0) {
        next_ = chain(waiting_);
        chain(waiting_) = this;
      }
    }
    Edge(const Edge&) = delete;
    Edge& operator=(const Edge&) = delete;
    ~Edge() {
      if (cycle_length_ != 0) return;
      const std::lock_guard lock(mutex);
      Edge** link = &chain(waiting_);
      while (*link != this) link = &(*link)->next_;
      *link = next_;
    }

    // How many threads would wait for each other if this one slept; 0 if it may sleep.
    [[nodiscard]] std::size_t cycle_length() const noexcept { return cycle_length_; }

   private:
    friend WaitGraph;

    // Follows the edges from the key that this thread is about to wait for.
    [[nodiscard]] std::size_t find_cycle() const noexcept {
      const StateWord* awaited = awaited_;
      for (std::size_t length = 1;; ++length) {
        const State state = awaited->load(std::memory_order_acquire);
        if (!state.locked()) return 0;
        if (state.owner() == waiting_) return length;
        const Edge* const edge = find(state.owner());
        if (edge == nullptr || edge->awaited_ == awaited) return 0;
        awaited = edge->awaited_;
      }
    }

    ThreadId waiting_;
    const StateWord* awaited_;
    std::size_t cycle_length_ = 0;
    Edge* next_ = nullptr;
  };

 private:
  // Edges by waiting thread, in as many chains as keep each short with thousands of threads.
  static Edge*& chain(ThreadId thread) noexcept { return chains[thread % chains.size()]; }

  [[nodiscard]] static const Edge* find(ThreadId thread) noexcept {
    const Edge* edge = chain(thread);
    while (edge != nullptr && edge->waiting_ != thread) edge = edge->next_;
    return edge;
  }

  static inline std::mutex mutex;
  static inline constinit std::array<Edge*, 256> chains{};
};

[[noreturn]] LOCKMAP_NOINLINE inline void throw_deadlock(const std::string& what) {
  throw std::system_error(std::make_error_code(std::errc::resource_deadlock_would_occur),
                          "lockmap: " + what);
}

[[noreturn]] LOCKMAP_NOINLINE inline void throw_held_by_this_thread() {
  throw_deadlock("the key is held by the calling thread itself");
}

[[noreturn]] LOCKMAP_NOINLINE inline void throw_cycle(std::size_t threads) {
  throw_deadlock("a cycle of " + std::to_string(threads) +
                 " threads was found, each waiting for a key that the next one holds");
}

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_WAIT_GRAPH_HPP
