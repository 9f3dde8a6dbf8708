"""Rules of the repository that no linter knows: the floors, what an import costs, what no committed file may hold."""

import ast
import graphlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import xai_widgets

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "xai_widgets"

#: The floors, lowest first, by the modules and folders of each. A floor imports from itself and those below it.
FLOORS = [
    {"errors", "_version"},
    {"core"},
    {"ops", "rules", "targets", "tracing"},
    {"zoo", "data"},
    {"methods"},
    {"metrics", "features"},
    {"attribution", "perturbation", "similarity", "inverse", "concepts", "learned"},
    {"studies"},
    {"views"},
    {"explorers", "exporting"},
    {"cli", "__main__"},
]
RANK = {name: rank for rank, floor in enumerate(FLOORS) for name in floor}
VIEWS = RANK["views"]
WIDGET_LIBRARIES = {"ipywidgets", "anywidget", "traitlets", "IPython", "ipykernel", "comm"}
NETWORK_LIBRARIES = {"torch", "torchvision", "safetensors"}
#: What is installed by an extra, or is heavy and used seldom: imported when first used.
OPTIONAL = {
    *("torchvision", "timm", "transformers", "skimage", "sklearn", "scipy", "matplotlib", "captum"),
    *("pandas", "plotly", "dask", "onnx", "onnxscript"),
}
#: Modules of lower floors that views may use: they know numpy arrays.
OF_ARRAYS = {"xai_widgets.core.validation", "xai_widgets.core.figures", "xai_widgets.core.optional"}
LONGEST_FILE = 450


def tracked(*patterns):
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [path for name in listing.split("\0") if name and (path := ROOT / name).exists()]


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def floor_of(path):
    """Name the module or folder of the package that a file belongs to, such as ``views``."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(source, package):
    """Yield every module that ``source`` imports, at its top or inside functions, by absolute names."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (
                ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            )
            module = ".".join(part for part in (base, node.module) if part)
            # `from xai_widgets import rules` imports a module too.
            yield from (
                f"{module}.{alias.name}" if module == "xai_widgets" else module for alias in node.names
            )


def broken_floors(path, source):
    """Say in words which imports of a file of the package break the floors."""
    own = floor_of(path)
    rank = RANK[own]
    package = ".".join(path.relative_to(ROOT).parent.parts)
    for module in sorted(set(imports(source, package))):
        top, _, rest = module.partition(".")
        if top == "xai_widgets" and rest:
            # A public name of the package, such as ImageModel, stands where its module stands.
            home = xai_widgets._EXPORTS.get(rest, top)
            home = module if home == top else home
            above = RANK[home.split(".")[1]]
            if above > rank:
                yield f"{own} imports {module}, which stands on a floor above it"
            elif rank == VIEWS and 0 < above < VIEWS and module not in OF_ARRAYS:
                yield f"{own} imports {module}, but views know arrays only"
        elif rank < VIEWS and top in WIDGET_LIBRARIES:
            yield f"{own} imports {module}, but what computes is to run in a plain script"
        elif rank == VIEWS and top in NETWORK_LIBRARIES:
            yield f"{own} imports {module}, but views know arrays only"


def modules():
    return [
        path for path in sorted(PACKAGE.rglob("*.py")) if path.parent != PACKAGE or path.name != "__init__.py"
    ]


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_each_module_keeps_to_its_floor(path):
    assert floor_of(path) in RANK, f"{floor_of(path)} is new: give it a floor in {Path(__file__).name}"
    assert list(broken_floors(path, path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("core/model.py", "from xai_widgets.rules import backward"),
        ("zoo/networks.py", "def load():\n    from xai_widgets import attribution"),
        ("metrics/deletion.py", "import ipywidgets as w"),
        ("core/run.py", "from xai_widgets.views import View"),
        ("attribution/path.py", "from ..views.base import View"),
        ("views/heatmap_view.py", "from torch.nn import functional"),
        ("views/heatmap_view.py", "from xai_widgets.core.model import ImageModel"),
        ("views/heatmap_view.py", "from xai_widgets import ImageModel"),
        ("views/heatmap_view.py", "from xai_widgets.explorers import DeletionExplorer"),
    ],
)
def test_a_broken_floor_is_seen(place, source):
    path = PACKAGE / place
    assert len(list(broken_floors(path, source))) == 1


@pytest.mark.parametrize(
    ("place", "source"),
    [
        (
            "metrics/deletion.py",
            "import torch\nfrom xai_widgets.core.model import ImageModel\nfrom xai_widgets.core.run import Run",
        ),
        (
            "views/heatmap_view.py",
            "import anywidget\nfrom .base import View\nfrom xai_widgets.errors import unknown",
        ),
        ("explorers/deletion.py", "import torch, ipywidgets\nfrom ..views import View"),
    ],
)
def test_what_the_floors_allow(place, source):
    assert list(broken_floors(PACKAGE / place, source)) == []


