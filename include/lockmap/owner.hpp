// Owner: the identity of a task.

#ifndef LOCKMAP_OWNER_HPP
#define LOCKMAP_OWNER_HPP

#include "lockmap/detail/task_owner.hpp"

namespace lockmap {

namespace detail {
struct OwnerAccess;
}

/// The identity of a task: a coroutine, a request, whatever holds keys and is no thread. What is
/// acquired with an owner belongs to it, so that asking for what it holds itself, and a cycle of
/// owners that wait for each other's keys, is found and reported as for threads.
///
/// An owner is neither copied nor moved, and must outlive its holds. Keys come to it one at a time:
/// it waits for one key at a time, and is given no other hold meanwhile. Its holds may be released
/// on any threads, at any time; but the search for deadlocks takes it that an owner that waits
/// keeps what it holds until the wait has ended. Nothing here waits or throws.
class Owner {
 public:
  Owner() noexcept = default;
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;
  /// Precondition: it holds no key.
  ~Owner() = default;

 private:
  friend struct detail::OwnerAccess;

  detail::TaskOwner task_;
};

namespace detail {

// For the library, which sees in an owner what it is.
struct OwnerAccess {
  [[nodiscard]] static TaskOwner* task(lockmap::Owner* owner) noexcept {
    return owner != nullptr ? &owner->task_ : nullptr;
  }
};

}  // namespace detail

}  // namespace lockmap

#endif  // LOCKMAP_OWNER_HPP
