// Part of programs whose threads are to lock keys by announcement (section.hpp) as often as they
// can: every hold under a shard mutex lets others begin, and most other operations end it.

#include "test_access.hpp"

namespace lockmap::test {
namespace {

[[maybe_unused]] const bool eager = [] {
  detail::TestAccess::pin_eagerly(true);
  return true;
}();

}  // namespace
}  // namespace lockmap::test
