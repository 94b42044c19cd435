// Runs a workload on several peers in turns, and prints what came out.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "paired.hpp"
#include "peers/peer.hpp"
#include "team.hpp"
#include "workloads/workload.hpp"

namespace bench {

// -- Settings ------------------------------------------------------------------------------------

struct Settings {
  std::uint64_t rounds = 40;
  Timing timing;
  std::vector<std::string> filter;     // measures only workloads whose name contains one of these
  std::vector<std::uint64_t> threads;  // empty: the numbers that each workload asks for
  Sizes sizes;

  [[nodiscard]] bool wants_threads(unsigned count) const {
    return threads.empty() || std::find(threads.begin(), threads.end(), count) != threads.end();
  }
  [[nodiscard]] bool wants_workload(const std::string& name) const {
    return std::any_of(filter.begin(), filter.end(), [&name](const std::string& part) {
      return name.find(part) != std::string::npos;
    });
  }
};

// -- Results -------------------------------------------------------------------------------------

// The result of a peer on a workload with a number of threads at a place.
struct Result {
  std::string workload;
  std::string unit;
  unsigned threads = 0;
  Place place = Place::unknown;
  std::string peer;
  std::string reference;  // the peer that the ratio is of
  Support support = Support::full;
  Summary summary;
  bool counts_hits = false;
  double line_ns = 0;      // median of the slices
  std::size_t rounds = 0;  // in all, at any place
};

inline void print_result(const Result& result) {
  if (result.support != Support::full) {
    std::printf(
        "  %-16s %s\n", result.peer.c_str(),
        result.support == Support::blocks ? "blocked: others would wait for the held key" : "-");
    return;
  }
  const Summary& summary = result.summary;
  std::printf("  %-16s %9.2f %-5s [%9.2f .. %9.2f]", result.peer.c_str(), summary.cost.median,
              result.unit.c_str(), summary.cost.q1, summary.cost.q3);
  if (summary.longest_of_all_ns > 0) {
    std::printf("  longest %8.1f us in a slice, %8.1f us in all", summary.longest_ns.median / 1000,
                summary.longest_of_all_ns / 1000);
  }
  if (result.counts_hits) std::printf("  hits %6.2f %%", summary.mean_result.median * 100);
  if (result.peer != result.reference && summary.ratio.count > 0) {
    std::printf("  %s / %s = %.3g [%.3g .. %.3g]", result.peer.c_str(), result.reference.c_str(),
                summary.ratio.median, summary.ratio.q1, summary.ratio.q3);
  }
  std::printf("\n");
}

// Those of one workload, number of threads and place.
inline void print_results(const std::vector<Result>& results) {
  if (results.empty()) return;
  const Result& first = results.front();
  std::printf("%s; %u thread%s", first.workload.c_str(), first.threads,
              first.threads == 1 ? "" : "s");
  if (first.place != Place::unknown) {
    std::printf("; %s (a cache line crosses in %.0f ns)", name_of(first.place), first.line_ns);
  } else if (first.threads > 1) {
    std::printf("; place unknown");
  }
  std::size_t rounds = 0;
  for (const Result& result : results) rounds = std::max(rounds, result.summary.cost.count);
  std::printf("; %zu of %zu rounds\n", rounds, first.rounds);
  for (const Result& result : results) print_result(result);
  std::printf("\n");
  std::fflush(stdout);
}

inline void print_legend(const std::string& reference) {
  std::printf(
      "A figure is the median over the rounds, with quartiles in brackets: time over the\n"
      "operations of all threads.\n"
      "A ratio is that of two slices of one round, median and quartiles; above 1, %s takes less.\n"
      "near, far: where the processors of the first two threads were (near: a cache line\n"
      "crosses in less than 100 ns).\n\n",
      reference.c_str());
}

// -- Running -------------------------------------------------------------------------------------

// A peer that is ready for the slices of a workload. Used from one thread, because the lock that it
// may hold belongs to the thread that took it.
template <class Workload, class Peer>
class Prepared {
 public:
  Prepared(const Workload& workload, const Timing& timing) : workload_(workload), timing_(timing) {
    if constexpr (measured_by_steps<Workload, Peer>) peer_ = make_filled<Workload, Peer>(workload);
    if constexpr (Workload::holds_first_key) {
      held_ = std::make_unique<typename Peer::Hold>(*peer_, typename Peer::Key{});
    }
  }

  Slice measure(Team& team, std::uint64_t round) {
    [[maybe_unused]] const typename DuringSliceOf<Peer>::type during_slice;
    if constexpr (measured_by_steps<Workload, Peer>) {
      Slice slice = run_slice<Workload::chunk>(team, timing_, [&](unsigned worker) {
        return [this, state = workload_.state(seed(round, worker))]() mutable {
          return workload_.step(*peer_, state);
        };
      });
      slice.cost /= Workload::operations;
      return slice;
    } else {
      return workload_.template measure<Peer>(team);
    }
  }

