// Comparing implementations on a machine that is not quiet.
//
// All of them take turns in short slices of time, in one process, on the same threads. What happens
// to the machine for longer than a round (its clock, its neighbours, the cores that the host gives
// it) happens to all alike, so the ratio of two slices of one round says more than either slice.
// The median of the ratios and its quartiles are the result.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "random.hpp"
#include "team.hpp"

namespace bench {

// Where the workers' processors were during a slice. Two cores that share a cache and two that do
// not are different machines for a lock, and a virtual machine may get either.
enum class Place { unknown, near, far };  // unknown: also for one thread, which has no other

inline const char* name_of(Place place) {
  switch (place) {
    case Place::near:
      return "near";
    case Place::far:
      return "far";
    default:
      return "-";
  }
}

// Keeps the compiler from leaving out the work behind a result.
inline void keep(std::uint64_t result) {
  __asm__ __volatile__("" : : "r"(result) : "memory");
}

// -- One slice -----------------------------------------------------------------------------------

struct Slice {
  double cost = 0;                // as a rule nanoseconds: time over all threads' operations
                                  // 0: no worker got a processor, which says nothing of the peer
  double longest_ns = 0;          // the longest single operation, where each was timed
  double mean_result = 0;         // of what the steps returned
  std::optional<double> line_ns;  // a cache line from worker 0 to 1, at the start of the slice

  [[nodiscard]] Place place() const {
    if (!line_ns.has_value()) return Place::unknown;
    return *line_ns < 100 ? Place::near : Place::far;
  }
};

struct Timing {
  Clock::duration slice = std::chrono::milliseconds(20);
  // Before it, untimed: brings back to the caches what the others' slices pushed out of them.
  [[nodiscard]] Clock::duration warm_up() const { return slice / 4; }
};

// Calls `step` over and over on every worker, and counts the calls within a window of time that is
// the same for all of them; `make_step(worker)` makes the worker's `step`, which returns a number.
// The clock is read once in `chunk` calls, so that it does not show (a chunk of 1: each is timed);
// more often if they are slow, so that no slice grows longer than the others'.
template <unsigned chunk, class MakeStep>
Slice run_slice(Team& team, const Timing& timing, const MakeStep& make_step) {
  struct Count {
    double operations = 0;
    double results = 0;
    double longest_ns = 0;
  };
  std::vector<Count> counts(team.size());
  Slice slice;
  slice.line_ns = line_transfer(team);
  const Clock::time_point begin = Clock::now() + timing.warm_up();
  const Clock::time_point end = begin + timing.slice;
  team.run([&](unsigned worker) {
    auto step = make_step(worker);
    Count count;
    unsigned calls = 1;  // grows during the warm-up
    Clock::time_point before = Clock::now();
    while (before < end) {
      std::uint64_t result = 0;
      for (unsigned i = 0; i < calls; ++i) result += step();
      keep(result);
      const Clock::time_point after = Clock::now();
      if (after > begin) {
        // Calls at the edge of the window count by the part of their time that lies inside.
        const double inside = nanoseconds(std::min(after, end) - std::max(before, begin));
        const double whole = nanoseconds(after - before);
        const double part = whole > 0 ? inside / whole : 1;
        count.operations += calls * part;
        count.results += static_cast<double>(result) * part;
        if constexpr (chunk == 1) count.longest_ns = std::max(count.longest_ns, whole);
      }
      if (calls < chunk && after - before < std::chrono::microseconds(10)) calls *= 2;
      before = after;
    }
    counts[worker] = count;
  });
  double operations = 0;
  double results = 0;
  for (const Count& count : counts) {
    operations += count.operations;
    results += count.results;
    slice.longest_ns = std::max(slice.longest_ns, count.longest_ns);
  }
  if (operations > 0) {
    slice.cost = nanoseconds(timing.slice) / operations;
    slice.mean_result = results / operations;
  }
  return slice;
}

// -- Many rounds ---------------------------------------------------------------------------------

// Somebody to measure: gives the cost of one slice. The number is that of the round.
struct Contender {
  std::string name;
  std::function<Slice(std::uint64_t round)> measure;
};

// Slices by contender and round.
using Slices = std::vector<std::vector<Slice>>;

// Every contender measures one slice in each round, and none always after the same other one: the
// first changes from round to round, and so does the direction.
inline Slices run_rounds(const std::vector<Contender>& contenders, std::uint64_t rounds) {
  const std::size_t count = contenders.size();
  Slices slices(count, std::vector<Slice>(rounds));
  for (std::uint64_t round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t turn = (i + round / 2) % count;
      const std::size_t contender = round % 2 == 0 ? turn : count - 1 - turn;
      slices[contender][round] = contenders[contender].measure(round);
    }
  }
  return slices;
}

struct Distribution {
  std::size_t count = 0;
  double q1 = 0;
  double median = 0;
  double q3 = 0;
};

inline Distribution distribution(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto quantile = [&values](double part) {
    const double position = part * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(position);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    return values[below] +
           (position - static_cast<double>(below)) * (values[above] - values[below]);
  };
  return {values.size(), quantile(0.25), quantile(0.5), quantile(0.75)};
}

// A contender, as the slices at one place show it.
struct Summary {
  Distribution cost;
  Distribution ratio;  // this contender's cost / the reference's, of the same round and place
  Distribution longest_ns;
  double longest_of_all_ns = 0;
  Distribution mean_result;
};

inline Summary summarize(const std::vector<Slice>& slices, const std::vector<Slice>& reference,
                         Place place) {
  std::vector<double> costs;
  std::vector<double> ratios;
  std::vector<double> longest;
  std::vector<double> means;
  Summary summary;
  for (std::size_t round = 0; round < slices.size(); ++round) {
    const Slice& slice = slices[round];
    if (slice.place() != place || slice.cost <= 0) continue;
    costs.push_back(slice.cost);
    longest.push_back(slice.longest_ns);
    means.push_back(slice.mean_result);
    summary.longest_of_all_ns = std::max(summary.longest_of_all_ns, slice.longest_ns);
    const Slice& other = reference[round];
    if (other.place() == place && other.cost > 0) ratios.push_back(slice.cost / other.cost);
  }
  summary.cost = distribution(std::move(costs));
  summary.ratio = distribution(std::move(ratios));
  summary.longest_ns = distribution(std::move(longest));
  summary.mean_result = distribution(std::move(means));
  return summary;
}

}  // namespace bench
