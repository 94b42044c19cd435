// The maps and caches that are compared.
#pragma once

#include "peers/boost.hpp"
#include "peers/by_hand.hpp"
#include "peers/cuckoo.hpp"
#include "peers/gtl.hpp"
#include "peers/lockmap.hpp"
#include "peers/lockmap_caches.hpp"
#include "peers/rocksdb.hpp"
#include "peers/tbb.hpp"
#include "peers/unsynchronised.hpp"
