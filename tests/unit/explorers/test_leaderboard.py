"""The leaderboard: its numbers are those of evaluate, and its maps those that were scored."""

import re

import numpy as np
import pytest
import torch
from closeness import assert_close
from small_explorers import classifier, photos
from traitlets import TraitError

import xai_widgets as xw
from xai_widgets.data import Example
from xai_widgets.metrics import METRICS
from xai_widgets.studies import evaluate
from xai_widgets.studies.leaderboard import leaderboard
from xai_widgets.studies.paired import Row

PATIENCE = 120
METHODS = ["gradient", "gradient_x_input"]
MEASURES = ["image_ssim", "png_size"]


def constant(model, x, target):
    return torch.ones_like(x)


def refused(model, x, target):
    raise ValueError("expected another network")


@pytest.fixture
def make():
    made = []

    def explorer(methods=METHODS, metrics=MEASURES, images=5, **options):
        made.append(xw.LeaderboardExplorer(classifier(), photos(images), methods, metrics, **options))
        if options.get("start", True):
            assert made[-1].wait(PATIENCE)
        return made[-1]

    yield explorer
    for one in made:
        one.close()


def test_the_table_is_that_of_evaluate(make):
    explorer = make()
    known = evaluate(explorer.model, photos(5), METHODS, MEASURES, progress=False)
    names = [row["name"] for row in explorer.table.rows]
    assert names == [*METHODS, "random", "center", "class_blind"]
    expected = leaderboard(known, explorer.model.name, [Row(name) for name in names])
    found = [
        [[getattr(one, name) for one in line] for line in expected.intervals]
        for name in ("mean", "low", "high", "n")
    ]
    for trait, values in zip(("mean", "low", "high", "count"), found, strict=True):
        assert_close(getattr(explorer.table, trait), np.array(values, getattr(explorer.table, trait).dtype))
    assert np.array_equal(explorer.table.marks, expected.marks)
    assert_close(explorer.deciding.scores, expected.scores.astype(np.float32))
    assert [column["direction"] for column in explorer.table.columns] == [
        METRICS[name].direction for name in MEASURES
    ]
    assert explorer.table.caption.startswith(f"{explorer.model.name}, 5 images.")
    assert explorer.table.warning.startswith("5 images cannot separate two methods")


def test_the_images_that_decide_have_the_maps_that_were_scored(make):
    explorer = make()
    view = explorer.deciding
    assert view.pair == METHODS
    better, worse = explorer.result.deciding(*METHODS, "image_ssim", view.count)
    assert view.shown() == [*better, *worse]
    assert view.shown()
    for item in view.shown():
        for row, name in enumerate(METHODS):
            at = next(
                i
                for i, key in enumerate(zip(view.map_rows, view.map_items, strict=True))
                if key == (row, item)
            )
            height, width = view.map_sizes[at]
            target = explorer.result.classes[item]
            saliency = xw.methods.METHODS[name].saliency(
                explorer.model, explorer.model.images(photos(5)[item]), target
            )[0]
            largest = float(saliency.abs().max())
            found = view.maps[at, :height, :width].astype(np.float32)
            assert_close(found, (saliency / largest).half().float())
        image = view.images[view.image_items.index(item)]
        assert np.array_equal(image, photos(5)[item])
    assert view.classes == [explorer.model.labels[one] for one in explorer.result.classes]


def test_known_scores_are_shown_without_a_pass_for_scores(make, tmp_path, monkeypatch):
    model = classifier()
    path = tmp_path / "scores.sqlite"
    known = evaluate(model, photos(3), METHODS, MEASURES, path=path, progress=False)
    monkeypatch.setattr(xw.metrics.Metric, "__call__", lambda *_args: pytest.fail("it scores a map again"))
    for scores in (known, path):
        explorer = make(None, None, images=3, scores=scores)
        assert explorer.run_bar.status == "done"
        assert explorer.evaluation.outcomes[model.name] == known.outcomes[model.name]
        assert explorer.method_picker.selected == METHODS
        # The maps of the images that decide were computed, and those alone.
        assert set(explorer.deciding.map_items) >= set(explorer.deciding.shown())
        assert 0 < len(explorer.study.known.maps) <= 2 * len(explorer.deciding.shown())


