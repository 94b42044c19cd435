// A progress line on the terminal, for programs that may run for seconds.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <iostream>
#include <string>
#include <utility>

namespace example {

// Shows "what  42%" on stderr, and takes it away at the end. Silent if stderr is no terminal, so
// that logs and pipes stay clean. One thread at a time may call update().
class Progress {
 public:
  Progress(std::string what, std::uint64_t total)
      : what_(std::move(what)), total_(total), enabled_(total > 0 && isatty(STDERR_FILENO) != 0) {}
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { clear(); }

  void update(std::uint64_t done) {
    if (!enabled_) return;
    const auto now = std::chrono::steady_clock::now();
    if (now < next_) return;
    next_ = now + std::chrono::milliseconds(100);
    std::cerr << '\r' << what_ << "  " << done * 100 / total_ << '%' << std::flush;
    shown_ = true;
  }

  // Takes the line away, to be called before anything else is printed.
  void clear() {
    if (shown_) std::cerr << '\r' << std::string(what_.size() + 6, ' ') << '\r' << std::flush;
    shown_ = false;
  }

 private:
  std::string what_;
  std::uint64_t total_;
  bool enabled_;
  bool shown_ = false;
  // Nothing is shown for what is over at once.
  std::chrono::steady_clock::time_point next_ =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
};

}  // namespace example
