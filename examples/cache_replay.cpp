// Replays a trace of requests through LruLockMaps of several sizes and shows their hit rates.
//
// Every request is one get_or_insert_with: a hit, or a miss that "loads" the block. With one shard
// and one thread the hits are exactly those of LRU; more shards and threads trade a little of that
// for speed, and the table shows how little. Traces are lists of keys, or block traces in the
// format of N. Megiddo and D. S. Modha, "ARC: A Self-Tuning, Low Overhead Replacement Cache", FAST
// 2003: lines of first block, number of blocks, a field to ignore, request number.
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <iomanip>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "absl/flags/flag.h"
#include "absl/strings/string_view.h"
#include "flags.hpp"
#include "program.hpp"
#include "progress.hpp"
#include "support.hpp"

namespace {

enum class Format { lis, keys };

bool AbslParseFlag(absl::string_view text, Format* format, std::string* error) {
  if (text != "lis" && text != "keys") {
    *error = "neither lis nor keys";
    return false;
  }
  *format = text == "lis" ? Format::lis : Format::keys;
  return true;
}

std::string AbslUnparseFlag(Format format) {
  return format == Format::lis ? "lis" : "keys";
}

// Which requests reorder a cache.
struct Order {
  lockmap::Recency recency = lockmap::Recency::automatic;
};
constexpr std::array<std::pair<std::string_view, lockmap::Recency>, 3> orders{
    {{"automatic", lockmap::Recency::automatic},
     {"relaxed", lockmap::Recency::relaxed},
     {"exact", lockmap::Recency::exact}}};

bool AbslParseFlag(absl::string_view text, Order* order, std::string* error) {
  for (const auto& [name, recency] : orders) {
    if (std::string_view(text.data(), text.size()) != name) continue;
    order->recency = recency;
    return true;
  }
  *error = "neither automatic nor relaxed nor exact";
  return false;
}

std::string AbslUnparseFlag(Order order) {
  for (const auto& [name, recency] : orders) {
    if (recency == order.recency) return std::string(name);
  }
  return {};
}

using Sizes = support::Wholes<1, std::numeric_limits<std::size_t>::max()>;
using ShardCounts = support::Wholes<0, 65536>;
using Threads = support::Whole<1, 1024>;
using Weight = support::Whole<0, 1'000'000>;

}  // namespace

ABSL_FLAG(std::optional<Format>, format, std::nullopt,
          "lis: lines of first block, number of blocks, ignored, request number; keys: one key per "
          "line; by default lis for the names .lis and .lis.zst, keys for all others");
ABSL_FLAG(Sizes, size, Sizes{{1000}}, "cache sizes, as 1000,2000");
ABSL_FLAG(ShardCounts, shards, ShardCounts{{0}}, "shard counts, 0 for the cache's own choice");
ABSL_FLAG(Order, recency, Order{},
          "which hits reorder the cache: exact: all; relaxed: none among the newest quarter; "
          "automatic: all with one shard");
ABSL_FLAG(Weight, weight, Weight{0},
          "0: the sizes are bounds of keys; else each block weighs so much, and the caches are "
          "bounded by what so many blocks weigh");
ABSL_FLAG(Threads, threads, Threads{1}, "threads that share the requests");

namespace {

constexpr const char* usage =
    "Replays a trace through LRU caches and shows their hit rates.\n"
    "\n"
    "Usage: cache_replay [options] TRACE\n"
    "A TRACE that ends in .zst is read through the program zstd.";

// A C stream and the function that closes it.
using Stream = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

std::string read_all(std::FILE* file, const std::string& path) {
  std::string text;
  std::array<char, 1 << 16> buffer;
  while (const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), file)) {
    text.append(buffer.data(), count);
  }
  if (std::ferror(file)) throw example::cannot_read(path, errno);
  return text;
}

Stream open_file(const std::string& path) {
  Stream file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) throw example::cannot_read(path, errno);
  return file;
}