def test_a_file_is_read_with_the_options_that_it_was_made_with(make, tmp_path):
    path = tmp_path / "scores.sqlite"
    deletion = METRICS["deletion"].with_options(steps=3, fill="black")
    evaluate(classifier(), photos(2), METHODS, deletion, path=path, progress=False)
    explorer = make(None, None, images=2, scores=path)
    assert explorer.study.metrics == {"deletion": deletion}
    assert explorer.study.missing(explorer._cells).total == 0


def test_a_file_of_another_data_set_is_refused(make, tmp_path):
    path = tmp_path / "scores.sqlite"
    make(images=2, scores=path)
    with pytest.raises(ValueError, match="differs in its number of images"):
        make(images=3, scores=path)
    assert make(images=2, scores=path).run_bar.status == "done"


def test_two_rows_that_are_chosen_later_get_their_maps(make):
    explorer = make(scores=evaluate(classifier(), photos(5), METHODS, MEASURES, progress=False))
    explorer.table.pair = ["center", "gradient"]
    assert explorer.wait(PATIENCE)
    rows = [row["name"] for row in explorer.deciding.rows]
    sent = {
        (rows[row], item)
        for row, item in zip(explorer.deciding.map_rows, explorer.deciding.map_items, strict=True)
    }
    assert {(name, item) for name in explorer.table.pair for item in explorer.deciding.shown()} <= sent


def test_misses_and_failures_stay_in_the_table_with_their_reasons(make):
    explorer = make(["gradient", constant, refused])
    rows = [row["name"] for row in explorer.table.rows]
    notes = dict(zip(rows, explorer.table.notes, strict=True))
    assert notes["gradient"] == ["", ""]
    assert all("5 of 5 missed: " in note and "constant" in note for note in notes["constant"])
    assert notes["refused"] == ["5 of 5 failed: expected another network"] * 2
    assert np.isnan(explorer.table.mean[rows.index("refused")]).all()
    assert explorer.method_picker.notes == {"refused": "expected another network"}
    assert explorer.run_bar.message == "done, 1 failed: refused"
    assert "refused" in explorer.to_latex()


def test_a_score_that_is_not_known_is_nan_and_the_caption_counts_the_images(make):
    explorer = make(start=False)
    assert np.isnan(explorer.table.mean).all()
    assert "0 of 5 images so far" in explorer.table.caption
    run = explorer.study.missing(explorer._keys())
    for _ in zip(range(2 * 2 * 5), run, strict=False):
        pass
    explorer._draw()
    assert np.isfinite(explorer.table.mean).all()
    assert (explorer.table.count == 1).all()
    assert "1 of 5 images so far" in explorer.table.caption


def test_methods_that_are_chosen_later_are_added_and_known_ones_are_kept(make):
    explorer = make(None, [METRICS["deletion"].with_options(steps=3), "png_size"], images=2)
    # Maps that are scored in common passes are those of the chosen methods alone.
    assert {key.method for key in explorer.study.known.maps} == {row["name"] for row in explorer.table.rows}
    assert explorer.method_picker.selected == [
        "gradient",
        "guided_backprop",
        "integrated_gradients",
        "grad_cam",
    ]
    known = dict(explorer.study.known.scores)
    explorer.method_picker.selected = ["gradient", "norm_grad"]
    assert explorer.wait(PATIENCE)
    assert [row["name"] for row in explorer.table.rows][:2] == ["gradient", "norm_grad"]
    assert all(explorer.study.known.scores[cell] is outcome for cell, outcome in known.items())
    assert np.isfinite(explorer.table.mean).all()


def test_choices_are_state_and_can_be_undone(make):
    explorer = make()
    explorer.table.sort = explorer.table.metric = "png_size"
    state = explorer.state()
    assert (state["table.sort"], state["table.metric"], state["table.pair"]) == (
        "png_size",
        "png_size",
        METHODS,
    )
    other = make(state=state)
    assert (other.table.sort, other.deciding.metric) == ("png_size", "png_size")
    assert "'table.sort': 'png_size'" in explorer.code()
    explorer.undo()
    assert explorer.table.sort == ""
    with pytest.raises(TraitError, match="up to two different names"):
        explorer.table.pair = ["gradient", "gradient"]


