"""Which functions the fuzzer calls, and the valid values of their arguments, as expressions of :mod:`world`."""

# Tables are read by rows.
# ruff: noqa: E501
from __future__ import annotations

from typing import NamedTuple

Values = tuple[str, ...]


class Call(NamedTuple):
    """A function, the values of its required arguments in order, and those of its options by name."""

    function: str
    required: tuple[Values, ...]
    options: dict[str, Values]
    #: Kind of result, and how often this call is chosen.
    weight: float = 1.0


MODEL = ("network()",) * 6 + tuple(
    f"network({kind!r})" for kind in ("gray", "one logit", "numbers", "half", "double", "broken")
)
X = (
    "pictures()",
    "pictures(2)",
    "pictures()[0]",
    "pictures(2).half()",
    "(pictures() * 255).byte()",
    "np.zeros((16, 16, 3), np.uint8)",
    "np.ones((20, 30))",
    "Image.new('RGB', (16, 16))",
    "Image.new('L', (40, 20))",
    "[Image.new('RGB', (16, 16)), pictures()[0]]",
)
TENSOR = ("pictures()", "pictures(2)")
TARGET = ("None", "0", "3", "'class 1'", "[1]", "torch.tensor([0])", "np.int64(2)")
INDEX = ("0", "torch.tensor([0])", "torch.tensor([1, 2])[:1]")
LAYER = ("None", "'conv2'", "'conv1'")
BATCH = ("32", "1", "3", "np.int64(4)", "torch.tensor(2)")
SEED = ("0", "7", "np.int64(1)", "2**40")
FILL = (
    "'gray'",
    "'mean'",
    "'blur'",
    "0.0",
    "1",
    "torch.tensor(0.5)",
    "np.float32(0.25)",
    "pictures()",
    "pictures()[0]",
)
BASELINE = (
    *(value for value in FILL if value[0] != "'"),
    "np.full((16, 16, 3), 128, np.uint8)",
    "Image.new('RGB', (16, 16))",
)
OUTPUT = ("'score'", "'probability'")
MAPS = (
    "torch.rand(1, 16, 16)",
    "torch.rand(1, 4, 4)",
    "np.ones((1, 16, 16))",
    "torch.ones(1, 16, 16, dtype=torch.int64)",
)
SETTINGS = ("P.ExtremalSettings(steps=2, scan=2, grid=4)", "P.ExtremalSettings.torchray()", "None")
SOLVER = ("I.SolverSettings(steps=2)",)


