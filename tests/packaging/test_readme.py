"""The README is short, its code runs, and its links and images exist."""

import re
import types
import warnings
from pathlib import Path

import live
import pytest
import torch
from PIL import Image
from torch import nn

import xai_widgets as xw
from xai_widgets.data import photograph

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| ([\w ,]+?) \| `(model = .*?)` \| (.*) \|$", re.MULTILINE)
#: Largest numbers of words, and of bytes of the moving image.
WORDS, MOVING = 700, 2_000_000
ADDRESS = re.compile(r"\]\(([^)\s]+)\)|(?:href|src)=\"([^\"]+)\"")
IMAGES = re.compile(r"\((docs/images/[^)\s]+)\)|src=\"([^\"]+)\"")


def addresses(pattern):
    return ["".join(found) for found in pattern.findall(README)]


def small(channels=3, outputs=3):
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, stride=8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, outputs),
    )


@pytest.fixture
def hub(tmp_path):
    """A network of Hugging Face in a folder, which stands for one that would be downloaded."""
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=64,
        patch_size=8,
    )
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path)
    transformers.ViTImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path)
    return tmp_path


def test_it_is_short():
    assert len(README.split()) <= WORDS


def test_every_source_of_networks_has_a_row():
    sources = [source for source, _code, _more in ROW.findall(README)]
    assert {"torchvision", "timm", "Hugging Face", "your own", "a ViT, DINO", "segmentation"} <= set(sources)
    assert len(sources) == README.count("| `model = ")


@pytest.mark.parametrize(("source", "code"), [row[:2] for row in ROW.findall(README)])
def test_the_code_of_a_row_runs(source, code, hub):
    """Run the line with random weights in the place of a download."""
    network = small()
    if source == "segmentation":
        network = nn.Conv2d(3, 3, 3, padding=1)
    elif source == "five channels":
        network = small(channels=5)
    namespace = {
        "xw": xw,
        "network": network,
        "labels": ["cat", "cup", "rocket"],
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "learn": types.SimpleNamespace(
            model=network, dls=types.SimpleNamespace(vocab=["cat", "cup", "rocket"])
        ),
    }
    offline = code.replace("pretrained=True", "pretrained=False")
    offline = offline.replace('load("resnet50")', 'load("resnet50", weights=None)')
    offline = offline.replace('"google/vit-base-patch16-224"', repr(str(hub)))
    exec(offline, namespace)
    model = namespace["model"]
    image = torch.rand(5, 64, 64) if source == "five channels" else photograph("cat")
    explorer = xw.DeletionExplorer(model, image, ["gradient"], start=False)
    assert torch.isfinite(model.scores(explorer.image)).all()
    explorer.close()


def test_the_named_networks_have_weights():
    timm = pytest.importorskip("timm")
    for name in re.findall(r'from_timm\("(\w+)"', README):
        assert timm.list_pretrained(f"{name}.*"), name
    models = pytest.importorskip("torchvision").models
    assert models.get_model_weights("resnet50").DEFAULT


def test_the_blocks_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    namespace = {"__name__": "__main__"}
    assert len(BLOCKS) == 3
    for number, code in enumerate(BLOCKS):
        if number == 1:
            # A small network: the first block has shown that the one with ImageNet weights works.
            namespace["model"] = model = xw.load("scenes_resnet")
            namespace["image"] = photograph("cat")
            explorers = [
                xw.DeletionExplorer(model, photograph("cat"), ["gradient"], steps=4) for _ in range(2)
            ]
            live.finished(*explorers)
            namespace["explorer"], namespace["another"] = explorers
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            _, value = live.run_cell(code, namespace)
            live.finished(value)
    assert {path.name for path in tmp_path.iterdir()} == {"page.html", "figure.pdf"}


def test_links_lead_to_files_of_the_repository():
    for address in addresses(ADDRESS):
        path, _, anchor = address.partition("#")
        if not path.startswith("https://"):
            assert (ROOT / path).is_file(), address
        if anchor:
            headings = re.findall(r"^#+ (.*)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, address


def test_the_badge_opens_a_notebook_of_the_repository():
    url = re.search(
        r'^Repository = "https://github\.com/(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )[1]
    (notebook,) = re.findall(
        rf"https://colab\.research\.google\.com/github/{url}/blob/main/([^)]+)\)", README
    )
    assert (ROOT / notebook).is_file()


def test_images_are_small_and_one_of_them_moves():
    shown = [ROOT / address for address in addresses(IMAGES)]
    moving = []
    for path in shown:
        with Image.open(path) as image:
            moving.append(getattr(image, "n_frames", 1) > 1)
        assert path.stat().st_size <= (MOVING if moving[-1] else 60_000)
    assert sum(moving) == 1


def test_every_explorer_has_a_thumbnail():
    named = set(re.findall(r"`(?:xw\.)?(\w+)`: ", README))
    made = {name for name in xw.explorers.__all__ if name[0].isupper() and name != "Dashboard"}
    assert named == made | {"dashboard"}
