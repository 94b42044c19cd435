// Waiter: one thread asleep for one key. WaitList: the waiters of a shard.

#ifndef LOCKMAP_DETAIL_WAITER_HPP
#define LOCKMAP_DETAIL_WAITER_HPP

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <new>
#include <ratio>

#include "lockmap/detail/config.hpp"
#include "lockmap/detail/state_word.hpp"

namespace lockmap::detail {

// How long an operation may wait for a key: without a limit, ...
struct NoDeadline {
  [[nodiscard]] static constexpr bool expired() noexcept { return false; }
};

// ... until a point in time of any clock that std::condition_variable takes and whose now() does
// not throw, ...
template <class Clock, class Duration>
struct Deadline {
  // Comparing times may convert them to the finer of their units, in which one that is far away
  // need not fit. Doubles say which are far away.
  [[nodiscard]] bool is_far() const noexcept { return distance() > a_day; }
  [[nodiscard]] bool expired() const noexcept {
    const Hours hours = distance();
    return hours < -a_day || (hours <= a_day && Clock::now() >= time);
  }

  std::chrono::time_point<Clock, Duration> time;

 private:
  using Hours = std::chrono::duration<double, std::ratio<3600>>;
  static constexpr Hours a_day{24};

  [[nodiscard]] Hours distance() const noexcept {
    return Hours(time.time_since_epoch()) - Hours(Clock::now().time_since_epoch());
  }
};

// ... or not at all.
struct Immediately {};

// What a thread sleeps on. It belongs to the thread rather than to one wait, because the waking
// thread may still be on its way out of `mutex` when the woken one goes on.
struct Parker {
  std::mutex mutex;
  std::condition_variable condition;

  // Never destroyed: destructors of thread_local objects that come later may wait for keys, too.
  [[nodiscard]] static Parker& of_this_thread() {
    alignas(Parker) static constinit thread_local std::array<std::byte, sizeof(Parker)> storage{};
    static constinit thread_local Parker* parker = nullptr;
    if (parker == nullptr) parker = ::new (static_cast<void*>(storage.data())) Parker;
    return *parker;
  }
};

// Lives on the waiting thread's stack. Waking is the waiter's own operation: the lock protocol
// knows neither threads nor how they sleep.
class Waiter {
 public:
  Waiter(const StateWord& word, ThreadId thread) : word_(&word), thread_(thread) {}
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  [[nodiscard]] ThreadId thread() const noexcept { return thread_; }

  // True if it has waited so long that the key must not go to a barging thread again.
  [[nodiscard]] bool is_starving() const noexcept {
    return std::chrono::steady_clock::now() - since_ > patience;
  }

  // Lets `sleep` return true. The waiter must not be touched afterwards.
  void wake() noexcept {
    // Notifying under the mutex: the waiter cannot go on, and end the thread, in between.
    const std::lock_guard lock(parker_.mutex);
    woken_ = true;
    parker_.condition.notify_one();
  }

  // Sleeps until woken, and returns true, or until the deadline, and returns false. Each `wake`
  // ends one `sleep`. Cannot throw: the waiter is in a list, and its end would leave it there.
  bool sleep(NoDeadline /*deadline*/) noexcept {
    std::unique_lock lock(parker_.mutex);
    parker_.condition.wait(lock, [this] { return woken_; });
    woken_ = false;
    return true;
  }

  template <class Clock, class Duration>
  bool sleep(const Deadline<Clock, Duration>& deadline) noexcept {
    std::unique_lock lock(parker_.mutex);
    while (!woken_) {
      if (deadline.expired()) return false;
      if (deadline.is_far()) {
        parker_.condition.wait_for(lock, std::chrono::hours(1));  // then it is less far
      } else {
        parker_.condition.wait_until(lock, deadline.time);
      }
    }
    woken_ = false;
    return true;
  }

 private:
  friend class WaitList;
  friend struct TestAccess;

  static constexpr std::chrono::milliseconds patience{1};

  const StateWord* word_;
  ThreadId thread_;
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
  Parker& parker_ = Parker::of_this_thread();
  bool woken_ = false;  // guarded by parker_.mutex

  // Guarded by the shard mutex.
  Waiter* previous_ = nullptr;
  Waiter* next_ = nullptr;
  bool linked_ = false;
};

// The waiters of one shard for all its keys, those of one key in the order in which they are to be
// woken. Every member function needs the shard mutex.
class WaitList {
 public:
  void push_back(Waiter& waiter) noexcept { link(waiter, last_, nullptr); }

  // For a waiter that was woken and met a barging thread: it keeps its turn.
  void push_front(Waiter& waiter) noexcept { link(waiter, nullptr, first_); }

  void remove(Waiter& waiter) noexcept {
    (waiter.previous_ != nullptr ? waiter.previous_->next_ : first_) = waiter.next_;
    (waiter.next_ != nullptr ? waiter.next_->previous_ : last_) = waiter.previous_;
    waiter.linked_ = false;
  }

  [[nodiscard]] static bool contains(const Waiter& waiter) noexcept { return waiter.linked_; }

  // The waiter for `word` whose turn it is; null if there is none. Linear in the shard's waiters.
  [[nodiscard]] Waiter* first(const StateWord& word) const noexcept {
    Waiter* waiter = first_;
    while (waiter != nullptr && waiter->word_ != &word) waiter = waiter->next_;
    return waiter;
  }

 private:
  friend struct TestAccess;

  void link(Waiter& waiter, Waiter* previous, Waiter* next) noexcept {
    waiter.previous_ = previous;
    waiter.next_ = next;
    waiter.linked_ = true;
    (previous != nullptr ? previous->next_ : first_) = &waiter;
    (next != nullptr ? next->previous_ : last_) = &waiter;
  }

  Waiter* first_ = nullptr;
  Waiter* last_ = nullptr;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_WAITER_HPP
