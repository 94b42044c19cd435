// LockMap and LruLockMap beside every peer that is installed, on every workload.
//
// What makes it fair: the implementations take turns in slices of a few milliseconds in one process
// and on the same pinned threads (paired.hpp); they get the same keys in the same order, and hash
// them with the same function; each does what comes closest in its own interface, which the notes
// that are printed first spell out (peers.hpp); slices in which the processors were near each other
// and slices in which they were far apart are never mixed.
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <initializer_list>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "contest.hpp"

ABSL_FLAG(std::string, json, "", "a file to write the results to as well, for plot.py");

// -- Counted memory ------------------------------------------------------------------------------

namespace {

std::atomic<bool> counting{false};
std::atomic<std::int64_t> counted_bytes{0};

// What malloc set aside for a block, with its header: a peer that allocates every element pays for
// the rounding, as it would anywhere. Outside of a count this is one load, the same for all.
void count(void* block, std::int64_t sign) {
  if (!counting.load(std::memory_order_relaxed)) return;
#if defined(__GLIBC__)
  if (block == nullptr) return;
  const auto bytes = static_cast<std::int64_t>(malloc_usable_size(block) + sizeof(std::size_t));
  counted_bytes.fetch_add(sign * bytes, std::memory_order_relaxed);
#else
  (void)block;
  (void)sign;
#endif
}

void* counted(void* block) {
  if (block == nullptr) throw std::bad_alloc();
  count(block, 1);
  return block;
}

void release(void* block) noexcept {
  count(block, -1);
  std::free(block);
}

}  // namespace

// Not inlined, as they are not in a program that leaves them to the standard library.
LOCKMAP_NOINLINE void* operator new(std::size_t size) {
  return counted(std::malloc(size != 0 ? size : 1));
}
LOCKMAP_NOINLINE void* operator new(std::size_t size, std::align_val_t alignment) {
  const auto align = static_cast<std::size_t>(alignment);
  return counted(std::aligned_alloc(align, (size + align - 1) / align * align));
}
LOCKMAP_NOINLINE void operator delete(void* block) noexcept {
  release(block);
}
LOCKMAP_NOINLINE void operator delete(void* block, std::size_t /*size*/) noexcept {
  release(block);
}
LOCKMAP_NOINLINE void operator delete(void* block, std::align_val_t /*alignment*/) noexcept {
  release(block);
}
LOCKMAP_NOINLINE void operator delete(void* block, std::size_t /*size*/,
                                      std::align_val_t /*alignment*/) noexcept {
  release(block);
}

namespace {

// The peer, or that form of it whose memory comes from operator new.
template <class Peer>
struct CountedForm {
  using type = Peer;
};
template <class Peer>
requires requires {
  typename Peer::Counted;
}
struct CountedForm<Peer> {
  using type = typename Peer::Counted;
};

// The memory of a full map, per key.
struct Memory : bench::OnIntegers {
  explicit Memory(std::uint64_t count, const std::string& what = "memory")
      : OnIntegers(what + ", " + bench::count_name(count) + " keys", count) {}

