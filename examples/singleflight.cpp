// Request coalescing ("single flight") with get_or_insert_with.
//
// Many threads want the same few pages at the same moment, and a page takes long to load. The
// first to ask for a page runs the loader under the page's lock; the others wait for its result
// instead of asking the slow backend again. A loader that throws stores nothing: its own caller
// gets the exception, and the next one that waits tries again. Other pages are never held up.
#include <array>
#include <atomic>
#include <chrono>
#include <iostream>
#include <latch>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include <lockmap/lockmap.hpp>

#include "support.hpp"

namespace {

constexpr std::array<std::string_view, 4> urls = {"/", "/news", "/about", "/help"};

// A slow backend that fails the first time it is asked for a page.
class Backend {
 public:
  std::string load(std::size_t page) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (attempts_[page]++ == 0) throw std::runtime_error("the backend is busy");
    return "content of " + std::string(urls[page]);
  }
  int attempts(std::size_t page) const { return attempts_[page]; }

 private:
  std::array<std::atomic<int>, urls.size()> attempts_{};
};

}  // namespace

int main() {
  constexpr unsigned threads = 16;

  Backend backend;
  lockmap::LockMap<std::string, std::string> pages;
  std::atomic<std::size_t> answers = 0;
  std::atomic<std::size_t> failures = 0;

  std::latch start(threads);  // all ask at once
  example::run_threads(threads, [&](unsigned thread) {
    start.arrive_and_wait();
    for (std::size_t i = 0; i < urls.size(); ++i) {
      const std::size_t page = (thread + i) % urls.size();
      try {
        const std::string content =
            pages.get_or_insert_with(urls[page], [&] { return backend.load(page); });
        example::check(content == "content of " + std::string(urls[page]), "the page is right");
        ++answers;
      } catch (const std::runtime_error&) {
        ++failures;  // this caller's own attempt failed; somebody else's will not
      }
    }
  });

  for (std::size_t page = 0; page < urls.size(); ++page) {
    example::check(backend.attempts(page) == 2,
                   "one load failed, one succeeded, no more were made");
  }
  example::check(failures == urls.size(), "an exception reaches only the caller that loaded");
  example::check(answers == threads * urls.size() - failures, "all others got the page");

  std::cout << threads * urls.size() << " requests for " << urls.size() << " pages: " << failures
            << " loads failed, " << urls.size() << " succeeded, " << answers << " answers\n";
}
