// Waiting for keys with Asio: coroutines, callbacks and futures. Standalone Asio or, if the macro
// LOCKMAP_BOOST_ASIO is defined or there is no other, Boost.Asio.

#ifndef LOCKMAP_ASIO_HPP
#define LOCKMAP_ASIO_HPP

#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

#if defined(LOCKMAP_BOOST_ASIO) || !__has_include(<asio.hpp>)
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/system_executor.hpp>
#include <boost/version.hpp>
#if BOOST_VERSION >= 107700
#include <boost/asio/associated_cancellation_slot.hpp>
#define LOCKMAP_ASIO_HAS_SLOTS 1
#endif
#define LOCKMAP_ASIO boost_asio
namespace lockmap::detail::boost_asio {
namespace net = ::boost::asio;
}
#else
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>
#include <asio/system_executor.hpp>
#include <asio/version.hpp>
#if ASIO_VERSION >= 101900
#include <asio/associated_cancellation_slot.hpp>
#define LOCKMAP_ASIO_HAS_SLOTS 1
#endif
#define LOCKMAP_ASIO asio
namespace lockmap::detail::asio {
namespace net = ::asio;
}
#endif

#include "lockmap/async_options.hpp"
#include "lockmap/detail/concepts.hpp"
#include "lockmap/owner.hpp"
#include "lockmap/task_entry.hpp"

namespace lockmap {

namespace detail::LOCKMAP_ASIO {

// A coroutine that nobody waits for.
struct Operation {
  struct promise_type {
    [[nodiscard]] static Operation get_return_object() noexcept { return {}; }
    [[nodiscard]] static std::suspend_never initial_suspend() noexcept { return {}; }
    [[nodiscard]] static std::suspend_never final_suspend() noexcept { return {}; }
    static void return_void() noexcept {}
    [[noreturn]] static void unhandled_exception() noexcept { std::terminate(); }
  };
};

// Waits for a key, and completes the handler on its executor, never within the call that began it.
template <class Guard, class Handler, class Wait>
Operation run(Handler handler, Wait wait, std::stop_source stop) {
  const auto executor = net::get_associated_executor(handler, net::system_executor());
  const auto work = net::make_work_guard(executor);
  std::exception_ptr error;
  std::optional<Guard> guard;
  try {
    guard.emplace(co_await wait(stop.get_token(), [executor](std::coroutine_handle<> handle) {
      net::post(executor, [handle] { handle.resume(); });
    }));
  } catch (...) {
    error = std::current_exception();
  }
#ifdef LOCKMAP_ASIO_HAS_SLOTS
  auto slot = net::get_associated_cancellation_slot(handler);
  if (slot.is_connected()) slot.clear();
#endif
  net::post(executor, [handler = std::move(handler), error, guard = std::move(guard)]() mutable {
    std::move(handler)(error, guard.has_value() ? *std::move(guard) : EmptyGuard::make<Guard>());
  });
}

// Begins the same. What needs memory is here, as far as can be: an exception leaves the call.
template <class Guard, class Handler, class Wait>
void start(Handler handler, Wait wait) {
  std::stop_source stop(std::nostopstate);
#ifdef LOCKMAP_ASIO_HAS_SLOTS
  auto slot = net::get_associated_cancellation_slot(handler);
  if (slot.is_connected()) {
    stop = std::stop_source();
    slot.assign([stop](net::cancellation_type /*type*/) {
      std::stop_source alive = stop;  // the slot may be cleared, and the operation end, meanwhile
      alive.request_stop();
    });
  }
#endif
  run<Guard>(std::move(handler), std::move(wait), std::move(stop));
}

}  // namespace detail::LOCKMAP_ASIO

/// `map.async_entry(key)` as an asynchronous operation of Asio: completes with
/// `void(std::exception_ptr, TaskEntry)` on the executor associated with the completion token,
/// never within this call. The associated cancellation slot ends the wait with
/// std::errc::operation_canceled; then, and after any other error, the entry is one that was
/// released. The key is copied or moved in; the map must outlive the operation, and the owner, if
/// there is one, its holds. Deadlock: as `async_entry`. Throws what the key's constructor throws,
/// and std::bad_alloc; then nothing was begun. Without the memory to post the completion, the
/// program ends in std::terminate.
template <class Map, class Q, class Token>
auto async_entry(Map& map, Q&& key, Token&& token, Owner* owner = nullptr) {
  using Guard = typename Map::TaskEntry;
  return detail::LOCKMAP_ASIO::net::async_initiate<Token, void(std::exception_ptr, Guard)>(
      [&map, owner](auto handler, typename Map::key_type stored) {
        detail::LOCKMAP_ASIO::start<Guard>(std::move(handler), [&map, owner,
                                                                stored = std::move(stored)](
                                                                   std::stop_token stop,
                                                                   Resume resume) mutable {
          return map.async_entry(std::move(stored), {owner, std::move(stop), std::move(resume)});
        });
      },
      token, typename Map::key_type(std::forward<Q>(key)));
}

/// `map.async_shared_entry(key)` as an asynchronous operation of Asio, as `async_entry`, completed
/// with `void(std::exception_ptr, SharedTaskEntry)`.
template <class Map, class Q, class Token>
auto async_shared_entry(Map& map, Q&& key, Token&& token, Owner* owner = nullptr) {
  using Guard = typename Map::SharedTaskEntry;
  return detail::LOCKMAP_ASIO::net::async_initiate<Token, void(std::exception_ptr, Guard)>(
      [&map, owner](auto handler, typename Map::key_type stored) {
        detail::LOCKMAP_ASIO::start<Guard>(
            std::move(handler),
            [&map, owner, stored = std::move(stored)](std::stop_token stop, Resume resume) mutable {
              return map.async_shared_entry(std::move(stored),
                                            {owner, std::move(stop), std::move(resume)});
            });
      },
      token, typename Map::key_type(std::forward<Q>(key)));
}

}  // namespace lockmap

#endif  // LOCKMAP_ASIO_HPP
