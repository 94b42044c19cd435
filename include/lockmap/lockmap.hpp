/// @namespace lockmap
/// A thread-safe hash map and LRU cache with a lock for each key.

#ifndef LOCKMAP_LOCKMAP_HPP
#define LOCKMAP_LOCKMAP_HPP

#include "lockmap/async_options.hpp"
#include "lockmap/batch.hpp"
#include "lockmap/default_hash.hpp"
#include "lockmap/entry.hpp"
#include "lockmap/expiry.hpp"
#include "lockmap/lock_map.hpp"
#include "lockmap/lock_set.hpp"
#include "lockmap/lru_lock_map.hpp"
#include "lockmap/options.hpp"
#include "lockmap/owner.hpp"
#include "lockmap/task_entry.hpp"
#include "lockmap/unlimited.hpp"
#include "lockmap/version.hpp"

#endif  // LOCKMAP_LOCKMAP_HPP
