// A read-through, write-through cache in front of Redis, in as many processes as you like.
//
// A user of ReadThroughCache may rely on this:
// - `update` is atomic across threads and processes. It works on what the store has, never on what
//   is cached: guard of the key in this process -> lock of the key in Redis -> load -> change ->
//   write -> cache. The guard comes first, so a process never has more than one thread that asks
//   Redis for the lock of a key, however many of its threads want it.
// - `read` asks the store once per key and process, however many threads want the key at the same
//   moment. It sees every update that this process has finished. It may not see what other
//   processes wrote in the last `time_to_live`: within that time a cached value is not compared
//   with the store. Where that is not good enough, use `update`. That a key has no value is cached
//   too.
// - Errors are exceptions that say which server and command they are about. A load that fails
//   leaves nothing in the cache, and only its own caller gets the error: threads that waited for it
//   try themselves, one after the other, so with a server that does not answer the last one waits
//   for all their timeouts. After OutcomeUnknown from `update` the store may have the new value or
//   not; after any other error it has not. In both cases the cache forgets the key, so the next
//   `read` asks the store. The next use connects again.
// - While a change runs, this process's reads of the key wait. It should be quick: if the lock
//   expires meanwhile and another process takes it, the write is refused (StaleLock, see store.hpp)
//   and may be tried again. It must not update other keys: two processes that do so in opposite
//   order would wait for each other until the time for a lock is over.
//
// The demonstration adds 1 to shared counters, many times from many threads, and checks that
// nothing is lost. Start it several times at once; kill and restart the server meanwhile.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <iostream>
#include <latch>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "absl/flags/flag.h"
#include "flags.hpp"
#include "program.hpp"
#include "store.hpp"
#include "support.hpp"

constexpr std::uint64_t day = 24 * 3600;
using Port = std::optional<support::Whole<1, 65535>>;
using Time = support::Whole<1, 1000 * day>;
using Threads = support::Whole<1, 1024>;
using Keys = support::Whole<1, 1'000'000>;
using Operations = support::Whole<0, 1'000'000'000>;
using Seconds = support::Whole<1, day>;
using CounterNumber = std::optional<support::Whole<0, 1'000'000>>;

ABSL_FLAG(std::string, host, "127.0.0.1", "the server");
ABSL_FLAG(Port, port, std::nullopt, "its port");
ABSL_FLAG(Time, timeout_ms, Time{1000}, "for connecting and for each command");
ABSL_FLAG(std::string, process_name, "process-" + std::to_string(getpid()),
          "whose additions these are, one name for each process");
ABSL_FLAG(Threads, threads, Threads{4}, "threads that add");
ABSL_FLAG(Keys, keys, Keys{5}, "number of counters");
ABSL_FLAG(Operations, operations, Operations{200},
          "additions per thread; those that fail are repeated");
ABSL_FLAG(Seconds, seconds, Seconds{60}, "gives up after so many seconds");
ABSL_FLAG(Time, ttl_ms, Time{1000}, "how long a value is cached");
ABSL_FLAG(Time, lock_ms, Time{5000}, "how long a lock lasts if it is not released");
ABSL_FLAG(Time, wait_ms, Time{10000}, "how long to wait for a lock");
ABSL_FLAG(CounterNumber, hold, std::nullopt,
          "only adds 1 to this counter, and waits for a line of input meanwhile");

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

class ReadThroughCache {
 public:
  ReadThroughCache(example::Store& store, std::size_t max_size, milliseconds time_to_live)
      : store_(store), time_to_live_(time_to_live), cache_(max_size) {}

  // Throws redis::Error.
  std::optional<std::string> read(std::string_view key) {
    const Cached cached = cache_.get_or_insert_with(key, [&] { return load(key, loads_); });
    if (!cached.expired()) return cached.value;
    auto entry = cache_.entry(key);
    if (!entry.has_value() || entry->expired()) {  // else another thread was faster
      entry.remove();
      entry.insert(load(key, reloads_));
    }
    return entry->value;
  }

  // Replaces the value by change(value); a plain write is a change that ignores the value. Throws
  // redis::Error and what `change` throws.
  template <class Change>
  void update(std::string_view key, const Change& change) {
    auto entry = cache_.entry(key);
    entry.remove();  // whatever fails now, nothing is left in the cache
    const auto lock = store_.lock(key);
    std::string value = change(store_.load(key));
    const Clock::time_point expiry = Clock::now() + time_to_live_;
    lock.write(value);
    entry.insert({std::move(value), expiry});
  }

  std::uint64_t loads() const { return loads_; }      // of keys that were not cached
  std::uint64_t reloads() const { return reloads_; }  // of keys whose time was over

