// HoldAwaitable: the wait of a coroutine for a key.

#ifndef LOCKMAP_DETAIL_ASYNC_HOLD_HPP
#define LOCKMAP_DETAIL_ASYNC_HOLD_HPP

#include <coroutine>
#include <cstdint>
#include <exception>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

#include "lockmap/async_options.hpp"
#include "lockmap/detail/config.hpp"
#include "lockmap/detail/describe.hpp"
#include "lockmap/detail/eviction_policy.hpp"
#include "lockmap/detail/hashed_key.hpp"
#include "lockmap/detail/hold.hpp"
#include "lockmap/detail/key_lock.hpp"
#include "lockmap/detail/owner.hpp"
#include "lockmap/detail/stop_token.hpp"
#include "lockmap/detail/wait_graph.hpp"
#include "lockmap/detail/waiter.hpp"

namespace lockmap::detail {

[[noreturn]] LOCKMAP_NOINLINE inline void throw_canceled() {
  throw std::system_error(std::make_error_code(std::errc::operation_canceled),
                          "lockmap: a stop was requested while a coroutine waited for a key");
}

// A wait for the key of a node, in its coroutine's frame. The node is pinned when it begins.
//
// A1  It ends once: granted, when whoever lets the key go takes the waiter out of the queue; or
//     withdrawn, by the stop, by the end of the coroutine, or since it would never end. Whoever
//     takes the waiter out of the queue decides it, under the shard mutex. A withdrawn one has no
//     pin any more.
// A2  A stop that comes while the coroutine is resumed elsewhere does nothing but look: so the end
//     of its callback, for which the coroutine waits, is near. One that withdraws the waiter has
//     put the coroutine behind all that are admitted in its place.
// A3  The edge is in the wait-for graph from when the waiter is queued until the coroutine has gone
//     on. It speaks of the waiter only while that is queued, and so has a pin.
template <class Shard, Mode mode>
class TaskWait {
 public:
  using Node = typename Shard::Node;
  using Section = typename Shard::Section;

  TaskWait(Shard& shard, Node& node, const Task& task, std::coroutine_handle<> handle,
           Resume* resume) noexcept
      : shard_(shard),
        node_(node),
        waiter_(node.state, task.id, mode, lock().generation(), handle, resume) {}
  TaskWait(const TaskWait&) = delete;
  TaskWait& operator=(const TaskWait&) = delete;

  // The coroutine goes on, or ends, waiting or not.
  ~TaskWait() {
    on_stop_.reset();
    edge_.reset();
    if (suspended_) abandon();
  }

  enum class Begin : std::uint8_t { locked, waiting, deadlock };

  // Locks the key, and notes it, or waits. Unless it waits, it must not be suspended.
  [[nodiscard]] Begin begin(const Task& task, Touch touch, const StopToken& stop,
                            TaskHold<Node>& hold) noexcept {
    {
      Section section(shard_);
      if (lock().lock_or_enqueue(section, waiter_, false)) {
        hold = detail::note_hold(section, node_, task, mode, touch);
        return Begin::locked;
      }
    }
    if (stop.stop_possible()) on_stop_.emplace(stop, OnStop{this});
    if (task.holds() && !edge_.emplace(lock(), *task.owner, waiter_).add()) {
      const std::exception_ptr cycle = explain();
      Section section(shard_);
      if (lock().withdraw(section, waiter_)) {
        section.finish(node_, lock().unpin(section), nullptr);
        error_ = cycle;
        return Begin::deadlock;
      }
    }
    return Begin::waiting;
  }

  // The last step of suspending: afterwards the coroutine may be anywhere. False if it is to go on.
  [[nodiscard]] bool suspend() noexcept {
    suspended_ = true;
    return waiter_.resumption.suspend();
  }

  // The end of waiting. Whether the key was granted; then notes the hold. Throws if it would never
  // have been.
  [[nodiscard]] bool end(const Task& task, Touch touch, TaskHold<Node>& hold) {
    suspended_ = false;
    on_stop_.reset();
    edge_.reset();
    if (error_ != nullptr) std::rethrow_exception(error_);
    if (!waiter_.granted()) return false;
    if constexpr (Shard::policy_type::enabled) {
      Section section(shard_);
      hold = detail::note_hold(section, node_, task, mode, touch);
    } else {
      detail::add_hold(task, node_.state, mode);
      hold = {node_, task.owner, node_.state.load(std::memory_order_relaxed).has_value()};
    }
    return true;
  }

