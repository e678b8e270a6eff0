"""A GPU file as the fits see it: single numbers out of its text, and blocks of lines put into it."""

import re


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def number(text, key):
    """Of the first `key:`, without its unit."""
    found = re.search(rf"^ *{key}: ([0-9.]+)", text, re.M)
    if not found:
        raise SystemExit(f"the GPU file has no {key}")
    return float(found.group(1))


def _entry(lines, key, begin, end, indent):
    """The lines [first, last) of `key:` among the entries at `indent` of lines [begin, end), or None."""
    for first in range(begin, end):
        if lines[first].startswith(" " * indent + key + ":"):
            inside = " " * (indent + 1)
            return first, next((i for i in range(first + 1, end) if not lines[i].startswith(inside)), end)
    return None


def with_block(text, parents, block):
    """`block`: the lines of one key of the mapping that `parents` lead to, indented as deep as they are; they
    replace what the file has for that key."""
    lines = text.splitlines(keepends=True)
    begin, end = 0, len(lines)
    for indent, parent in enumerate(parents):
        found = _entry(lines, parent, begin, end, 2 * indent)
        if not found:
            raise SystemExit(f"the GPU file has no {'.'.join(parents[: indent + 1])}")
        begin, end = found[0] + 1, found[1]
    own = _entry(lines, block[0].split(":")[0].strip(), begin, end, 2 * len(parents)) or (end, end)
    return "".join(lines[: own[0]] + [line + "\n" for line in block] + lines[own[1] :])