def test_the_imports_have_no_circle():
    """An import inside a function counts: it is how a circle is hidden."""
    files = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    files = {name.removesuffix(".__init__"): path for name, path in files.items()}
    graph = {name: set(imported_modules(path, files)) - {name} for name, path in files.items()}
    graphlib.TopologicalSorter(graph).prepare()


def imported_modules(path, known):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in known else node.module for name in names)


def modules_after(statements):
    """Return the names of all modules loaded after ``statements`` ran in a fresh interpreter."""
    script = f"{statements}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_imports_next_to_nothing():
    loaded = {name.partition(".")[0] for name in modules_after("import xai_widgets")}
    assert loaded & (OPTIONAL | WIDGET_LIBRARIES | NETWORK_LIBRARIES | {"numpy", "PIL", "tqdm"}) == set()


def test_using_every_public_name_imports_no_optional_library():
    loaded = modules_after("import xai_widgets\nfor name in xai_widgets.__all__: getattr(xai_widgets, name)")
    assert {name.partition(".")[0] for name in loaded} & OPTIONAL == set()
    assert "tqdm.notebook" not in loaded


def test_explainers_run_without_the_widget_libraries():
    names = sorted(name for rank in range(VIEWS) for name in FLOORS[rank] if (PACKAGE / name).is_dir())
    loaded = modules_after(
        "\n".join(f"import xai_widgets.{name}" for name in [*names, "core.model", "core.run"])
    )
    assert {name.partition(".")[0] for name in loaded} & WIDGET_LIBRARIES == set()


def test_the_version_stands_in_one_place():
    scope = {}
    exec((PACKAGE / "_version.py").read_text(encoding="utf-8"), scope)
    version = scope["__version__"]
    assert xai_widgets.__version__ == version
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'dynamic = ["readme", "version"]' in pyproject
    assert 'path = "xai_widgets/_version.py"' in pyproject
    assert "version" not in json.loads((ROOT / "js" / "package.json").read_text(encoding="utf-8"))
    assigned = re.compile(rf"version[\W_]*[:=]\W*{re.escape(version)}\b", re.IGNORECASE)
    holders = [name_of(path) for path in tracked("*.py", "*.toml", "*.cff") if assigned.search(text(path))]
    assert holders == ["xai_widgets/_version.py"]


def text(path):
    """Return the text of a tracked file; of a binary one, nothing."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


#: Its library has a file system of its own, with a home folder.
BUNDLED = ROOT / "xai_widgets" / "static" / "engine.js"
#: What one machine has and no other: written in parts, so that this file passes its own test.
FORBIDDEN = {
    "a path of one machine": re.compile(
        r"(?<![\w.])/(?:wo" + r"rk|ro" + r"ot|ho" + r"me|Us" + r"ers|t" + r"mp)/\w"
    ),
    "a host of a package registry": re.compile(
        r"registry\.npm" + r"js|pypi\.org/sim" + r"ple|files\.python" + r"hosted|download\.pytorch\.org/whl"
    ),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_tracked_file_holds(what):
    found = [
        f"{name_of(path)}:{number}: {line.strip()[:120]}"
        for path in tracked()
        if path != BUNDLED
        for number, line in enumerate(text(path).splitlines(), start=1)
        if FORBIDDEN[what].search(line)
    ]
    assert found == []


def test_the_lock_file_names_no_address():
    lock = json.loads((ROOT / "js" / "package-lock.json").read_text(encoding="utf-8"))
    assert [name for name, entry in lock["packages"].items() if "resolved" in entry] == []
    assert len(lock["packages"]) > 1


def test_the_lock_file_holds_every_platform():
    packages = json.loads((ROOT / "js" / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    # `npm ci` refuses a lock file that was written where the registry or the platform hid some of them.
    wanted = {name for entry in packages.values() for name in entry.get("optionalDependencies", {})}
    held = {name.rpartition("node_modules/")[2] for name in packages}
    assert wanted - held == set()


def test_nothing_built_is_tracked_but_the_bundles():
    names = [name_of(path) for path in tracked()]
    assert [
        name
        for name in names
        if re.search(r"(^|/)(dist|build|node_modules|\.venv|__pycache__)/|uv\.lock$", name)
    ] == []


def test_files_are_short():
    files = [
        path for path in tracked("*.py", "js/*.js", "js/*.mjs", "tests/*.js") if "static" not in path.parts
    ]
    assert files
    lengths = {name_of(path): len(text(path).splitlines()) for path in files}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}
