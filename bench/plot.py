#!/usr/bin/env python3
"""Draws what compare_bench has measured (--json FILE) as SVG charts: two_threads.svg, the peers'
times divided by lockmap's for the work that matters most, and cache.svg, hit rates and throughput
of the caches. They are as wide as text on a phone allows, and follow a page's dark mode."""

import argparse
import math
import pathlib
import sys
from xml.sax.saxutils import escape

import results as measured

PANELS = [
    "guard on a uniform key",
    "guard on 8 hot keys",
    "batch of 4 guards",
    "LockSet: lock",
    "read a 200-byte string, one hot key",
    "LRU: promoting get, Zipf(0.99), full",
]
OWN = {"LockMap", "LockSet", "LruLockMap", "LruLockMap-exact"}
READ_THROUGH = "LRU: read through"

WIDTH = 640
LEFT = 165  # of the bars: room for names before
ROW = 24
STYLE = """
text { font: 16px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600 }
.small { font-size: 14px; fill: #59636e }
.end { text-anchor: end }
.middle { text-anchor: middle }
.good { fill: #2f8f6f }
.bad { fill: #c8702a }
.pale { fill: #8fb8aa }
line { stroke: #8c959f; stroke-opacity: 0.4 }
.one { stroke-opacity: 1 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .small { fill: #9198a1 }
  .pale { fill: #3f6f60 }
}
"""


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    measured.add_files(parser)
    parser.add_argument("directory", type=pathlib.Path, help="where the charts go")
    parser.add_argument("--threads", type=int, default=2, help="results of so many threads (2)")
    parser.add_argument("--place", choices=["near", "far"], default="far",
                        help="results at this place (far)")
    return parser.parse_args()


class Drawing:
    """An SVG of fixed width that grows downwards."""

    def __init__(self):
        self.items = []
        self.height = 0

    def text(self, x, content, classes="", down=0):
        attribute = f' class="{classes}"' if classes else ""
        self.items.append(
            f'<text x="{x:.1f}" y="{self.height + down:.1f}"{attribute}>{escape(content)}</text>')

    def bar(self, left, right, colour, top, height):
        self.items.append(f'<rect x="{left:.1f}" y="{self.height + top:.1f}" '
                          f'width="{right - left:.1f}" height="{height}" class="{colour}"/>')

    def vertical(self, x, height, classes=""):
        attribute = f' class="{classes}"' if classes else ""
        self.items.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{self.height}" '
                          f'y2="{self.height + height}"{attribute}/>')

    def write(self, path, description):
        body = "\n".join(self.items)
        path.write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{self.height}" '
            f'viewBox="0 0 {WIDTH} {self.height}" role="img">\n'
            f"<title>{escape(description)}</title>\n<style>{STYLE}</style>\n{body}\n</svg>\n",
            encoding="utf-8")


# -- Ratios --------------------------------------------------------------------------------------


class Scale:
    """Logarithmic, so that twice as fast is as far from 1 as half as fast. What is beyond its end
    is cut there, with its figure beside it."""

    LEAST, MOST = 0.5, 16

    def __init__(self, left, right):
        self.left = left
        self.per_doubling = (right - left) / math.log2(self.MOST / self.LEAST)

    def at(self, ratio):
        ratio = min(max(ratio, self.LEAST), self.MOST)
        return self.left + self.per_doubling * math.log2(ratio / self.LEAST)

    def shows(self, ratio):
        return self.LEAST <= ratio <= self.MOST

    def ticks(self):
        tick = self.LEAST
        while tick <= self.MOST:
            yield tick
            tick *= 2


def draw_panel(drawing, scale, workload, ratios):
    drawing.height += 34
    drawing.text(0, workload, "title", -8)
    height = ROW * len(ratios)
    for tick in scale.ticks():
        drawing.vertical(scale.at(tick), height, "one" if tick == 1 else "")
    for peer, ratio in ratios:
        drawing.text(LEFT - 10, measured.label(peer), "end", 17)
        one, end = scale.at(1), scale.at(ratio)
        drawing.bar(min(one, end), max(one, end), "good" if ratio >= 1 else "bad", 4, ROW - 8)
        cut = "" if scale.shows(ratio) else " (cut)"
        drawing.text(max(one, end) + 6, measured.ratio_text(ratio) + cut, "", 17)
        drawing.height += ROW


