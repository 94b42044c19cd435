// Many threads on one key: how fast they get it in turns, how long they wait, and whether some get
// it more often than others.
//
// With a lock that anyone may grab as it comes free, the thread that has just released it, whose
// processor has its cache line, gets it again and again; with one that is handed from thread to
// thread, every turn may cost a switch of threads. The scenarios show both sides. The
// implementations take turns in slices of time, in one process and on the same threads, as in
// paired.hpp.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "histogram.hpp"
#include "paired.hpp"
#include "peers.hpp"
#include "program.hpp"
#include "team.hpp"

ABSL_FLAG(std::optional<bench::RoundsFlag>, rounds, std::nullopt,
          "rounds in which every map gets one slice; by default 6, or 2 if --quick");
ABSL_FLAG(std::optional<bench::MillisecondsFlag>, slice_ms, std::nullopt,
          "length of a slice; a quarter of it comes before, as a warm-up; by default 250, or 2 for "
          "each thread if that is more, or 5 if --quick");
ABSL_FLAG(bench::ThreadCountsFlag, threads, (bench::ThreadCountsFlag{{8, 96, 256, 1024}}),
          "numbers of threads for the scenarios in which all threads are alike");
ABSL_FLAG(std::string, filter, "", "only scenarios whose name contains this");

namespace {

using bench::Clock;
using bench::Value;

// -- Scenarios -----------------------------------------------------------------------------------

// The part that some of the threads play. Each role gets rows of its own in the table.
struct Role {
  std::string_view name;
  unsigned batch = 1;       // steps between two looks at the clock
  bool timed = true;        // with a batch of 1: how long each step took is in the table
  bool increments = false;  // every step adds 1 to the value of the key
};

// A scenario has one key, the maps, the roles, a rule which thread has which (they are numbered
// from 0), and a step for each role, which returns whether it counts. One with `threads` is for so
// many threads only.

using ExclusivePeers =
    bench::Joined<bench::PeerList<bench::LockMapPeer, bench::ShardedMutexPeer>, bench::TbbPeers>;
using SharedPeers =
    bench::Joined<bench::PeerList<bench::LockMapPeer, bench::SharedMutexPeer>, bench::TbbPeers>;

void keep_busy(Clock::duration span) {
  const Clock::time_point end = Clock::now() + span;
  while (Clock::now() < end) {
  }
}

struct GuardOfHotKey {
  using Key = std::uint64_t;
  using Peers = ExclusivePeers;
  static constexpr std::string_view name = "guard of one hot key";
  static constexpr std::string_view note =
      "All threads take its guard, increment the value and release it.";
  static constexpr std::array roles{Role{.name = "all", .increments = true}};

  static std::size_t role_of(unsigned /*thread*/) { return 0; }
  template <std::size_t role, class Peer>
  bool step(Peer& peer) {
    peer.guard(key);
    return true;
  }

  Key key = 42;
};

struct GetOfHotString {
  using Key = std::string;
  using Peers = ExclusivePeers;
  static constexpr std::string_view name = "get of one std::string key";
  static constexpr std::string_view note =
      "All threads look up the same key of 24 characters, by a std::string_view.";
  static constexpr std::array roles{Role{.name = "all"}};

  static std::size_t role_of(unsigned /*thread*/) { return 0; }
  template <std::size_t role, class Peer>
  bool step(Peer& peer) {
    bench::keep(peer.get(std::string_view(key)));
    return true;
  }

  Key key = "a key of some 24 letters";
};

struct GreedyThread {
  using Key = std::uint64_t;
  using Peers = ExclusivePeers;
  static constexpr std::string_view name = "one greedy thread";
  static constexpr std::string_view note =
      "As the first, but one thread of the eight takes and releases the guard in a tight loop, "
      "while the others look at the clock each time.";
  static constexpr std::array roles{
      Role{.name = "greedy", .batch = 256, .timed = false, .increments = true},
      Role{.name = "others", .increments = true}};
  static constexpr unsigned threads = 8;

  static std::size_t role_of(unsigned thread) { return thread == 0 ? 0 : 1; }
  template <std::size_t role, class Peer>
  bool step(Peer& peer) {
    peer.guard(key);
    return true;
  }

  Key key = 42;
};

struct GetOfHeldKey {
  using Key = std::uint64_t;
  using Peers = ExclusivePeers;
  static constexpr std::string_view name = "get of a key held nearly always";
  static constexpr std::string_view note =
      "One thread holds the key for 20 us at a time, and takes it again at once; the other waits "
      "for it with get. Only those that find the key held count.";
  static constexpr std::array roles{Role{.name = "holder", .timed = false}, Role{.name = "get"}};
  static constexpr unsigned threads = 2;

