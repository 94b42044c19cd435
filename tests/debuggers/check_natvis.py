"""Checks lockmap.natvis as far as that goes without Visual Studio: it is well-formed, and every
name in its expressions is declared in the headers, by itself, or is of the standard library."""

import glob
import os
import re
import sys
import xml.etree.ElementTree as ElementTree

IDENTIFIER = re.compile(r"\b[A-Za-z_]\w*")
OF_THE_LANGUAGE = {"nullptr"}
# Microsoft's std::vector and std::atomic.
OF_THE_STANDARD_LIBRARY = {"_Mypair", "_Myval2", "_Myfirst", "_Mylast", "_Storage", "_Value"}


def expressions(element):
    """The parts of an element that the debugger evaluates."""
    tag = element.tag.split("}")[-1]
    text = (element.text or "").strip()
    if tag in {"DisplayString", "Type"}:
        yield from re.findall(r"\{([^{}]*)\}", text)
    elif text:
        yield text
    for name, value in element.attrib.items():
        if name in {"Condition", "Expression", "InitialValue"}:
            yield value
        elif name == "Name" and tag == "Item":
            yield from re.findall(r"\{([^{}]*)\}", value)
        elif name == "Name" and tag in {"Type", "AlternativeType"}:
            yield value.split("<")[0]


def declared(text, name):
    """Whether a name is declared as a class, a namespace, a variable or a member."""
    name = re.escape(name)
    return re.search(rf"(class|struct|namespace) (\w+\([^)]*\) |\w+ |[\w:]+::)*{name}\b", text) or (
        re.search(rf"[\w>*&] {name}(;| = |\{{)", text)
    )


root = ElementTree.parse(os.environ["LOCKMAP_NATVIS"]).getroot()
headers = ""
for path in glob.glob(os.environ["LOCKMAP_INCLUDE"] + "/**/*.hpp", recursive=True):
    with open(path, encoding="utf-8") as header:
        headers += re.sub(r"//.*", "", header.read())
own = {
    element.attrib["Name"]
    for element in root.iter()
    if element.tag.split("}")[-1] in {"Intrinsic", "Variable"}
}
names = {
    name
    for element in root.iter()
    for expression in expressions(element)
    for name in IDENTIFIER.findall(expression)
}
wrong = sorted(
    name
    for name in names - own - OF_THE_LANGUAGE - OF_THE_STANDARD_LIBRARY
    if not declared(headers, name)
)
print(len(names), "names")
for name in wrong:
    print("not declared in the headers:", name)
sys.exit(1 if wrong or len(names) < 10 else 0)