def test_it_is_drawn_as_a_figure_and_saved_as_tables(make, tmp_path):
    pytest.importorskip("plotly")
    explorer = make()
    explorer.table.sort = "image_ssim"
    first = explorer.figure().data[0]
    order = np.argsort(explorer.table.mean[:, 0])
    if METRICS["image_ssim"].direction == "higher":
        order = order[::-1]
    assert_close(np.array(first.x, np.float32), explorer.table.mean[order, 0])
    assert_close(
        np.array(first.error_x.array, np.float32), (explorer.table.high - explorer.table.mean)[order, 0]
    )
    pytest.importorskip("pandas")
    names = [entry["text"] for entry in explorer.menu.files]
    assert names == ["Save CSV", "Save LaTeX"]
    saved = {entry["text"]: explorer.menu._actions[entry["action"]]() for entry in explorer.menu.files}
    assert saved["Save CSV"].data.decode() == explorer.evaluation.to_csv()
    assert saved["Save LaTeX"].name == "scores.tex"
    explorer.to_latex(tmp_path / "table.tex")
    assert r"\textbf" in (tmp_path / "table.tex").read_text()


def test_each_class_of_an_image_is_an_item_and_each_layer_a_row(make):
    mask = np.zeros((16, 16), bool)
    mask[4:12, 4:12] = True
    examples = [Example(image, f"photo {at}", {1: mask, 3: ~mask}) for at, image in enumerate(photos(2))]
    explorer = xw.LeaderboardExplorer(
        classifier(), examples, ["grad_cam", "gradient"], ["relevance_mass"], layers=["convolution", "relu"]
    )
    assert explorer.wait(PATIENCE)
    assert explorer.deciding.classes == ["b", "d", "b", "d"]
    assert explorer.deciding.labels == ["photo 0", "photo 0", "photo 1", "photo 1"]
    names = [row["name"] for row in explorer.table.rows]
    assert names[:3] == ["grad_cam at convolution", "grad_cam at relu", "gradient"]
    assert "4 classes of them" in explorer.table.caption
    explorer.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metrics": ["deletoin"]}, "unknown metric 'deletoin'; did you mean 'deletion'"),
        ({"methods": ["gradeint"]}, "unknown method 'gradeint'; did you mean 'gradient'"),
        ({"images": 0}, "expected at least one image"),
        ({"metrics": ["data_randomization"]}, "expected permuted, a network trained on permuted labels"),
    ],
)
def test_bad_arguments_are_named(make, options, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        make(**options)
    with pytest.raises(TypeError, match="expected scores to be a result of evaluate or its file, got 3"):
        make(scores=3)


def test_the_seed_is_that_of_evaluate(make, tmp_path):
    """Random maps follow it, a file records it, and scores of another seed are not mixed with new ones."""
    path = tmp_path / "scores.sqlite"
    model = classifier()
    known = evaluate(model, photos(2), "gradient", MEASURES, seed=3, progress=False)
    expected = {(row["method"], row["image"], row["metric"]): row["score"] for row in known.rows()}
    for options in ({"seed": 3, "scores": path}, {"scores": path}, {"scores": known}):
        explorer = make(["gradient"], images=2, **options)
        rows = explorer.evaluation.rows()
        assert {(row["method"], row["image"], row["metric"]): row["score"] for row in rows} == expected
        assert explorer.evaluation.seed == 3
    other = make(["gradient"], images=2)
    seen = {row["score"]: row["metric"] for row in other.evaluation.rows() if row["method"] == "random"}
    # The size of a PNG is the same for any noise.
    assert {seen[score] for score in seen.keys() & expected.values()} == {"png_size"}
    with pytest.raises(ValueError, match="differs in its seed: '3' in the file, '0' now"):
        make(["gradient"], images=2, scores=path, seed=0)
    with pytest.raises(ValueError, match="seed of the scores, 3, got 1; leave out seed"):
        make(["gradient"], images=2, scores=known, seed=1)
