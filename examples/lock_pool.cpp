// A pool of locks named by files, in front of a store that has none: LockSet.
//
// Many workers want the same few files from a slow server. Whoever locks a file's name first
// downloads it, the others wait and then find it in the store; other files are never held up, and a
// name takes memory only while somebody holds or awaits it. Three kinds of callers show the ways to
// lock: a reader waits for as long as it takes, a prefetcher does not wait at all, and a visitor
// gives up after a time. At last one server hangs, and the workers that wait for its file stop when
// the program shuts down.
#include <array>
#include <atomic>
#include <chrono>
#include <iostream>
#include <latch>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

#include <lockmap/lockmap.hpp>

#include "support.hpp"

namespace {

using std::chrono::milliseconds;

constexpr std::array<std::string_view, 4> files = {"index.html", "logo.svg", "manual.pdf",
                                                   "release.tar.gz"};

// Files on disk, say: knows nothing of who is about to write which.
class Store {
 public:
  bool has(std::string_view file) const {
    const std::lock_guard lock(mutex_);
    return names_.contains(file);
  }
  void add(std::string_view file) {
    const std::lock_guard lock(mutex_);
    example::check(names_.emplace(file).second, "no file is downloaded twice");
  }

 private:
  mutable std::mutex mutex_;
  std::set<std::string, std::less<>> names_;
};

class Downloads {
 public:
  // Waits while somebody else downloads the file.
  void read(std::string_view file) {
    const auto guard = locks_.lock(file);
    download_if_missing(file);
  }

  // Leaves a file alone that somebody is at. False then.
  bool prefetch(std::string_view file) {
    if (store_.has(file)) return true;
    const auto guard = locks_.try_lock(file);
    if (!guard.has_value()) return false;
    download_if_missing(file);
    return true;
  }

  // Waits for a limited time. False if that was not enough.
  bool visit(std::string_view file, milliseconds patience) {
    const auto guard = locks_.try_lock_for(file, patience);
    if (!guard.has_value()) return false;
    download_if_missing(file);
    return true;
  }

  // Waits until the file is there or the program shuts down. False in the second case.
  bool read_until_shutdown(std::string_view file, const std::stop_token& shutdown) {
    const auto guard = locks_.try_lock(file, shutdown);
    if (!guard.has_value()) return false;
    download_if_missing(file);
    return true;
  }

  // A download that hangs until it is cut off; its file never comes.
  void hang(std::string_view file, std::latch& begun, const std::latch& cut_off) {
    const auto guard = locks_.lock(file);
    begun.count_down();
    cut_off.wait();
  }

  std::size_t under_way() const { return locks_.locked_count(); }
  int downloads() const { return downloads_; }

 private:
  // For the holder of the file's lock: nobody else decides about this file meanwhile.
  void download_if_missing(std::string_view file) {
    if (store_.has(file)) return;
    std::this_thread::sleep_for(milliseconds(20));
    store_.add(file);
    ++downloads_;
  }

  Store store_;
  lockmap::LockSet<std::string> locks_;
  std::atomic<int> downloads_ = 0;
};

}  // namespace

int main() {
  constexpr unsigned workers = 12;

  Downloads downloads;
  std::atomic<int> left_alone = 0;
  std::atomic<int> gave_up = 0;
  std::latch start(workers);  // all ask at once
  example::run_threads(workers, [&](unsigned worker) {
    start.arrive_and_wait();
    for (std::size_t i = 0; i < files.size(); ++i) {
      const std::string_view file = files[(worker + i) % files.size()];
      if (worker % 3 == 0) {
        if (!downloads.prefetch(file)) ++left_alone;
      } else if (worker % 3 == 1) {
        if (!downloads.visit(file, milliseconds(1))) ++gave_up;
      } else {
        downloads.read(file);
      }
    }
  });
  example::check(downloads.downloads() == static_cast<int>(files.size()),
                 "every file is downloaded, by the first who wants it");
  example::check(downloads.under_way() == 0, "no lock is left over");

  std::stop_source shutdown;
  std::latch hangs(1);
  std::latch stopped(2);  // before the download is cut off, so nobody gets the lock after all
  example::run_threads(4, [&](unsigned worker) {
    if (worker == 0) {
      downloads.hang("huge.iso", hangs, stopped);
    } else if (worker == 1) {
      hangs.wait();
      downloads.read("index.html");  // other files are not held up
      example::check(downloads.under_way() == 1, "one download hangs");
      shutdown.request_stop();
    } else {
      hangs.wait();
      example::check(!downloads.read_until_shutdown("huge.iso", shutdown.get_token()),
                     "a worker stops at the shutdown");
      stopped.count_down();
    }
  });
  example::check(downloads.under_way() == 0, "no lock is left over after the shutdown");

  std::cout << workers * files.size() << " requests for " << files.size()
            << " files: " << files.size() << " downloads, " << left_alone
            << " left alone by prefetchers, " << gave_up
            << " visits given up; two workers stopped at the shutdown\n";
}
