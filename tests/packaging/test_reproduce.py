"""The command that reproduces tables of the sources, on small folders in the formats of its data sets."""

import csv
import importlib
import json

import numpy as np
import pytest
import torch
from closeness import near
from PIL import Image
from torch import nn

from xai_widgets.methods import METHODS, as_method
from xai_widgets.metrics import Explanation, deletion

torchvision = pytest.importorskip("torchvision")
from torchvision.models import resnet, vgg  # noqa: E402

#: Side of the images of a trial; the narrow VGG has 2 positions along it.
SIZE = 64


@pytest.fixture(scope="module")
def script():
    return importlib.import_module("reproduce")


def narrow_vgg(classes, side=2):
    """Build a VGG16 of narrow layers, under the names of its modules."""
    with torch.device("meta"):
        network = vgg.VGG(nn.Identity(), init_weights=False)
    widths = [8, 8, "M", 8, 8, "M", 8, 8, 8, "M", 8, 8, 8, "M", 8, 8, 8, "M"]
    network.features, network.avgpool = vgg.make_layers(widths), nn.AdaptiveAvgPool2d(side)
    network.classifier = nn.Sequential(
        nn.Linear(8 * side**2, 32), nn.ReLU(True), nn.Dropout(), nn.Linear(32, 32), nn.ReLU(True), nn.Dropout(),
        nn.Linear(32, classes),
    )  # fmt: skip
    return network


def narrow_resnet(classes):
    """Build a ResNet of one bottleneck in each stage, under the names of the modules of ResNet-50."""
    return resnet.ResNet(resnet.Bottleneck, [1, 1, 1, 1], num_classes=classes, width_per_group=8)


def small(name, classes):
    """Build a small network of the kind of a large one; a kind of its own where none is known."""
    network = narrow_resnet(classes) if "resnet" in name or name in ("googlenet", "inception_v3") else None
    network = narrow_vgg(classes) if network is None else network
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight)
    return network.eval()


@pytest.fixture(autouse=True)
def _small_networks(monkeypatch):
    monkeypatch.setattr(importlib.import_module("reproduce_networks"), "bare", small)


def draw(path, seed, size=(120, 100)):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (size[1] // 4, size[0] // 4, 3), np.uint8)
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(path)


def boxes_xml(objects):
    """Write boxes (name, difficult, left, top, right, bottom) as VOC and ImageNet do."""
    parts = "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{left}</xmin><ymin>{top}</ymin>"
        f"<xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
        for name, difficult, left, top, right, bottom in objects
    )
    return f"<annotation>{parts}</annotation>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folders of ImageNet with boxes, of VOC 2007 and of COCO 2014, two images of each class in the first."""
    root = tmp_path_factory.mktemp("data")
    for number in range(6):
        name = f"n{number // 2}"
        draw(root / "val" / name / f"image{number}.png", number)
        (root / "boxes").mkdir(exist_ok=True)
        (root / "boxes" / f"image{number}.xml").write_text(
            boxes_xml([(name, 0, 1, 1, 10, 10), (name, 0, 11, 21, 80, 90)])
        )
    voc = root / "VOCdevkit" / "VOC2007"
    # The first image: a small dog, a large sofa, and a cat whose box is difficult. The last one: a difficult bird.
    objects = [
        [("dog", 0, 1, 1, 20, 20), ("sofa", 0, 1, 41, 120, 100), ("cat", 1, 100, 1, 110, 10)],
        [("dog", 0, 31, 31, 60, 60)],
        [("cat", 0, 31, 31, 60, 60)],
        [("dog", 0, 1, 1, 60, 60)],
        [("cat", 0, 61, 31, 100, 60), ("bird", 1, 1, 1, 20, 20)],
    ]
    for part in ("ImageSets/Main", "Annotations"):
        (voc / part).mkdir(parents=True)
    for number, some in enumerate(objects):
        draw(voc / "JPEGImages" / f"{number}.jpg", 10 + number)
        (voc / "Annotations" / f"{number}.xml").write_text(boxes_xml(some))
    for split, names in (("test", "0\n1\n4\n"), ("trainval", "1\n2\n3\n2\n")):
        (voc / "ImageSets" / "Main" / f"{split}.txt").write_text(names)
    for number in range(2):
        draw(root / "val2014" / f"{number}.jpg", 20 + number)
    content = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "height": 100, "width": 120} for n in range(2)],
        "categories": [{"id": n + 1, "name": f"class {n}"} for n in range(80)],
        "annotations": [
            {"image_id": 0, "category_id": 18, "segmentation": [[0, 0, 30, 0, 30, 30, 0, 30]]},
            {"image_id": 0, "category_id": 1, "segmentation": [[60, 40, 120, 40, 120, 100, 60, 100]]},
            {"image_id": 1, "category_id": 18, "segmentation": {"size": [100, 120], "counts": [9000, 3000]}},
        ],
    }
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_val2014.json").write_text(json.dumps(content))
    return root