std::string read_file(const std::string& path) {
  return read_all(open_file(path).get(), path);
}

// For the shell: in single quotes everything but a single quote stands for itself.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? "'\\''" : std::string(1, c);
  return result + "'";
}

std::string read_zstd_file(const std::string& path) {
  open_file(path);  // for a clear error if it cannot be read
  Stream pipe(popen(("zstd -dcq -- " + quoted(path)).c_str(), "r"), pclose);
  if (!pipe) throw example::cannot_read(path, errno);
  std::string text = read_all(pipe.get(), path);
  const int status = pclose(pipe.release());
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
    throw example::InputError("cannot read '" + path + "': the program zstd is not installed");
  }
  if (status != 0) throw example::InputError("cannot read '" + path + "': zstd failed");
  return text;
}

[[noreturn]] void malformed(const std::string& path, std::size_t line, const std::string& what) {
  throw example::InputError(path + ":" + std::to_string(line) + ": " + what);
}

// Calls f(line, number of the line), without line ends.
template <class F>
void for_each_line(std::string_view text, const F& f) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    f(line, number);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// The blocks that an ARC trace asks for, one after the other.
std::vector<std::uint64_t> parse_lis(std::string_view text, const std::string& path) {
  // No trace reads so much at once; a damaged line must not fill the memory.
  constexpr std::uint64_t max_blocks = 1'000'000;
  constexpr std::uint64_t max_number = std::numeric_limits<std::uint64_t>::max();

  std::vector<std::uint64_t> requests;
  for_each_line(text, [&](std::string_view line, std::size_t line_number) {
    std::array<std::uint64_t, 4> fields{};
    std::size_t count = 0;
    constexpr std::string_view blanks = " \t";
    for (auto begin = line.find_first_not_of(blanks); begin != std::string_view::npos; ++count) {
      const auto end = std::min(line.find_first_of(blanks, begin), line.size());
      const std::string_view field = line.substr(begin, end - begin);
      if (count < fields.size() && !support::parse_number(field, fields[count])) {
        malformed(path, line_number, "'" + std::string(field) + "' is not a whole number");
      }
      begin = line.find_first_not_of(blanks, end);
    }
    if (count != fields.size()) {
      malformed(path, line_number,
                "4 numbers expected (first block, number of blocks, ignored, request number), " +
                    std::to_string(count) + " found");
    }
    const auto [first, blocks, ignored, request] = fields;
    if (blocks < 1 || blocks > max_blocks || first > max_number - blocks) {
      malformed(path, line_number,
                "impossible number of blocks: " + std::to_string(blocks) + " from block " +
                    std::to_string(first));
    }
    for (std::uint64_t block = 0; block < blocks; ++block) requests.push_back(first + block);
  });
  return requests;
}

// The lines themselves; they point into `text`.
std::vector<std::string_view> parse_keys(std::string_view text, const std::string& path) {
  std::vector<std::string_view> requests;
  for_each_line(text, [&](std::string_view line, std::size_t line_number) {
    if (line.empty()) malformed(path, line_number, "a key expected, empty line found");
    requests.push_back(line);
  });
  return requests;
}

void print_header() {
  std::cout << std::setw(12) << "size" << std::setw(8) << "shards" << std::setw(12) << "requests"
            << std::setw(12) << "hits" << std::setw(10) << "hit rate" << std::setw(14)
            << "requests/s" << '\n';
}

struct Plan {
  std::vector<std::uint64_t> sizes;
  std::vector<std::uint64_t> shard_counts;
  unsigned threads;
  lockmap::Recency recency;
  std::size_t weight;  // of each block; 0: bounds are numbers of keys
};