def _attributions() -> list[Call]:
    plain = [
        "gradient", "gradient_x_input", "guided_backprop", "deconvnet", "lrp", "deep_lift", "integrated_gradients",
        "guided_nonlinearity", "smoothgrad", "expected_gradients", "gradient_shap", "grad_cam", "cam",
        "grad_cam_plus_plus", "smooth_grad_cam_plus_plus", "guided_grad_cam", "fem", "linear_approximation",
        "norm_grad", "selective_norm_grad", "norm_grad_convolution", "excitation_backprop",
        "contrastive_excitation_backprop", "pattern_net", "pattern_attribution", "feedback_layers", "meta_saliency",
        "combine", "smoothgrad_squared",
    ]  # fmt: skip
    layered = {name: {"layer": LAYER} for name in plain[11:23]}
    path = {
        "baseline": BASELINE,
        "steps": ("3", "1"),
        "quadrature": ("'right'", "'gauss_legendre'"),
        "batch_size": BATCH,
    }
    noise = {"samples": ("2", "1"), "sigma": ("0.1", "0"), "seed": SEED, "batch_size": BATCH}
    options: dict[str, dict[str, Values]] = {
        "integrated_gradients": path,
        "guided_nonlinearity": path,
        "deep_lift": {"baseline": BASELINE, "rule": ("'rescale'", "'reveal_cancel'")},
        "lrp": {"composite": ("'epsilon_plus'", "'zero'", "'gamma'")},
        "smoothgrad": noise | {"method": ("'gradient'", "'grad_cam'")},
        "smoothgrad_squared": noise | {"method": ("'gradient'",)},
        "smooth_grad_cam_plus_plus": noise | {"layer": LAYER},
        "expected_gradients": {"references": ("None", "pictures(2)"), "samples": ("3",), "seed": SEED},
        "gradient_shap": {"references": ("None", "pictures(2)"), "samples": ("3",), "sigma": ("0.05",), "seed": SEED},
        "pattern_net": {"patterns": ("PATTERNS()", "None")},
        "pattern_attribution": {"patterns": ("PATTERNS()", "None")},
        "feedback_layers": {"layer": ("'image'", "'conv2'"), "iterations": ("2", "0")},
        "fem": {"layer": LAYER, "k": ("1.0", "0")},
        "meta_saliency": {"method": ("'selective_norm_grad'", "'gradient'"), "epsilon": ("0.001",)},
        "combine": {
            "method": ("'norm_grad'",), "layers": ("None", "['conv1', 'conv2']"),
            "weights": ("'uniform'", "'depth'"), "how": ("'sum'", "'product'"),
        },
        "norm_grad": {"layer": LAYER, "identity": ("'1x1'", "'3x3'")},
    }  # fmt: skip
    # The methods bring images of any kind to the network.
    calls = [
        Call(f"A.{name}", (MODEL, TENSOR, INDEX), options.get(name, layered.get(name, {})), 0.5)
        for name in plain
    ]
    calls += [
        Call(f"A.{name}.saliency", (MODEL, X, TARGET), options.get(name, layered.get(name, {})), 0.5)
        for name in plain
    ]
    return [
        *calls,
        Call("A.estimate_patterns", (MODEL, X), {"batch_size": BATCH}),
        Call("A.completeness_gap", (MODEL, ("pictures()",), ("pictures()",), TARGET), {"baseline": BASELINE}),
        Call("A.conservation_gap", (MODEL, ("pictures()",), ("pictures()",), TARGET), {}),
        Call("A.probability_gap", (("pictures()",),), {}),
        Call("methods.get", (("'gradient'", "'lrp'"),), {}),
        Call("methods.as_method", (("'gradient'", "A.gradient", "len"),), {}),
        Call("A.depths", (MODEL,), {}),
    ]