def draw_ratios(results, arguments, machine, path):
    drawing = Drawing()
    where = f"{arguments.threads} threads, {arguments.place}"
    drawing.height = 20
    drawing.text(0, f"Time of others divided by that of lockmap ({where})", "title")
    drawing.height += 22
    drawing.text(0, "to the right of 1, lockmap is faster", "small")
    scale = Scale(LEFT, WIDTH - 100)
    workloads = {measured.title(workload): peers
                 for workload, peers in measured.by_workload(results).items()}
    for workload in PANELS:
        peers = workloads.get(workload, {})
        ratios = [(peer, measured.ratio(result)) for peer, result in peers.items()
                  if peer not in OWN and measured.ratio(result) is not None]
        if ratios:
            draw_panel(drawing, scale, workload, ratios)
    if drawing.height == 42:
        sys.exit("no results for this chart with these threads at this place")
    for tick in scale.ticks():
        drawing.text(scale.at(tick), f"{tick:g}", "small middle", 18)
    drawing.height += 42
    drawing.text(0, machine["processor"], "small")
    drawing.height += 10
    drawing.write(path, f"Times of other maps divided by lockmap's, {where}")


# -- Caches --------------------------------------------------------------------------------------


def throughput(result):
    return 1000 / result["cost"]["median"]  # millions per second


def draw_caches(results, arguments, path):
    chosen = {}  # by threads
    for threads, place in [(1, "-"), (arguments.threads, arguments.place)]:
        for workload, peers in measured.by_workload(
                result for result in results
                if (result["threads"], result["place"]) == (threads, place)).items():
            if workload.startswith(READ_THROUGH):
                name = workload
                chosen[threads] = {peer: result for peer, result in peers.items()
                                   if result["status"] == "measured" and result["cost"]}
    if len(chosen) != 2:
        sys.exit("no results for the chart of the caches with these threads at this place")
    one, several = chosen[1], chosen[arguments.threads]
    drawing = Drawing()
    drawing.height = 20
    drawing.text(0, f"Caches: {name.removeprefix('LRU: ')}", "title")
    drawing.height += 30
    hits_left, hits_right, rate_left, rate_right = LEFT, LEFT + 110, LEFT + 190, WIDTH - 50
    drawing.text(hits_left, "hit rate", "small")
    drawing.text(rate_left, "million operations per second", "small")
    drawing.height += 10
    most = max(throughput(result) for side in chosen.values() for result in side.values())
    for peer in one:
        rows = [(one[peer], "pale")] + ([(several[peer], "good")] if peer in several else [])
        drawing.text(LEFT - 10, measured.label(peer), "end", 26)
        rate = (several.get(peer) or one[peer])["hit_rate"]["median"]
        end = hits_left + (hits_right - hits_left) * rate
        drawing.bar(hits_left, end, "good", 8, 26)
        drawing.text(end + 6, f"{100 * rate:.1f} %", "", 26)
        for index, (result, colour) in enumerate(rows):
            end = rate_left + (rate_right - rate_left) * throughput(result) / most
            drawing.bar(rate_left, end, colour, 4 + 18 * index, 16)
            drawing.text(end + 6, f"{throughput(result):.1f}", "", 17 + 18 * index)
        drawing.height += 48
    drawing.height += 14
    where = f"{arguments.threads} threads, {arguments.place}"
    for x, colour, text in [(LEFT, "pale", "1 thread"), (LEFT + 120, "good", where)]:
        drawing.bar(x, x + 14, colour, -12, 14)
        drawing.text(x + 20, text, "small")
    drawing.height += 10
    drawing.write(path, "Hit rates and throughput of caches")


def main():
    arguments = parse_arguments()
    results, machine = measured.read(arguments.results)
    here = [result for result in results
            if (result["threads"], result["place"]) == (arguments.threads, arguments.place)]
    draw_ratios(here, arguments, machine, arguments.directory / "two_threads.svg")
    draw_caches(results, arguments, arguments.directory / "cache.svg")


if __name__ == "__main__":
    main()
