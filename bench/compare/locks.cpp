// Locks of keys.
#include "workloads/locks.hpp"
#include "compare/parts.hpp"
#include "workloads/bursts.hpp"

namespace bench {

namespace {

// Those with a shared lock that can be kept.
using SharedGuardPeers = Joined<PeerList<LockMapPeer>, TbbPeers>;
using LockSetPeers = Joined<PeerList<LockSetPeer, LockMapPeer>, TbbPeers,
                            PeerList<ShardedMutexPeer, PerKeyMutexPeer>>;
using CoroutinePeers = PeerList<AsyncPeer, LockMapPeer>;
using OneShardPeers = PeerList<OneShardPeer, UnbiasedPeer>;

}  // namespace

Results compare_locks(const Settings& settings) {
  const Sizes& sizes = settings.sizes;
  Collected all(settings);
  all.run(GuardUniform(sizes.keys), MapPeers{});
  all.run(GuardHot(sizes.keys), MapPeers{});
  all.run(GuardHotTimed(sizes.keys), MapPeers{});
  all.run(SharedGuardHot(sizes.keys), SharedGuardPeers{});
  all.run(GuardFour(sizes.keys), MapPeers{});
  all.run(GuardAbsent(sizes.keys), MapPeers{});
  all.run(GuardAbsent(sizes.keys, "LockSet: lock"), LockSetPeers{});
  all.run(GuardSeveral(sizes.keys), CoroutinePeers{});
  all.run(Bursts(1024), OneShardPeers{});
  return all.results();
}

}  // namespace bench
