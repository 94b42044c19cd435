// TaskOwner: an owner of keys that is no thread.

#ifndef LOCKMAP_DETAIL_TASK_OWNER_HPP
#define LOCKMAP_DETAIL_TASK_OWNER_HPP

#include <atomic>
#include <cstddef>
#include <mutex>

#include "lockmap/detail/config.hpp"
#include "lockmap/detail/owner.hpp"
#include "lockmap/detail/registry.hpp"
#include "lockmap/detail/shard_mutex.hpp"
#include "lockmap/detail/state_word.hpp"

namespace lockmap::detail {

// T1  Holds come to a task one at a time, from whatever thread: it waits for one key at a time, and
//     while it waits, no hold comes to it but that one. So nobody else writes its id or `acquired_`
//     meanwhile.
// T2  Its holds may go at any time, several at once, on any threads, also while it waits: whatever
//     a release writes is atomic or guarded by the mutex.
class alignas(16) TaskOwner {  // a Hold keeps four bits in its address
 public:
  TaskOwner() noexcept = default;
  TaskOwner(const TaskOwner&) = delete;
  TaskOwner& operator=(const TaskOwner&) = delete;
  ~TaskOwner() {
    LOCKMAP_ASSERT(!holds() && "lockmap: an Owner is destroyed while it holds a key");
    if (registry_ != nullptr) registry_->ids.give_back(id_);
  }

  // In maps of another registry than the first one's it is nobody: ids are a registry's own (G1).
  [[nodiscard]] LOCKMAP_ALWAYS_INLINE OwnerId id_in(Registry& registry) noexcept {
    return registry_ == &registry ? id_ : enroll(registry);
  }

  // Whether it holds a key: only then can it be part of a deadlock (I8).
  [[nodiscard]] bool holds() const noexcept {
    return acquired_ != released_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] bool shares(const StateWord& word) const noexcept {
    const std::lock_guard<ShardMutex> lock(mutex_);
    return shared_.contains(word);
  }

  void add(const StateWord& word, Mode mode) noexcept {
    ++acquired_;
    if (mode == Mode::shared) add_shared(word);
  }
  // The last touch: what was released may have been the last hold that the owner must outlive.
  void remove(const StateWord& word, Mode mode) noexcept {
    if (mode == Mode::shared) remove_shared(word);
    released_.fetch_add(1, std::memory_order_relaxed);
  }

  // For a hold whose mode changes.
  void add_shared(const StateWord& word) noexcept {
    const std::lock_guard<ShardMutex> lock(mutex_);
    shared_.add(word);
  }
  void remove_shared(const StateWord& word) noexcept {
    const std::lock_guard<ShardMutex> lock(mutex_);
    shared_.remove(word);
  }

 private:
  LOCKMAP_NOINLINE OwnerId enroll(Registry& registry) noexcept {
    if (registry_ != nullptr) return nobody;
    registry_ = &registry;
    id_ = registry.ids.take();
    return id_;
  }

  Registry* registry_ = nullptr;  // of the map in which it first acquired a key
  OwnerId id_ = 0;
  std::size_t acquired_ = 0;
  std::atomic<std::size_t> released_{0};
  mutable ShardMutex mutex_;
  SharedHolds shared_{};  // guarded by the mutex
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_TASK_OWNER_HPP
