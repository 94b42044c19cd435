#pragma once

#include <lockmap/lockmap.hpp>

#include "test_access.hpp"

namespace lockmap::test {

// Whether the system has process barriers, and this build uses them.
inline bool has_barrier() {
  return detail::ThisModule::registry().has_barrier;
}

// A structure lock by itself, as its sections use it.
class BareLock : public detail::StructureLock {
 public:
  BareLock() : StructureLock(detail::ThisModule::registry()) {}
  using StructureLock::lock;
  using StructureLock::unlock;
  detail::ReaderSlot* lock_shared() { return detail::TestAccess::lock_shared(*this); }
  void unlock_shared(detail::ReaderSlot* slot) { detail::TestAccess::unlock_shared(*this, slot); }
};

}  // namespace lockmap::test
