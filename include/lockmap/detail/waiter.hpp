// Waiter: one owner waiting for one key. WaitQueues: the waiters of a shard, by key.

#ifndef LOCKMAP_DETAIL_WAITER_HPP
#define LOCKMAP_DETAIL_WAITER_HPP

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

#include "lockmap/detail/config.hpp"
#include "lockmap/detail/deadline.hpp"
#include "lockmap/detail/intrusive_list.hpp"
#include "lockmap/detail/owner.hpp"
#include "lockmap/detail/parker.hpp"
#include "lockmap/detail/resume_queue.hpp"
#include "lockmap/detail/state_word.hpp"
#include "lockmap/detail/stop_token.hpp"

namespace lockmap::detail {

// Lives where its owner waits. The lock protocol knows neither threads nor how they sleep: waking
// is the waiter's own operation. A task is not woken to look for itself: it is granted the key.
class Waiter : public ListLinks {
 public:
  using Wake = void (*)(Waiter&) noexcept;

  Waiter(const StateWord& word, OwnerId owner, Mode mode, std::uint64_t generation,
         Wake wake_up) noexcept
      : word_(word), owner_(owner), generation_(generation), wake_(wake_up), mode_(mode) {}
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  [[nodiscard]] OwnerId owner() const noexcept { return owner_; }
  [[nodiscard]] Mode mode() const noexcept { return mode_; }
  [[nodiscard]] bool is_task() const noexcept { return wake_ == nullptr; }

  // The fork after which it began to wait: in a later child, nobody waits here any more.
  [[nodiscard]] std::uint64_t generation() const noexcept { return generation_; }

  // True if it has waited so long that the key must not go to a barging owner again. Patience grows
  // with the queue: every hand-over costs a context switch, and if all who wait were handed the key
  // in turn, the lock would be as slow as the scheduler for as long as the load lasts.
  [[nodiscard]] bool is_starving(std::uint64_t waiters) const noexcept {
    return is_task() || std::chrono::steady_clock::now() - since_ >
                            patience + patience_per_waiter * static_cast<std::int64_t>(waiters);
  }

  // Whether the key was locked for this waiter by whoever took it out of the queue. Read after the
  // wake-up; written, under the shard mutex, before.
  [[nodiscard]] bool granted() const noexcept { return granted_; }
  void grant() noexcept { granted_ = true; }

  // Lets the waiter go on. It must not be touched afterwards.
  void wake() noexcept { wake_(*this); }

 private:
  friend class WaitQueues;
  friend class WakeList;
  friend struct TestAccess;

  static constexpr std::chrono::microseconds patience{1000};
  static constexpr std::chrono::microseconds patience_per_waiter{50};

  const StateWord& word_;
  OwnerId owner_;
  std::uint64_t generation_;
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
  Wake wake_;  // null: a task
  Mode mode_;
  bool granted_ = false;

  // Guarded by the shard mutex.
  bool queued_ = false;
  bool is_first_ = false;    // of the waiters for its key
  IntrusiveList followers_;  // of the first waiter: the others for its key, in their order
};

// Waiters that left their queues and are to be woken when the section is left, in their order.
class WakeList {
 public:
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

  // There may be tasks to resume as well, in the thread's queue: then the list is not empty.
  void note_tasks() noexcept {
    if (first_ == nullptr) first_ = &no_thread;
  }

  void wake_all() noexcept {
    for (ListLinks* links = first_; links != nullptr && links != &no_thread;) {
      auto& waiter = static_cast<Waiter&>(*links);
      links = links->next;
      waiter.wake();
    }
  }

  // Puts waiters one behind the other.
  class Builder {
   public:
    explicit Builder(WakeList& list) noexcept : end_(&list.first_) {}
    void push_back(Waiter& waiter) noexcept {
      waiter.next = nullptr;
      *end_ = &waiter;
      end_ = &waiter.next;
    }

   private:
    ListLinks** end_;
  };

 private:
  static inline constinit ListLinks no_thread{};

  ListLinks* first_ = nullptr;
};

// The queues of a shard's keys: the waiters of one key in the order in which they are to be served.
// Every member function needs the shard mutex, and takes constant time, whatever other keys are
// waited for: the first waiter of each key is in a hash table, and holds the others.
class WaitQueues {
 public:
  WaitQueues() noexcept = default;
  WaitQueues(const WaitQueues&) = delete;
  WaitQueues& operator=(const WaitQueues&) = delete;

  // The waiter for `word` whose turn it is; null if there is none.
  [[nodiscard]] LOCKMAP_NOINLINE Waiter* first(const StateWord& word) const noexcept {
    const IntrusiveList& bucket = bucket_of(word);
    auto* waiter = bucket.front<Waiter>();
    while (waiter != nullptr && &waiter->word_ != &word) waiter = bucket.after(*waiter);
    return waiter;
  }

  // The one that comes after `waiter`, which waits for the same key; null if there is none.
  [[nodiscard]] static Waiter* after(const Waiter& first, const Waiter& waiter) noexcept {
    return &waiter == &first ? first.followers_.front<Waiter>() : first.followers_.after(waiter);
  }

