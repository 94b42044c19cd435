// Look-ups, and reads in place.
#include "workloads/lookups.hpp"
#include "compare/parts.hpp"

namespace bench {

namespace {

// Those with values that are read in place under a shared lock, or the nearest to it.
using TextPeers = Joined<PeerList<LockMapTextPeer>, BoostTextPeers, TbbTextPeers, CuckooTextPeers,
                         GtlTextPeers, PeerList<SharedMutexTextPeer>>;

}  // namespace

Results compare_lookups(const Settings& settings) {
  const Sizes& sizes = settings.sizes;
  Collected all(settings);
  all.run(Get(sizes.keys), MapPeers{});
  all.run(Get(sizes.large), MapPeers{});
  all.run(GetZipf(sizes.popular), MapPeers{});
  all.run(GetString(sizes.keys), MapPeers{});
  all.run(GetBesideHeld(sizes.keys), MapPeers{});
  all.run(ReadText("uniform", sizes.keys, sizes.keys), TextPeers{});
  all.run(ReadText("8 hot keys", 8, sizes.keys), TextPeers{});
  all.run(ReadText("one hot key", 1, sizes.keys), TextPeers{});
  return all.results();
}

}  // namespace bench