 private:
  struct OnStop {
    void operator()() const noexcept { wait->withdraw_for_stop(); }
    TaskWait* wait;
  };

  [[nodiscard]] KeyLock lock() noexcept { return shard_.lock_of(node_); }

  // Leaving the section may resume the coroutine: nothing here is touched afterwards.
  void withdraw_for_stop() noexcept {
    Section section(shard_);
    Released released;
    if (lock().cancel(section, waiter_, released)) section.finish(node_, released, nullptr);
  }

  // The coroutine is destroyed while it waits, or before it has gone on.
  void abandon() noexcept {
    {
      Section section(shard_);
      if (lock().withdraw(section, waiter_)) {
        section.finish(node_, lock().unpin(section), nullptr);
        return;
      }
    }
    waiter_.resumption.retract();
    if (waiter_.granted()) detail::release_unused(shard_, node_, mode);
  }

  // The error for the cycle that the edge would close.
  [[nodiscard]] std::exception_ptr explain() const noexcept {
    try {
      return std::make_exception_ptr(
          detail::cycle_error(detail::describe(node_.key), edge_->cycle()));
    } catch (...) {
      return std::current_exception();
    }
  }

  Shard& shard_;
  Node& node_;
  bool suspended_ = false;
  TaskWaiter waiter_;
  std::optional<StopCallback<OnStop>> on_stop_;
  std::optional<KeyLock::Edge> edge_;
  std::exception_ptr error_;
};

// The guard that is awaited as a `Result`: that itself, or an optional one.
template <class Result>
struct GuardIn {
  using Type = Result;
  static constexpr bool is_optional = false;
};
template <class Guard>
struct GuardIn<std::optional<Guard>> {
  using Type = Guard;
  static constexpr bool is_optional = true;
};

// AsyncOptions that are all as they are by default: an awaitable without room for them.
struct NoAsyncOptions {};

// A key for `find_or_make`, as it was passed: an lvalue reference, or a key of its own.
template <class Q>
struct PassedKey {
  template <class Keys>
  [[nodiscard]] auto hashed(const Keys& keys) {
    return keys.hashed(std::forward<Q>(key));
  }
  template <class Keys, class T>
  [[nodiscard]] decltype(auto) stored(HashedKey<T>& hashed) {
    return Keys::stored_key(hashed, std::forward<Q>(key));
  }

  Q key;
};

// Awaits the guard of a key; an optional one is empty after a stop and, if `may_make` is false, for
// a key without a node. Lives in the coroutine's frame, and does not move; refers to the options,
// if there are any, which the coroutine keeps as long.
template <class Map, class Result, bool may_make = true>
class HoldAwaiter {
 public:
  // Locks the key, or pins its node.
  template <class AnyKey>
  LOCKMAP_ALWAYS_INLINE HoldAwaiter(Map& map, AnyKey& key, Touch touch, AsyncOptions* options)
      : options_(options), touch_(touch) {
    auto&& hashed = key.hashed(map.keys_);
    shard_ = &map.shards_.of(hashed.hash);
    if (shard_->allows_announced_sections()) [[unlikely]] {
      if (begin_announced(hashed)) return;
    }
    Section section(*shard_);
    typename Shard::Found found{nullptr};
    if constexpr (may_make) {
      found = section.find_or_make(hashed, key.template stored<typename Map::MapKeys>(hashed));
    } else {
      found.node = section.find_live(hashed);
      if (found.node == nullptr) return;
    }
    const TaskHold<Node> hold = detail::try_hold<mode>(section, found, touch, task());
    if (hold) [[likely]] {
      set_hold(hold);
      if (found.made) section.shrink(found.node);
    } else {
      begin_contended(section, *found.node);
    }
  }
  HoldAwaiter(const HoldAwaiter&) = delete;
  HoldAwaiter& operator=(const HoldAwaiter&) = delete;
  ~HoldAwaiter() = default;

  [[nodiscard]] bool await_ready() const noexcept { return !is_pinned_; }

