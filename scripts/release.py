"""Refuse a release whose tag is not its version, that the changelog does not name, or that links to another repository.

``python scripts/release.py v0.1.0`` is what ``release.yml`` runs; it prints nothing when all is well.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def version(root: Path = ROOT) -> str:
    """The version of the package, read and not imported: nothing has to be installed."""
    text = (root / "xai_widgets" / "_version.py").read_text(encoding="utf-8")
    found = re.search(r"""^__version__ = ["']([^"']+)["']""", text, re.MULTILINE)
    if not found:
        raise ValueError("xai_widgets/_version.py holds no line __version__ = '...'")
    return found[1]


def problems(tag: str, version: str, changelog: str) -> list[str]:
    """Say in words why ``tag`` may not be released; empty when it may."""
    found = []
    if tag != f"v{version}":
        found.append(f"the tag is {tag!r}, wanted 'v{version}', after xai_widgets/_version.py")
    newest = re.search(r"^## (.*)$", changelog, re.MULTILINE)
    heading = newest[1] if newest else ""
    if not re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d{{2}}-\d{{2}}\)", heading):
        found.append(f"the changelog begins with {heading!r}, wanted '{version} (YEAR-MONTH-DAY)'")
    return found


def foreign(pyproject: str, repository: str) -> list[str]:
    """Return a message for each address of ``pyproject.toml`` on GitHub that is not in ``repository``, "owner/name"."""
    named = re.findall(r"https://(?:github|raw\.githubusercontent)\.com/([\w.-]+/[\w.-]+)", pyproject)
    return [
        f"expected the addresses of {repository} in pyproject.toml, got {other}; change those of README.md, too"
        for other in sorted(set(named) - {repository})
    ]


def main() -> int:
    """Check the tag that is given; the exit status is 1 when it may not be released."""
    if len(sys.argv) != 2:
        print("usage: python scripts/release.py v0.1.0", file=sys.stderr)
        return 2
    found = problems(sys.argv[1], version(), (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    if repository := os.environ.get("GITHUB_REPOSITORY"):
        found += foreign((ROOT / "pyproject.toml").read_text(encoding="utf-8"), repository)
    for problem in found:
        print(problem, file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
