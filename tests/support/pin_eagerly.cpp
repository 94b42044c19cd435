// Part of programs whose threads are to lock keys by announcement (section.hpp) again and again:
// every so many holds under a shard mutex let others begin, and most other operations end it.

#include "test_access.hpp"

namespace lockmap::test {
namespace {

[[maybe_unused]] const bool eager = [] {
  detail::TestAccess::pin_eagerly(LOCKMAP_TEST_HOLDS_PER_BARRIER);
  return true;
}();

}  // namespace
}  // namespace lockmap::test