  static constexpr const char* unit = "bytes";
  [[nodiscard]] static std::vector<unsigned> threads() { return {1}; }
  template <class Peer>
  bench::Slice measure(bench::Team& /*team*/) const {
    using Counted = typename CountedForm<Peer>::type;
    counted_bytes = 0;
    counting = true;
    const auto peer = bench::make_filled<Memory, Counted>(*this);
    counting = false;
    bench::Slice slice;
    slice.cost = static_cast<double>(counted_bytes.load()) / static_cast<double>(keys);
    return slice;
  }
};

// -- Peers ---------------------------------------------------------------------------------------

using MapPeers =
    bench::PeerList<bench::LockMapPeer,
#if defined(LOCKMAP_BENCH_HAS_TBB)
                    bench::TbbPeer,
#endif
#if defined(LOCKMAP_BENCH_HAS_CUCKOO)
                    bench::CuckooPeer,
#endif
                    bench::ShardedMutexPeer, bench::PerKeyMutexPeer, bench::UnsynchronisedPeer>;
// Those with values that are read in place under a shared lock, or the nearest to it.
using TextPeers = bench::PeerList<bench::LockMapTextPeer,
#if defined(LOCKMAP_BENCH_HAS_TBB)
                                  bench::TbbTextPeer,
#endif
#if defined(LOCKMAP_BENCH_HAS_CUCKOO)
                                  bench::CuckooTextPeer,
#endif
                                  bench::SharedMutexTextPeer>;
// Those with a shared lock that can be kept.
using SharedGuardPeers = bench::PeerList<bench::LockMapPeer
#if defined(LOCKMAP_BENCH_HAS_TBB)
                                         ,
                                         bench::TbbPeer
#endif
                                         >;
using CachePeers = bench::PeerList<bench::LruLockMapPeer, bench::ShardedMutexLruPeer>;

struct Note {
  std::string_view peer;
  std::string_view text;
};

template <template <class> class... Peer>
std::vector<Note> notes_of(bench::PeerList<Peer...> /*peers*/) {
  return {Note{Peer<std::uint64_t>::name, Peer<std::uint64_t>::note}...};
}

std::vector<Note> all_notes() {
  std::vector<Note> notes = notes_of(MapPeers{});
  for (const auto& more :
       {notes_of(bench::PeerList<bench::SharedMutexPeer>{}), notes_of(CachePeers{})}) {
    notes.insert(notes.end(), more.begin(), more.end());
  }
  return notes;
}

void print_introduction() {
  for (const Note& note : all_notes()) {
    std::printf("%.*s: %.*s.\n", static_cast<int>(note.peer.size()), note.peer.data(),
                static_cast<int>(note.text.size()), note.text.data());
  }
#if !defined(LOCKMAP_BENCH_HAS_TBB)
  std::printf("TBB: skipped, it was not found when this was built.\n");
#endif
#if !defined(LOCKMAP_BENCH_HAS_CUCKOO)
  std::printf("libcuckoo: skipped, it was not found when this was built.\n");
#endif
  std::printf("\n");
  bench::print_legend("LockMap (or LruLockMap)");
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

std::string json(const std::vector<bench::Result>& results, const bench::Settings& settings) {
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
void print_places(const std::vector<bench::Result>& results) {
  std::size_t near = 0;
  std::size_t far = 0;
  for (const bench::Result& result : results) {
    if (result.place == bench::Place::near) near += result.summary.cost.count;
    if (result.place == bench::Place::far) far += result.summary.cost.count;
  }
  std::printf("With two threads or more, %zu slices were near and %zu far.\n", near, far);
}

// -- The program ---------------------------------------------------------------------------------

std::vector<bench::Result> run_all(const bench::Settings& settings) {
  const bench::Sizes& sizes = settings.sizes;
  std::vector<bench::Result> all;
  const auto run = [&](const auto& workload, auto peers) {
    const std::vector<bench::Result> results = bench::compare(workload, peers, settings);
    all.insert(all.end(), results.begin(), results.end());
  };
  run(bench::Get(sizes.keys), MapPeers{});
  run(bench::Get(sizes.large), MapPeers{});
  run(bench::GetZipf(sizes.popular), MapPeers{});
  run(bench::GetString(sizes.keys), MapPeers{});
  run(bench::GetBesideHeld(sizes.keys), MapPeers{});
  run(bench::GetAndInsert("99.9% get, 0.1% insert", 1, sizes.keys), MapPeers{});
  run(bench::GetAndInsert("90% get, 10% insert", 100, sizes.keys), MapPeers{});
  run(bench::GuardUniform(sizes.keys), MapPeers{});
  run(bench::GuardHot(sizes.keys), MapPeers{});
  run(bench::GuardHotTimed(sizes.keys), MapPeers{});
  run(bench::ReadText("uniform", sizes.keys, sizes.keys), TextPeers{});
  run(bench::ReadText("one hot key", 1, sizes.keys), TextPeers{});
  run(bench::SharedGuardHot(sizes.keys), SharedGuardPeers{});
  run(bench::GuardAbsent(sizes.keys), MapPeers{});
  run(bench::GuardFour(sizes.keys), MapPeers{});
  run(bench::Churn(sizes.keys), MapPeers{});
  run(bench::BulkInsert(sizes.bulk, false), MapPeers{});
  run(bench::BulkInsert(sizes.bulk, true), MapPeers{});
  run(bench::Destroy(sizes.bulk), MapPeers{});
#if defined(__GLIBC__)
  run(Memory(sizes.bulk), MapPeers{});
#endif
  run(bench::Get(sizes.keys, "LRU: promoting get"), CachePeers{});
  run(bench::Peek(sizes.keys, "LRU: peek"), CachePeers{});
  run(bench::Evict(sizes.keys, "LRU: 50:50 insert and get"), CachePeers{});
  run(bench::Destroy(sizes.bulk, "LRU: destroy"), CachePeers{});
#if defined(__GLIBC__)
  run(Memory(sizes.bulk, "LRU: memory"), CachePeers{});
#endif
  return all;
}

int run() {
  const bench::Settings settings = bench::take_settings();
  const std::string json_path = absl::GetFlag(FLAGS_json);

  print_introduction();
  const std::vector<bench::Result> results = run_all(settings);
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
