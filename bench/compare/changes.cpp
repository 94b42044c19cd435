// Maps that change, and that come and go.
#include "workloads/changes.hpp"
#include "compare/memory.hpp"
#include "compare/parts.hpp"
#include "workloads/wholes.hpp"

namespace bench {

Results compare_changes(const Settings& settings) {
  const Sizes& sizes = settings.sizes;
  Collected all(settings);
  all.run(GetAndInsert("99.9% get, 0.1% insert", 1, sizes.keys), MapPeers{});
  all.run(GetAndInsert("90% get, 10% insert", 100, sizes.keys), MapPeers{});
  all.run(Churn(sizes.keys), MapPeers{});
  all.run(BulkInsert(sizes.bulk, false), MapPeers{});
  all.run(BulkInsert(sizes.bulk, true), MapPeers{});
  all.run(Destroy(sizes.bulk), MapPeers{});
#if defined(__GLIBC__)
  all.run(Memory(sizes.bulk), MapPeers{});
#endif
  return all.results();
}

}  // namespace bench
