// Many keys at a time.
#include <cstdint>
#include "compare/parts.hpp"

#include "workloads/many.hpp"

namespace bench {

namespace {

using GetPeers = Joined<PeerList<LockMapPeer, ReadManyPeer, OneByOnePeer>, BoostPeers>;
using InsertPeers = Joined<PeerList<LockMapPeer, OneByOnePeer>, BoostPeers>;

}  // namespace

Results compare_many(const Settings& settings) {
  const Sizes& sizes = settings.sizes;
  Collected all(settings);
  for (const std::uint64_t keys : {sizes.keys, sizes.popular, sizes.large}) {
    all.run(GetMany(keys), GetPeers{});
  }
  for (const std::uint64_t keys : {sizes.keys, sizes.popular}) {
    all.run(GetManyStrings(keys), GetPeers{});
  }
  for (const std::uint64_t keys : {sizes.keys, sizes.popular, sizes.large}) {
    all.run(InsertMany(keys), InsertPeers{});
  }
  return all.results();
}

}  // namespace bench