def _perturbations() -> list[Call]:
    sampled = {"output": OUTPUT, "seed": SEED, "batch_size": BATCH, "fill": (*FILL, "'segments'")}
    segments = ("None", "4", "torch.arange(256).view(16, 16) // 64", "np.zeros((16, 16), np.int32)")
    common = (MODEL, X, TARGET)
    return [
        Call("P.occlusion", common, {
            "window": ("None", "4", "1"), "stride": ("None", "2"), "fill": FILL, "shape": ("'patch'", "'disc'"),
            "softness": ("None", "0", "1.5"), "output": OUTPUT, "batch_size": BATCH,
        }),
        Call("P.variable_occlusion", common, {
            "radii": ("None", "[2.0, 3]", "np.array([2.0])"), "stride": ("None", "4"), "share": ("0.1", "1"),
            "fill": FILL, "output": OUTPUT, "batch_size": BATCH,
        }),
        Call("P.rise", common, {
            "masks": ("8", "300"), "cells": ("7", "2"), "p": ("0.5", "0.9"), "tolerance": ("0.04", "0"), "fill": FILL,
            "output": OUTPUT, "seed": SEED, "batch_size": BATCH,
        }),
        Call("P.lime", common, sampled | {
            "segments": segments, "samples": ("8", "2"), "width": ("0.25", "0.001"), "ridge": ("1.0", "0"),
        }),
        Call("P.kernel_shap", common, sampled | {"segments": segments, "samples": ("8", "2", "1000")}),
        Call("P.minimal_image", common, {"segments": segments, "fill": FILL, "batch_size": BATCH}),
        Call("P.greedy_regions", common, {
            "attribution": ("None", "'gradient'", "torch.rand(1, 16, 16)"),
            "regions": ("None", "torch.ones(2, 16, 16)", "np.ones((1, 16, 16), bool)"),
        }),
        Call("P.prediction_difference", common, {
            "patch": ("None", "4"), "surround": ("None", "1"), "stride": ("None", "2"), "samples": ("2",),
            "references": ("None", "pictures(2)"), "trained": ("100", "100000"), "seed": SEED, "batch_size": BATCH,
        }),
        Call("P.meaningful_perturbation", common, {
            "mode": ("'deletion'", "'preservation'"), "perturbation": ("'blur'", "'constant'", "'noise'"),
            "settings": ("P.MeaningfulSettings(steps=2)", "None"), "seed": SEED, "batch_size": BATCH,
        }),
        Call("P.noise_mask", common, {
            "layer": LAYER, "noise": ("'uniform'", "'normal'"), "mean": ("None", "[0.5, 0.5, 0.5]"),
            "std": ("None", "(0.1, 0.2, 0.3)"), "settings": ("P.NoiseMaskSettings(max_steps=3)",), "seed": SEED,
            "batch_size": BATCH, "every": ("1", "10"),
        }),
        Call("P.extremal", common, {
            "areas": ("[0.1]", "(0.1, 0.2)", "np.array([0.3, 0.5])"), "variant": ("'preserve'", "'delete'", "'hybrid'", "'contrastive'"),
            "perturbation": ("'blur'", "'fade'"), "layer": ("None", "'conv1'"), "settings": SETTINGS,
            "start": ("None", "torch.rand(16, 16)"), "tau": ("1.0", "0.5"), "batch_size": BATCH,
        }),
        Call("P.channel_extremal", common, {
            "layer": LAYER, "channels": ("None", "[1, 2]", "torch.tensor([1, 3])"), "variant": ("'preserve'", "'delete'"),
            "settings": SETTINGS[:1], "start": ("None",), "tau": ("1.0",), "batch_size": BATCH,
        }),
        Call("P.class_channels", (("result('channels')", "[result('channels')]"),), {}),
        Call("result('rise').saliency", (("None", "1", "torch.tensor([2])"),), {}),
        Call("P.ExtremalSettings", (), {
            "steps": ("3",), "lengths": ("(0.2, 0.6)",), "softness": ("(0.3, 0.1)",), "grid": ("4",), "sigma": ("0.05",),
            "scan": ("2",), "neighbor_exchange_every": ("1",), "patience": ("2",), "tolerance": ("0.001",),
        }),
        Call("P.MeaningfulSettings", (), {
            "steps": ("3",), "learning_rate": ("0.1",), "l1": ("1e-4",), "l2": ("0.01",), "beta": ("3.0",),
            "cell": ("8.0",), "smoothing": ("5.0",), "jitter": ("4",), "sigma": ("10",), "suppression": ("0.99",),
        }),
        Call("P.NoiseMaskSettings", (), {
            "learning_rate": ("0.015",), "beta": ("1.0",), "start": ("0.98",), "max_steps": ("10",), "window": ("5",),
            "tolerance": ("0.002",),
        }),
    ]  # fmt: skip


def _metrics() -> list[Call]:
    curve = {"steps": ("None", "4"), "baseline": BASELINE, "batch_size": BATCH, "top": ("5", "1")}
    masks = "[{0: torch.ones(16, 16)}]"
    return [
        Call("M.deletion", (MODEL, ("pictures()",), MAPS, TARGET), curve),
        Call("M.insertion", (MODEL, ("pictures()",), MAPS, TARGET), curve | {"baseline": ("None", *BASELINE)}),
        Call("M.weight_randomization", (MODEL, ("pictures()",), TARGET), {
            "explain": ("'gradient'", "'grad_cam'"), "mode": ("'cascading'", "'independent'"),
            "layers": ("None", "['fc']"), "seed": SEED,
        }),
        Call("M.pearson", (MAPS, MAPS[:1]), {}),
        Call("M.spearman", (MAPS, MAPS[:1]), {}),
        Call("M.ssim", (MAPS, MAPS[:1]), {"sigma": ("1.5", "0.1")}),
        Call("M.structural_similarity", (MAPS, MAPS[:1]), {"sigma": ("1.5",)}),
        Call("blur.truncated_blur", (TENSOR,), {"kernel": ("11", "1"), "sigma": ("5.0", "0.01")}),
        Call("M.resize_map", (MAPS, ("(8, 8)", "[16, 16]", "torch.Size([4, 4])")), {}),
        Call("M.ordering", (MAPS, ("None", "(8, 8)")), {}),
        Call("M.default_steps", (("256", "1"),), {}),
        Call("M.monotonicity", (("[0.1, 0.2]",), ("torch.rand(3, 2)",), ("torch.zeros(3)",)), {"tolerance": ("0", "0.1")}),
        Call("M.pointing_game", (MAPS, ("TASK()",)), {"tolerance": ("15.0", "0"), "reference": ("None", "224")}),
        Call("M.PointingTask.from_masks", ((masks,),), {}),
        Call("M.get", (("'deletion'", "'pointing'"),), {}),
        Call("M.PointingTask.from_boxes", (("[[(0, (1, 1, 8, 8), False)]]",), ("(16, 16)",)), {}),
    ]  # fmt: skip


