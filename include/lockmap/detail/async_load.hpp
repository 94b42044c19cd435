// LoadAwaitable: a coroutine gets a value, and loads it if there is none.

#ifndef LOCKMAP_DETAIL_ASYNC_LOAD_HPP
#define LOCKMAP_DETAIL_ASYNC_LOAD_HPP

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include "lockmap/async_options.hpp"
#include "lockmap/detail/async_hold.hpp"
#include "lockmap/detail/config.hpp"
#include "lockmap/detail/eviction_policy.hpp"
#include "lockmap/detail/hashed_key.hpp"
#include "lockmap/detail/hold.hpp"
#include "lockmap/detail/load_timer.hpp"
#include "lockmap/detail/node.hpp"
#include "lockmap/detail/owner.hpp"
#include "lockmap/expiry.hpp"

namespace lockmap::detail {

// A coroutine that another one awaits. It is started by `start`, and ends with its owner.
template <class Value>
class Subtask {
 public:
  struct promise_type;
  using Handle = std::coroutine_handle<promise_type>;

  struct promise_type {
    // Goes on with the coroutine that awaits, unless that is still in `start`.
    struct Final {
      [[nodiscard]] static bool await_ready() noexcept { return false; }
      [[nodiscard]] static std::coroutine_handle<> await_suspend(Handle handle) noexcept {
        promise_type& self = handle.promise();
        if (self.step.exchange(Step::ended, std::memory_order_acq_rel) == Step::awaited) {
          return self.awaiting;
        }
        return std::noop_coroutine();
      }
      static void await_resume() noexcept {}
    };

    [[nodiscard]] Subtask get_return_object() noexcept {
      return Subtask(Handle::from_promise(*this));
    }
    [[nodiscard]] static std::suspend_always initial_suspend() noexcept { return {}; }
    [[nodiscard]] static Final final_suspend() noexcept { return {}; }
    template <class T>
    void return_value(T&& value) {
      result.emplace(std::forward<T>(value));
    }
    void unhandled_exception() noexcept { error = std::current_exception(); }

    enum class Step : std::uint8_t { started, awaited, ended };

    std::coroutine_handle<> awaiting;
    std::atomic<Step> step{Step::started};
    std::optional<Value> result;
    std::exception_ptr error;
  };

