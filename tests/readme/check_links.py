#!/usr/bin/env python3
"""Fails if a relative link or an anchor in the given Markdown pages leads nowhere, or if they name
another version than --version."""

import argparse
import functools
import pathlib
import re
import sys

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
VERSION = re.compile(r"find_package\(lockmap (\d+\.\d+)")


@functools.cache
def anchors(page):
    """The anchors that GitHub makes of a page's headings."""
    headings = HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def faults(page, version):
    text = page.read_text(encoding="utf-8")
    for named in VERSION.findall(text):
        if not version.startswith(named + "."):
            yield f"find_package of version {named}, but this is {version}"
    for link in LINK.findall(CODE.sub("", FENCE.sub("", text))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            yield f"{link}: no such file"
        elif anchor and anchor not in anchors(target):
            yield f"{link}: no such heading"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", required=True)
    parser.add_argument("pages", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    found = [
        f"{page}: {fault}"
        for page in map(pathlib.Path.resolve, arguments.pages)
        for fault in faults(page, arguments.version)
    ]
    print("\n".join(found) or f"{len(arguments.pages)} pages are right")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
