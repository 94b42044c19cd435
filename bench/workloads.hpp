// The workloads. Every workload is written once, for all peers and for every way to run it.
#pragma once

#include "workloads/caches.hpp"
#include "workloads/changes.hpp"
#include "workloads/locks.hpp"
#include "workloads/lookups.hpp"
#include "workloads/many.hpp"
#include "workloads/wholes.hpp"