  Subtask() noexcept = default;
  Subtask(Subtask&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Subtask& operator=(Subtask&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Subtask() {
    if (handle_) handle_.destroy();
  }

  // False if it has ended already; else `awaiting` is resumed when it does.
  [[nodiscard]] bool start(std::coroutine_handle<> awaiting) {
    using Step = typename promise_type::Step;
    handle_.promise().awaiting = awaiting;
    const Handle handle = handle_;
    handle.resume();
    return handle.promise().step.exchange(Step::awaited, std::memory_order_acq_rel) ==
           Step::started;
  }

  // After its end.
  [[nodiscard]] Value take() {
    if (handle_.promise().error != nullptr) std::rethrow_exception(handle_.promise().error);
    return *std::move(handle_.promise().result);
  }

 private:
  explicit Subtask(Handle handle) noexcept : handle_(handle) {}

  Handle handle_;
};

// Awaits a copy of the value of a key. Only where that has to be waited for, or loaded, a coroutine
// of its own is made. Lives in the frame of the one that awaits.
template <class Map, class Q, class F>
class LoadAwaiter {
  using Value = typename Map::mapped_type;

 public:
  LoadAwaiter(Map& map, Q&& key, F&& make, AsyncOptions&& options)
      : map_(map),
        key_{std::forward<Q>(key)},
        hashed_(key_.hashed(map.keys_)),
        make_(std::move(make)),
        options_(std::move(options)) {}
  LoadAwaiter(const LoadAwaiter&) = delete;
  LoadAwaiter& operator=(const LoadAwaiter&) = delete;
  ~LoadAwaiter() = default;

  [[nodiscard]] bool await_ready() {
    Shard& shard = map_.shards_.of(hashed_.hash);
    Section section(shard);
    Node* const node = section.find_live(hashed_);
    if (node == nullptr) {
      section.policy().on_miss(Touch::lookup);
      is_absent_ = true;
      return false;
    }
    if constexpr (copied_in_place<Value>) {
      if (section.may_read(*node)) {
        section.touch(*node, Touch::lookup, true);
        present_.emplace(std::as_const(node->value));
        return true;
      }
    }
    const Task task(OwnerAccess::task(options_.owner), shard.registry());
    const auto hold =
        detail::try_hold<Mode::shared>(section, Found{node, false}, Touch::lookup, task);
    if (!hold) return false;
    section.leave();
    const SharedGuard entry(shard, hold);
    is_absent_ = !hold.has_value();  // it has expired just now
    if (!is_absent_) present_.emplace(*entry);
    return !is_absent_;
  }

  [[nodiscard]] bool await_suspend(std::coroutine_handle<> handle) {
    subtask_ = wait_and_load(*this);
    return subtask_.start(handle);
  }

  [[nodiscard]] Value await_resume() {
    return present_.has_value() ? *std::move(present_) : subtask_.take();
  }

 private:
  using Shard = typename Map::Shard;
  using Node = typename Shard::Node;
  using Found = typename Shard::Found;
  using Section = typename Shard::Section;
  using Guard = typename Map::TaskEntry;
  using SharedGuard = typename Map::SharedTaskEntry;
  using Hashed =
      decltype(std::declval<PassedKey<Q>&>().hashed(std::declval<const typename Map::MapKeys&>()));

  // The same key, which is hashed already.
  struct SameKey {
    template <class Keys>
    [[nodiscard]] Hashed& hashed(const Keys& /*keys*/) const noexcept {
      return self.hashed_;
    }
    template <class Keys, class T>
    [[nodiscard]] decltype(auto) stored(HashedKey<T>& hashed) const {
      return self.key_.template stored<Keys>(hashed);
    }

    LoadAwaiter& self;
  };

  [[nodiscard]] static Subtask<Value> wait_and_load(LoadAwaiter& self) {
    SameKey key{self};
    if (!self.is_absent_) {
      // As a reader: those that wait for one load get its result together.
      AsyncOptions options = self.options_;
      const std::optional<SharedGuard> present =
          co_await HoldAwaiter<Map, std::optional<SharedGuard>, false>(self.map_, key,
                                                                       Touch::lookup, &options);
      if (present.has_value() && present->has_value()) co_return **present;
    }
    Guard entry = co_await HoldAwaiter<Map, Guard>(
        self.map_, key, self.is_absent_ ? Touch::use : Touch::quiet, &self.options_);
    entry.eviction_ = Eviction::others;
    if (!entry.has_value()) {
      LoadTimer<Shard> timer(*entry.shard_);
      store(entry, co_await std::invoke(std::move(self.make_)));
      timer.succeed();
    }
    co_return std::as_const(*entry);
  }

  template <class T>
  static void store(Guard& entry, T&& made) {
    if constexpr (std::same_as<std::remove_cvref_t<T>, Expiring<Value>>) {
      entry.construct(made.expires_in, std::forward<T>(made).value);
    } else {
      entry.or_insert(std::forward<T>(made));
    }
  }

  Map& map_;
  PassedKey<Q> key_;
  Hashed hashed_;
  F make_;
  AsyncOptions options_;
  bool is_absent_ = false;
  std::optional<Value> present_;
  Subtask<Value> subtask_;
};

// The result of `async_get_or_insert_with`: it is awaited once, as an rvalue, and starts then.
template <class Map, class Q, class F>
class [[nodiscard]] LoadAwaitable {
 public:
  LoadAwaitable(Map& map, Q&& key, F&& make, AsyncOptions&& options)
      : map_(map),
        key_(std::forward<Q>(key)),
        make_(std::move(make)),
        options_(std::move(options)) {}

  [[nodiscard]] LoadAwaiter<Map, Q, F> operator co_await() && {
    return {map_, std::forward<Q>(key_), std::move(make_), std::move(options_)};
  }

 private:
  Map& map_;
  Q key_;
  F make_;
  AsyncOptions options_;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_ASYNC_LOAD_HPP
