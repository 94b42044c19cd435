#pragma once

// Runs many short histories on one map and checks each.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdio>
#include <deque>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "client.hpp"
#include "history.hpp"
#include "test_access.hpp"
#include "threads.hpp"

namespace lockmap::test {

// A barrier that threads leave at almost the same time.
class MeetingPoint {
 public:
  explicit MeetingPoint(int threads) : threads_(threads) {}

  void meet() {
    const int meeting = meetings_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
      arrived_.store(0, std::memory_order_relaxed);
      meetings_.store(meeting + 1, std::memory_order_release);
      return;
    }
    const auto met = [&] { return meetings_.load(std::memory_order_acquire) != meeting; };
    for (int i = 0; i < 200; ++i) {
      if (met()) return;
      detail::cpu_pause();
    }
    await(met, "the other threads to meet");
  }

 private:
  int threads_;
  std::atomic<int> arrived_ = 0;
  std::atomic<int> meetings_ = 0;
};

struct Plan {
  int threads = 2;
  int keys = 1;
  int histories = 0;
};

struct Findings {
  int histories = 0;
  int overlapping = 0;  // those in which two threads were at the same key at the same time
  std::size_t operations = 0;
  std::string wrong;  // about the first history that was not linearizable

  Findings& operator+=(const Findings& other) {
    histories += other.histories;
    overlapping += other.overlapping;
    operations += other.operations;
    if (wrong.empty()) wrong = other.wrong;
    return *this;
  }
};

// In each history every thread does `work(client)`; then, when all is quiet, one of them does
// `settle(client)`, which returns what the map holds: the contents that the next history begins
// with. Its operations belong to the history. `judge(history)` says what is wrong with it.
//
// Threads are started once. A number of histories is recorded at a time, then all threads check
// them. Stops at the first that is wrong.
template <class Map, class Work, class Settle, class Judge>
Findings explore(Map& map, const Plan& plan, const Work& work, const Settle& settle,
                 const Judge& judge) {
  constexpr std::size_t at_a_time = 64;
  const int seed = static_cast<int>(GTEST_FLAG_GET(random_seed)) * 100 + plan.threads * 10;
  Clock clock;
  MeetingPoint meeting(plan.threads);
  std::deque<Client<Map>> clients;
  std::vector<Findings> findings(static_cast<std::size_t>(plan.threads));
  for (int i = 0; i < plan.threads; ++i) {
    clients.emplace_back(map, clock, plan.keys, i, plan.threads, seed + i);
  }
  std::vector<History> histories;
  Contents contents{};
  bool over = false;

  // Everything is quiet: written by one thread, read by the others after they have met.
  const auto collect = [&] {
    History& history = histories.emplace_back();
    history.initial = contents;
    {
      const typename Client<Map>::Turn turn(clients[0], false);
      contents = settle(clients[0]);
    }
    for (Client<Map>& client : clients) {
      const std::vector<Operation> log = client.take_log();
      history.operations.insert(history.operations.end(), log.begin(), log.end());
    }
  };
  const auto check = [&](const History& history, Findings& mine) {
    ++mine.histories;
    mine.operations += history.operations.size();
    if (has_overlap(history)) ++mine.overlapping;
    if (!mine.wrong.empty()) return;
    const std::string wrong = judge(history);
    if (wrong.empty()) return;
    std::ostringstream out;
    out << plan.threads << " threads, " << plan.keys
        << " keys, --gtest_random_seed=" << GTEST_FLAG_GET(random_seed) << ", about history "
        << mine.histories * plan.threads << ": " << wrong;
    mine.wrong = out.str();
  };

  run_together(plan.threads, [&](int thread) {
    const auto index = static_cast<std::size_t>(thread);
    const auto step = static_cast<std::size_t>(plan.threads);
    for (int begun = 0; !over; begun += static_cast<int>(at_a_time)) {
      for (std::size_t i = 0; i < at_a_time; ++i) {
        // A history is too short for readers to get the bias of a shard.
        if constexpr (detail::TestAccess::has_shards<Map>()) {
          if (thread == 0 && i % 2 == 0) detail::TestAccess::let_read(map);
        }
        meeting.meet();
        {
          const typename Client<Map>::Turn turn(clients[index]);
          work(clients[index]);
        }
        meeting.meet();
        if (thread == 0) collect();
      }
      meeting.meet();
      for (std::size_t i = index; i < histories.size(); i += step) {
        check(histories[i], findings[index]);
      }
      meeting.meet();
      if (thread == 0) {
        histories.clear();
        over = begun + static_cast<int>(at_a_time) >= plan.histories ||
               std::any_of(findings.begin(), findings.end(),
                           [](const Findings& one) { return !one.wrong.empty(); });
      }
      meeting.meet();
    }
  });

  Findings sum;
  for (const Findings& one : findings) sum += one;
  return sum;
}

// `explore(threads)` for each number of threads.
template <class F>
Findings for_two_to_four_threads(const F& explore_with) {
  Findings sum;
  for (int threads = 2; threads <= 4; ++threads) sum += explore_with(threads);
  return sum;
}

// Reads what the map holds, without disturbing it.
template <class Map>
Contents read_all(Client<Map>& client) {
  Contents contents{};
  for (int key = 0; key < client.keys(); ++key) {
    if constexpr (requires { client.map().peek(key); }) {
      client.peek(key);
    } else {
      client.get(key);
    }
    contents.at(static_cast<std::size_t>(key)) = client.last_result();
  }
  return contents;
}

// Takes everything out of a cache, from the least to the most recently used.
template <class Map>
Contents pop_all(Client<Map>& client) {
  do {
    client.pop();
  } while (client.last_result() != none);
  return {};
}

// Says how much there was to see.
inline void report(const Findings& findings) {
  testing::Test::RecordProperty("histories", findings.histories);
  testing::Test::RecordProperty("overlapping", findings.overlapping);
  std::printf("%d histories, %d of them with an overlap on a key, %zu operations\n",
              findings.histories, findings.overlapping, findings.operations);
}

inline void expect_linearizable(const Findings& findings) {
  report(findings);
  EXPECT_TRUE(findings.wrong.empty()) << findings.wrong;
  // Almost all of them, where two processors are free.
  EXPECT_GT(findings.overlapping, findings.histories / 20);
}

}  // namespace lockmap::test