 private:
  struct Nothing {};
  template <class P, bool holds>
  struct HoldOf {
    using type = Nothing;
  };
  template <class P>
  struct HoldOf<P, true> {
    using type = typename P::Hold;
  };
  template <class P>
  struct DuringSliceOf {
    using type = Nothing;
  };
  template <class P>
  requires requires { typename P::DuringSlice; }
  struct DuringSliceOf<P> {
    using type = typename P::DuringSlice;
  };

  const Workload& workload_;
  Timing timing_;
  std::unique_ptr<Peer> peer_;
  std::unique_ptr<typename HoldOf<Peer, Workload::holds_first_key>::type> held_;
};

// A peer in a contest on one workload, whatever its type.
struct Entrant {
  std::string name;
  Support support = Support::full;
  unsigned max_threads = 0;
  bool counts_hits = false;
  std::function<Slice(Team&, std::uint64_t)> measure;
};

template <class Workload, class Peer>
Entrant make_entrant(const Workload& workload, const Timing& timing) {
  Entrant entrant{std::string(Peer::name),
                  support<Workload, Peer>(),
                  Peer::max_threads,
                  Workload::counts_hits,
                  {}};
  if constexpr (support<Workload, Peer>() == Support::full) {
    auto prepared = std::make_shared<Prepared<Workload, Peer>>(workload, timing);
    entrant.measure = [prepared](Team& team, std::uint64_t round) {
      return prepared->measure(team, round);
    };
  }
  return entrant;
}

inline double median_line(const std::vector<Slice>& slices, Place place) {
  std::vector<double> lines;
  for (const Slice& slice : slices) {
    if (slice.place() == place && slice.line_ns.has_value()) lines.push_back(*slice.line_ns);
  }
  return distribution(std::move(lines)).median;
}

// Measures a workload on all the peers with one number of threads. The first is the reference.
inline std::vector<std::vector<Result>> contest(const std::string& workload, const char* unit,
                                                const std::vector<Entrant>& entrants,
                                                unsigned threads, std::uint64_t rounds) {
  Team team(threads);
  std::vector<Contender> contenders;
  std::vector<std::size_t> index(entrants.size());  // of its contender
  std::vector<bool> takes_part(entrants.size());
  for (std::size_t i = 0; i < entrants.size(); ++i) {
    const Entrant& entrant = entrants[i];
    takes_part[i] = entrant.support == Support::full && threads <= entrant.max_threads;
    if (!takes_part[i]) continue;
    index[i] = contenders.size();
    const auto measure = [&entrant, &team](std::uint64_t round) {
      return entrant.measure(team, round);
    };
    contenders.push_back({entrant.name, measure});
  }
  const Slices slices = run_rounds(contenders, rounds);

  std::vector<std::vector<Result>> by_place;
  for (const Place place : {Place::unknown, Place::near, Place::far}) {
    std::vector<Result> results;
    bool seen = false;
    for (std::size_t i = 0; i < entrants.size(); ++i) {
      Result result;
      result.workload = workload;
      result.unit = unit;
      result.threads = threads;
      result.place = place;
      result.peer = entrants[i].name;
      result.reference = entrants.front().name;
      result.support = entrants[i].support;
      result.counts_hits = entrants[i].counts_hits;
      result.rounds = rounds;
      if (takes_part[i]) {
        result.summary = summarize(slices[index[i]], slices.front(), place);
        result.line_ns = median_line(slices[index[i]], place);
        if (result.summary.cost.count == 0) continue;
        seen = true;
      } else if (result.support == Support::full) {
        result.support = Support::none;  // for fewer threads only
      }
      results.push_back(std::move(result));
    }
    if (seen) by_place.push_back(std::move(results));
  }
  return by_place;
}

// Measures a workload on the peers with all its numbers of threads, prints the results as they
// come, and returns them.
template <class Workload, template <class> class... Peer>
std::vector<Result> compare(const Workload& workload, PeerList<Peer...> /*peers*/,
                            const Settings& settings) {
  std::vector<Result> all;
  if (!settings.wants_workload(workload.name)) return all;
  const bool progress = isatty(STDERR_FILENO) != 0;
  if (progress) std::fprintf(stderr, "preparing: %s\r", workload.name.c_str());
  const std::vector<Entrant> entrants{
      make_entrant<Workload, Peer<typename Workload::Key>>(workload, settings.timing)...};
  // A whole takes as long as several slices.
  constexpr bool steps = (measured_by_steps<Workload, Peer<typename Workload::Key>> && ...);
  const std::uint64_t rounds =
      steps ? settings.rounds : std::max<std::uint64_t>(settings.rounds / 4, 1);
  for (const unsigned threads : workload.threads()) {
    if (!settings.wants_threads(threads)) continue;
    if (progress) std::fprintf(stderr, "\33[Kmeasuring: %s, %u\r", workload.name.c_str(), threads);
    auto by_place = contest(workload.name, workload.unit, entrants, threads, rounds);
    if (progress) std::fprintf(stderr, "\33[K");
    for (std::vector<Result>& results : by_place) {
      print_results(results);
      all.insert(all.end(), results.begin(), results.end());
    }
  }
  return all;
}

}  // namespace bench