  static std::size_t role_of(unsigned thread) { return thread; }
  template <std::size_t role, class Peer>
  bool step(Peer& peer) {
    if constexpr (role == 0) {
      peer.while_held(key, [this] {
        held.store(true, std::memory_order_relaxed);
        keep_busy(std::chrono::microseconds(20));
        held.store(false, std::memory_order_relaxed);
      });
      return true;
    } else {
      const bool has_to_wait = held.load(std::memory_order_relaxed);
      bench::keep(peer.get(key));
      return has_to_wait;
    }
  }

  Key key = 42;
  std::atomic<bool> held{false};
};

struct ReadersAndWriters {
  using Key = std::uint64_t;
  using Peers = SharedPeers;
  static constexpr std::string_view name = "readers and writers of one hot key";
  static constexpr std::string_view note =
      "Eight of the threads take the key exclusively and increment the value; the others read it, "
      "holding it shared for a microsecond, so that there is nearly always a reader.";
  static constexpr std::array roles{Role{.name = "readers"},
                                    Role{.name = "writers", .increments = true}};
  static constexpr unsigned threads = 64;

  static std::size_t role_of(unsigned thread) { return thread % 8 == 0 ? 1 : 0; }
  template <std::size_t role, class Peer>
  bool step(Peer& peer) {
    if constexpr (role == 0) {
      peer.read(key, [](const Value& value) {
        bench::keep(value);
        keep_busy(std::chrono::microseconds(1));
      });
    } else {
      peer.guard(key);
    }
    return true;
  }

  Key key = 42;
};

// -- One slice -----------------------------------------------------------------------------------

// The time in which steps count. A warm-up comes before it: to wake a thousand threads takes a
// while, and to run each of them once takes many slices of the scheduler's.
struct Window {
  explicit Window(Clock::duration length) : begin(Clock::now() + length / 4), end(begin + length) {}

  Clock::time_point begin;
  Clock::time_point end;
};

// A thread's part of a slice.
struct Work {
  std::uint64_t steps = 0;   // in all
  std::uint64_t served = 0;  // those that count and ended in the window
  bench::Histogram waits;
};

// A step that has begun in time is seen through to its end, so the longest wait is not cut off.
template <class Step>
Work work_in(const Window& window, const Role& role, const Step& step) {
  Work work;
  for (Clock::time_point before = Clock::now(); before < window.end;) {
    bool counts = true;
    for (unsigned i = 0; i < role.batch; ++i) counts = step();
    const Clock::time_point after = Clock::now();
    work.steps += role.batch;
    if (counts && after >= window.begin) {
      if (after < window.end) work.served += role.batch;
      if (role.timed) {
        const std::chrono::nanoseconds wait = after - std::max(before, window.begin);
        work.waits.add(static_cast<std::uint64_t>(wait.count()));
      }
    }
    before = after;
  }
  return work;
}

// -- One map in one scenario ---------------------------------------------------------------------

// The steps of the threads of a role in all slices.
struct Tally {
  std::vector<double> rates;          // steps per second of all of them together, by round
  std::vector<std::uint64_t> served;  // steps of each
  bench::Histogram waits;
};

class Entrant {
 public:
  Entrant(std::string_view name, std::size_t roles) : name_(name), tallies_(roles) {}
  Entrant(const Entrant&) = delete;
  Entrant& operator=(const Entrant&) = delete;
  virtual ~Entrant() = default;

  virtual void measure(bench::Team& team, Clock::duration length) = 0;
  // Whether every increment is in the value.
  virtual bool is_correct() = 0;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const Tally& tally(std::size_t role) const { return tallies_[role]; }

 protected:
  void add(std::size_t role, const std::vector<const Work*>& works, Clock::duration length) {
    Tally& tally = tallies_[role];
    tally.served.resize(works.size());
    std::uint64_t served = 0;
    for (std::size_t i = 0; i < works.size(); ++i) {
      served += works[i]->served;
      tally.served[i] += works[i]->served;
      tally.waits.merge(works[i]->waits);
    }
    tally.rates.push_back(static_cast<double>(served) * 1e9 / bench::nanoseconds(length));
  }

 private:
  std::string name_;
  std::vector<Tally> tallies_;
};

template <class Scenario, class Peer>
class EntrantOf final : public Entrant {
 public:
  EntrantOf() : Entrant(Peer::name, role_count) { peer_.insert(scenario_.key, 0); }