def _inverses() -> list[Call]:
    solver = {"settings": SOLVER, "batch_size": BATCH}
    weights = {"l1": ("0.1", "0"), "l2": ("0.9", "0")}
    common = (MODEL, ("pictures()",), TARGET)
    start = {"start": ("None", "('conv2', 0, None)", "('conv2', None, (1, 2))")}
    empty = {"empty": ("None", "'mean'", "'black'")}
    return [
        Call("I.layer_wise", common, solver | start | empty | {
            "lam": ("0.2", "(0.0, 0.4)", "[0.1]"), "regularizer": ("'activation'", "'jacobian'"), "until": ("None", "'conv2'"),
        }),
        Call("I.operation_wise", common, solver | weights | start | {"until": ("None", "'conv2'")}),
        Call("I.reproduce_integrated_gradients", common, solver | weights),
        Call("I.reproduce_excitation_backprop", common, solver | weights | {"at": ("None", "['conv2']")}),
        Call("I.reproduce_grad_cam", common, solver | {"layer": LAYER}),
        Call("I.reproduce_deconvnet", (MODEL, ("pictures()",), ("0", "3")), solver | {"unit": ("None", "'conv2'")}),
        Call("I.feature_patterns", (MODEL, ("pictures(2)",), ("'conv2'",), ("0", "[0, 1]")), solver | {
            "k": ("2",), "side": ("None", "4"),
        }),
        Call("I.find_units", (MODEL,), {"x": ("None", "pictures()")}),
        Call("I.SolverSettings", (), {"steps": ("3",), "tolerance": ("0.001",), "window": ("5",)}),
        Call("I.chirp", (("16",),), {"extent": ("None", "8.0")}),
        Call("I.reidentification", (MODEL, ("pictures()",), ("pictures() * 0.5",), TARGET), empty | {"batch_size": BATCH}),
        Call("I.uniform", common, empty | {"alphas": ("(0, 0.5, 1)", "[0.2]"), "batch_size": BATCH}),
        Call("I.spectra", (("pictures()",), ("pictures()",)), {}),
    ]  # fmt: skip


