// A bounded cache of sessions over a slow store, with an eviction listener that writes back.
//
// The cache holds the sessions in use, never more than its bound. A session that is not cached is
// loaded under its key's lock, so it is loaded once however many requests wait for it. A session
// that must go is handed to the listener, which writes it back to the store.
// The listener runs after the session has left the cache, so a request may load the session again
// just before it is written back. Hence what is written is what was added ("2 more page views"),
// never the whole session: additions come out right in any order.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <iostream>
#include <random>
#include <string>

#include <lockmap/lockmap.hpp>

#include "support.hpp"

namespace {

struct StoredSession {
  std::string user;
  std::uint64_t page_views = 0;
};

struct Session {
  StoredSession stored;              // as it was loaded
  std::uint64_t new_page_views = 0;  // since then
};

class SessionStore {
 public:
  explicit SessionStore(std::size_t max_cached)
      : cache_({.max_size = max_cached},
               [this](int id, const Session& session) { write_back(id, session); }) {}

  // Counts a page view and returns the user's name.
  std::string view_page(int id) {
    auto session = cache_.entry(id);
    session.or_insert_with([&] { return load(id); });
    ++session->new_page_views;
    return session->stored.user;
  }

  // Writes everything back, as on shutdown.
  void flush() {
    while (const auto session = cache_.pop_lru()) write_back(session->first, session->second);
  }

  std::size_t cached() const { return cache_.size(); }
  lockmap::LruStats stats() const { return cache_.stats(); }
  std::uint64_t loads() const { return loads_; }
  std::uint64_t stored_page_views(int id) const {
    const auto stored = database_.get(id);
    return stored ? stored->page_views : 0;
  }

 private:
  Session load(int id) {
    ++loads_;
    auto stored = database_.entry(id);
    return {stored.or_insert({"user " + std::to_string(id)})};
  }

  void write_back(int id, const Session& session) {
    database_.entry(id)->page_views += session.new_page_views;
  }

  // Stands for a database with row locks. It outlives the cache, whose listener writes to it.
  lockmap::LockMap<int, StoredSession> database_;
  lockmap::LruLockMap<int, Session> cache_;
  std::atomic<std::uint64_t> loads_ = 0;
};

}  // namespace

int main() {
  constexpr unsigned threads = 8;
  constexpr int requests_per_thread = 5'000;
  constexpr int sessions = 500;
  constexpr std::size_t max_cached = 100;

  SessionStore store(max_cached);
  example::run_threads(threads, [&](unsigned thread) {
    std::mt19937 random(thread);
    std::uniform_int_distribution<int> session(0, sessions - 1);
    for (int i = 0; i < requests_per_thread; ++i) {
      const int id = std::min(session(random), session(random));  // the first are more popular
      example::check(store.view_page(id) == "user " + std::to_string(id), "the session is right");
    }
  });

  const lockmap::LruStats stats = store.stats();
  example::check(store.cached() <= max_cached, "the cache keeps its bound");
  example::check(stats.evictions > 0, "sessions were evicted");
  example::check(stats.insertions == store.loads(), "every insertion was a load");
  example::check(stats.insertions - stats.evictions == store.cached(), "the rest is cached");

  store.flush();
  std::uint64_t page_views = 0;
  for (int id = 0; id < sessions; ++id) page_views += store.stored_page_views(id);
  example::check(store.cached() == 0, "nothing is cached after a flush");
  example::check(page_views == threads * requests_per_thread, "no page view was lost");

  std::cout << page_views << " page views of " << sessions << " sessions, at most " << max_cached
            << " cached: " << store.loads() << " loads, " << stats.evictions
            << " evictions, none lost\n";
}
