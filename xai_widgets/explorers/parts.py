"""Small parts of explorers: layouts, pickers, and images as arrays for views."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ipywidgets import HTML, HBox, Layout
from torch import Tensor
from traitlets import TraitError

from xai_widgets.core.display import single_images
from xai_widgets.core.model import ImageModel
from xai_widgets.data.base import Example
from xai_widgets.ops.perturb import Perturbation
from xai_widgets.ops.resize import shrink
from xai_widgets.perturbation.extremal import ExtremalSettings
from xai_widgets.views import ClassPicker, GalleryView, SelectView, View
from xai_widgets.views.static_repr import set_layout

#: Class of elements whose flexible width holds in their explorer only.
PART = "xw-part"
#: Classes in the bars of scores.
TOP = 5
#: Pixels above which an image is large: searches have smaller budgets by default.
LARGE = 128 * 128
#: Names of the fully perturbed image.
ENDS: dict[Perturbation, str] = {"blur": "all blurred", "fade": "all black"}
#: The sentence that a list shows under the pointer, by its title.
HELP = {
    "Category": "The kind of concepts in the list",
    "Concept": "The concept whose filters are shown",
    "Images": "The number of training images; half as many are used for validation",
    "Layer": "The layer of the network that is explained or compared",
    "Image": "The image that is shown",
    "List": "The content of the list",
    "Objective": "Preserve the score with as little as possible, or delete it by as little as possible",
    "Regularizer": "The penalty that makes the inverse simple",
    "Nothing looks like": "The color of a pixel of which nothing is left: the network sees the mean color as zeros",
    "Unit": "The part of the network whose channels are shown",
    "Channel": "The channel of the unit; those that are most active in the image come first",
    "Compare across": "What the columns of the table are: images, layers or classes",
    "Components": "The number of parts into which the activations of the layer are factorized",
    "Factorization": "How the activations are factorized",
    "by": "How the activations are factorized",
    "Similarity": "How two activations are compared",
    "Compare with": "Compare with one position, or each image with its own",
    "Color range": "The values at the ends of the colors",
    "Source": "What everything is compared with: the hovered position, or a token",
}
#: Largest side of a patch that is sent to a view, in pixels.
THUMBNAIL = 64


def row_layout(**settings: Any) -> Layout:
    """Return the layout of a row that breaks where the column is narrow."""
    return Layout(
        **{
            "flex_flow": "row wrap",
            "grid_gap": "8px 16px",
            "align_items": "flex-start",
            "overflow": "hidden",
            **settings,
        }
    )


def stretch(*parts: tuple[View, str]) -> None:
    """Give views their share of a row, as in ``(view, "2 1 240px")``."""
    for part, flex in parts:
        set_layout(part, flex=flex, min_width="0", margin="0")
        lend(part)


def lend(part: Any) -> None:
    """Let the flexible width of a part hold in its explorer only, unless the user sets another.

    Outside, where the part is displayed alone or in a box of the user, it has its own width.
    """
    part.add_class(PART)
    layout = part.layout

    def keep(_change: object) -> None:
        layout.unobserve(keep, "flex")
        part.remove_class(PART)

    layout.observe(keep, "flex")


def fill_width(*parts: Any) -> None:
    """Let views take the whole width of their column."""
    set_layout(*parts, width="100%", min_width="0", margin="0")


def class_picker(model: ImageModel, target: int = 0) -> ClassPicker:
    """Return the field for one of the classes, or of the targets, of a network."""
    words = {"title": "Target", "help": "The target that is explained; type to search"}
    return ClassPicker(labels=model.labels, target=target, **({} if model.target_scores is None else words))


def scores_title(model: ImageModel, end: str = "") -> str:
    """Return the title of bars of scores, which ends with some words."""
    return f"{'Best classes' if model.target_scores is None else 'Scores'} {end}".strip()


def dropdown(
    title: str, options: Iterable[str], value: str, labels: Mapping[str, str] | None = None
) -> SelectView:
    """Return a drop-down list that takes its share of a row; labels are the texts of options, by option."""
    select = SelectView(
        title=title,
        options=list(options),
        value=value,
        labels=dict(labels or {}),
        help=HELP.get(title, ""),
    )
    stretch((select, "1 1 140px"))
    return select


def existing_class(model: ImageModel, value: Any) -> int:
    """Return the index of a class; TraitError, with the nearest label, if the network does not have it."""
    try:
        return model.class_index(value)
    except ValueError as error:
        raise TraitError(str(error)) from error


def is_large(x: Tensor) -> bool:
    """Return whether images (N, C, H, W) are so large that defaults of searches are reduced."""
    return x.shape[2] * x.shape[3] > LARGE


def search_settings(x: Tensor) -> ExtremalSettings:
    """Return the settings of a search of masks on an image: fewer steps where each takes longer."""
    return ExtremalSettings(steps=20, scan=5) if is_large(x) else ExtremalSettings()


def image_names(images: Any, names: Sequence[str] | None = None) -> list[str]:
    """Return a name for each image: the given one, else that of its file, else "image 1", "image 2", ..."""
    given = [str(name) for name in names or ()]
    found = [_file_name(image) or f"image {number}" for number, image in enumerate(single_images(images), 1)]
    return [*given, *found[len(given) :]][: len(found)]


def _file_name(image: Any) -> str:
    """Return the name of the file of an image, without folder and ending; "" if it comes from none."""
    path = image if isinstance(image, str | os.PathLike) else getattr(image, "filename", "")
    return Path(path).stem if path else ""


def one_image(model: ImageModel, image: Any) -> Tensor:
    """Return the image (1, C, H, W); ValueError for several images."""
    x = model.images(image)
    if len(x) != 1:
        raise ValueError(f"expected one image, got {len(x)}; make an explorer for each")
    return x


def plain_images(images: Any) -> Any:
    """Return the images of a data set as a list, and images of any other kind as they are."""
    listed = isinstance(images, Sequence) and not isinstance(images, str)
    if listed and len(images) and isinstance(images[0], Example):
        return [example.image for example in images]
    return images


def score_name(model: ImageModel) -> str:
    """Return the name of the outputs of a network on an axis."""
    return f"score before {model.activation}" if model.activation else model.value_name


def void_scores(model: ImageModel, target: int, low: float, high: float, end: str) -> str:
    """Return why masks of a class mean little, or an empty string.

    Parameters
    ----------
    model : ImageModel
        The network.
    target : int
        The class.
    low, high : float
        Its scores for the fully perturbed image and for the image.
    end : str
        Name of the fully perturbed image, such as "all blurred".
    """
    label = model.labels[target]
    if high <= low:
        return f"Masks mean little here: {label} scores {high:.3g} for the image, and {low:.3g} for it {end}."
    if model.has_probabilities and high < 0:
        return (
            f"Masks mean little here: {label} scores {high:.3g}, below 0, as the network sees other classes."
        )
    return ""


def caption() -> HTML:
    """Return an empty line for remarks below an explorer."""
    return HTML(layout=Layout(margin="0", display="none"))


def with_menu(children: Iterable[Any], menu: View) -> list[Any]:
    """Return the children of an explorer with its menu at the end of their first line."""
    first, *others = children
    set_layout(menu, flex="0 0 auto", margin="0 0 0 auto")
    if not isinstance(first, HBox):
        # In one line: the first part takes the rest of the width.
        set_layout(first, flex="1 1 0%", width="auto")
        first = HBox(
            [first], layout=row_layout(flex_flow="row nowrap", align_items="center", overflow="visible")
        )
    first.children = (*first.children, menu)
    return [first, *others]


def show_note(line: HTML, notes: Sequence[str]) -> None:
    """Show the sizes of images and how all of them were resized; nothing if none was."""
    given = list(dict.fromkeys(filter(None, notes)))
    sizes, ways = ([note.partition(", ")[part] for note in given] for part in (0, 2))
    shown = f"{' and '.join(sizes[:3])}{' and others' if len(sizes) > 3 else ''}"
    text = f"{'Image' if len(notes) == 1 else 'Images'}: {shown}, {ways[0] if ways else ''}"
    line.value = f"<small>{escape(text)}</small>" if given else ""
    line.layout.display = None if given else "none"


def show_patches(model: ImageModel, gallery: GalleryView, patches: Tensor) -> None:
    """Show patches (M, k, C, s, s) in M rows of k; nothing is shown for a missing one, which is all NaN."""
    small = shrink(patches, THUMBNAIL).flatten(0, 1)
    present = ~small.isnan().flatten(1).all(1)
    gallery.columns = patches.shape[1]
    gallery.images = model.to_rgb(small.nan_to_num(0.5))
    gallery.present = None if present.all() else present.cpu().numpy()
    gallery.frame = -1


def wide() -> Layout:
    """Return a layout of the full width."""
    return Layout(width="100%", min_width="0", margin="0")


def paragraph(text: str) -> HTML:
    """Return a text without margins."""
    return HTML(f"<p style='margin:0'>{escape(text)}</p>")


def explanation(text: str) -> HTML:
    """Return a small text below views, such as how to read them."""
    return HTML(small_text(text), layout=Layout(margin="0 8px"))


def small_text(text: str) -> str:
    """Return the HTML of a small text."""
    return small_html(escape(text))


def small_html(html: str) -> str:
    """Return HTML as a small text."""
    return f'<div style="line-height: 1.35; font-size: 12px">{html}</div>'