def _similarities() -> list[Call]:
    grid = ("grids()[0]", "grids()[1]", "torch.rand(4, 4, 6)", "np.ones((8, 8, 6))")
    place = ("(0, 1)", "[2, 2]", "torch.tensor([1, 1])")
    kind = ("'cosine'", "'dot'", "'euclidean'")
    pair = ("(8, 8)", "[4, 4]", "np.array([7, 9])")
    sigma = ("None", "1.0", "1e-30")
    return [
        Call("S.activation_grids", (MODEL, X, ("None", "'conv2'", "['conv1', 'conv2']")), {"batch_size": BATCH}),
        Call("S.similarity", (grid, place, grid, kind), {"sigma": sigma}),
        Call("S.kernel_width", (("grids()", "[grids()[0]]"),), {}),
        Call("S.same_position", (place, pair, pair), {}),
        Call("S.similarity_index", (MODEL, X, LAYER), {"side": ("None", "4"), "batch_size": BATCH}),
        Call("result('index').search", (("torch.rand(6)", "np.ones(6)", "[1.0] * 6"),), {"k": ("9", "1")}),
        Call("S.pack", (("grids()",),), {"dtype": ("'int8'", "'float16'"), "rank": ("256", "2", "None")}),
        Call("PACKED().similarity", (("0", "1"), place, kind), {}),
        Call("S.factorize", (("positive()",), ("2", "1")), {"seed": SEED[:3]}),
        Call("result('components').top", (MODEL, ("pictures(2)",)), {"k": ("2",), "side": ("None", "4")}),
        Call("S.rotations", (("pictures()", "pictures()[0]"), ("[0.0, 45.0]", "np.array([10.0])")), {}),
        Call("S.scalings", (("pictures()", "pictures()[0]"), ("[1.0, 0.5]", "(2,)")), {}),
        Call("SERIES().follow", (("(0.5, 0.5)",), ("None", "1")), {}),
        Call("SERIES().profile", (("grids()",), ("0",), place, kind), {"sigma": sigma}),
        Call("F.theoretical_receptive_field", (MODEL, ("'conv2'", "'conv1'")), {}),
        Call("F.effective_receptive_field", (MODEL, ("'conv2'",), X), {"share": ("0.9", "1")}),
        Call("F.top_activations", (MODEL, X), {
            "layer": LAYER, "k": ("9", "1"), "side": ("None", "4"), "batch_size": BATCH,
        }),
        Call("result('top').patches", (("[0, 1]", "range(2)", "torch.tensor([0])"),), {}),
        Call("result('top').image", (("0",),), {}),
    ]  # fmt: skip


def _data() -> list[Call]:
    return [
        Call("D.photograph", (("'cat'", "'coffee'"),), {}),
        Call("scenes.scene", (("0", "5"),), {
            "label": ("None", "3", "'dotted fish'"), "objects": ("1", "(1, 3)"), "size": ("32", "40"),
            "split": ("'train'", "'test'"), "seed": ("0", "3"), "cue": ("True", "False", "'swap'", "'random'"),
            "background": ("'texture'", "'photograph'"),
        }),
        Call("scenes.generate", (("2", "0"),), {"start": ("0", "4"), "size": ("32",), "background": ("'texture'",)}),
        Call("L.load_photograph", (("'coffee'",),), {}),
        Call("C.luminance", (TENSOR,), {}),
        Call("C.recolor", (("pictures()[:, :1]",), ("pictures()",)), {}),
        Call("L.bicubic", (TENSOR, ("(8, 8)", "(20, 30)")), {}),
        Call("L.blurred_pair", (TENSOR, ("2", "3", "4")), {}),
        Call("L.psnr", (TENSOR[:1], TENSOR[:1]), {"border": ("0", "2")}),
        Call("images.to_images", (X,), {"size": ("None", "(8, 8)"), "channels": ("3", "1")}, 3.0),
        Call("images.check_baseline", (BASELINE, ("pictures()",)), {}, 2.0),
        Call("xw.ImageModel", (("Tiny().eval()",),), {
            "size": ("16", "(16, 16)"), "mean": ("None", "[0.5, 0.5, 0.5]"), "std": ("None", "[0.2, 0.2, 0.2]"),
            "labels": ("None", "['a', 'b', 'c', 'd']"), "device": ("'cpu'",), "name": ("None", "'net'"),
            "activation": ("'auto'", "'softmax'", "None"), "resize": ("None", "20"), "output": ("None",),
        }, 2.0),
        Call("network().predict", (X,), {"k": ("5", "1")}),
        Call("network().scores", (X,), {}),
        Call("network().activations", (X, ("'conv2'", "['conv1']")), {}),
    ]  # fmt: skip


