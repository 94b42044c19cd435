// A store of texts in Redis with a lock for each key that holds across processes.
//
// A lock is a key with an expiry, so that a process which dies does not lock it for ever; hence a
// holder that is too slow may lose it without noticing. So every lock comes with a number, one more
// than that of the holder before (a "fencing token"), and the store refuses a write that does not
// carry the newest number of its key. This needs a Redis that forgets nothing it has acknowledged:
// `appendonly yes` and `appendfsync always` if it may be restarted, no eviction, and no failover to
// a replica that lags behind. The number of a key stays in Redis for good.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "redis.hpp"

namespace example {

// The lock was not free in time. Nothing was written.
struct LockTimeout : redis::Error {
  using Error::Error;
};

// The lock expired and another one took it. Nothing was written.
struct StaleLock : redis::Error {
  using Error::Error;
};

// The connection broke before a write was acknowledged: the store may have the value or not.
struct OutcomeUnknown : redis::ConnectionLost {
  explicit OutcomeUnknown(const redis::ConnectionLost& error)
      : ConnectionLost(error.what() + std::string("; it may have been written or not")) {}
};

struct LockTimes {
  std::chrono::milliseconds expiry;  // longer than a holder ever needs
  std::chrono::milliseconds wait;    // how long to try to get one
};

// Any number of threads may use it.
class Store {
 public:
  // `owner` shows in Redis who has a lock.
  Store(redis::Server server, LockTimes times, const std::string& owner)
      : client_(std::move(server)),
        times_(times),
        token_prefix_(owner + "-" + std::to_string(std::random_device{}()) + "-" +
                      std::to_string(std::random_device{}()) + "-") {}

  // Empty if there is no value. Throws redis::Error.
  std::optional<std::string> load(std::string_view key) {
    return client_.command("GET", key).text();
  }

  // The right to write one key. The destructor gives it up.
  class [[nodiscard]] Lock {
   public:
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    ~Lock() {
      try {
        // The lock of another holder, who got it after it had expired, is left alone.
        store_.client_.eval(release, {lock_name(key_)}, {token_});
      } catch (const std::exception&) {
        // It will expire.
      }
    }

    // Throws OutcomeUnknown, and StaleLock or another redis::Error if nothing was written.
    void write(std::string_view value) const {
      redis::Client& client = store_.client_;
      try {
        if (client.eval(write_fenced, {key_, fence_name(key_)}, {value, fence_}).integer() == 0) {
          throw StaleLock(client.server(), lock_name(key_),
                          "it expired and was taken again; nothing was written");
        }
      } catch (const redis::ConnectionLost& error) {
        throw OutcomeUnknown(error);
      }
    }

   private:
    friend class Store;
    Lock(Store& store, std::string_view key, std::string token, std::string fence)
        : store_(store), key_(key), token_(std::move(token)), fence_(std::move(fence)) {}

    Store& store_;
    const std::string key_;
    const std::string token_;
    const std::string fence_;
  };

  // Throws LockTimeout or another redis::Error. If the connection breaks, the lock may be taken
  // nevertheless; then it is free after its expiry.
  Lock lock(std::string_view key) {
    std::string token = token_prefix_ + std::to_string(++tokens_);
    const std::string expiry = std::to_string(times_.expiry.count());
    const auto deadline = Clock::now() + times_.wait;
    // Random pauses, so that those who wait do not always ask at the same moment.
    thread_local std::minstd_rand random(std::random_device{}());
    for (std::int64_t longest = 1;; longest = std::min<std::int64_t>(2 * longest, 16)) {
      const auto fence =
          client_.eval(acquire, {lock_name(key), fence_name(key)}, {token, expiry}).integer();
      if (fence != 0) return Lock(*this, key, std::move(token), std::to_string(fence));
      const Clock::duration left = deadline - Clock::now();
      if (left <= Clock::duration::zero()) {
        throw LockTimeout(client_.server(), lock_name(key),
                          "not free within " + std::to_string(times_.wait.count()) + " ms");
      }
      const std::chrono::microseconds pause(
          std::uniform_int_distribution<std::int64_t>(500, 1000 * longest)(random));
      std::this_thread::sleep_for(std::min<Clock::duration>(pause, left));
    }
  }

 private:
  using Clock = std::chrono::steady_clock;

  static std::string lock_name(std::string_view key) { return "lock:" + std::string(key); }
  static std::string fence_name(std::string_view key) { return "fence:" + std::string(key); }

  static constexpr redis::Script acquire = {"acquire", R"(
    if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
    return redis.call('INCR', KEYS[2]))"};

  static constexpr redis::Script release = {"release", R"(
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    return redis.call('DEL', KEYS[1]))"};

  // Compares with the newest number that was given out, not with that of the last write: the newest
  // holder may have read the value already, and would overwrite what is written now.
  static constexpr redis::Script write_fenced = {"write", R"(
    if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 0 end
    redis.call('SET', KEYS[1], ARGV[1])
    return 1)"};

  redis::Client client_;
  const LockTimes times_;
  const std::string token_prefix_;
  std::atomic<std::uint64_t> tokens_ = 0;
};

}  // namespace example
