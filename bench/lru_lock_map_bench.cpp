// LruLockMap beside what a user would write by hand: shards of std::mutex, std::list and
// absl::flat_hash_map.
#include "google.hpp"

int main(int argc, char** argv) {
  return bench::run_benchmarks<bench::LruLockMapPeer, bench::ShardedMutexLruPeer>(
      argc, argv, "LruLockMap", [](const bench::Sizes& sizes, const auto& run) {
        run(bench::Get(sizes.keys, "promoting get"));
        run(bench::Peek(sizes.keys));
        run(bench::Evict(sizes.keys));
      });
}
