// LoadWaiter: a caller that waits for another's attempt to make a value.

#ifndef LOCKMAP_DETAIL_LOAD_WAITER_HPP
#define LOCKMAP_DETAIL_LOAD_WAITER_HPP

#include <exception>

#include "lockmap/detail/intrusive_list.hpp"
#include "lockmap/detail/state_word.hpp"

namespace lockmap::detail {

// Lives on the waiting caller's stack, in its shard's list, while it waits for the key.
struct LoadWaiter : ListLinks {
  explicit LoadWaiter(const StateWord& key) noexcept : word(key) {}

  const StateWord& word;
  std::exception_ptr failure = nullptr;  // of the last attempt that failed meanwhile
};

// The load waiters of a shard. Needs the shard mutex.
class LoadWaiters {
 public:
  void add(LoadWaiter& waiter) noexcept { waiters_.push_back(waiter); }
  void report(const StateWord& word, const std::exception_ptr& failure) noexcept {
    for (auto* waiter = waiters_.front<LoadWaiter>(); waiter != nullptr;
         waiter = waiters_.after(*waiter)) {
      if (&waiter->word == &word) waiter->failure = failure;
    }
  }

 private:
  IntrusiveList waiters_;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_LOAD_WAITER_HPP