  void measure(bench::Team& team, Clock::duration length) override {
    const Window window(length);
    std::vector<Work> works(team.size());
    team.run([&](unsigned thread) { works[thread] = work<0>(Scenario::role_of(thread), window); });
    for (std::size_t role = 0; role < role_count; ++role) {
      std::vector<const Work*> of_role;
      for (unsigned thread = 0; thread < team.size(); ++thread) {
        if (Scenario::role_of(thread) != role) continue;
        if (Scenario::roles[role].increments) increments_ += works[thread].steps;
        of_role.push_back(&works[thread]);
      }
      add(role, of_role, length);
    }
  }

  bool is_correct() override { return peer_.get(scenario_.key) == increments_; }

 private:
  static constexpr std::size_t role_count = Scenario::roles.size();

  // The work of a thread with that role, which is `first` or a later one.
  template <std::size_t first>
  Work work(std::size_t role, const Window& window) {
    if constexpr (first + 1 < role_count) {
      if (role != first) return work<first + 1>(role, window);
    }
    return work_in(window, Scenario::roles[first],
                   [this] { return scenario_.template step<first>(peer_); });
  }

  Scenario scenario_;
  Peer peer_{0};
  Value increments_ = 0;
};

template <class Scenario, template <class> class... Peer>
std::vector<std::unique_ptr<Entrant>> make_entrants(bench::PeerList<Peer...> /*peers*/) {
  std::vector<std::unique_ptr<Entrant>> entrants;
  (entrants.push_back(std::make_unique<EntrantOf<Scenario, Peer<typename Scenario::Key>>>()), ...);
  return entrants;
}

// -- The table -----------------------------------------------------------------------------------

template <class... Arguments>
std::string formatted(const char* format, Arguments... arguments) {
  char text[64];
  std::snprintf(text, sizeof(text), format, arguments...);
  return text;
}

std::string time_text(std::uint64_t nanoseconds) {
  const auto time = static_cast<double>(nanoseconds);
  if (time < 1e3) return formatted("%.0f ns", time);
  if (time < 1e6) return formatted("%.1f us", time / 1e3);
  if (time < 1e9) return formatted("%.1f ms", time / 1e6);
  return formatted("%.2f s", time / 1e9);
}

std::string rate_text(double rate) {
  if (rate < 1e3) return formatted("%.3g", rate);
  if (rate < 1e6) return formatted("%.3gk", rate / 1e3);
  return formatted("%.3gM", rate / 1e6);
}

void print_header() {
  std::printf(
      "| threads | map | role | steps/s | map / LockMap | p50 | p99 | p99.9 | longest | least | "
      "most |\n"
      "|---:|---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n");
}

void print_row(std::size_t threads, std::string_view role, const Entrant& entrant,
               const Tally& tally, const Tally& reference) {
  std::vector<double> ratios;
  for (std::size_t round = 0; round < tally.rates.size(); ++round) {
    if (tally.rates[round] > 0) ratios.push_back(reference.rates[round] / tally.rates[round]);
  }
  std::string ratio = "-";
  if (&tally != &reference && !ratios.empty()) {
    ratio = formatted("%.3g", bench::distribution(ratios).median);
  }
  std::array<std::string, 4> waits{"-", "-", "-", "-"};
  if (tally.waits.count() > 0) {
    waits = {time_text(tally.waits.quantile(0.5)), time_text(tally.waits.quantile(0.99)),
             time_text(tally.waits.quantile(0.999)), time_text(tally.waits.largest())};
  }
  std::array<std::string, 2> shares{"-", "-"};
  std::uint64_t sum = 0;
  for (const std::uint64_t served : tally.served) sum += served;
  if (tally.served.size() > 1 && sum > 0) {
    const auto [least, most] = std::minmax_element(tally.served.begin(), tally.served.end());
    const double mean = static_cast<double>(sum) / static_cast<double>(tally.served.size());
    shares = {formatted("%.3f", static_cast<double>(*least) / mean),
              formatted("%.3f", static_cast<double>(*most) / mean)};
  }
  std::printf("| %zu | %s | %.*s | %s | %s | %s | %s | %s | %s | %s | %s |\n", threads,
              entrant.name().c_str(), static_cast<int>(role.size()), role.data(),
              rate_text(bench::distribution(tally.rates).median).c_str(), ratio.c_str(),
              waits[0].c_str(), waits[1].c_str(), waits[2].c_str(), waits[3].c_str(),
              shares[0].c_str(), shares[1].c_str());
}

// -- Running -------------------------------------------------------------------------------------

struct Settings {
  std::uint64_t rounds = 6;
  std::optional<Clock::duration> slice;
  std::vector<std::uint64_t> threads;
  std::string filter;

