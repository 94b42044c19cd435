#!/usr/bin/env python3
"""Draws the results of compare_bench (--json FILE) as an SVG bar chart, a panel for each workload."""

import argparse
import collections
import json
import statistics
import sys

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text
matplotlib.rcParams["svg.hashsalt"] = "lockmap"  # the same chart gives the same file
import matplotlib.pyplot as plt  # noqa: E402  (after the choice of the backend)

OWN_COLOUR = "#1f6f8b"  # LockMap, LruLockMap
PEER_COLOUR = "#b8c4c9"
COLUMNS = 3
CUT = 6  # bars longer than so many times the panel's median are cut, so that the others show


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", help="what compare_bench --json wrote")
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


def draw(axes, workload, results):
    """One panel: a bar with its quartiles for each peer, the first peer on top."""
    unit = next(result["unit"] for result in results if result["status"] == "measured")
    medians = [result["cost"]["median"] for result in results if result["status"] == "measured"]
    longest = CUT * statistics.median(medians)
    for position, result in enumerate(results):
        if result["status"] != "measured":
            text = " blocked" if result["status"] == "blocked" else " -"
            axes.text(0, position, text, va="center", fontsize=8, color="#666666")
            continue
        cost = result["cost"]
        median = cost["median"]
        colour = OWN_COLOUR if result["peer"] == result["reference"] else PEER_COLOUR
        if median > longest:
            axes.barh(position, longest, color=colour, hatch="//", edgecolor="white")
            axes.text(longest, position, f" {median:,.0f} (cut)", va="center", fontsize=8)
            continue
        q1, q3 = cost["q1"], min(cost["q3"], longest)
        axes.barh(position, median, color=colour, xerr=[[median - q1], [q3 - median]],
                  error_kw={"ecolor": "#555555", "elinewidth": 1})
        axes.text(q3, position, f" {median:.3g}", va="center", fontsize=8)
    axes.set_yticks(range(len(results)), [result["peer"] for result in results], fontsize=8)
    axes.invert_yaxis()
    axes.set_title(workload, fontsize=9, loc="left")
    axes.set_xlabel("bytes per key" if unit == "bytes" else "ns per operation or key", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.margins(x=0.2)
    axes.set_xlim(left=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def main():
    arguments = parse_arguments()
    try:
        with open(arguments.results, encoding="utf-8") as file:
            data = json.load(file)
    except (OSError, ValueError) as error:
        sys.exit(f"cannot read '{arguments.results}': {error}")

    results = [
        result
        for result in data["results"]
        if result["threads"] == arguments.threads and arguments.filter in result["workload"]
    ]
    if results:
        place = arguments.place or chosen_place(results)
        results = [result for result in results if result["place"] == place]
    if not results:
        sys.exit("no results for this choice of threads, place and workloads")

    panels = collections.defaultdict(list)
    for result in results:
        # A peer without figures may be listed for places that others saw.
        panels[result["workload"]].append(result)

    rows = -(-len(panels) // COLUMNS)
    figure, grid = plt.subplots(rows, COLUMNS, figsize=(5 * COLUMNS, 2.2 * rows), squeeze=False)
    panel_axes = list(grid.flat)
    for axes, (workload, of_workload) in zip(panel_axes, panels.items()):
        draw(axes, workload, of_workload)
    for axes in panel_axes[len(panels):]:
        axes.set_visible(False)

    threads = f"{arguments.threads} thread" + ("" if arguments.threads == 1 else "s")
    where = "" if place == "-" else f", {place}"
    figure.suptitle(
        f"{threads}{where}; medians with quartiles, less is better; "
        f"{data['machine']['processor']}, {data['machine']['compiler']}",
        fontsize=10,
    )
    figure.tight_layout(rect=(0, 0, 1, 0.98))
    figure.savefig(arguments.chart, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