#: Arguments of a trial of each table: all of its parts once, on few images.
TRIALS = {
    "kwon-3.1": ["--images", "2", "--networks", "resnet50"],
    "kwon-4.1": [
        "--images",
        "1",
        "--rows",
        "guided_backprop",
        "guided_nonlinearity",
        "operation_wise_inverse",
    ],
    "kwon-5.1": ["--images", "1"],
    "fong-ch3-1": ["--images", "2"],
    "fong-ch3-2": [],
    "fong-ch4-1": ["--images", "2", "--networks", "resnet50"],
    "fong-c2-3": ["--networks", "vgg16", "--rows", "grad_cam", "gradient_sum"],
    "noise-mask": ["--images", "2"],
}


def trial(script, folder, out, name, *more):
    """Run the command for a table, and return its page and the cells of its CSV file by row and heading."""
    given = ["--data", str(folder), "--out", str(out), "--weights", "random", "--size", str(SIZE), "--quick"]
    page = script.main([name, *given, *TRIALS[name], *more])
    with (out / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    first = next(iter(rows[0]))
    return page, {row[first]: row for row in rows}


@pytest.mark.parametrize("name", TRIALS)
def test_every_table_is_measured_and_written(script, folder, tmp_path, name):
    page, rows = trial(script, folder, tmp_path, name)
    one = script.REPRODUCTIONS[name]
    chosen = TRIALS[name][TRIALS[name].index("--rows") + 1 :] if "--rows" in TRIALS[name] else ()
    networks = TRIALS[name][-1:] if "--networks" in TRIALS[name][-2:] else ()
    if name == "fong-c2-3":
        networks = ("vgg16",)
    assert list(rows) == [row.title for row in one.table.rows]
    for row in one.table.rows:
        assert f"| {row.title} |" in page
        measured = not row.missing and (not chosen or row.key in chosen)
        for column in one.table.columns:
            head = " ".join(column.heads)
            published = one.table.published.get((row.key, column.key))
            printed = rows[row.title][f"{head} published"]
            assert (printed == "") if published is None else (float(printed) == published)
            here = measured and (not networks or networks[0] in column.key.split())
            assert (rows[row.title][head] != "") == here, (row.title, head)
            if here and published is not None:
                difference = float(rows[row.title][f"{head} difference"])
                assert abs(difference - (float(rows[row.title][head]) - published)) < 1e-3 * max(
                    1, abs(difference)
                )
    assert "Random weights" in page
    latex = (tmp_path / f"{name}.tex").read_text()
    assert latex.count(r"\\") == len(one.table.rows) + max(len(column.heads) for column in one.table.columns)
    assert (tmp_path / f"{name}.md").read_text() == page


def test_a_finished_table_is_not_measured_again(script, folder, tmp_path, monkeypatch):
    first, _ = trial(script, folder, tmp_path, "fong-ch3-2", "--rows", "center", "grad_cam")
    run = importlib.import_module("reproduce_run")

    def refuse(*_, **__):
        raise AssertionError("a map was computed again")

    monkeypatch.setattr(run.Configured, "__call__", refuse)
    second, _ = trial(script, folder, tmp_path, "fong-ch3-2", "--rows", "center", "grad_cam")
    assert second == first
    with pytest.raises(ValueError, match=r"expected the settings in .*, got others"):
        trial(script, folder, tmp_path, "fong-ch3-2", "--images", "1")


def test_the_center_points_where_it_is_counted_by_hand(script, folder, tmp_path):
    # The center of the 120 x 100 images is on the object of class 0 and 15 pixels or more from both of class 17.
    _, rows = trial(script, folder, tmp_path, "fong-ch3-2", "--rows", "center")
    assert (float(rows["Ctr"]["All"]), float(rows["Ctr"]["Diff"])) == (50.0, 0.0)
    assert (rows["Ctr"]["All images"], rows["Ctr"]["Diff images"]) == ("2", "1")


def test_planted_maps_hit_what_is_counted_by_hand(folder, tmp_path):
    """One of two dogs, the cat and not the sofa: 50 %. Of the difficult ones the cat and not the dog: 50 %."""
    data, pointing, run = (
        importlib.import_module(f"reproduce_{name}") for name in ("data", "pointing", "run")
    )
    networks = importlib.import_module("reproduce_networks")
    setup = run.Setup(folder, tmp_path, {"": "random"}, progress=False)
    objects = data.voc(setup, SIZE)
    keys = [(image, label) for image, example in enumerate(objects) for label in example.masks]
    dog, sofa, cat = 11, 17, 7
    assert keys == [(0, dog), (0, sofa), (1, dog), (2, cat)]
    assert objects.difficult == {(0, dog), (2, cat)}
    assert tuple(objects[0].image.shape) == (3, SIZE, int(SIZE * 1.2))

    def planted(model, x, target):
        """Put the maximum on a pixel of the 120 x 100 images: in the boxes of the second dog and of the cat."""
        row, column = {dog: (36, 36), cat: (45, 80), sofa: (5, 60)}[int(target)]
        maps = torch.zeros(1, SIZE, int(SIZE * 1.2))
        maps[0, row * SIZE // 100, column * SIZE // 100] = 1
        return maps

    model = networks.object_network({"": "random"}, "resnet50", "voc", 20, SIZE)
    cells = pointing.pointed(setup, "planted", model, objects, [as_method(("planted", planted))])
    assert cells["planted", "all"].value == near(100 * (0.5 + 0 + 1) / 3)
    assert cells["planted", "difficult"].value == near(100 * (0 + 1) / 2)
    assert [
        (cells["planted", part].maps, cells["planted", part].images) for part in ("all", "difficult")
    ] == [
        (4, 3),
        (2, 2),
    ]


def test_the_tolerance_is_15_pixels_exclusive():
    data = importlib.import_module("reproduce_data")
    mask = np.zeros((40, 60), bool)
    mask[:20, :20] = True
    assert data.near(mask)[0].sum() == 20 + 14
    assert not data.near(mask)[30, 30]


def test_a_cluster_gives_the_same_table(script, folder, tmp_path):
    distributed = pytest.importorskip("distributed")
    chosen = ("fong-ch3-2", "--rows", "center", "grad_cam")
    here, _ = trial(script, folder, tmp_path / "here", *chosen)
    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        there, _ = trial(script, folder, tmp_path / "there", *chosen, "--client", cluster.scheduler_address)
    assert there == here


def test_deletion_is_that_of_the_metric(script, folder, tmp_path):
    """Table 3.1 for the gradient: the magnitude of the sum over the channels, for the predicted class."""
    _, rows = trial(script, folder, tmp_path, "kwon-3.1", "--rows", "gradient")
    networks, data, run = (
        importlib.import_module(f"reproduce_{name}") for name in ("networks", "data", "run")
    )
    model = networks.imagenet_network({"": "random"}, "resnet50", SIZE)
    every = data.images_of(run.Setup(folder, tmp_path, {}))
    assert data.linear_sample(len(every), 2) == [0, 5]
    areas = []
    for index in (0, 5):
        x = model.images(every[index].image)
        maps = METHODS["gradient"](model, x).sum(1).abs()
        areas.append(deletion(model, x, maps, steps=8).result(progress=False).auc.item())
    assert float(rows["Gradients"]["ResNet50 Deletion"]) == pytest.approx(sum(areas) / 2, rel=1e-4)
    assert float(rows["Gradients"]["ResNet50 Deletion published"]) == 0.1134


def test_the_errors_of_all_thresholds_are_bits(folder):
    """A map of 1 in the box and 0.4 elsewhere: up to the threshold 0.4 its part is the whole image."""
    data, localization = (importlib.import_module(f"reproduce_{name}") for name in ("data", "localization"))
    examples = data.Boxed(data.imagenet(folder), folder / "boxes", [3])
    ((label, mask),) = examples[0].masks.items()
    # The larger of two boxes, whose corners count from 1; class 1 is the second folder.
    assert (label, mask.sum(), mask[20:90, 10:80].all()) == (1, 70 * 70, True)
    model = importlib.import_module("reproduce_networks").imagenet_network({"": "random"}, "vgg16", SIZE)
    box = torch.zeros(10, 10, dtype=torch.bool)
    box[2:5, 2:5] = True
    saliency = torch.where(box, 1.0, 0.4)[None]
    saliency[0, 0, 0] = 0
    explanation = Explanation(model, torch.zeros(1, 3, 10, 10), 0, saliency, mask=box, method=METHODS["cam"])
    errors = localization.trial_metric("value")(explanation)
    assert errors == sum(2**bit for bit in range(9))
    for chosen, error in ((0.4, 1), (0.45, 0)):
        assert localization.error_metric("value", {"cam": chosen})(explanation) == error
    constant = Explanation(model, torch.zeros(1, 3, 10, 10), 0, torch.ones(1, 10, 10), mask=box)
    with pytest.warns(UserWarning, match="is constant"):
        assert localization.trial_metric("value")(constant) == 2**20 - 1


def test_the_threshold_with_the_fewest_errors_is_the_first_of_the_best():
    localization, tables = (
        importlib.import_module(name) for name in ("reproduce_localization", "reproduce_run")
    )
    from xai_widgets.studies import Cell
    from xai_widgets.studies.store import Outcome

    # Errors of two images at the thresholds 0, 0.05, 0.1: both, one, and none from 0.1 on.
    outcomes = {
        Cell("cam", None, image, 0, "value"): Outcome((float(bits), 0), "", (), complete=True)
        for image, bits in enumerate((0b11, 0b01))
    }
    evaluation = tables.Evaluation({"value": localization.trial_metric("value")}, {"net": outcomes})
    assert localization.best(evaluation, "cam", "value") == 0.1
    assert np.isnan(localization.best(evaluation, "lrp", "value"))


def test_the_inverse_is_judged_by_its_own_image(script, folder, tmp_path):
    kwon, networks = (importlib.import_module(f"reproduce_{name}") for name in ("kwon", "networks"))
    model = networks.imagenet_network({"": "random"}, "vgg16", SIZE, classes=10)
    x, target = torch.rand(1, 3, SIZE, SIZE), torch.tensor([3])
    proposed = kwon.Proposed({"steps": 2})
    method = kwon.replace(METHODS["layer_wise_inverse"], function=proposed)
    saliency = method.saliency(model, x, target)
    explanation = Explanation(model, x, 3, saliency, method=method)
    found = proposed.inverse(model, x, target)
    assert torch.equal(found.saliency(), saliency)
    assert kwon.TOP1(explanation) == float(found.reidentified)
    assert kwon.TOP5(explanation) == float(found.reidentified_top5)
    assert proposed.inverse(model, x, target) is found
    assert proposed.inverse(model, x, torch.tensor([4])) is not found


@pytest.mark.parametrize("name", ["vgg16", "resnet50"])
def test_files_of_objects_networks_are_read(tmp_path, name):
    networks = importlib.import_module("reproduce_networks")
    plain = small(name, 20)
    x = torch.rand(2, 3, SIZE, SIZE)
    torch.save(plain.state_dict(), tmp_path / f"{name}_voc-0a1b.pth")
    model = networks.object_network({"": str(tmp_path)}, name, "voc", 20, SIZE)
    # On a square the fully convolutional network has one position.
    torch.testing.assert_close(model(x), plain((x - model.mean) / model.std), rtol=1e-3, atol=1e-4)
    assert model.activation == "sigmoid"
    assert networks.object_network({"": str(tmp_path)}, name, "coco", 80, SIZE) is None
    assert networks.object_network({"": "torchvision"}, name, "voc", 20, SIZE) is None


@pytest.mark.parametrize("name", ["vgg16", "resnet50"])
def test_files_of_torchray_are_converted(tmp_path, name):
    """A file in its layout gives the scores of the network in the layout of Caffe, for inputs from 0 to 255."""
    networks = importlib.import_module("reproduce_networks")
    plain = small(name, 20)
    networks.as_in_caffe(plain)
    state = {}
    for key, value in plain.state_dict().items():
        new = key.replace("classifier.3.", "classifier.2.").replace("classifier.6.", "classifier.4.")
        if key in ("features.0.weight", "conv1.weight"):
            value = value[:, [2, 1, 0]]
        if key == "classifier.0.weight":
            value = value.view(len(value), 8, 2, 2)
        for part in ("bn1", "bn2", "bn3", "downsample.1"):
            at = "0" if "running" in key or "num_batches" in key else "1"
            new = new.replace(f"{part}.", f"{part}.{at}.")
        state[new] = value
    torch.save(state, tmp_path / "file.pth.tar")
    model = networks.object_network({f"{name}_voc": str(tmp_path / "file.pth.tar")}, name, "voc", 20, SIZE)
    x = torch.rand(2, 3, SIZE, SIZE)
    mean = torch.tensor([123.68, 116.779, 103.939]).view(3, 1, 1)
    torch.testing.assert_close(model(x), plain(255 * x - mean), rtol=1e-3, atol=1e-2)


def test_a_table_without_its_data_or_weights_gives_the_reasons(script, tmp_path):
    page = script.main(["fong-ch4-1", "--data", str(tmp_path), "--out", str(tmp_path)])
    assert "the folder of the data holds no VOC07 Test" in page
    assert "the folder of the data holds no COCO14 Val" in page
    for row in script.REPRODUCTIONS["fong-ch4-1"].table.rows:
        assert f"| {row.title} | -<br>" in page


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["kwon-3.2"], "kwon-3.1"),
        (["kwon-3.1", "--rows", "gradients"], "gradient"),
        (["kwon-3.1"], "expected --data with the folder"),
        (["kwon-3.1", "--data", ".", "--weights", "nowhere.pth"], "'nowhere.pth', which does not exist"),
    ],
)
def test_wrong_arguments_are_named(script, capsys, arguments, text):
    with pytest.raises(SystemExit):
        script.main(arguments)
    assert text in capsys.readouterr().err


