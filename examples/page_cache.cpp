// A cache of rendered pages: bounded by bytes, each page for a limited time, one loader per page.
//
// A page of 10 kB is not copied to be served: read() calls back with a reference while the key is
// held shared. If there is none, entry() lets one thread load it while the others that want it
// wait; downgrade() then turns its hold into a shared one, so all of them are served together. The
// weigher counts bytes, and pages that change often live shorter than the cache says.
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iomanip>
#include <iostream>
#include <numeric>
#include <string>
#include <thread>
#include <utility>

#include <lockmap/lockmap.hpp>

#include "splitmix64.hpp"
#include "support.hpp"

namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t page_count = 5000;
constexpr std::size_t page_size = 10'000;
constexpr std::size_t max_bytes = 1000 * page_size;

struct Page {
  std::uint64_t number = 0;
  std::string text;
  std::uint64_t checksum = 0;
};

std::uint64_t checksum_of(const std::string& text) {
  return std::accumulate(text.begin(), text.end(), std::uint64_t{0});
}

class Site {
 public:
  // Calls `use(page)`; the page is not copied.
  template <class Use>
  void serve(std::uint64_t number, const Use& use) {
    if (pages_.read(number, use)) return;
    auto page = pages_.entry(number);
    page.or_insert_with([&] { return render(number); });
    const auto shared = std::move(page).downgrade();
    use(*shared);
  }

  const auto& pages() const { return pages_; }
  std::uint64_t rendered() const { return rendered_; }
  std::uint64_t gone() const { return gone_; }

 private:
  lockmap::Expiring<Page> render(std::uint64_t number) {
    example::check(!rendering_[number].exchange(true), "one thread at a time renders a page");
    ++rendered_;
    Page page{number, std::string(page_size, static_cast<char>('a' + number % 26)), 0};
    page.checksum = checksum_of(page.text);
    rendering_[number] = false;
    if (number % 10 == 0) return {std::move(page), 50ms};  // news
    return {std::move(page), 1s};
  }

  std::array<std::atomic<bool>, page_count> rendering_{};
  std::atomic<std::uint64_t> rendered_{0};
  std::atomic<std::uint64_t> gone_{0};
  lockmap::LruLockMap<std::uint64_t, Page> pages_{
      {.max_weight = max_bytes, .time_to_live = 1s},
      {.on_evict = [this](const std::uint64_t& /*number*/, Page& /*page*/,
                          lockmap::EvictionCause /*cause*/) { ++gone_; },
       .weigh = [](const std::uint64_t& /*number*/,
                   const Page& page) { return page.text.size(); }}};
};

void print(std::ostream& out, const lockmap::LruStats& stats, std::size_t bytes) {
  const auto lookups = static_cast<double>(stats.hits + stats.misses);
  out << std::fixed << std::setprecision(1) << "hits "
      << 100.0 * static_cast<double>(stats.hits) / lookups << "%, evicted " << stats.evictions
      << ", expired " << stats.expirations << ", " << static_cast<double>(bytes) / 1e6 << " MB";
}

}  // namespace

int main() {
  constexpr unsigned threads = 8;
  constexpr auto duration = 2s;

  Site site;
  std::atomic<std::uint64_t> served = 0;
  const auto start = std::chrono::steady_clock::now();
  example::run_threads(threads + 1, [&](unsigned index) {
    if (index == threads) {  // the line of statistics
      for (auto next = start; next < start + duration; next += 1s) {
        std::this_thread::sleep_until(next + 1s);
        example::check(site.pages().weight() <= max_bytes + threads * page_size,
                       "no more bytes than allowed, but for pages in use");
        if (isatty(STDERR_FILENO) == 0) continue;
        std::cerr << '\r';
        print(std::cerr, site.pages().stats(), site.pages().weight());
        std::cerr << "   " << std::flush;
      }
      return;
    }
    support::SplitMix64 random(index);
    std::uint64_t own = 0;
    while (std::chrono::steady_clock::now() < start + duration) {
      // Zipf: the k-th page is asked for about 1 / k as often as the first.
      const double draw = static_cast<double>(random() >> 11U) / 9007199254740992.0;
      const auto number = static_cast<std::uint64_t>(std::pow(page_count, draw)) - 1;
      site.serve(number, [&](const Page& page) {
        example::check(page.number == number && page.text.size() == page_size, "the page is whole");
        if (own % 64 == 0) {
          example::check(page.checksum == checksum_of(page.text), "the page is not torn");
        }
      });
      ++own;
    }
    served += own;
  });
  if (isatty(STDERR_FILENO) != 0) std::cerr << '\n';

  const lockmap::LruStats stats = site.pages().stats();
  example::check(site.pages().weight() <= max_bytes, "no more bytes than allowed");
  example::check(stats.insertions == site.rendered(), "each page that was rendered was stored");
  example::check(stats.evictions + stats.expirations == site.gone(), "the listener heard of all");
  std::cout << served << " pages served, " << site.rendered() << " rendered: ";
  print(std::cout, stats, site.pages().weight());
  std::cout << '\n';
}