def _views() -> list[Call]:
    image = "np.zeros((4, 6, 3), np.uint8)"
    traits: dict[str, dict[str, Values]] = {
        "BrushView": {
            "image": (image,), "fills": (f"np.stack([{image}] * 2)",), "fill_labels": ("['a', 'b']",), "fill": ("0",),
            "brush_size": ("0.1",), "softness": ("0.5",), "opacity": ("0.5",), "tool": ("'erase'",), "width": ("300",),
        },
        "ClassPicker": {"labels": ("['a', 'b']",), "probabilities": ("['.5', '.5']",), "target": ("0", "1")},
        "CurveView": {
            "x": ("np.linspace(0, 1, 5)",), "y": ("np.ones((2, 5))",), "series": ("['a', 'b']",), "fraction": ("0.5",),
            "x_label": ("'x'",), "hidden": ("[]",), "height": ("200",), "x_scale": ("'linear'",),
        },
        "GalleryView": {
            "images": (f"np.stack([{image}] * 3)",), "labels": ("['a', 'b', 'c']",), "columns": ("2",), "size": ("48",),
        },
        "HeatmapView": {
            "image": (image,), "maps": ("np.ones((2, 2, 3))",), "labels": ("['a', 'b']",), "opacity": ("0.5",),
            "percentile": ("99.0",), "limit": ("None", "2.0"), "colormap": ("'viridis'",), "position": ("(0.5, 0.5)",),
            "frame": ("1",), "sign": ("'signed'",), "width": ("300",),
        },
        "MapGridView": {
            "images": (f"np.stack([{image}] * 2)",), "row_labels": ("['r']",), "column_labels": ("['a', 'b']",), "opacity": ("0.5",),
            "size": ("96",), "row": ("0",), "percentile": ("99",),
        },
        "MaskView": {
            "levels": (f"np.stack([{image}] * 2)",), "masks": ("np.ones((2, 4, 6))",), "areas": ("[0.1, 0.5]",),
            "area": ("0.1",), "best": ("None", "0.5"), "display": ("'contour'",),
        },
        "CheckView": {"value": ("True",), "title": ("'gray'",)},
        "IntroView": {"question": ("'Why?'",), "hint": ("'Drag.'",)},
        "DisplayMenu": {"shown": ("['gray']",), "opacity": ("0.5",)},
        "SelectView": {"options": ("['a', 'b']",), "value": ("'a'",), "labels": ("{'a': 'A'}",)},
        "MethodPicker": {"options": ("['gradient', 'lrp']",), "selected": ("['lrp']",), "labels": ("{'lrp': 'LRP'}",)},
        "OrderedMaskView": {
            "image": (image,), "ranks": ("np.arange(24).reshape(1, 4, 6)",), "fraction": ("0.5",), "mode": ("'deletion'",),
            "labels": ("['a']",),
        },
        "RunBar": {"progress": ("0.5",), "status": ("'running'", "'done'"), "label": ("'run'",), "error": ("''",)},
        "ScoresView": {
            "labels": ("['a', 'b']",), "x": ("np.linspace(0, 1, 3)",), "values": ("np.ones((1, 3, 2))",),
            "indices": ("np.zeros((1, 3, 2), np.int32)",), "fraction": ("0.5",), "target": ("0",),
        },
        "SimilarityView": {
            "images": (f"np.stack([{image}] * 2)",), "layer_labels": ("[]",), "position": ("(0.5, 0.5)",), "threshold": ("0.5",),
            "kind": ("'cosine'",), "labels": ("['a', 'b']",), "columns": ("2",),
        },
        "SliderView": {"values": ("[0.1, 0.2]",), "fraction": ("0.5",), "label": ("'lambda'",), "marked": ("0",)},
    }  # fmt: skip
    return [Call(f"V.{name}", (), options) for name, options in traits.items()]