def test_the_layout_and_the_differences_of_a_table():
    tables = importlib.import_module("reproduce_tables")
    columns = (
        tables.Column("a", ("VGG16", "Deletion"), 2),
        tables.Column("b", ("VGG16", "Insertion"), 2),
        tables.Column("c", ("Average",), 1),
    )
    rows = (tables.Row("x", "X & Y"), tables.Row("y", "Y", missing="not a method"))
    table = tables.Table(
        "t", "Source, table 1", "Caption.", rows, columns, tables.published(["x 0.10 - 3"], columns)
    )
    cells = {
        ("x", "a"): tables.Cell(0.25, 0.2, 0.3, maps=4, images=3),
        ("x", "b"): tables.Cell(0.5, maps=4, images=3, missed=1, note="layer4"),
    }
    page = tables.to_markdown(table, cells, ["A trial."])
    assert "| method | VGG16 Deletion | VGG16 Insertion | Average |" in page
    assert "| X & Y | 0.25 [0.20, 0.30]<br>0.10 (+0.15) | 0.50<br>- | -<br>3.0 |" in page
    for line in (
        "- VGG16 Deletion: 3 images, 4 maps of each method",
        "- VGG16 Insertion: 3 images, 4 maps of each method, 1 constant or not finite",
        "- A trial.",
        "- Average: not chosen for this run",
        "- Y: not a method",
        "- X & Y, VGG16 Insertion: layer4",
    ):
        assert line in page.splitlines(), line
    assert tables.to_csv(table, cells).splitlines()[1] == "X & Y,0.25,0.2,0.3,0.1,0.15,3,0.5,,,,,3,,,,3,,"
    latex = tables.to_latex(table, cells)
    assert r" & \multicolumn{2}{c}{VGG16} & Average \\" in latex
    assert r"X \& Y & 0.25 (0.10) & 0.50 & -- (3.0) \\" in latex
