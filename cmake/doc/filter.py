#!/usr/bin/env python3
"""Doxygen's input filter: prints a header with its plain comments turned into documentation.

- A `//` block above a declaration documents it, and what follows it up to the next blank line.
- `type name;  // text` documents the member `name` of a class.
- `using Base::name;` becomes the declarations that head the block above it; one without a block is
  documented where the sibling lock_map.hpp does it. `using typename Base::name;` becomes the alias
  that detail/sharded_map.hpp declares.
- Lines of a block that are indented after an empty one are code.
"""

import pathlib
import re
import sys

COMMENT = re.compile(r"^( {0,2})//(?: (.*))?$")
SECTION = re.compile(r"^ *// -- ")
USING = re.compile(r"^  using Base::(\w+);$")
USING_TYPE = re.compile(r"^  using typename Base::(\w+);$")
TRAILING = re.compile(r"^(  \S.*;) +// (.*)$")
KEYS_IN_BRACES = "{key1, key2, ...}"


def aliases(folder):
    text = (folder / "detail" / "sharded_map.hpp").read_text(encoding="utf-8")
    return dict(re.findall(r"^  using (\w+) = (.+);$", text, re.MULTILINE))


def doc(text, indent):
    """The lines of a block as documentation, with code marked as such."""
    lines, in_code = [], False
    for i, line in enumerate(text):
        is_code = line.startswith("  ") and (in_code or i == 0 or text[i - 1] == "")
        if is_code != in_code:
            lines.append("@code{.cpp}" if is_code else "@endcode")
        in_code = is_code
        lines.append(line)
    if in_code:
        lines.append("@endcode")
    return [f"{indent}/// {line}".rstrip() for line in lines]


def signatures(block):
    """Splits a block into the declarations that head it, by name, and the rest."""
    end = block.index("") if "" in block else len(block)
    heads = [head for line in block[:end] for head in line.split("; ")]
    named = {}
    for head in heads:
        match = re.search(r"(\w+)\(", head)
        if match:
            plain = head.replace(KEYS_IN_BRACES, "std::initializer_list<Key> keys")
            named.setdefault(match[1], []).append(plain)
    return named, block[end + 1 :]


def documented_bases(lines):
    """For each `using Base::name` with a block: its declarations and its text."""
    known, block, names = {}, [], {}
    for line in lines:
        comment, using = COMMENT.match(line), USING.match(line)
        if comment and not SECTION.match(line):
            block.append(comment[2] or "")
        elif using:
            if block:
                names = signatures(block)
            if names and using[1] in names[0]:
                known[using[1]] = (names[0][using[1]], names[1])
            block = []
        else:
            block, names = [], {}
    return known


def convert(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    sibling = path.parent / "lock_map.hpp"
    known = {}
    if sibling.exists() and any(USING.match(line) for line in lines):
        known = documented_bases(sibling.read_text(encoding="utf-8").splitlines())
        known.update(documented_bases(lines))
    types = aliases(path.parent) if any(USING_TYPE.match(line) for line in lines) else {}

    block, indent, paragraph, previous = [], "", [], ""
    for line in lines:
        comment = COMMENT.match(line)
        if comment and not SECTION.match(line):
            block.append(comment[2] or "")
            indent = comment[1]
            continue
        if block:
            paragraph = doc(block, indent) if line.strip() else []
        starts = re.match(indent + r"[^\s}#]", line) and not line.endswith(":")
        fresh = bool(block) or previous.rstrip().endswith((";", "}"))
        using, using_type = USING.match(line), USING_TYPE.match(line)
        trailing = TRAILING.match(line)
        if not line.strip():
            paragraph = []
        if using:
            heads, text = known.get(using[1], ([f"void {using[1]}()"], []))
            for head in heads:
                yield from [*doc(text, "  "), f"  {head};"] if text else [f"  {head};"]
        elif trailing:
            yield f"{trailing[1]}  ///< {trailing[2]}"
        else:
            if starts and fresh:
                yield from paragraph
            if using_type:
                line = f"  using {using_type[1]} = {types.get(using_type[1], 'void')};"
            yield line
        block, previous = [], line if line.strip() else ""


print("\n".join(convert(pathlib.Path(sys.argv[1]))))
