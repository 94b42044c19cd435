// Runs the workloads as Google Benchmarks.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "command_line.hpp"
#include "contest.hpp"
#include "peers.hpp"
#include "program.hpp"
#include "workloads.hpp"

ABSL_FLAG(bool, paired, false, "chooses this mode; without it, Google Benchmark runs");

namespace bench {

// The map that the current benchmark uses. It is filled once for each benchmark, by the first
// thread that asks, and stays for all its numbers of threads and repetitions until another
// benchmark asks for its own: no two are in memory at a time.
class Fixture {
 public:
  template <class Peer, class Make>
  static Peer& get(const std::string& benchmark, const Make& make) {
    static Fixture fixture;
    const std::lock_guard lock(fixture.mutex_);
    if (fixture.benchmark_ != benchmark) {
      fixture.peer_.reset();
      fixture.peer_ = std::shared_ptr<Peer>(make());
      fixture.benchmark_ = benchmark;
    }
    return *static_cast<Peer*>(fixture.peer_.get());
  }

 private:
  std::mutex mutex_;
  std::string benchmark_;
  std::shared_ptr<void> peer_;
};

// "get_64k_keys/LockMap": Google Benchmark's names are paths, and its filters regular expressions.
inline std::string benchmark_name(std::string_view workload, std::string_view peer) {
  std::string name;
  for (const char c : workload) {
    if (c == ' ' || c == '/') {
      name += '_';
    } else if (c != ',') {
      name += c;
    }
  }
  return name + "/" + std::string(peer);
}

template <class Peer, class Workload>
void register_one(const std::shared_ptr<const Workload>& workload) {
  const std::string name = benchmark_name(workload->name, Peer::name);
  if constexpr (measured_by_steps<Workload, Peer>) {
    auto* const registered =
        benchmark::RegisterBenchmark(name.c_str(), [workload, name](benchmark::State& state) {
          const auto worker = static_cast<unsigned>(state.thread_index());
          pin(worker);
          Peer& peer =
              Fixture::get<Peer>(name, [&] { return make_filled<Workload, Peer>(*workload); });
          auto next = workload->state(seed(0, worker));
          std::uint64_t result = 0;
          for ([[maybe_unused]] auto _ : state) result += workload->step(peer, next);
          keep(result);
          state.SetItemsProcessed(state.iterations() * Workload::operations);
        });
    registered->UseRealTime();
    for (const unsigned threads : workload->threads())
      registered->Threads(static_cast<int>(threads));
  } else {
    // Its threads are those of a Team, and one iteration is all the keys.
    auto* const registered =
        benchmark::RegisterBenchmark(name.c_str(), [workload](benchmark::State& state) {
          Team team(static_cast<unsigned>(state.range(0)));
          const auto keys = static_cast<double>(workload->keys);
          for ([[maybe_unused]] auto _ : state) {
            state.SetIterationTime(workload->template measure<Peer>(team).cost * keys * 1e-9);
          }
          state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(workload->keys));
        });
    registered->UseManualTime()->Unit(benchmark::kMillisecond)->ArgName("threads");
    for (const unsigned threads : workload->threads()) registered->Arg(threads);
  }
}

// A program with two modes. By default its workloads are Google Benchmarks, one implementation
// after the other; with --paired the implementations take turns in short slices.
// `for_each_workload` calls its second argument with every workload, made for the sizes that are
// the first.
template <template <class> class... Peer, class ForEachWorkload>
int run_benchmarks(int argc, char** argv, const std::string& reference,
                   const ForEachWorkload& for_each_workload) {
  allowed_processors();  // before any thread is pinned
  const bool paired = std::any_of(argv, argv + argc, [](const char* argument) {
    return std::strcmp(argument, "--paired") == 0;
  });
  if (paired) {
    const char* const usage = "Measures the implementations in turns and prints the ratios.";
    return run_program(argc, argv, usage, [&] {
      const Settings settings = take_settings();
      print_legend(reference);
      for_each_workload(settings.sizes, [&settings](const auto& workload) {
        compare(workload, PeerList<Peer...>{}, settings);
      });
      return 0;
    });
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  for_each_workload(Sizes{}, []<class Workload>(Workload&& workload) {
    using Plain = std::remove_cvref_t<Workload>;
    const auto shared = std::make_shared<const Plain>(std::forward<Workload>(workload));
    (register_one<Peer<typename Plain::Key>>(shared), ...);
  });
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace bench
