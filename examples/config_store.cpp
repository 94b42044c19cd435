// One hot configuration that every thread reads in place.
//
// read() calls back with a reference to the value while the key is held shared: readers do not
// wait for each other, and nothing is copied, however large the value is. The thread that replaces
// the configuration holds the key exclusively through entry(), so it may change one field after the
// other: no reader sees some of the old ones and some of the new. A writer that waits keeps new
// readers out, so even readers that never pause do not hold it up.
#include <atomic>
#include <cstdint>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "support.hpp"

namespace {

struct Config {
  std::uint64_t version = 0;
  std::string banner;
  std::vector<std::string> backends;
  std::size_t checksum = 0;  // of the other fields
};

std::size_t checksum_of(const Config& config) {
  const std::hash<std::string> hash;
  std::size_t sum = static_cast<std::size_t>(config.version) + hash(config.banner);
  for (const std::string& backend : config.backends) sum = sum * 31 + hash(backend);
  return sum;
}

class ConfigStore {
 public:
  // Calls `use(config)`; returns the result.
  template <class Use>
  auto with_config(Use use) const {
    const auto result = configs_.read("service", use);
    example::check(result.has_value(), "the configuration is never missing");
    return *result;
  }

  void publish(std::uint64_t version) {
    auto entry = configs_.entry("service");
    Config& config = entry.or_insert({});
    config.version = version;
    config.banner = "version " + std::to_string(version) + " of the service";
    config.backends.assign(1 + version % 7, "10.0.0." + std::to_string(version % 256));
    config.checksum = checksum_of(config);
  }

 private:
  lockmap::LockMap<std::string, Config> configs_;
};

}  // namespace

int main() {
  constexpr unsigned readers = 8;
  constexpr std::uint64_t last_version = 2000;

  ConfigStore store;
  store.publish(0);

  std::atomic<std::uint64_t> reads = 0;
  example::run_threads(readers + 1, [&](unsigned index) {
    if (index == readers) {  // the writer
      for (std::uint64_t version = 1; version <= last_version; ++version) store.publish(version);
      return;
    }
    std::uint64_t own_reads = 0;
    for (std::uint64_t seen = 0; seen < last_version; ++own_reads) {
      const std::uint64_t version = store.with_config([](const Config& config) {
        example::check(config.checksum == checksum_of(config), "no reader sees a torn one");
        return config.version;
      });
      example::check(version >= seen, "no reader sees an older one than before");
      seen = version;
    }
    reads += own_reads;
  });

  std::cout << reads << " reads in place beside " << last_version << " replacements, none torn\n";
}