  [[nodiscard]] bool await_suspend(std::coroutine_handle<> handle) noexcept {
    using Wait = TaskWait<Shard, mode>;
    Node& node = *std::exchange(node_, nullptr);
    if (stop_requested()) {
      Section section(*shard_);
      KeyLock lock = shard_->lock_of(node);
      if (lock.try_lock_pinned(task().id, mode)) {  // giving up, it looks once more
        set_hold(detail::note_hold(section, node, task(), mode, touch_));
      } else {
        section.finish(node, lock.unpin(section), nullptr);
      }
      return false;
    }
    wait_.emplace(*shard_, node, task(), handle, options_ != nullptr ? &options_->resume : nullptr);
    TaskHold<Node> hold;
    switch (
        wait_->begin(task(), touch_, options_ != nullptr ? options_->stop : StopToken(), hold)) {
      case Wait::Begin::waiting:
        return wait_->suspend();
      case Wait::Begin::locked:
        set_hold(hold);
        wait_.reset();
        break;
      case Wait::Begin::deadlock:
        break;
    }
    return false;
  }

  [[nodiscard]] LOCKMAP_ALWAYS_INLINE Result await_resume() {
    if (is_pinned_) [[unlikely]] {
      end_wait();
    }
    if constexpr (GuardIn<Result>::is_optional) {
      if (node_ == nullptr) return std::nullopt;
    }
    return Guard(*shard_, TaskHold<Node>(node_, owner_));
  }

 private:
  using Shard = typename Map::Shard;
  using Node = typename Shard::Node;
  using Section = typename Shard::Section;
  using Guard = typename GuardIn<Result>::Type;
  static constexpr Mode mode = Guard::mode;

  [[nodiscard]] Task task() const noexcept {
    return Task(OwnerAccess::task(options_ != nullptr ? options_->owner : nullptr),
                shard_->registry());
  }
  [[nodiscard]] bool stop_requested() const noexcept {
    return options_ != nullptr && options_->stop.stop_requested();
  }

  LOCKMAP_ALWAYS_INLINE void set_hold(const TaskHold<Node>& hold) noexcept {
    node_ = hold.node();
    owner_ = hold.owner_and_bits();
  }

  // Locks the key of a node that others want, or pins the node.
  template <class AnySection>
  LOCKMAP_NOINLINE void begin_contended(AnySection& section, Node& node) {
    const Task mine = task();
    if (detail::try_hold_pinned(section, node, mine, mode, !stop_requested())) {
      return set_hold(detail::note_hold(section, node, mine, mode, touch_));
    }
    shard_->lock_of(node).pin(section);
    node_ = &node;
    is_pinned_ = true;
  }

  // In an announced section; false if the key is not there, or it cannot be.
  template <class T>
  [[nodiscard]] LOCKMAP_NOINLINE bool begin_announced(const HashedKey<T>& key) {
    typename Shard::AnnouncedSection section(*shard_);
    Node* const node = section ? section.find(key) : nullptr;
    if (node == nullptr) return false;
    set_hold(detail::try_hold_announced<mode>(section, *node, task()));
    if (node_ == nullptr) begin_contended(section, *node);
    return true;
  }

  LOCKMAP_NOINLINE void end_wait() {
    TaskHold<Node> hold;
    if (wait_.has_value() && wait_->end(task(), touch_, hold)) set_hold(hold);
    if (!GuardIn<Result>::is_optional && node_ == nullptr) detail::throw_canceled();
  }

  // The words of the guard apart from each other, lest two are loaded at once just after they were
  // stored one by one: such a load waits for the stores to reach memory.
  Node* node_ = nullptr;  // locked, or pinned before the wait
  AsyncOptions* options_;
  Shard* shard_;
  Touch touch_;
  bool is_pinned_ = false;  // before the wait
  std::uintptr_t owner_;
  std::optional<TaskWait<Shard, mode>> wait_;
};

// The result of `async_entry` and its variants: it is awaited once, as an rvalue, and starts then.
template <class Map, class Q, class Result, class Options = AsyncOptions>
class [[nodiscard]] HoldAwaitable {
 public:
  HoldAwaitable(Map& map, Q&& key, Options&& options)
      : map_(map), key_{std::forward<Q>(key)}, options_(std::move(options)) {}

  [[nodiscard]] HoldAwaiter<Map, Result> operator co_await() && {
    if constexpr (std::same_as<Options, NoAsyncOptions>) {
      return {map_, key_, Touch::use, nullptr};
    } else {
      return {map_, key_, Touch::use, &options_};
    }
  }

 private:
  Map& map_;
  PassedKey<Q> key_;
  [[no_unique_address]] Options options_;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_ASYNC_HOLD_HPP
