"""What compare_bench --json has measured, as tables.py and plot.py show it."""

import json
import sys

# The names of the peers where a reader meets them; several may share a column.
LABELS = {
    "ShardedMutexMap": "shards",
    "SharedMutexMap": "shards",
    "PerKeyMutexMap": "per key",
    "unsynchronised": "no lock",
    "one-by-one": "one by one",
    "LruLockMap-exact": "LruLockMap, exact",
    "ShardedMutexLru": "by hand",
    "RocksDB-LRU": "RocksDB LRU",
    "RocksDB-Clock": "RocksDB clock",
    "unbiased": "no bias",
}
USUAL_SIZE = ", 64k keys"  # of the maps; not said each time


def label(peer):
    return LABELS.get(peer, peer)


def title(workload):
    return workload.removesuffix(USUAL_SIZE)


def add_files(parser):
    parser.add_argument(
        "results",
        nargs="+",
        help="what compare_bench --json wrote; of a result in several files, the one from most "
        "slices counts",
    )


def read(paths):
    """The files' results and the first one's machine. A result that is in several files is the one
    from most slices, or the last of these: a run may have met a place seldom."""
    runs = []
    for path in paths:
        try:
            with open(path, encoding="utf-8") as file:
                runs.append(json.load(file))
        except (OSError, ValueError) as error:
            sys.exit(f"cannot read '{path}': {error}")
    best = {}
    for run in runs:
        for result in run["results"]:
            key = tuple(result[name] for name in ("workload", "threads", "place", "peer"))
            if key not in best or best[key]["rounds"] <= result["rounds"]:
                best[key] = result
    return list(best.values()), runs[0]["machine"]


def by_workload(results):
    """The results of each workload, by peer, in the order in which they were measured."""
    workloads = {}
    for result in results:
        workloads.setdefault(result["workload"], {})[result["peer"]] = result
    return workloads


def ratio(result):
    """The peer's cost divided by lockmap's, or None if it is not known."""
    if result["status"] != "measured" or result["ratio"] is None:
        return None
    return result["ratio"]["median"]


def ratio_text(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