  // Long enough that the scheduler lets every thread run.
  [[nodiscard]] Clock::duration slice_of(unsigned thread_count) const {
    return slice.value_or(std::chrono::milliseconds(std::max(250U, 2 * thread_count)));
  }
};

// Those of the command line.
Settings take_settings() {
  Settings settings;
  if (bench::is_quick()) {
    settings.rounds = 2;
    settings.slice = std::chrono::milliseconds(5);
  }
  if (const auto rounds = absl::GetFlag(FLAGS_rounds)) settings.rounds = rounds->value;
  if (const auto slice = absl::GetFlag(FLAGS_slice_ms)) settings.slice = bench::duration(*slice);
  settings.threads = absl::GetFlag(FLAGS_threads).values;
  settings.filter = absl::GetFlag(FLAGS_filter);
  return settings;
}

// Measures all maps with one number of threads, and prints their rows.
template <class Scenario>
void run_with(unsigned threads, const Settings& settings) {
  // Not pinned: where many threads run on few processors is the scheduler's to say here.
  // Two threads, though, must not share a processor.
  bench::Team team(threads, threads > 2 ? bench::Placement::free : bench::Placement::pinned);
  const Clock::duration slice = settings.slice_of(threads);
  const std::vector<std::unique_ptr<Entrant>> entrants =
      make_entrants<Scenario>(typename Scenario::Peers{});
  std::vector<bench::Contender> contenders;
  for (const auto& entrant : entrants) {
    const auto measure = [&team, slice, &entrant](std::uint64_t /*round*/) {
      entrant->measure(team, slice);
      return bench::Slice{};
    };
    contenders.push_back({entrant->name(), measure});
  }
  bench::run_rounds(contenders, settings.rounds);
  for (std::size_t role = 0; role < Scenario::roles.size(); ++role) {
    const Tally& reference = entrants.front()->tally(role);
    for (const auto& entrant : entrants) {
      print_row(threads, Scenario::roles[role].name, *entrant, entrant->tally(role), reference);
    }
  }
  std::fflush(stdout);
  for (const auto& entrant : entrants) {
    if (!entrant->is_correct()) throw std::runtime_error(entrant->name() + ": wrong count");
  }
}

// False if the filter leaves the scenario out.
template <class Scenario>
bool run_scenario(const Settings& settings) {
  if (Scenario::name.find(settings.filter) == std::string_view::npos) return false;
  std::printf("\n### %.*s\n\n%.*s\n\n", static_cast<int>(Scenario::name.size()),
              Scenario::name.data(), static_cast<int>(Scenario::note.size()),
              Scenario::note.data());
  print_header();
  if constexpr (requires { Scenario::threads; }) {
    run_with<Scenario>(Scenario::threads, settings);
  } else {
    for (const std::uint64_t threads : settings.threads) {
      run_with<Scenario>(static_cast<unsigned>(threads), settings);
    }
  }
  return true;
}

template <class... Scenario>
bool run_scenarios(const Settings& settings) {
  return (static_cast<int>(run_scenario<Scenario>(settings)) + ...) > 0;
}

int run() {
  const Settings settings = take_settings();
  std::printf(
      "%llu slices for each map, in turns, on %zu processors.\n\n"
      "- steps/s: median over the slices. map / LockMap: the time that the map takes per step over "
      "that of LockMap, in slices of one round, median; above 1, LockMap takes less.\n"
      "- p50, p99, p99.9, longest: of a step, most of which is to wait for the key. The clock is "
      "read after each, which is in the figures of all maps alike.\n"
      "- least, most: steps of the least and the most served thread over the mean.\n",
      static_cast<unsigned long long>(settings.rounds), bench::allowed_processors().size());
#if !defined(LOCKMAP_BENCH_HAS_TBB)
  std::printf("- TBB: skipped, it was not found when this was built.\n");
#endif
  if (!run_scenarios<GuardOfHotKey, GetOfHotString, GreedyThread, GetOfHeldKey, ReadersAndWriters>(
          settings)) {
    throw bench::UsageError("no scenario fits --filter");
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const char* const usage =
      "Measures how threads get one key in turns, for each kind of map, and prints tables.";
  return bench::run_program(argc, argv, usage, run);
}
