#!/usr/bin/env python3
"""Prints what compare_bench has measured (--json FILE) as tables in Markdown, for each number of
threads and place: the cost of lockmap, and for each peer its cost divided by lockmap's."""

import argparse
import sys

import results as measured

# A workload's table is the first that its reference fits.
TABLES = [
    ("Maps", ["LockMap", "LockSet"],
     ["Boost", "TBB", "libcuckoo", "gtl", "shards", "per key", "no lock"]),
    ("Caches", ["LruLockMap"], ["LruLockMap, exact", "by hand", "RocksDB LRU", "RocksDB clock"]),
    ("The same in another way", ["LockMap", "async_entry"],
     ["read_many", "one by one", "LockMap", "no bias", "Boost"]),
]
OTHER_WAYS = {"read_many", "one-by-one", "async_entry", "unbiased"}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    measured.add_files(parser)
    parser.add_argument("--threads", type=int, help="only results of so many threads")
    parser.add_argument("--place", choices=["near", "far"], help="only results at this place")
    return parser.parse_args()


def table_of(peers):
    if OTHER_WAYS & peers.keys():
        return TABLES[2]
    reference = next(iter(peers.values()))["reference"]
    return next(table for table in TABLES if reference in table[1])


def own_cost(result):
    if result["cost"] is None:
        return ""
    cost = result["cost"]["median"]
    digits = 0 if cost >= 100 else 1
    return f"{cost:.{digits}f} {result['unit']}"


def cell(result):
    if result["status"] == "blocked":
        return "blocked"
    ratio = measured.ratio(result)
    return "" if ratio is None else measured.ratio_text(ratio)


def hit_rate(result):
    return f"{100 * result['hit_rate']['median']:.1f} %" if result["hit_rate"] else ""


def rows_of(workload, peers):
    """The row of a workload, and one of its hit rates if it has any, as cells by column."""
    reference = next(iter(peers.values()))["reference"]
    own = peers.get(reference)
    if own is None or own["status"] != "measured" or own["cost"] is None:
        return
    others = [(measured.label(peer), result)
              for peer, result in peers.items() if peer != reference]
    name = measured.title(workload)
    yield name, {"lockmap": own_cost(own)} | {column: cell(result) for column, result in others}
    if own["hit_rate"]:
        yield "its hit rate", {"lockmap": hit_rate(own)} | {
            column: hit_rate(result) for column, result in others}


def print_table(name, columns, rows):
    columns = [column for column in columns if any(cells.get(column) for _, cells in rows)]
    print(f"\n**{name}**\n")
    print("| " + " | ".join(["Work", "lockmap", *columns]) + " |")
    print("|---|" + "---:|" * (1 + len(columns)))
    for work, cells in rows:
        print("| " + " | ".join([work, *(cells.get(c, "") for c in ["lockmap", *columns])]) + " |")


def print_group(results, threads, place):
    print(f"\n### {threads} thread{'' if threads == 1 else f's, {place}'}")
    tables = {}
    for workload, peers in measured.by_workload(results).items():
        name, _, columns = table_of(peers)
        tables.setdefault(name, (columns, []))[1].extend(rows_of(workload, peers))
    for name, (columns, rows) in tables.items():
        if rows:
            print_table(name, columns, rows)


def main():
    arguments = parse_arguments()
    results, machine = measured.read(arguments.results)
    groups = {}
    for result in results:
        threads, place = result["threads"], result["place"]
        if threads > 1 and place == "-":
            continue  # it says nothing if it may be either
        if arguments.threads in (None, threads) and arguments.place in (None, place):
            groups.setdefault((threads, place), []).append(result)
    if not groups:
        sys.exit("no results for this choice of threads and place")
    print(f"{machine['processor']}, {machine['compiler']}. Time of the peer divided by that of "
          "lockmap: above 1, lockmap is faster.")
    for (threads, place), of_group in sorted(groups.items()):
        print_group(of_group, threads, place)


if __name__ == "__main__":
    main()
