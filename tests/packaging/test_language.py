"""A ratchet for the language rules of CONTRIBUTING.md: words, openings and spellings that must not come back.

`ALLOWED` holds how many offenses each part of the repository may still have. A count above it fails, and so does one
below it, so that the number only goes down. To list the offenses of some parts, and to lower the numbers::

    python tests/packaging/test_language.py xai_widgets/core docs
    python tests/packaging/test_language.py --lower
"""

import ast
import collections
import io
import json
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Offenses that each part may still have; a part that is not listed may have none.
ALLOWED: dict[str, int] = {
    "CHANGELOG.md": 4,
    "benchmarks": 15,
    "docs/api": 4,
    "docs/assets": 1,
    "docs/reliability.md": 5,
    "docs/results": 7,
    "scripts": 106,
    "tests/browser": 96,
    "tests/fuzz": 17,
    "tests/packaging": 46,
    "tests/unit/explorers": 45,
    "tests/unit/test_closeness.py": 1,
}

#: Words to avoid, with the terms to use in their place.
WORDS = {
    r"(?<!takes )(?<!take )(?<!took )(?<!taking )(?<!decimal )(?<!in )(?<!in-)(?<!in the )(?<!in its )(?<!in their )"
    r"(?<!in the first )\bplaces?\b": "position, location",
    r"(?<!<)(?<!</)\bpictures?\b": "image",
    r"(?<!pointing )\bgames?\b": "metric, mode",
    r"\bthe hand\b(?!-)": "the user",
    r"\bways? back\b": "backward pass, backward rule",
    r"\b(?:asleep|alive)\b": "disabled, enabled, running",
    r"\b(?:tells?|telling|told|says?|saying|said)\b": "return, report, state, show",
    r"\bwanted\b": "expected",
    r"(?<!there )\b(?:is|are|was|were) no\b(?! (?:longer|more|less|fewer|larger|smaller|better|worse)\b)": "is not a",
    r"\b(?:of|than|with|for|to|by|in|on|as|from|at|is|are|and|or|but|into|all|beside|like|about|after|before) what\b"
    r"(?! if)": "a noun",
}
OPENINGS = re.compile(r"(?:What|Of|As)\b(?![^.]*\?)")
NAMES = re.compile(
    r"(?<!pointing)(?:^|_)(?:(?<!in_)places?|pictures?|games?|asleep|(?<!is_)alive|told|tells?|said|says?|wanted)(?:_|$)",
    re.I,
)

#: British spellings, by their stems.
BRITISH = (
    r"\b(?:un|re|de|pre|non)?-?(?:colour|grey|centre|neighbour|behaviour|favour|honour|flavour|artefact|catalogue|licence|"
    r"defence|judgement|whilst|learnt|spelt|fulfil\b|maths\b|ageing|sceptic|metre|litre|"
    r"(?:label|model|cancel|travel|signal|channel|level|total|tunnel|initial)l(?:ed|ing|er)|"
    r"(?:normal|standard|optim|regular|random|factor|serial|visual|summar|organ|initial|minim|maxim|real|recogn|"
    r"character|general|special|local|linear|penal|quant|vector|parameter|discret|binar|categor|equal|emphas|"
    r"final|global|ideal|item|neutral|parallel|polar|prior|synchron|token|util|symbol|stabil|sensit|capital|apolog)"
    r"is(?:e|ed|es|er|ers|ing|ation|ations|able)\b|analys(?:e|ed|es|ing)\b)"
)
PATTERNS = [
    (re.compile(pattern, re.I), term) for pattern, term in {**WORDS, BRITISH: "the American spelling"}.items()
]
#: This file names the words that it looks for, and the bibliography quotes titles.
EXEMPT = {"tests/packaging/test_language.py", "docs/references.md"}

CODE = re.compile(r"``[^`]*``|`[^`]*`")
JS_TOKEN = re.compile(
    r"(?P<comment>/\*.*?\*/|//[^\n]*)|(?P<text>\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`)",
    re.S,
)
PARAMETER = re.compile(r"^\s*(?:[-*] )?(?:``?[\w., *`]+``?|[\w, *]+)(?: \([^)]*\))?: +(?=[A-Z])", re.M)


