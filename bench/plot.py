#!/usr/bin/env python3
"""Draws the ratios that compare_bench has measured (--json FILE) as an SVG bar chart, a panel for
each workload: how many times as long as lockmap the peers take."""

import argparse
import collections
import json
import sys

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text
matplotlib.rcParams["font.sans-serif"] = ["DejaVu Sans"]  # not a list of fallbacks in each text
matplotlib.rcParams["svg.hashsalt"] = "lockmap"  # the same chart gives the same file
import matplotlib.pyplot as plt  # noqa: E402  (after the choice of the backend)

OWN_COLOUR = "#1f6f8b"  # LockMap, LruLockMap
PEER_COLOUR = "#b8c4c9"
COLUMNS = 3
CUT = 5  # longer bars are cut, so that the others show


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "results",
        nargs="+",
        help="what compare_bench --json wrote; later files fill in what earlier ones have not met",
    )
    parser.add_argument("chart", help="the SVG file to write")
    parser.add_argument("--threads", type=int, default=1, help="results of so many threads (1)")
    parser.add_argument(
        "--place",
        choices=["near", "far", "-"],
        help="results at this place only, - for unknown (default: the one with most slices)",
    )
    parser.add_argument("--filter", default="", help="only workloads whose name contains the text")
    return parser.parse_args()


def chosen_place(results):
    """The place where most slices were measured: near and far do not belong in one chart."""
    slices = collections.Counter()
    for result in results:
        slices[result["place"]] += result["rounds"]
    return slices.most_common(1)[0][0]


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        sys.exit(f"cannot read '{path}': {error}")


def has_bar(result):
    """A peer may have been measured at another place only."""
    return result["status"] == "measured" and result["ratio"] is not None


def draw(axes, workload, results, places):
    """One panel with so many places: a bar for each peer, its cost divided by lockmap's, with the
    quartiles."""
    reference = results[0]["reference"]
    for position, result in enumerate(results):
        if result["peer"] == reference:
            axes.barh(position, 1, color=OWN_COLOUR)
            axes.text(1, position, " 1", va="center", fontsize=8)
            continue
        if not has_bar(result):
            text = "blocked" if result["status"] == "blocked" else "not measured"
            axes.text(0, position, f" {text}", va="center", fontsize=8, color="#666666")
            continue
        # The results hold lockmap's cost divided by the peer's.
        q1, median, q3 = (1 / result["ratio"][name] for name in ("q3", "median", "q1"))
        if median > CUT:
            axes.barh(position, CUT, color=PEER_COLOUR, hatch="//", edgecolor="white")
            axes.text(CUT, position, f" {median:,.0f} (cut)", va="center", fontsize=8)
            continue
        axes.barh(position, median, color=PEER_COLOUR,
                  xerr=[[median - q1], [min(q3, CUT) - median]],
                  error_kw={"ecolor": "#555555", "elinewidth": 1})
        # Not across the line at 1.
        axes.text(max(min(q3, CUT), 1), position, f" {median:.2g}", va="center", fontsize=8)
    axes.axvline(1, color=OWN_COLOUR, linewidth=0.8)
    axes.set_yticks(range(len(results)), [result["peer"] for result in results], fontsize=8)
    axes.set_ylim(places - 0.5, -0.5)  # the first on top
    axes.set_title(workload, fontsize=9, loc="left")
    axes.tick_params(axis="x", labelsize=8)
    axes.margins(x=0.2)
    axes.set_xlim(left=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def main():
    arguments = parse_arguments()
    runs = [read(path) for path in arguments.results]
    results = [
        result
        for run in runs
        for result in run["results"]
        if result["threads"] == arguments.threads and arguments.filter in result["workload"]
    ]
    if results:
        place = arguments.place or chosen_place(results)
        results = [result for result in results if result["place"] == place]
    if not results:
        sys.exit("no results for this choice of threads, place and workloads")

    panels = collections.defaultdict(dict)
    for result in results:
        if result["status"] == "none":
            continue
        peers = panels[result["workload"]]
        if result["peer"] not in peers or not has_bar(peers[result["peer"]]):
            peers[result["peer"]] = result

    most_peers = max(len(peers) for peers in panels.values())
    rows = -(-len(panels) // COLUMNS)
    figure, grid = plt.subplots(rows, COLUMNS, figsize=(5 * COLUMNS, 2.2 * rows), squeeze=False)
    panel_axes = list(grid.flat)
    for axes, (workload, of_workload) in zip(panel_axes, panels.items()):
        draw(axes, workload, list(of_workload.values()), most_peers)
    for axes in panel_axes[len(panels):]:
        axes.set_visible(False)

    threads = f"{arguments.threads} thread" + ("" if arguments.threads == 1 else "s")
    where = "" if place == "-" else f", {place}"
    figure.suptitle(
        f"{threads}{where}; cost divided by lockmap's, medians with quartiles; "
        f"{runs[0]['machine']['processor']}, {runs[0]['machine']['compiler']}",
        fontsize=10,
    )
    figure.tight_layout(rect=(0, 0, 1, 0.98))
    figure.savefig(arguments.chart, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