// Sends all requests through one cache and prints its line of the table.
template <class Key, class Request>
void replay(const std::vector<Request>& requests, std::size_t size, std::size_t shards,
            const Plan& plan) {
  using Cache = lockmap::LruLockMap<Key, std::size_t>;
  lockmap::LruOptions options{.max_size = size, .shard_count = shards, .recency = plan.recency};
  typename Cache::Hooks hooks;
  if (plan.weight != 0) {
    options.max_weight =
        size > lockmap::unlimited / plan.weight ? lockmap::unlimited - 1 : size * plan.weight;
    options.max_size = lockmap::unlimited;
    hooks.weigh = [weight = plan.weight](const Key&, const std::size_t&) { return weight; };
    if (shards == 0) options.shard_count = Cache(size).shard_count();
  } else if (size == lockmap::unlimited) {
    options.max_size = lockmap::unlimited - 1;
  }
  Cache cache(options, std::move(hooks));
  example::Progress progress("size " + std::to_string(size), requests.size());
  // The threads take short runs of requests in turn, which keeps the order of the trace nearly as
  // it was, so the hit rate too.
  constexpr std::size_t run_length = 256;
  std::atomic<std::size_t> next = 0;
  const auto start = std::chrono::steady_clock::now();
  example::run_threads(plan.threads, [&](unsigned thread) {
    for (;;) {
      const std::size_t begin = next.fetch_add(run_length);
      if (begin >= requests.size()) return;
      const std::size_t end = std::min(begin + run_length, requests.size());
      for (std::size_t i = begin; i < end; ++i) {
        const std::size_t loaded_by = cache.get_or_insert_with(requests[i], [&] { return i; });
        example::check(loaded_by < requests.size(), "the cached value is one that was loaded");
      }
      if (thread == 0) progress.update(begin);
    }
  });
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  progress.clear();

  const lockmap::LruStats stats = cache.stats();
  example::check(stats.hits + stats.misses == requests.size(), "every request hits or misses");
  example::check(stats.insertions - stats.evictions == cache.size(),
                 "what came and stayed is there");
  example::check(cache.size() <= size, "the cache keeps its bound");
  example::check(cache.weight() == cache.size() * plan.weight, "the weight is that of the blocks");

  const auto count = static_cast<double>(requests.size());
  std::cout << std::setw(12) << size << std::setw(8) << cache.shard_count() << std::setw(12)
            << requests.size() << std::setw(12) << stats.hits << std::fixed << std::setprecision(2)
            << std::setw(9) << 100.0 * static_cast<double>(stats.hits) / count << '%'
            << std::setprecision(0) << std::setw(14) << count / seconds.count() << std::endl;
}

template <class Key, class Request>
void replay_all(const std::vector<Request>& requests, const Plan& plan) {
  print_header();
  for (const auto size : plan.sizes) {
    for (const auto shards : plan.shard_counts) {
      replay<Key>(requests, size, shards, plan);
    }
  }
}

void replay_trace(const std::string& path) {
  const bool is_lis = path.ends_with(".lis") || path.ends_with(".lis.zst");
  const Format by_name = is_lis ? Format::lis : Format::keys;
  const Format format = absl::GetFlag(FLAGS_format).value_or(by_name);
  const Plan plan{.sizes = absl::GetFlag(FLAGS_size).values,
                  .shard_counts = absl::GetFlag(FLAGS_shards).values,
                  .threads = static_cast<unsigned>(absl::GetFlag(FLAGS_threads).value),
                  .recency = absl::GetFlag(FLAGS_recency).recency,
                  .weight = static_cast<std::size_t>(absl::GetFlag(FLAGS_weight).value)};

  const std::string text = path.ends_with(".zst") ? read_zstd_file(path) : read_file(path);
  if (text.empty()) throw example::InputError(path + ": no requests");
  if (format == Format::lis) {
    replay_all<std::uint64_t>(parse_lis(text, path), plan);
  } else {
    replay_all<std::string>(parse_keys(text, path), plan);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_program("cache_replay", [&] {
    const std::vector<std::string> files = support::parse_command_line(argc, argv, usage);
    if (files.empty()) return example::show_usage(usage);
    if (files.size() > 1) throw example::InputError("one trace at a time, please");
    replay_trace(files.front());
    return 0;
  });
}
