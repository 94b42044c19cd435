// ResumeQueue: coroutines that a thread is to resume.

#ifndef LOCKMAP_DETAIL_RESUME_QUEUE_HPP
#define LOCKMAP_DETAIL_RESUME_QUEUE_HPP

#include <array>
#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>

#include "lockmap/detail/config.hpp"
#include "lockmap/detail/intrusive_list.hpp"
#include "lockmap/detail/shard_mutex.hpp"

namespace lockmap {

/// Sees to it that a coroutine is resumed once, where and when it likes: posts the handle to an
/// executor, for instance. Called outside of every internal lock, on the thread that released the
/// key or requested the stop. If it drops the handle, the coroutine never goes on, and keeps the
/// key. An exception that leaves it ends in std::terminate.
using Resume = std::function<void(std::coroutine_handle<>)>;

namespace detail {

// RESUMING
//
// A coroutine that is to go on is put, under the shard mutex, into the queue of the thread that is
// in the section; when that thread has left the section, it resumes what is in its queue, one after
// the other. What is resumed may release keys in turn: then it only adds to the queue, so the stack
// does not grow with the chain.
//
// R1  Until it was taken out of the queue, a coroutine may be destroyed, by whatever thread; so a
//     queue is guarded by a mutex. That is the registry's, and shared by some threads: the thread
//     whose queue it was may have ended by the time that the mutex is looked for. It is a leaf, and
//     taken under shard mutexes.
// R2  After it was taken out of the queue, nobody but itself touches what is in its frame: what is
//     needed to resume it was copied before.
// R3  Suspending takes some steps after the first that lets others resume the coroutine. Who of
//     the two comes last, the end of suspending or the order to go on, has it go on.
// R4  A thread does not sleep for a key before it has resumed what is in its queue: it might be
//     waiting for what they hold. (What it resumes, and listeners, may wait for keys.)

// A coroutine's part of it, in its frame.
class Resumption : public ListLinks {
 public:
  // Without a `resume`, it is resumed by whoever has it go on.
  Resumption(std::coroutine_handle<> handle, Resume* resume) noexcept
      : handle_(handle), resume_(resume) {}
  Resumption(const Resumption&) = delete;
  Resumption& operator=(const Resumption&) = delete;

  // The end of suspending. False if the coroutine is to go on already: then nobody else resumes it.
  [[nodiscard]] bool suspend() noexcept {
    return step_.exchange(Step::suspended, std::memory_order_acq_rel) == Step::none;
  }

  // Takes it out of the queue in which it is, if it is in one: it is not resumed then. To be called
  // after a section in which it was seen that the coroutine has been pushed, or never will be.
  void retract() noexcept;

 private:
  friend class ResumeQueue;

  enum class Step : std::uint8_t { none, suspended, resumed };

  std::coroutine_handle<> handle_;
  Resume* resume_;
  std::atomic<Step> step_{Step::none};
  ShardMutex* mutex_ = nullptr;         // of the queue into which it was pushed
  class ResumeQueue* queue_ = nullptr;  // in which it is; guarded by that mutex
};

// A registry's, for the queues of all threads (R1).
using ResumeMutexes = std::array<ShardMutex, 64>;

// A thread's, for one registry. Constant-initialised, and never destroyed: it is empty whenever its
// thread is not in it.
class ResumeQueue {
 public:
  constexpr ResumeQueue() noexcept = default;
  ResumeQueue(const ResumeQueue&) = delete;
  ResumeQueue& operator=(const ResumeQueue&) = delete;

  // By the thread itself, under the mutex of the shard in which the coroutine waits.
  void push_back(Resumption& resumption, ResumeMutexes& mutexes) noexcept {
    if (mutex_ == nullptr) {
      mutex_ = &mutexes[reinterpret_cast<std::uintptr_t>(this) / cache_line % mutexes.size()];
    }
    resumption.mutex_ = mutex_;
    const std::lock_guard<ShardMutex> lock(*mutex_);
    resumption.queue_ = this;
    resumption.next = nullptr;
    resumption.previous = last_;
    (last_ != nullptr ? last_->next : first_) = &resumption;
    last_ = &resumption;
  }

  // Resumes what is there, outside of every section. By whom it calls this for a second time, not
  // now: the call that is under way does it.
  void run() noexcept {
    if (mutex_ != nullptr && !running_) run_now();
  }
  // Before the thread blocks (R4).
  void run_before_blocking() noexcept {
    if (mutex_ != nullptr) run_now();
  }

 private:
  friend class Resumption;

  LOCKMAP_NOINLINE void run_now() noexcept {
    const bool nested = std::exchange(running_, true);
    Resume resume;
    while (const std::coroutine_handle<> handle = take(resume)) {
      if (resume) {
        std::exchange(resume, nullptr)(handle);
      } else {
        handle.resume();
      }
    }
    running_ = nested;
  }

  // The next coroutine that is to be resumed; null if there is none.
  [[nodiscard]] std::coroutine_handle<> take(Resume& resume) noexcept {
    const std::lock_guard<ShardMutex> lock(*mutex_);
    while (first_ != nullptr) {
      auto& next = static_cast<Resumption&>(*first_);
      remove(next);
      const std::coroutine_handle<> handle = next.handle_;
      Resume taken = next.resume_ != nullptr ? std::move(*next.resume_) : Resume();
      if (next.step_.exchange(Resumption::Step::resumed, std::memory_order_acq_rel) ==
          Resumption::Step::suspended) {
        resume = std::move(taken);
        return handle;
      }
    }
    return nullptr;
  }

  void remove(Resumption& resumption) noexcept {
    (resumption.previous != nullptr ? resumption.previous->next : first_) = resumption.next;
    (resumption.next != nullptr ? resumption.next->previous : last_) = resumption.previous;
    resumption.queue_ = nullptr;
  }

  ListLinks* first_ = nullptr;
  ListLinks* last_ = nullptr;
  ShardMutex* mutex_ = nullptr;  // null: never used
  bool running_ = false;         // of the thread alone
};

inline void Resumption::retract() noexcept {
  if (mutex_ == nullptr) return;
  const std::lock_guard<ShardMutex> lock(*mutex_);
  if (queue_ != nullptr) queue_->remove(*this);
}

}  // namespace detail
}  // namespace lockmap

#endif  // LOCKMAP_DETAIL_RESUME_QUEUE_HPP