def offenses(prose, *, opens=False):
    """Yield the offenses of a piece of prose; `opens` checks the first word of it and of each parameter, too."""
    # "cancelled" in quotes is the value of a status, as in concurrent.futures.
    bare = re.sub(r"\s+", " ", CODE.sub("`…`", prose)).replace('"cancelled"', "`…`")
    for pattern, term in PATTERNS:
        for match in pattern.finditer(bare):
            yield f"{match[0]!r} ({term}) in: …{bare[max(0, match.start() - 40) : match.end() + 40]}…"
    if opens:
        starts = [0, *(match.end() for match in PARAMETER.finditer(prose))]
        for start in starts:
            text = prose[start:].lstrip()
            if OPENINGS.match(text):
                yield f"opening {text.split()[0]!r} in: {text[:60]!r}"


def python_prose(source):
    """Yield (line, text, is a docstring or a comment) for the docstrings, comments, and texts of several words."""
    tree = ast.parse(source)
    inner = {
        id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)
    } - {id(node) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)}
    docstrings = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                docstrings.add(id(first.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            text = node.value
        else:
            continue
        if " " in text.strip():
            yield node.lineno, text, id(node) in docstrings
    yield from comments(source)


def comments(source):
    """Yield the comments, those on lines below each other as one text."""
    block, last = [], None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line, column = token.start
        if last is not None and (line, column) != (last[0] + 1, last[1]):
            yield block[0][0], " ".join(text for _, text in block), True
            block = []
        block.append((line, token.string.lstrip("#: ")))
        last = (line, column)
    if block:
        yield block[0][0], " ".join(text for _, text in block), True


def python_names(source):
    """Yield (line, name) for the functions, classes, arguments, variables and attributes that a file defines."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)


def python_offenses(source):
    for line, text, opens in python_prose(source):
        for offense in offenses(text, opens=opens):
            yield line, offense
    for line, name in python_names(source):
        if NAMES.search(snake(name)):
            yield line, f"name {name!r}"


def js_offenses(source):
    for match in JS_TOKEN.finditer(source):
        text = re.sub(r"^\s*/?[/*]+|\*/$", "", match[0], flags=re.M).strip()
        if match["comment"] or " " in text:
            line = source.count("\n", 0, match.start()) + 1
            for offense in offenses(
                text.replace("`", "") if match["text"] else text, opens=bool(match["comment"])
            ):
                yield line, offense


def markdown_offenses(source):
    bare = re.sub(
        r"```.*?```|~~~.*?~~~|<!--.*?-->", lambda match: "\n" * match[0].count("\n"), source, flags=re.S
    )
    bare = re.sub(r"\]\([^)]*\)|<[^>]*>|https?://\S+", " ", bare)
    line = 1
    for paragraph in re.split(r"(?<=\n)(?=\s*\n|\s*[-*|] |\s*\d+\. )", bare):
        for offense in offenses(paragraph):
            yield line, offense
        line += paragraph.count("\n")


def notebook_offenses(source):
    for number, cell in enumerate(json.loads(source)["cells"]):
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            found = markdown_offenses(text)
        else:
            found = python_offenses(re.sub(r"^[%!].*$", "pass", text, flags=re.M))
        for _, offense in found:
            yield f"cell {number}", offense


READERS = {
    ".py": python_offenses,
    ".js": js_offenses,
    ".mjs": js_offenses,
    ".md": markdown_offenses,
    ".ipynb": notebook_offenses,
}


def part_of(name):
    """Name the part of the repository that a file belongs to: a folder of the package, the tests, or the root."""
    parts = name.split("/")
    depth = (
        3
        if parts[:2] == ["tests", "unit"]
        else 2
        if parts[0] in {"xai_widgets", "tests", "js", "docs"}
        else 1
    )
    return "/".join(parts[:depth] if len(parts) > depth else parts)


def files():
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in sorted(listing.split("\0")):
        path = ROOT / name
        if path.suffix in READERS and name not in EXEMPT and "static" not in path.parts and path.exists():
            yield name, path


def all_offenses():
    """Return the offenses of each part, as `file:line: offense`."""
    parts = collections.defaultdict(list)
    for name, path in files():
        for line, offense in READERS[path.suffix](path.read_text(encoding="utf-8")):
            parts[part_of(name)].append(f"{name}:{line}: {offense}")
    return parts


@pytest.fixture(scope="module")
def offending():
    return all_offenses()


def test_the_allowances_name_parts_of_the_repository():
    assert set(ALLOWED) <= {part_of(name) for name, _ in files()}


@pytest.mark.parametrize("part", sorted({part_of(name) for name, _ in files()}))
def test_the_number_of_offenses_only_goes_down(part, offending):
    allowed = ALLOWED.get(part, 0)
    lines = offending.get(part, [])
    assert len(lines) <= allowed, "\n".join(lines)
    assert len(lines) >= allowed, f"{part} has {len(lines)} offenses left: lower its number in ALLOWED"


@pytest.mark.parametrize(
    "source",
    [
        '"""What a layer returns."""',
        '"""Of the layer."""',
        '"""As `relu`."""',
        'def f(x):\n    """Return x.\n\n    x: Of one image.\n    """',
        "# The scores at each place.",
        "x = 1  # a picture",
        'raise ValueError(f"x is {x}, wanted a number")',
        '"""The insertion game."""',
        '"""The hand moves it."""',
        '"""The way back of a layer."""',
        '"""A layer that is no convolution."""',
        '"""The sum of what the layers return."""',
        '"""The network says so."""',
        '"""Normalised colours."""',
        "def at_places(x): ...",
        "class PictureView: ...",
        "def f(wanted): ...",
    ],
)
def test_an_offense_in_python_is_found(source):
    assert list(python_offenses(source))


@pytest.mark.parametrize(
    "source",
    [
        '"""Return the energy of the pointing game."""',
        '"""Add in place; an in-place operation takes place in place of another. Four decimal places."""',
        '"""Return None if there is no layer; it is no longer needed."""',
        '"""Resize with `F.interpolate`; `places` is an argument of Captum."""',
        '"""Check a case that was worked out by hand."""',
        '"""Normalize the colors of gray images."""',
        "def placeholder(x): ...",
        "names = ['place', 'game']",
    ],
)
def test_plain_python_is_accepted(source):
    assert list(python_offenses(source)) == []


def test_markdown_javascript_and_notebooks_are_read():
    assert (
        len(list(markdown_offenses("A picture.\n\n```\na picture\n```\n\n`picture` [x](picture.png)"))) == 1
    )
    assert [line for line, _ in js_offenses("let picture;\n// A picture.\nlabel('no place');")] == [2, 3]
    cells = [{"cell_type": "markdown", "source": ["A game."]}, {"cell_type": "code", "source": ["# A game."]}]
    assert [where for where, _ in notebook_offenses(json.dumps({"cells": cells}))] == ["cell 0", "cell 1"]


def lower(counts):
    """Write the numbers of this file anew, none of them higher than before."""
    left = {part: min(number, counts.get(part, 0)) for part, number in sorted(ALLOWED.items())}
    lines = "".join(f'    "{part}": {number},\n' for part, number in left.items() if number)
    table = f"ALLOWED: dict[str, int] = {{\n{lines}}}\n" if lines else "ALLOWED: dict[str, int] = {}\n"
    path = Path(__file__)
    pattern = re.compile(r"^ALLOWED: dict\[str, int\] = \{(?:\}|.*?\n\})\n", re.S | re.M)
    path.write_text(pattern.sub(lambda _: table, path.read_text(encoding="utf-8"), count=1), encoding="utf-8")


if __name__ == "__main__":
    found = all_offenses()
    if sys.argv[1:] == ["--lower"]:
        lower({part: len(lines) for part, lines in found.items()})
    else:
        print("\n".join(line for part in sys.argv[1:] or sorted(found) for line in found[part]))
