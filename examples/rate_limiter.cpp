// A token bucket per client, kept under the client's key.
//
// allow() reads the clock, refills the bucket and takes a token: several steps that must be one,
// which is what the guard of the client's entry is for. Clients do not slow each other down.
// retain() forgets clients whose bucket is full again, so the map does not grow for ever.
// The clock is passed in, so the program can check that exactly the allowed requests pass.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <string>
#include <string_view>

#include <lockmap/lockmap.hpp>

#include "support.hpp"

namespace {

using std::chrono::milliseconds;

class RateLimiter {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // At most `burst` requests at once, and one more per `interval`.
  RateLimiter(std::int64_t burst, milliseconds interval) : burst_(burst), interval_(interval) {}

  bool allow(std::string_view client, TimePoint now) {
    auto entry = buckets_.entry(client);
    Bucket& bucket = entry.or_insert({burst_, now});
    refill(bucket, now);
    if (bucket.tokens == 0) return false;
    --bucket.tokens;
    return true;
  }

  // A full bucket is as good as none. Says how many were dropped.
  std::size_t forget_idle(TimePoint now) {
    return buckets_.retain([&](const std::string&, Bucket& bucket) {
      refill(bucket, now);
      return bucket.tokens < burst_;
    });
  }

  std::size_t clients() const { return buckets_.size(); }

 private:
  struct Bucket {
    std::int64_t tokens;
    TimePoint refilled;  // the moment up to which tokens have been given out
  };

  void refill(Bucket& bucket, TimePoint now) const {
    if (now <= bucket.refilled) return;  // another thread's clock was ahead
    const auto fresh = (now - bucket.refilled) / interval_;
    bucket.tokens = std::min<std::int64_t>(burst_, bucket.tokens + fresh);
    bucket.refilled += fresh * interval_;  // what is left of an interval counts next time
  }

  const std::int64_t burst_;
  const milliseconds interval_;
  lockmap::LockMap<std::string, Bucket> buckets_;
};

}  // namespace

int main() {
  constexpr unsigned threads = 8;
  constexpr int attempts_per_thread = 50;
  constexpr std::array<std::string_view, 3> clients = {"alice", "bob", "carol"};

  struct Round {
    milliseconds clock;
    int allowed;
  };
  // A burst of 10, then one request per 100 ms.
  constexpr std::array<Round, 5> rounds = {{
      {milliseconds(0), 10},
      {milliseconds(250), 2},
      {milliseconds(299), 0},  // 50 ms were left over from 250, and 49 passed
      {milliseconds(300), 1},
      {milliseconds(5000), 10},  // never more than the burst
  }};

  RateLimiter limiter(10, milliseconds(100));
  for (const Round& round : rounds) {
    const RateLimiter::TimePoint now(round.clock);
    std::array<std::atomic<int>, clients.size()> passed{};
    example::run_threads(threads, [&](unsigned) {
      for (int attempt = 0; attempt < attempts_per_thread; ++attempt) {
        for (std::size_t i = 0; i < clients.size(); ++i) {
          if (limiter.allow(clients[i], now)) ++passed[i];
        }
      }
    });
    for (const auto& count : passed) {
      example::check(count == round.allowed, "exactly the allowed requests passed");
    }
    std::cout << "at " << round.clock.count() << " ms: " << round.allowed << " of "
              << threads * attempts_per_thread << " requests of each client passed\n";
  }

  const auto last = rounds.back().clock;
  example::check(limiter.forget_idle(RateLimiter::TimePoint(last + milliseconds(999))) == 0,
                 "a bucket that is not full is kept");
  example::check(limiter.forget_idle(RateLimiter::TimePoint(last + milliseconds(1000))) == 3,
                 "a full bucket is forgotten");
  example::check(limiter.clients() == 0, "nothing is left of idle clients");
}