def _explorers() -> list[Call]:
    start = {"start": ("False", "False", "True")}
    return [
        Call("xw.AttributionExplorer", (MODEL, ("pictures()", "pictures(2)")), start | {
            "methods": ("None", "['gradient']", "['gradient', 'grad_cam']"), "layers": ("None", "'conv2'"),
            "target": TARGET, "across": ("'images'", "'classes'"), "top": ("2",), "names": ("None",),
        }),
        Call("xw.ChannelExplorer", (MODEL, ("pictures()",)), start | {
            "target": TARGET, "layer": LAYER, "variant": ("'preserve'",), "images": ("None", "pictures(2)"),
            "channels": ("None", "[1, 2]"), "rows": ("2",), "patches": ("2",), "settings": SETTINGS[:1], "tau": ("1.0",),
        }),
        Call("xw.ClassExplorer", (MODEL, ("pictures()", "pictures(2)")), start | {
            "target": TARGET, "layer": LAYER, "count": ("2",), "kind": ("'auto'", "'pca'"), "side": ("None", "4"),
            "crops": ("2",), "scored": ("1",), "design": ("2",), "batch_size": BATCH,
        }),
        Call("xw.ConceptExplorer", (MODEL,), start | {
            "layer": LAYER, "images": ("30",), "concept": ("None", "'body'"), "counts": ("None", "[1, 2]"), "patches": ("2",),
            "batch_size": BATCH,
        }, 0.5),
        Call("xw.DeletionExplorer", (MODEL, ("pictures()",)), start | {
            "methods": ("['gradient']", "['gradient', 'grad_cam']"), "target": TARGET, "steps": ("4", "None"), "batch_size": BATCH,
        }),
        Call("xw.ExtremalExplorer", (MODEL, ("pictures()",)), start | {
            "target": TARGET, "areas": ("[0.1, 0.3]",), "variant": ("'preserve'", "'delete'"), "perturbation": ("'blur'",),
            "settings": SETTINGS[:1], "tau": ("1.0",), "batch_size": BATCH,
        }),
        Call("xw.InverseExplorer", (MODEL, ("pictures()",)), start | {
            "target": TARGET, "lam": ("(0.0, 0.4)",), "regularizer": ("'activation'",), "methods": ("None", "['gradient']"),
            "settings": SOLVER, "batch_size": BATCH,
        }),
        Call("xw.LeaderboardExplorer", (MODEL, ("list(pictures(2))",)), start | {
            "methods": ("['gradient']",), "metrics": ("'png_size'",), "scores": ("None",), "targets": ("None", "1"), "layers": ("None",),
            "permuted": ("None",),
        }),
        Call("xw.MaskComparison", (MODEL, ("pictures()",)), start | {
            "methods": ("['gradient']",), "target": TARGET, "areas": ("(0.1, 0.3)",), "perturbation": ("'blur'",),
            "options": ("None",), "batch_size": BATCH,
        }),
        Call("xw.PerturbationBrush", (MODEL, ("pictures()",)), {
            "target": TARGET, "start": ("None", "'gradient'", "torch.rand(16, 16)"), "area": ("0.1",),
            "settings": SETTINGS[:1], "seed": SEED,
        }),
        Call("xw.PredictionConceptsExplorer", (MODEL, X, ("examples()",)), start | {
            "target": TARGET, "layers": ("None", "['conv2']"), "without": ("()",), "most": ("2",),
        }, 0.5),
        Call("xw.SanityExplorer", (MODEL, ("pictures()",)), start | {
            "methods": ("['gradient']",), "target": TARGET, "layers": ("None",), "mode": ("'cascading'", "'independent'"), "seed": SEED,
        }),
        Call("xw.SimilarityExplorer", (MODEL, ("pictures(2)",)), start | {
            "layers": ("None", "'conv2'"), "names": ("None",), "components": ("0", "2"), "corpus": ("None",), "seed": SEED[:3],
            "rank": ("256", "None"), "batch_size": BATCH,
        }),
        Call("xw.Dashboard", (MODEL, ("pictures()",)), {
            "explorers": ("['AttributionExplorer']", "None"), "names": ("None",), "target": TARGET, "layer": LAYER,
        }, 0.5),
    ]  # fmt: skip


#: All calls, by part of the package.
CALLS: dict[str, list[Call]] = {
    "attribution": _attributions(),
    "perturbation": _perturbations(),
    "metrics": _metrics(),
    "inverse": _inverses(),
    "similarity": _similarities(),
    "data": _data(),
    "views": _views(),
    "explorers": _explorers(),
}