  void push_back(Waiter& waiter) noexcept {
    waiter.queued_ = true;
    if (Waiter* const head = first(waiter.word_)) {
      head->followers_.push_back(waiter);
    } else {
      insert_first(waiter);
    }
  }

  // For a waiter that was woken and met a barging owner: it keeps its turn.
  void push_front(Waiter& waiter) noexcept {
    waiter.queued_ = true;
    if (Waiter* const head = first(waiter.word_)) {
      head->is_first_ = false;
      waiter.is_first_ = true;
      waiter.replace(*head);
      waiter.followers_.push_back(*head);
      waiter.followers_.splice_back(head->followers_);
    } else {
      insert_first(waiter);
    }
  }

  // Precondition: the waiter is queued.
  LOCKMAP_NOINLINE void remove(Waiter& waiter) noexcept {
    waiter.queued_ = false;
    if (!std::exchange(waiter.is_first_, false)) {
      waiter.unlink();
    } else if (auto* const successor = waiter.followers_.front<Waiter>()) {
      successor->unlink();
      successor->is_first_ = true;
      successor->replace(waiter);
      successor->followers_.splice_back(waiter.followers_);
    } else {
      waiter.unlink();
      if (--keys_ == 0) give_memory_back();
    }
  }

  [[nodiscard]] static bool contains(const Waiter& waiter) noexcept { return waiter.queued_; }

 private:
  friend struct TestAccess;

  static constexpr std::size_t keys_per_bucket = 4;

  [[nodiscard]] const IntrusiveList& bucket_of(const StateWord& word) const noexcept {
    if (bucket_count_ == 1) return bucket_;
    return buckets_[reinterpret_cast<std::uintptr_t>(&word) / alignof(StateWord) % bucket_count_];
  }
  [[nodiscard]] IntrusiveList& bucket_of(const StateWord& word) noexcept {
    return const_cast<IntrusiveList&>(std::as_const(*this).bucket_of(word));
  }

  void insert_first(Waiter& waiter) noexcept {
    if (++keys_ > keys_per_bucket * bucket_count_) grow();
    waiter.is_first_ = true;
    bucket_of(waiter.word_).push_back(waiter);
  }

  // Without memory, look-ups get slower and nothing else.
  LOCKMAP_NOINLINE void grow() noexcept {
    const std::size_t count = 8 * bucket_count_ + 5;  // odd: words are some even distance apart
    // NOLINTNEXTLINE(modernize-avoid-c-arrays): its size is known at run time.
    std::unique_ptr<IntrusiveList[]> buckets(new (std::nothrow) IntrusiveList[count]);
    if (buckets == nullptr) return;
    IntrusiveList all;
    all.splice_back(bucket_);
    for (std::size_t i = 0; buckets_ != nullptr && i < bucket_count_; ++i) {
      all.splice_back(buckets_[i]);
    }
    buckets_ = std::move(buckets);
    bucket_count_ = count;
    while (auto* const waiter = all.front<Waiter>()) {
      waiter->unlink();
      bucket_of(waiter->word_).push_back(*waiter);
    }
  }

  void give_memory_back() noexcept {
    buckets_.reset();
    bucket_count_ = 1;
  }

  IntrusiveList bucket_;  // while there is one
  // NOLINTNEXTLINE(modernize-avoid-c-arrays): its size is known at run time.
  std::unique_ptr<IntrusiveList[]> buckets_;
  std::size_t bucket_count_ = 1;
  std::size_t keys_ = 0;  // keys with waiters
};

// A thread that waits: on its stack, asleep until it is woken.
class ThreadWaiter : public Waiter {
 public:
  ThreadWaiter(const StateWord& word, OwnerId owner, Mode mode, std::uint64_t generation)
      : Waiter(word, owner, mode, generation, &unpark) {}

  // Sleeps until woken, and returns true, or until the deadline, and returns false. Each `wake`
  // ends one `sleep`. Cannot throw: the waiter is in a list, and its end would leave it there.
  template <class D>
  [[nodiscard]] bool sleep(const D& deadline) noexcept {
    const CancellationDeferred deferred;
    return parker_.park(deadline);
  }

  // The same until a stop is requested. Where that has happened already, the callback runs at once;
  // where it is running, it has ended when this returns.
  [[nodiscard]] bool sleep(const UntilStop& stop) noexcept {
    const CancellationDeferred deferred;
    const auto nudge = [this]() noexcept { parker_.nudge(); };
    const StopCallback<decltype(nudge)> callback(stop.token, nudge);
    return parker_.park(stop);
  }

 private:
  static void unpark(Waiter& waiter) noexcept {
    static_cast<ThreadWaiter&>(waiter).parker_.unpark();
  }

  Parker parker_;
};

// A task that waits: in its coroutine's frame.
class TaskWaiter : public Waiter {
 public:
  TaskWaiter(const StateWord& word, OwnerId owner, Mode mode, std::uint64_t generation,
             std::coroutine_handle<> handle, Resume* resume) noexcept
      : Waiter(word, owner, mode, generation, nullptr), resumption(handle, resume) {}

  Resumption resumption;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_WAITER_HPP