 private:
  struct Cached {
    std::optional<std::string> value;
    Clock::time_point expiry;

    bool expired() const { return Clock::now() >= expiry; }
  };

  Cached load(std::string_view key, std::atomic<std::uint64_t>& counter) {
    ++counter;
    // The value is as old as its load, so the clock is read first.
    const Clock::time_point expiry = Clock::now() + time_to_live_;
    return {store_.load(key), expiry};
  }

  example::Store& store_;
  const milliseconds time_to_live_;
  std::atomic<std::uint64_t> loads_ = 0;
  std::atomic<std::uint64_t> reloads_ = 0;
  lockmap::LruLockMap<std::string, Cached> cache_;
};

constexpr const char* usage =
    "Adds to counters in Redis through a cache, and checks that nothing is lost. Start it several\n"
    "times at once. An interrupt ends it early. Writes the keys counter:N, lock:counter:N and\n"
    "fence:counter:N.\n"
    "\n"
    "Usage: read_through_redis --port N [options]";

// Set by SIGINT and SIGTERM: the threads finish what they do.
std::atomic<bool> interrupted = false;
static_assert(std::atomic<bool>::is_always_lock_free);  // so a signal handler may use it

// Who added how much to a counter. Stored as "name count name count ...".
class Tally {
 public:
  explicit Tally(const std::optional<std::string>& text) {
    std::istringstream words(text.value_or(""));
    std::string name;
    while (words >> name) {
      example::check(static_cast<bool>(words >> counts_[name]), "the stored value is whole");
    }
  }

  std::uint64_t of(const std::string& name) const {
    const auto found = counts_.find(name);
    return found == counts_.end() ? 0 : found->second;
  }

  Tally& add(const std::string& name) {
    ++counts_[name];
    return *this;
  }

  std::string text() const {
    std::string text;
    for (const auto& [name, count] : counts_) {
      text += (text.empty() ? "" : " ") + name + " " + std::to_string(count);
    }
    return text;
  }

 private:
  std::map<std::string, std::uint64_t> counts_;
};

// Adds to a counter, in the name of this process.
void add(ReadThroughCache& cache, const std::string& counter, const std::string& process) {
  cache.update(counter, [&](const std::optional<std::string>& text) {
    return Tally(text).add(process).text();
  });
}

struct Counter {
  explicit Counter(std::size_t number) : key("counter:" + std::to_string(number)) {}

  const std::string key;
  // Of this process:
  std::atomic<std::uint64_t> before = 0;
  std::atomic<std::uint64_t> acknowledged = 0;
  std::atomic<std::uint64_t> unknown = 0;
};

struct Plan {
  unsigned threads;
  std::uint64_t operations;
  Clock::time_point deadline;
};

class Demonstration {
 public:
  Demonstration(example::Store& store, ReadThroughCache& cache, std::string process,
                std::size_t counters)
      : store_(store), cache_(cache), process_(std::move(process)) {
    for (std::size_t i = 0; i < counters; ++i) counters_.emplace_back(i);
  }

  // All threads read all counters at once.
  void read_cold(unsigned threads) {
    std::latch start(threads);
    example::run_threads(threads, [&](unsigned) {
      start.arrive_and_wait();
      for (Counter& counter : counters_) counter.before = mine(cache_.read(counter.key));
    });
    example::check(cache_.loads() == counters_.size(), "every counter was loaded once");
  }

  // Until all is done, or the user interrupts it; false if the deadline came first.
  bool add_from_all_threads(const Plan& plan) {
    std::atomic<bool> finished = true;
    example::run_threads(plan.threads, [&](unsigned thread) {
      std::minstd_rand random(thread + 1);
      std::uniform_int_distribution<std::size_t> pick(0, counters_.size() - 1);
      for (std::uint64_t done = 0; done < plan.operations && !interrupted;) {
        if (Clock::now() >= plan.deadline) {
          finished = false;
          return;
        }
        if (add_once(counters_[pick(random)])) ++done;
      }
    });
    return finished;
  }

  void check_result() {
    for (const Counter& counter : counters_) {
      const std::uint64_t added = mine(store_.load(counter.key)) - counter.before;
      example::check(added >= counter.acknowledged, "no addition was lost");
      example::check(added <= counter.acknowledged + counter.unknown, "none was made twice");
    }
  }

