// AsyncOptions: how a coroutine waits for a key.

#ifndef LOCKMAP_ASYNC_OPTIONS_HPP
#define LOCKMAP_ASYNC_OPTIONS_HPP

#include "lockmap/detail/resume_queue.hpp"
#include "lockmap/detail/stop_token.hpp"
#include "lockmap/owner.hpp"

namespace lockmap {

/// How a coroutine waits for a key. (g++ 12 destroys an aggregate twice that is made in braces
/// within a co_await expression: there, give the options a name, and pass that.)
struct AsyncOptions {
  /// To whom the key will belong; null: nobody, and no deadlock is found.
  Owner* owner = nullptr;
  /// Ends the wait when a stop is requested.
  detail::StopToken stop = {};
  /// Resumes the coroutine after a wait. If empty, it is resumed on the thread that releases the
  /// key, or that requests the stop, before that call returns; if the call is made by a coroutine
  /// that was resumed so itself, as soon as that one suspends or ends.
  Resume resume = {};
};

}  // namespace lockmap

#endif  // LOCKMAP_ASYNC_OPTIONS_HPP
