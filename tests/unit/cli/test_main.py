"""The program as a whole: help that teaches, examples that run, exit codes, and one sentence for each mistake."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import xai_widgets
from xai_widgets.cli import lab, listing, networks
from xai_widgets.cli.parsing import make_parser, metrics_of_one_map, parse

COMMANDS = ("explain", "evaluate", "list", "lab")
OWN = ("--model", "own:model")
LONG = 120


def examples():
    parser, commands = make_parser()
    for each in (parser, *commands.values()):
        for line in re.findall(r"^  xai-widgets .*$", f"{each.description}\n{each.epilog}", re.MULTILINE):
            yield shlex.split(line)[1:]


def test_every_command_has_examples():
    assert {words[0] for words in examples()} == set(COMMANDS)
    assert sum(words[0] in ("explain", "evaluate") for words in examples()) >= 8


@pytest.mark.parametrize("words", list(examples()), ids=" ".join)
def test_examples_run(words, cli, scene_file, monkeypatch):
    scene_file("photo.jpg")
    scene_file("photos/one.png")
    # The network that people have in mind needs a download.
    load = networks.load
    monkeypatch.setattr(
        networks, "load", lambda name, **options: load(name.replace("resnet50", "scenes_resnet"))
    )
    # Curves of a few steps, where people have the 224 of the source. The module by its whole name: of the package
    # it is a function.
    monkeypatch.setattr(sys.modules["xai_widgets.metrics.deletion"], "default_steps", lambda pixels: 8)
    monkeypatch.setattr(lab, "start", lambda folder, first, passed: 0)
    done = cli(*words)
    assert (done.code, "Traceback" in done.err) == (0, False), done.err
    for option in ("-o", "--csv"):
        if option in words:
            assert Path(words[words.index(option) + 1]).stat().st_size > 0


def test_the_commands_of_the_readme_and_of_the_page_are_understood():
    root = Path(__file__).resolve().parents[3]
    text = "".join(
        (root / name).read_text(encoding="utf-8") for name in ("README.md", "docs/how-to/command_line.md")
    )
    shown = [
        shlex.split(line, comments=True)[1:] for line in re.findall(r"^xai-widgets .*$", text, re.MULTILINE)
    ]
    assert {parse(words).module for words in shown} == {"explain", "evaluate", "listing", "lab"}


@pytest.mark.parametrize("words", [["--help"], [], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_is_no_error_and_fits_a_terminal(words, cli):
    done = cli(*words)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("usage: xai-widgets")
    lines = [line for line in done.out.splitlines() if not line.startswith("  xai-widgets ")]
    assert max(map(len, lines)) <= 80


def test_help_names_every_measure_and_exit_code(cli):
    text = cli("evaluate", "--help").out
    assert [name for name in metrics_of_one_map() if name not in text] == []
    assert "0 success, 1 failure, 2 wrong usage, 130 interrupted" in cli("--help").out


def test_the_version(cli):
    assert cli("--version").out == f"xai-widgets {xai_widgets.__version__}\n"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("explan", 2, "unknown command 'explan'; did you mean 'explain'"),
        ("--hepl", 2, "unknown option '--hepl'; did you mean '--help'"),
        ("explain photo.png -o a.html --method gradient", 2, "did you mean '--methods'"),
        ("explain photo.png --model own:model", 2, "-o/--output"),
        ("explain -o a.html --model own:model", 2, "expected images, got none"),
        ("explain photo.png -o a.html", 2, "expected --model NAME, got none"),
        ("explain photo.png --scenes 1 -o a.html", 2, "expected files or --scenes, got both"),
        ("explain --scenes none -o a.html", 2, "expected an integer of at least 1, got 'none'"),
        ("explain --scenes 0 -o a.html", 2, "expected an integer of at least 1, got '0'"),
        ("explain photo.png -o a.html --model own:model --methods ,", 2, "expected one or several names"),
        ("explain photo.png -o a.html --model own:model --methods lrp,lrp", 2, "got 'lrp' twice"),
        ("explain photo.png -o a.html --model own:model --methods grad_camm", 2, "did you mean 'grad_cam'"),
        ("explain photo.png -o a.html --model own:model --target c", 2, "unknown label 'c'"),
        (
            "explain photo.png -o a.html --model own:model --target 3",
            2,
            "expected a class from 0 to 2, got 3",
        ),
        ("explain photo.png -o a.html --model own:model --methods lrp --layer 1", 2, "got lrp"),
        (
            "explain photo.png -o a.html --model own:model --methods grad_cam --layer 9",
            2,
            "unknown layer '9'",
        ),
        (
            "explain photo.png -o a.html --model own:model --methods grad_cam --layer 4",
            2,
            "with spatial positions",
        ),
        ("explain photo.png -o a.htm1 --model own:model", 2, "did you mean '.html'"),
        ("explain photo.png -o a.npy --model own:model --methods lrp,cam", 2, "use .npz"),
        ("explain photo.png -o a.html --model own:modle", 2, "did you mean 'model'"),
        ("explain photo.png -o a.html --model own:number", 2, "expected a function that returns a network"),
        ("explain photo.png -o a.html --model own:model --labels labels.txt", 2, "returns an ImageModel"),
        ("explain photo.png -o a.html --model own:model --weights none", 2, "the function loads its own"),
        (
            "explain photo.png -o a.html --model scenes_vgg --mean 0,0,0",
            2,
            "got it for 'scenes_vgg'",
        ),
        ("explain photo.png -o a.html --model scenes_vg", 2, "did you mean 'scenes_vgg'"),
        ("explain photo.png -o a.html --model scenes_sr", 2, "makes images"),
        ("explain photo.png -o a.html --model own:network --mean 0,x", 2, "expected numbers such as"),
        ("explain photo.png -o a.html --model own:network --size big", 2, "expected a size such as 224"),
        ("explain photo.png -o a.html --model own:model -- --port 1", 2, "only for JupyterLab"),
        ("evaluate photo.png --model own:model --metrics delition", 2, "did you mean 'deletion'"),
        ("evaluate photo.png --model own:model --metrics pointing", 2, "use --scenes"),
        ("evaluate photo.png --model own:model --steps 257", 2, "of at most 256"),
        ("list", 2, "methods|models|layers"),
        ("list method", 2, "did you mean 'methods'"),
        ("list methods layers", 2, "expected no further argument, got 'layers'"),
        ("list layers", 2, "expected --model NAME, got none"),
        ("explain phto.png -o a.html --model own:model", 1, "did you mean 'photo.png'"),
        ("explain empty -o a.html --model own:model", 1, "expected an image in the folder 'empty'"),
        (
            "explain corrupt.png -o a.html --model own:model",
            1,
            "got 'corrupt.png', which is broken or truncated",
        ),
        (
            "explain own.py -o a.html --model own:model",
            1,
            "a readable image file such as PNG or JPEG, got 'own.py'",
        ),
        (
            "explain photo.png -o no/a.html --model own:model",
            1,
            "expected a file in an existing folder, got 'no",
        ),
        ("explain photo.png -o labels --model own:model", 1, "got 'labels', which is a file"),
        ("evaluate photo.png --csv empty --model own:model", 1, "got 'empty', which is a folder"),
        ("explain photo.png -o a.html --model nowhere:model", 1, "No module named 'nowhere'"),
        ("explain photo.png -o a.html --model own:fails", 1, "raised ValueError: no such file"),
        ("explain photo.png -o a.html --model own:OWN_PATH", 2, "unknown name in own 'OWN_PATH'"),
        (
            "explain photo.png -o a.html --model os:getcwd",
            1,
            "to return an ImageModel or a torch module, got str",
        ),
        ("explain photo.png -o a.html --model own:network --labels no.txt", 1, "no.txt: No such file"),
        (
            "explain photo.png -o a.html --model own:network --size 16x20 --labels own.py",
            1,
            "expected one label per class",
        ),
        ("explain photo.png -o a.html --model scenes_vgg --weights labels.txt", 1, "is damaged"),
        (
            "explain photo.png -o a.html --model own:network --device quantum",
            1,
            "expected an available device, got 'quantum'",
        ),
    ],
)
def test_a_mistake_is_one_sentence(words, code, message, cli, photo, corrupt, tmp_path, files):
    photo()
    corrupt()
    (tmp_path / "empty").mkdir()
    (tmp_path / "labels").touch()
    before = files()
    done = cli(*shlex.split(words))
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert done.err.startswith("xai-widgets: ")
    assert done.err.count("\n") == 1
    assert files() == before


def test_debug_shows_where(cli, photo):
    words = ("explain", "phto.png", "-o", "a.html", *OWN)
    assert "Traceback" not in cli(*words).err
    done = cli(*words, "--debug")
    assert done.code == 1
    assert "Traceback" in done.err
    assert "inputs.py" in done.err


def test_an_unexpected_error_is_reported_with_its_type(cli, monkeypatch):
    def run(options):
        raise KeyError("weight")

    monkeypatch.setattr(listing, "run", run)
    done = cli("list", "methods")
    assert (done.code, done.err) == (1, "xai-widgets: KeyError: 'weight'\n")


def test_without_internet_one_sentence_names_the_options(cli, photo, monkeypatch):
    def load(name, **options):
        raise RuntimeError("The weights could not be had: take weights=None, or weights='path/to/file.pth'")

    monkeypatch.setattr(networks, "load", load)
    photo()
    done = cli("explain", "photo.png", "-o", "a.html", "--model", "resnet18")
    assert done.code == 1
    assert "take --weights none, or --weights 'path/to/file.pth'" in done.err


def test_images_may_follow_options(cli, photo):
    photo("a.png", seed=1)
    photo("b.png", seed=2)
    done = cli("explain", "a.png", *OWN, "-q", "b.png", "--methods", "gradient", "-o", "maps.npy", "a.png")
    assert done.code == 0
    assert [line.partition(":")[0] for line in done.out.splitlines()[:3]] == ["a.png", "b.png", "a.png"]


# -- as programs of their own -----------------------------------------------------------------------------------


def test_help_and_mistakes_import_nothing_that_takes_time():
    code = "from xai_widgets.cli import main; import sys, json; "
    code += "codes = [main(['explain', '--help']), main(['explain', '--metods'])]; "
    code += "print(json.dumps([codes, sorted(sys.modules)]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    codes, loaded = json.loads(done.stdout.splitlines()[-1])
    assert codes == [0, 2]
    tops = {name.partition(".")[0] for name in loaded}
    assert tops & {"torch", "numpy", "PIL", "tqdm", "ipywidgets", "anywidget", "torchvision"} == set()


@pytest.mark.parametrize(
    "words",
    [
        ["explain", "photo.png", "-o", "map.png"],
        ["explain", "photo.png", "-o", "maps.npy"],
        ["explain", "photo.png", "-o", "maps.npz"],
        ["explain", "photo.png", "-o", "folder/"],
        ["evaluate", "photo.png", "--steps", "4", "--csv", "out.csv"],
        ["list", "methods"],
        ["list", "layers", "--model", "own:model"],
    ],
    ids=" ".join,
)
def test_only_a_page_needs_widget_libraries(words, cli, photo, tmp_path):
    photo()
    own = ["--model", "own:model", "--methods", "gradient"] if "photo.png" in words else []
    code = "from xai_widgets.cli import main; import sys, json; "
    code += f"code = main({[*words, *own]!r}); print(json.dumps([code, sorted(sys.modules)]))"
    env = os.environ | {"PYTHONPATH": str(Path(xai_widgets.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    code, loaded = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    assert {name.partition(".")[0] for name in loaded} & {
        "ipywidgets",
        "anywidget",
        "traitlets",
        "IPython",
    } == set()
    assert [
        name for name in loaded if name.startswith(("xai_widgets.explorers", "xai_widgets.exporting"))
    ] == []


def test_the_program_is_installed():
    program = Path(sys.executable).with_name("xai-widgets")
    done = subprocess.run([program, "evalute"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("xai-widgets: unknown command 'evalute'; did you mean 'evaluate'?")


def test_a_reader_that_has_seen_enough_is_no_error():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "xai_widgets", "--help"],
        env=os.environ | {"PYTHONUNBUFFERED": ""},
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


#: A network that never returns from the pass of a method, and prints when it gets there.
STILL = """
import sys, threading
from torch import nn

