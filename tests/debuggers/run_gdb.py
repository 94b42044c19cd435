"""Runs inside GDB, with a transcript of what is said to it and what it has to answer."""

import difflib
import os
import sys

import gdb


def answer(command):
    try:
        return gdb.execute(command, to_string=True) or ""
    except gdb.error as error:
        return f"error: {error}\n"


def replay(lines):
    for line in lines:
        if line.startswith("! "):
            yield line
            answer(line[2:])
        elif line.startswith("> "):
            yield line
            yield from answer(line[2:]).splitlines()


with open(os.environ["LOCKMAP_TRANSCRIPT"], encoding="utf-8") as transcript:
    expected = [line for line in transcript.read().splitlines() if not line.startswith("#")]
actual = list(replay(expected))
difference = list(difflib.unified_diff(expected, actual, "transcript", "gdb", lineterm=""))
print("\n".join(difference if difference else actual))
if not any(line.startswith("> ") for line in expected):
    sys.exit("the transcript has no command")
sys.exit(1 if difference else 0)
