"""Files of the image of the feature explorer: the image itself, and its frames as an animation."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xai_widgets.explorers.feature_drawing import FeatureDrawing
from xai_widgets.views import ExplorerMenu
from xai_widgets.views.explorer_menu import SavedFile

#: Time of each frame of an animation, and of the last one, milliseconds.
DURATION, LAST = 80, 1500


class FeatureFiles(FeatureDrawing):
    """The files of :class:`~xai_widgets.explorers.FeatureExplorer`."""

    def _make_menu(self) -> ExplorerMenu:
        menu = super()._make_menu()
        menu.add_file(
            "Save image (PNG)", "The image alone, in its own size", lambda: self._file(animation=False)
        )
        menu.add_file(
            "Save animation (APNG)", "The image as it formed so far", lambda: self._file(animation=True)
        )
        return menu

    def _file(self, *, animation: bool) -> SavedFile:
        name = self.study.title(self._key()).replace(" ", "-").replace("/", "-")
        return SavedFile(f"{name}.{'apng' if animation else 'png'}", self._encoded(animation=animation))

    def _encoded(self, *, animation: bool) -> bytes:
        """Return the image, or its frames so far, as PNG; ValueError if no image was computed yet."""
        key = self._key()
        result = self.study.result(key)
        if result is None:
            raise ValueError("expected an image that was computed, got none yet; press Run")
        last = Image.fromarray(self.model.to_rgb(result.images[0].cpu()))
        file = io.BytesIO()
        if not animation:
            last.save(file, format="PNG")
            return file.getvalue()
        film = self.study.films.get(key)
        kept = sorted(film.frames.items()) if film else []
        frames = [Image.fromarray(frame) for step, frame in kept if step < result.step]
        durations = [DURATION] * len(frames) + [LAST]
        first, *others = [*frames, last]
        first.save(file, format="PNG", save_all=True, append_images=others, duration=durations, loop=0)
        return file.getvalue()

    def save(self, path: str | os.PathLike[str], *, animation: bool | None = None) -> Path:
        """Save the image as PNG, or its frames so far as an animated PNG, as the menu does.

        Parameters
        ----------
        path : str or path
            The file.
        animation : bool, optional
            Whether to save all frames, at most 120 evenly spaced ones and the last. Default: whether the name of the
            file ends with ".apng".

        Returns
        -------
        Path
            The file.

        Raises
        ------
        ValueError
            If no image was computed yet.
        """
        file = Path(path)
        file.write_bytes(self._encoded(animation=file.suffix == ".apng" if animation is None else animation))
        return file

    @property
    def frames(self) -> NDArray[np.uint8]:
        """The frames of the image so far, (T, H, W, 3), evenly spaced in its steps."""
        film = self.study.films.get(self._key())
        kept = {} if film is None else dict(film.frames)
        return np.stack([kept[step] for step in sorted(kept)]) if kept else np.zeros((0, 0, 0, 3), np.uint8)
