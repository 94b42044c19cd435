// A read-through, write-through cache in front of Redis, in as many processes as you like.
//
// What a user of ReadThroughCache may rely on:
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

#include "command_line.hpp"
#include "store.hpp"
#include "support.hpp"

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

constexpr std::string_view usage =
    "Usage: read_through_redis --port N [options]\n"
    "Adds to counters in Redis through a cache, and checks that nothing is lost. Start it several\n"
    "times at once. An interrupt ends it early. Writes the keys counter:N,\n"
    "lock:counter:N and fence:counter:N.\n"
    "  --host NAME          the server (default: 127.0.0.1)\n"
    "  --port N             its port\n"
    "  --timeout-ms N       for connecting and for each command (default: 1000)\n"
    "  --process-name NAME  whose additions these are, one name for each process\n"
    "                       (default: from the process number)\n"
    "  --threads N          (default: 4)\n"
    "  --keys N             number of counters (default: 5)\n"
    "  --operations N       additions per thread; those that fail are repeated (default: 200)\n"
    "  --seconds N          gives up after so many seconds (default: 60)\n"
    "  --ttl-ms N           how long a value is cached (default: 1000)\n"
    "  --lock-ms N          how long a lock lasts if it is not released (default: 5000)\n"
    "  --wait-ms N          how long to wait for a lock (default: 10000)\n"
    "  --hold N             only adds 1 to counter N, and waits for a line of input meanwhile\n"
    "  --help               shows this text\n";

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

int demonstrate(const example::CommandLine& command_line) {
  constexpr std::uint64_t day = 24 * 3600;
  const auto number = [&](const char* option, std::uint64_t fallback, std::uint64_t min,
                          std::uint64_t max) {
    return command_line.number(option, fallback, min, max);
  };
  const auto time = [&](const char* option, std::uint64_t fallback) {
    return milliseconds(number(option, fallback, 1, 1000 * day));
  };
  const std::string process =
      command_line.text("--process-name", "process-" + std::to_string(getpid()));
  if (process.empty() || process.find_first_of(" \t\r\n") != std::string::npos) {
    throw example::InputError("--process-name: '" + process + "' is not one word");
  }
  const Plan plan{.threads = static_cast<unsigned>(number("--threads", 4, 1, 1024)),
                  .operations = number("--operations", 200, 0, 1'000'000'000),
                  .deadline = Clock::now() + std::chrono::seconds(number("--seconds", 60, 1, day))};
  const std::size_t counters = number("--keys", 5, 1, 1'000'000);

  example::Store store({.host = command_line.text("--host", "127.0.0.1"),
                        .port = static_cast<int>(number("--port", 0, 1, 65535)),
                        .timeout = time("--timeout-ms", 1000)},
                       {.expiry = time("--lock-ms", 5000), .wait = time("--wait-ms", 10000)},
                       process);
  // Room for more than there are, since each shard of the cache has a bound of its own.
  ReadThroughCache cache(store, 4 * counters, time("--ttl-ms", 1000));
  if (!command_line.text("--hold", "").empty()) {
    const std::uint64_t held = number("--hold", 0, 0, 1'000'000);
    add_slowly(cache, "counter:" + std::to_string(held), process);
    return 0;
  }

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
    const example::CommandLine command_line(
        argc, argv,
        {"--host", "--port", "--timeout-ms", "--process-name", "--threads", "--keys",
         "--operations", "--seconds", "--ttl-ms", "--lock-ms", "--wait-ms", "--hold"});
    if (command_line.help()) {
      std::cout << usage;
      return 0;
    }
    if (!command_line.files().empty()) {
      throw example::InputError("unexpected '" + command_line.files().front() + "'");
    }
    // No default: this writes to the server.
    if (command_line.text("--port", "").empty()) {
      std::cerr << usage;
      return 2;
    }
    return demonstrate(command_line);
  });
}