class Still(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x):
        if x.requires_grad:
            print("still", file=sys.stderr, flush=True)
            threading.Event().wait()
        return self.fc(x.mean((2, 3)))
"""


def test_an_interrupt_ends_the_program_at_once_and_leaves_nothing(tmp_path, photo, files):
    photo()
    (tmp_path / "still.py").write_text(STILL, encoding="utf-8")
    before = files()
    words = ["explain", "photo.png", "--model", "still:Still", "--size", "16", "--methods", "gradient"]
    process = subprocess.Popen(
        [sys.executable, "-m", "xai_widgets", *words, "-o", "page.html"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(xai_widgets.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A runner that was started in the background ignores the signal, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    message = ""
    while message != "still\n":
        message = process.stderr.readline()
        assert message, "the program ended before its network ran"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "xai-widgets: interrupted\n" in err
    assert "Traceback" not in err
    assert files() == before


MEASURE = ["evaluate", "photo.png", *OWN, "--methods", "gradient", "--steps", "4"]


@pytest.mark.parametrize(
    ("words", "code"),
    [(["explain", "photo.png", *OWN, "--methods", "gradient", "-o", "maps.npy"], 0), (["--version"], 0)],
)
def test_a_program_with_a_closed_standard_output(photo, cli, tmp_path, words, code):
    """A closed output, for instance under cron: files are written."""
    photo()
    command = shlex.join([sys.executable, "-m", "xai_widgets", *words])
    env = os.environ | {"PYTHONPATH": str(Path(xai_widgets.__file__).parents[1])}
    done = subprocess.run(
        ["sh", "-c", f"{command} >&-"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=LONG
    )
    assert (done.returncode, done.stderr.count("Traceback"), done.stderr.count("open standard output")) == (
        code,
        0,
        0,
    )
    if "maps.npy" in words:
        assert (tmp_path / "maps.npy").stat().st_size > 0


@pytest.mark.parametrize(
    ("words", "code"), [([*MEASURE, "--csv", "out.csv"], 0), (MEASURE, 1), (["list", "models"], 1)]
)
def test_a_closed_standard_output(photo, cli, tmp_path, monkeypatch, words, code):
    """Python has no stream then; what could not be written is an error."""
    photo()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", None)
        done = cli(*words)
    assert (done.code, "Traceback" in done.err) == (code, False)
    assert ("expected an open standard output" in done.err) == (code == 1)
    if "out.csv" in words:
        assert (tmp_path / "out.csv").stat().st_size > 0


def test_a_closed_standard_error_leaves_the_output_clean(photo, cli, tmp_path):
    photo()
    words = [
        "explain",
        "photo.png",
        "no.png",
        "-o",
        "maps.npy",
        "--model",
        "own:model",
        "--methods",
        "gradient",
    ]
    env = os.environ | {"PYTHONPATH": str(Path(xai_widgets.__file__).parents[1])}
    command = shlex.join([sys.executable, "-m", "xai_widgets", *words])
    done = subprocess.run(
        ["sh", "-c", f"{command} 2>&-"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=LONG
    )
    assert (done.returncode, done.stdout) == (1, "")
