// LockMap beside what a user would write by hand: shards of std::mutex and absl::flat_hash_map.
#include "google.hpp"

int main(int argc, char** argv) {
  return bench::run_benchmarks<bench::LockMapPeer, bench::ShardedMutexPeer>(
      argc, argv, "LockMap", [](const bench::Sizes& sizes, const auto& run) {
        run(bench::Get(sizes.keys));
        run(bench::Get(sizes.large));
        run(bench::GetString(sizes.keys));
        run(bench::GetAndInsert("90% get, 10% insert", 100, sizes.keys));
        run(bench::GuardUniform(sizes.keys));
        run(bench::GuardHot(sizes.keys));
        run(bench::GuardAbsent(sizes.keys));
        run(bench::Churn(sizes.keys));
        run(bench::BulkInsert(sizes.bulk, false));
        run(bench::BulkInsert(sizes.bulk, true));
        run(bench::GuardFour(sizes.keys));
      });
}
