"""All explorers of one network in tabs, which share image, class, layer, position and colors."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from ipywidgets import Box, Tab, Widget
from torch import Tensor
from traitlets import HasTraits, Int, TraitError, Unicode, validate

from xai_widgets.core.display import single_images
from xai_widgets.core.model import ImageModel, Target, targeted
from xai_widgets.errors import as_sentence, unknown_name
from xai_widgets.explorers.attribution import AttributionExplorer
from xai_widgets.explorers.brush import PerturbationBrush
from xai_widgets.explorers.channel import ChannelExplorer
from xai_widgets.explorers.deletion import DeletionExplorer
from xai_widgets.explorers.explorer import Choice, wait_for
from xai_widgets.explorers.extremal import ExtremalExplorer
from xai_widgets.explorers.feature import FeatureExplorer
from xai_widgets.explorers.inverse import InverseExplorer
from xai_widgets.explorers.joining import link
from xai_widgets.explorers.layout import header
from xai_widgets.explorers.panel import closed_on_error, with_companions
from xai_widgets.explorers.parts import class_picker, dropdown, existing_class, paragraph, wide
from xai_widgets.explorers.sanity import SanityExplorer
from xai_widgets.explorers.similarity import SimilarityExplorer
from xai_widgets.explorers.state import DERIVED, EXPLORER, ChoiceEntry, Stateful
from xai_widgets.studies.layers import spatial_layers
from xai_widgets.views import GalleryView, View
from xai_widgets.views.static_repr import set_layout, walk_widgets


class Entry(NamedTuple):
    """An explorer of a dashboard: its class, and the title of its tab."""

    kind: Any
    title: str


#: Explorers of a dashboard by name.
EXPLORERS = {
    "attribution": Entry(AttributionExplorer, "Attribution"),
    "deletion": Entry(DeletionExplorer, "Deletion"),
    "extremal": Entry(ExtremalExplorer, "Extremal"),
    "brush": Entry(PerturbationBrush, "Brush"),
    "channels": Entry(ChannelExplorer, "Channels"),
    "inverse": Entry(InverseExplorer, "Inverse"),
    "similarity": Entry(SimilarityExplorer, "Similarity"),
    "features": Entry(FeatureExplorer, "Features"),
    "sanity": Entry(SanityExplorer, "Sanity"),
}
#: Traits of views that are linked in the browser, in all explorers.
LINKED = ("position", "viewport", "colormap")
#: Width of the images to choose from, CSS px.
THUMBNAIL = 40


class Dashboard(Stateful):
    """All explorers of one network, each in a tab, which share image, class, layer, position and color map.

    An explorer is made when its tab is first opened, and computes then. It takes the image, the class and the layer
    that are chosen above, and a class or a layer that is chosen in it is taken by the others. The hovered position and
    the color map are linked in the browser.

    Parameters
    ----------
    model : ImageModel
        The network; it is never changed.
    images
        One image or several, of any kind.
    explorers : sequence of str, optional
        Explorers to include, in this order, of "attribution", "deletion", "extremal", "brush", "channels", "inverse",
        "similarity", "features" and "sanity". Default: all of them.
    names : sequence of str, optional
        Names of the images.
    target : int, str or callable, optional
        The class of the first image. Default: the predicted class, as whenever another image is chosen.
    layer : str, optional
        A spatial layer. Default: the last one.
    options : dict of str to dict, optional
        Further arguments of explorers by their names, such as ``{"attribution": {"methods": ["lrp"]}}``.
    state : dict, optional
        Choices to begin with, a result of :meth:`state`.

    Attributes
    ----------
    frame : int
        Index of the image that is shown.
    target : int
        The class.
    layer : str
        The layer.
    image_picker : GalleryView
    class_picker : ClassPicker
    layer_picker : SelectView
    tabs : ipywidgets.Tab
    explorers : dict of str to explorer
        The explorers made so far, by name; `show` makes one.

    Raises
    ------
    ValueError
        For an unknown explorer, layer or class, with the nearest one, or bad images.
    TypeError
        If ``model`` is not an ImageModel.
    """

    frame = Int(0, min=0, help="Index of the image.")
    target = Int(0, help="The class.")
    layer = Unicode("", help="The layer.")
    #: Controls that need a kernel; colors and the position are linked in the browser.
    kernel_controls = ("image_picker", "class_picker", "layer_picker")
    derived: ClassVar[tuple[str, ...]] = (*DERIVED, "image_picker", "layer_picker")

    @closed_on_error
    def __init__(
        self,
        model: ImageModel,
        images: Any,
        *,
        explorers: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        target: Target = None,
        layer: str | None = None,
        options: dict[str, dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        # Made first: a constructor that raises is closed.
        self.explorers: dict[str, Any] = {}
        #: Explorers in hidden tabs whose computation was canceled; opening the tab starts it anew.
        self._canceled: set[str] = set()
        model, target = targeted(model, target)
        chosen = list(EXPLORERS) if explorers is None else list(explorers)
        for name in [*chosen, *(options or {})]:
            if name not in EXPLORERS:
                raise ValueError(unknown_name("explorer", name, EXPLORERS))
        self.model = model
        self._originals = list(single_images(images))
        self._x = model.images(images)
        self._names = [str(name) for name in names or ()]
        self._options = options or {}
        self._layers = spatial_layers(model)
        if layer is not None and layer not in self._layers:
            raise ValueError(unknown_name("spatial layer", layer, self._layers))
        super().__init__(**kwargs)
        self._predicted = int(model.scores(self._x[:1])[0].argmax())
        self.target = self._predicted if target is None else int(model.targets(target, self._x[:1])[0])
        self.layer = layer or (self._layers[-1] if self._layers else "")
        self._make_controls()
        self._make_tabs(chosen)
        self._lay_out()
        self.show(chosen[0])
        self.tabs.observe(lambda change: self.show(chosen[change["new"] or 0]), "selected_index")

    def _make_controls(self) -> None:
        self.image_picker = GalleryView(
            images=self.model.to_rgb(self._x),
            labels=self._names,
            frame=0,
            size=THUMBNAIL,
            title="Image",
            compact=True,
        )
        self.class_picker = class_picker(self.model, self.target)
        self._show_hints()
        self.layer_picker = dropdown("Layer", self._layers or [""], self.layer)
        self.image_picker.observe(lambda change: self._on_image(change["new"]), "frame")
        self.class_picker.observe(lambda change: setattr(self, "target", change["new"]), "target")
        self.layer_picker.observe(lambda change: setattr(self, "layer", change["new"]), "value")
        self.observe(lambda change: self._on_frame(change["new"]), "frame")
        self.observe(lambda _change: self._on_choice(), ["target", "layer"])

    def _make_tabs(self, chosen: Sequence[str]) -> None:
        self._pages = {
            name: Box([paragraph(EXPLORERS[name].kind.question)], layout=wide()) for name in chosen
        }
        self.tabs = Tab(children=list(self._pages.values()), layout=wide())
        for number, name in enumerate(chosen):
            self.tabs.set_title(number, EXPLORERS[name].title)

    def _lay_out(self) -> None:
        self.image_picker.layout.display = None if len(self._x) > 1 else "none"
        self.layer_picker.layout.display = None if self._layers else "none"
        menu = self._make_menu()
        row = header(self.image_picker, self.class_picker, self.layer_picker, menu)
        set_layout(self.image_picker, flex="1 1 200px")
        set_layout(menu, flex="0 0 auto", margin="0 0 0 auto")
        self.add_class(EXPLORER)
        self.children = [row, self.tabs]
        self._adopt(row, self.tabs)
        for picker in (self.image_picker, self.class_picker, self.layer_picker):
            picker._needs_kernel = True

    # -- shared choices -------------------------------------------------------------------------------------

    @validate("frame")
    def _image_exists(self, proposal: dict[str, Any]) -> int:
        number = int(proposal["value"])
        if number >= len(self._x):
            raise TraitError(f"expected frame from 0 to {len(self._x) - 1}, got {number}")
        return number

    @validate("target")
    def _class_exists(self, proposal: dict[str, Any]) -> int:
        return existing_class(self.model, proposal["value"])

    @validate("layer")
    def _layer_exists(self, proposal: dict[str, Any]) -> str:
        name = str(proposal["value"])
        if name not in [*self._layers, ""]:
            raise TraitError(unknown_name("spatial layer", name, self._layers))
        return name

    @property
    def image(self) -> Tensor:
        """The image that is shown, (1, C, H, W) in [0, 1]."""
        return self._x[self.frame : self.frame + 1]

    def _on_image(self, number: int) -> None:
        # Escape clears the choice in the gallery: the image stays.
        self.frame = number if number >= 0 else self.frame

    def _on_frame(self, number: int) -> None:
        self.image_picker.frame = number
        self._predicted = self._show_hints()
        self._cancel_hidden()
        self.target = self._predicted
        self._on_choice()

    def _open_tab(self) -> str:
        return list(self._pages)[self.tabs.selected_index or 0]

    def _cancel_hidden(self) -> None:
        """Cancel what hidden explorers compute about the image before."""
        for name, explorer in self.explorers.items():
            hidden = name != self._open_tab() and "image" in explorer.shared
            if hidden and explorer.run_bar.status == "running":
                explorer.abandon()
                self._canceled.add(name)

    def _show_hints(self) -> int:
        """Show the probabilities of the image and return the predicted class."""
        values = self.model.probabilities(self.model.scores(self.image))[0]
        self.class_picker.probabilities = values.tolist()
        return int(values.argmax())

    def _on_choice(self) -> None:
        self.class_picker.target = self.target
        if self._layers:
            self.layer_picker.value = self.layer
        for name in self.explorers:
            # Hidden tabs compute nothing, and show nothing of an earlier choice.
            if name == self._open_tab():
                self._bring(name)
            else:
                self._fill(name, paragraph(EXPLORERS[name].kind.question))

    def _fill(self, name: str, content: Any) -> None:
        """Replace the content of a tab, and close a text that was shown there."""
        before, self._pages[name].children = self._pages[name].children, [content]
        for one in with_companions(before):
            if one is not content and one not in self.explorers.values():
                one.close()

    # -- the explorers --------------------------------------------------------------------------------------

    def show(self, name: str) -> Any:
        """Show an explorer, and make it first if necessary.

        Parameters
        ----------
        name : str
            Its name.

        Returns
        -------
        explorer
            None, with the reason in its tab, if the network or image cannot be explained by it.
        """
        if name not in self._pages:
            raise ValueError(unknown_name("explorer", name, self._pages))
        if name not in self.explorers:
            try:
                made = EXPLORERS[name].kind.from_choice(
                    self.model, self._choice(), **self._options.get(name, {})
                )
            except Exception as error:  # a failure of one explorer does not stop the others
                self._refuse(name, error)
                return None
            self.explorers[name] = made
            made.layout.width = "100%"
            self._share(made)
            if self._history:
                self._history.watch(self._entries())
        self._bring(name)
        for other, explorer in self.explorers.items():
            explorer.hidden = other != name
        self.tabs.selected_index = list(self._pages).index(name)
        return self.explorers[name]

    def is_filled(self, name: str) -> bool:
        """Return whether a tab shows its explorer with the chosen image and class."""
        return name in self.explorers and self.explorers[name] in self._pages[name].children

    def _refuse(self, name: str, error: Exception) -> None:
        self._fill(name, paragraph(f"{EXPLORERS[name].title}: {as_sentence(error).rstrip('.')}."))

    def _choice(self) -> Choice:
        return Choice(
            self._x, self._names, self.frame, self.target, self.layer, self._layers, self._originals
        )

    def _share(self, explorer: Any) -> None:
        """Link the views of an explorer with those of the others, and take the class and layer chosen in it."""
        others = [other for other in self.explorers.values() if other is not explorer]
        for trait in LINKED:
            ends = _linked(explorer, trait)
            known = [view for other in others for view in _linked(other, trait)]
            if len(known[:1] + ends) > 1:
                link(*known[:1], *ends, trait)
        for name in ("class_picker", "menu"):
            # That of the dashboard is used instead.
            if hasattr(explorer, name):
                getattr(explorer, name).layout.display = "none"
        layers = getattr(explorer, "layer_picker", None)
        if layers is not None and set(layers.options) <= set(self._layers):
            layers.layout.display = "none"
        for name, part, attribute in _shared(explorer):
            if name in ("target", "layer") and isinstance(part, HasTraits) and part.has_trait(attribute):
                part.observe(lambda change, name=name: self._take(name, change["new"]), attribute)

    def _take(self, name: str, value: Any) -> None:
        """Take a class or a layer that was chosen in an explorer, unless it is one that others do not have."""
        if value is not None if name == "target" else value in self._layers:
            setattr(self, name, value)

    def _bring(self, name: str) -> None:
        """Bring an explorer to the image, the class and the layer, and show it."""
        try:
            self._set(self.explorers[name])
            if name in self._canceled:
                self._canceled.discard(name)
                self.explorers[name].compute()
        except Exception as error:  # such as an image that its method does not take
            self._refuse(name, error)
        else:
            self._fill(name, self.explorers[name])

    def _set(self, explorer: Any) -> None:
        for name, part, attribute in _shared(explorer):
            value, current = getattr(self, name), getattr(part, attribute)
            if name == "image":
                change = not current.equal(value)
                value = self._originals[self.frame]
            elif name == "target":
                # An explorer of several images keeps the class of each until another class is chosen.
                change = current != value and (current is not None or value != self._predicted)
            elif name == "layer":
                # An explorer in which no layer is chosen keeps that choice.
                change = current != value and current in self._layers
            else:
                change = current != value
            if change:
                setattr(part, attribute, value)

    # -- state and images of the user -----------------------------------------------------------------------

    def _entries(self) -> Iterator[ChoiceEntry]:
        yield from super()._entries()
        for name, explorer in self.explorers.items():
            for entry in explorer._entries():
                # The dashboard sets what is shared.
                if entry.name not in explorer.shared.values():
                    yield entry._replace(name=f"{name}.{entry.name}")
        yield ChoiceEntry("tab", self.tabs, "selected_index")

    def _prepare(self, given: Collection[str]) -> None:
        shown = self.tabs.selected_index
        for name in dict.fromkeys(key.partition(".")[0] for key in given):
            if name in self._pages and name not in self.explorers:
                self.show(name)
        self.tabs.selected_index = shown

    def _panels(self) -> list[Any]:
        shown = self.explorers.get(self._open_tab())
        return [] if shown is None else list(shown._panels())

    def _computing(self) -> list[Any]:
        return list(self.explorers.values())

    def _opens(self) -> bool:
        return True

    def _open_image(self, image: Any) -> None:
        """Add an image of the user to the others, and show it."""
        self._x = torch.cat([self._x, self.model.images(image)])
        self._originals.append(image)
        if self._names:
            self._names.append(f"image {len(self._x)}")
        self._replace_argument("images", self._originals)
        for name, explorer in list(self.explorers.items()):
            if "image" not in explorer.shared:  # it shows all images
                self._fill(name, paragraph(EXPLORERS[name].kind.question))
                self.explorers.pop(name).close()
        with self.image_picker.hold_sync():
            self.image_picker.labels = self._names
            self.image_picker.images = self.model.to_rgb(self._x)
        self.image_picker.layout.display = None
        self.frame = len(self._x) - 1
        self.show(self._open_tab())

    def owned(self) -> Iterator[Widget]:
        """Yield the dashboard, its explorers and the widgets that are closed with them."""
        pages = (child for page in self._pages.values() for child in page.children)
        made = (part for explorer in self.explorers.values() for part in explorer.owned())
        yield from (*super().owned(), *with_companions(pages), *made)

    def wait(self, timeout: float | None = None) -> bool:
        """Block until all explorers have finished; False if that took longer than ``timeout`` seconds."""
        return wait_for(timeout, *list(self.explorers.values()))

    def close(self) -> None:
        """Stop, and close every explorer."""
        for made in getattr(self, "explorers", {}).values():
            made.close()
        for page in getattr(self, "_pages", {}).values():
            self._adopt(*page.children)
        super().close()


def dashboard(model: ImageModel, images: Any, **options: Any) -> Dashboard:
    """Return all explorers of a network in tabs; parameters are those of :class:`Dashboard`."""
    return Dashboard(model, images, **options)


def _shared(explorer: Any) -> Iterator[tuple[str, Any, str]]:
    """Yield the name of each shared attribute, and the part of an explorer and its attribute that hold it."""
    for name, path in explorer.shared.items():
        part, _, attribute = path.rpartition(".")
        yield name, getattr(explorer, part) if part else explorer, attribute


def _linked(explorer: Any, trait: str) -> list[View]:
    """Return the views of an explorer that a trait links; galleries, which have no position, zoom on their own."""
    needed = {trait, "position"} if trait == "viewport" else {trait}
    views = (part for part in walk_widgets(explorer) if isinstance(part, View))
    return [view for view in views if all(view.has_trait(name) for name in needed)]