  void report() const {
    std::uint64_t acknowledged = 0;
    std::uint64_t unknown = 0;
    for (const Counter& counter : counters_) {
      acknowledged += counter.acknowledged;
      unknown += counter.unknown;
    }
    std::cout << "process: " << process_ << "\nacknowledged: " << acknowledged
              << "\nunknown: " << unknown << "\nfailed: " << failed_
              << "\nloads: " << cache_.loads() << "\nreloads: " << cache_.reloads() << '\n';
  }

 private:
  std::uint64_t mine(const std::optional<std::string>& text) const {
    return Tally(text).of(process_);
  }

  bool add_once(Counter& counter) {
    try {
      const std::uint64_t expected = counter.before + counter.acknowledged;
      example::check(mine(cache_.read(counter.key)) >= expected, "a process reads what it wrote");
      add(cache_, counter.key, process_);
      ++counter.acknowledged;
      return true;
    } catch (const example::OutcomeUnknown& error) {
      ++counter.unknown;
      show(error);
    } catch (const example::redis::Error& error) {
      ++failed_;
      show(error);
    }
    std::this_thread::sleep_for(milliseconds(10));  // do not flood a server in trouble
    return false;
  }

  // Each message once.
  void show(const std::exception& error) {
    const std::lock_guard lock(shown_mutex_);
    if (shown_.emplace(error.what()).second) {
      std::cerr << process_ << ": " << error.what() << std::endl;
    }
  }

  example::Store& store_;
  ReadThroughCache& cache_;
  const std::string process_;
  std::deque<Counter> counters_;
  std::atomic<std::uint64_t> failed_ = 0;  // certainly without effect
  std::mutex shown_mutex_;
  std::set<std::string> shown_;
};

// For a look at what happens when a lock is lost while it is held.
void add_slowly(ReadThroughCache& cache, const std::string& counter, const std::string& process) {
  static_cast<void>(cache.read(counter));  // so that there is a value that must be forgotten
  try {
    cache.update(counter, [&](const std::optional<std::string>& text) {
      std::cout << "holding: lock:" << counter << std::endl;
      std::string line;
      std::getline(std::cin, line);
      return Tally(text).add(process).text();
    });
  } catch (const example::redis::Error& error) {
    std::cout << "failed: " << error.what() << std::endl;
    std::cout << "failed, value: " << cache.read(counter).value_or("") << std::endl;
    throw;
  }
  std::cout << "added, value: " << cache.read(counter).value_or("") << std::endl;
}

int demonstrate(std::uint64_t port) {
  const std::string process = absl::GetFlag(FLAGS_process_name);
  if (process.empty() || process.find_first_of(" \t\r\n") != std::string::npos) {
    throw example::InputError("--process_name: '" + process + "' is not one word");
  }
  const auto time = [](const absl::Flag<Time>& flag) {
    return milliseconds(absl::GetFlag(flag).value);
  };
  example::Store store({.host = absl::GetFlag(FLAGS_host),
                        .port = static_cast<int>(port),
                        .timeout = time(FLAGS_timeout_ms)},
                       {.expiry = time(FLAGS_lock_ms), .wait = time(FLAGS_wait_ms)}, process);
  const std::size_t counters = absl::GetFlag(FLAGS_keys).value;
  // Room for more than there are, since each shard of the cache has a bound of its own.
  ReadThroughCache cache(store, 4 * counters, time(FLAGS_ttl_ms));
  if (const auto held = absl::GetFlag(FLAGS_hold)) {
    add_slowly(cache, "counter:" + std::to_string(held->value), process);
    return 0;
  }

  const Plan plan{
      .threads = static_cast<unsigned>(absl::GetFlag(FLAGS_threads).value),
      .operations = absl::GetFlag(FLAGS_operations).value,
      .deadline = Clock::now() + std::chrono::seconds(absl::GetFlag(FLAGS_seconds).value)};
  for (const int signal : {SIGINT, SIGTERM}) {
    std::signal(signal, [](int) { interrupted = true; });
  }
  Demonstration demonstration(store, cache, process, counters);
  demonstration.read_cold(plan.threads);
  const bool finished = demonstration.add_from_all_threads(plan);
  demonstration.check_result();
  demonstration.report();
  if (!finished) throw std::runtime_error("the time was over before all additions were made");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  // A server that closes a connection must cause an error, not the end of the process.
  std::signal(SIGPIPE, SIG_IGN);
  return example::run_program("read_through_redis", [&] {
    const std::vector<std::string> rest = support::parse_command_line(argc, argv, usage);
    if (!rest.empty()) throw example::InputError("unexpected '" + rest.front() + "'");
    // No default: this writes to the server.
    const auto port = absl::GetFlag(FLAGS_port);
    if (!port.has_value()) return example::show_usage(usage);
    return demonstrate(port->value);
  });
}
