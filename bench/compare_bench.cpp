// LockMap and LruLockMap beside every peer that is installed, on every workload.
//
// It is fair: the implementations take turns in slices of a few milliseconds in one process
// and on the same pinned threads (paired.hpp); they get the same keys in the same order, and hash
// them with the same function; each does what comes closest in its own interface, which the notes
// that are printed first spell out (peers.hpp); slices in which the processors were near each other
// and slices in which they were far apart are never mixed.
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "command_line.hpp"
#include "compare/parts.hpp"
#include "contest.hpp"
#include "peers.hpp"
#include "program.hpp"

ABSL_FLAG(std::string, json, "",
          "a file to write the results to as well, for tables.py and plot.py");

namespace {

using bench::Results;

// -- Peers ---------------------------------------------------------------------------------------

struct Note {
  std::string_view peer;
  std::string_view text;
};

template <template <class> class... Peer>
std::vector<Note> notes_of(bench::PeerList<Peer...> /*peers*/) {
  return {Note{Peer<std::uint64_t>::name, Peer<std::uint64_t>::note}...};
}

std::vector<Note> all_notes() {
  return notes_of(
      bench::Joined<bench::MapPeers,
                    bench::PeerList<bench::SharedMutexPeer, bench::LockSetPeer, bench::AsyncPeer,
                                    bench::UnbiasedPeer, bench::ReadManyPeer, bench::OneByOnePeer,
                                    bench::LruLockMapPeer, bench::ExactLruLockMapPeer,
                                    bench::ShardedMutexLruPeer>,
                    bench::RocksPeers>{});
}

template <template <class> class... Peer>
void print_if_missing(const char* library, bench::PeerList<Peer...> /*peers*/) {
  if (sizeof...(Peer) != 0) return;
  std::printf("%s: skipped, it was not found when this was built.\n", library);
}

void print_introduction() {
  for (const Note& note : all_notes()) {
    std::printf("%.*s: %.*s.\n", static_cast<int>(note.peer.size()), note.peer.data(),
                static_cast<int>(note.text.size()), note.text.data());
  }
  print_if_missing("Boost", bench::BoostPeers{});
  print_if_missing("TBB", bench::TbbPeers{});
  print_if_missing("libcuckoo", bench::CuckooPeers{});
  print_if_missing("gtl", bench::GtlPeers{});
  print_if_missing("RocksDB", bench::RocksPeers{});
  std::printf("\n");
  bench::print_legend("lockmap");
}

// -- Results -------------------------------------------------------------------------------------

std::string processor_model() {
  std::ifstream information("/proc/cpuinfo");
  for (std::string line; std::getline(information, line);) {
    if (line.starts_with("model name"))
      return line.substr(std::min(line.find(": ") + 2, line.size()));
  }
  return "unknown";
}

#if defined(__clang__)
constexpr std::string_view compiler = "Clang " __clang_version__;
#elif defined(__GNUC__)
constexpr std::string_view compiler = "GCC " __VERSION__;
#else
constexpr std::string_view compiler = "unknown";
#endif

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) result += c;
  }
  return result + '"';
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.6g", value);
  return text;
}

std::string object(std::initializer_list<std::pair<const char*, std::string>> members) {
  std::string result;
  for (const auto& [name, value] : members) {
    result += (result.empty() ? "{" : ", ") + quoted(name) + ": " + value;
  }
  return result + "}";
}

std::string json(const bench::Distribution& distribution) {
  if (distribution.count == 0) return "null";
  return object({{"q1", number(distribution.q1)},
                 {"median", number(distribution.median)},
                 {"q3", number(distribution.q3)}});
}

std::string json(const bench::Result& result) {
  const bool measured = result.support == bench::Support::full;
  const bool timed_each = result.summary.longest_of_all_ns > 0;
  const char* const status = measured                                   ? "measured"
                             : result.support == bench::Support::blocks ? "blocked"
                                                                        : "none";
  return object(
      {{"workload", quoted(result.workload)},
       {"threads", std::to_string(result.threads)},
       {"place", quoted(bench::name_of(result.place))},
       {"peer", quoted(result.peer)},
       {"status", quoted(status)},
       {"unit", quoted(result.unit)},
       {"cost", json(result.summary.cost)},
       {"reference", quoted(result.reference)},
       {"ratio", json(result.summary.ratio)},
       {"hit_rate", result.counts_hits ? json(result.summary.mean_result) : "null"},
       {"longest_ns", timed_each ? number(result.summary.longest_of_all_ns) : "null"},
       {"line_ns", result.place == bench::Place::unknown ? "null" : number(result.line_ns)},
       {"rounds", std::to_string(result.summary.cost.count)}});
}

template <class Item, class ToJson>
std::string list(const std::vector<Item>& items, const ToJson& to_json) {
  std::string result;
  for (const Item& item : items) result += (result.empty() ? "[\n  " : ",\n  ") + to_json(item);
  return result.empty() ? "[]" : result + "\n]";
}

std::string json(const Results& results, const bench::Settings& settings) {
  const std::string machine =
      object({{"processor", quoted(processor_model())},
              {"processors", std::to_string(bench::allowed_processors().size())},
              {"compiler", quoted(compiler)}});
  const std::string how =
      object({{"rounds", std::to_string(settings.rounds)},
              {"slice_ms", number(bench::nanoseconds(settings.timing.slice) / 1e6)}});
  const std::string notes = list(all_notes(), [](const Note& note) {
    return object({{"peer", quoted(note.peer)}, {"note", quoted(note.text)}});
  });
  return object({{"machine", machine},
                 {"settings", how},
                 {"notes", notes},
                 {"results",
                  list(results, [](const bench::Result& result) { return json(result); })}}) +
         "\n";
}

// Which of the two worlds for two threads the figures are from.
void print_places(const Results& results) {
  std::size_t near = 0;
  std::size_t far = 0;
  for (const bench::Result& result : results) {
    if (result.place == bench::Place::near) near += result.summary.cost.count;
    if (result.place == bench::Place::far) far += result.summary.cost.count;
  }
  std::printf("With two threads or more, %zu slices were near and %zu far.\n", near, far);
}

// -- The program ---------------------------------------------------------------------------------

Results run_all(const bench::Settings& settings) {
  Results all;
  for (const auto part : {bench::compare_lookups, bench::compare_changes, bench::compare_locks,
                          bench::compare_many, bench::compare_caches}) {
    const Results results = part(settings);
    all.insert(all.end(), results.begin(), results.end());
  }
  return all;
}

int run() {
  const bench::Settings settings = bench::take_settings();
  const std::string json_path = absl::GetFlag(FLAGS_json);

  print_introduction();
  const Results results = run_all(settings);
  if (results.empty()) throw bench::UsageError("no workload fits --filter and --threads");
  print_places(results);
  if (!json_path.empty()) {
    std::ofstream file(json_path);
    file << json(results, settings);
    file.close();
    if (!file) throw std::runtime_error("cannot write '" + json_path + "'");
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const char* const usage =
      "Measures LockMap and its peers in turns, and prints medians and ratios.";
  return bench::run_program(argc, argv, usage, run);
}
