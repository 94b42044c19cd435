// Caches.
#include "workloads/caches.hpp"
#include "compare/memory.hpp"
#include "compare/parts.hpp"
#include "workloads/lookups.hpp"
#include "workloads/wholes.hpp"

namespace bench {

namespace {

using ByHand = PeerList<ShardedMutexLruPeer>;
using CachePeers = Joined<PeerList<LruLockMapPeer, ExactLruLockMapPeer>, ByHand, RocksPeers>;
using ExpiringPeers = PeerList<ExpiringLruLockMapPeer, ExpiringMutexLruPeer>;
using WeightedPeers =
    Joined<PeerList<WeightedLruLockMapPeer, WeightedMutexLruPeer>, WeightedRocksPeers>;
// Those whose memory comes from operator new, and those that overwrite.
using OwnPeers = Joined<PeerList<LruLockMapPeer>, ByHand>;

}  // namespace

Results compare_caches(const Settings& settings) {
  const Sizes& sizes = settings.sizes;
  Collected all(settings);
  all.run(Get(sizes.keys, "LRU: promoting get"), CachePeers{});
  all.run(Peek(sizes.keys, "LRU: peek"), OwnPeers{});
  all.run(FullCacheGet(sizes.keys, "LRU: promoting get"), CachePeers{});
  all.run(FullCachePeek(sizes.keys, "LRU: peek"), CachePeers{});
  all.run(FullCacheGet(sizes.keys, "LRU with time_to_live: get"), ExpiringPeers{});
  all.run(FullCacheGet(sizes.keys, "LRU with weights: get"), WeightedPeers{});
  all.run(ReadThrough(sizes.popular), CachePeers{});
  all.run(Evict(sizes.keys, "LRU: 50:50 insert and get"), CachePeers{});
  all.run(Destroy(sizes.bulk, "LRU: destroy"), OwnPeers{});
#if defined(__GLIBC__)
  all.run(Memory(sizes.bulk, "LRU: memory"), OwnPeers{});
#endif
  return all.results();
}

}  // namespace bench
