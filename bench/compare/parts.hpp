// The parts of compare_bench, each a source file of its own: every workload on every peer is code
// that takes long to compile.
#pragma once

#include <vector>

#include "contest.hpp"
#include "peers.hpp"

namespace bench {

// The output and the result of a part.
using Results = std::vector<Result>;

Results compare_lookups(const Settings& settings);
Results compare_changes(const Settings& settings);
Results compare_locks(const Settings& settings);
Results compare_many(const Settings& settings);
Results compare_caches(const Settings& settings);

// The results of several contests.
class Collected {
 public:
  explicit Collected(const Settings& settings) : settings_(settings) {}

  template <class Workload, class Peers>
  void run(const Workload& workload, Peers peers) {
    const Results results = compare(workload, peers, settings_);
    results_.insert(results_.end(), results.begin(), results.end());
  }
  [[nodiscard]] const Results& results() const { return results_; }

 private:
  const Settings& settings_;
  Results results_;
};

using MapPeers = Joined<PeerList<LockMapPeer>, BoostPeers, TbbPeers, CuckooPeers, GtlPeers,
                        PeerList<ShardedMutexPeer, PerKeyMutexPeer, UnsynchronisedPeer>>;

}  // namespace bench
