"""The menu of an explorer: save, copy, undo, full screen, and a photograph from the user."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from traitlets import Bool, Dict, Int, List, Unicode

from xai_widgets.errors import as_sentence, checked_keywords
from xai_widgets.views.seen import Seen

logger = logging.getLogger(__name__)


class SavedFile(NamedTuple):
    """A file that the browser saves: its name and its bytes."""

    name: str
    data: bytes


class ExplorerMenu(Seen):
    """The menu "⋯" of an explorer.

    It saves the box that contains it as an image, shows it on the full screen, and asks Python for the code of the
    state, for undo, redo and reset, and to open a photograph, which is chosen, dropped on the box or pasted.

    Parameters
    ----------
    actions : mapping of str to callable, optional
        What each action calls: "code" returns a text, "undo", "redo" and "reset" return nothing, and "image" is called
        with the bytes and the name of a file. An error is shown as a sentence. Default: only what needs no kernel. See
        :meth:`add_file` for files.
    **traits
        Initial values of traits.
    """

    _bundle = "explorer_menu"

    name = Unicode("explorer", help="The name of saved files.").tag(sync=True)
    undos = Int(0, help="Number of changes that can be undone.").tag(sync=True)
    redos = Int(0, help="Number of undone changes that can be made again.").tag(sync=True)
    opens = Bool(False, help="Whether a photograph can be opened.").tag(sync=True)
    files: List[dict[str, str]] = List(
        Dict(),
        help="Files that Python makes: a dictionary with the keys `action`, `text` and `tip` for each.",
    ).tag(sync=True)
    width = Int(0, min=0, help="Maximum width in CSS px; 0 for the width of the column.").tag(sync=True)

    @checked_keywords
    def __init__(self, actions: Mapping[str, Callable[..., Any]] | None = None, **traits: Any) -> None:
        self._actions: dict[str, Callable[..., Any]] = dict(actions or {})
        super().__init__(**traits)
        self.on_msg(self._handle)

    def add_file(self, text: str, tip: str, make: Callable[[], SavedFile]) -> None:
        """Offer a file that Python makes.

        Parameters
        ----------
        text, tip : str
            The text of the entry, and that under the pointer.
        make : callable
            Returns the file.
        """
        action = f"file {len(self.files)}"
        self._actions[action] = make
        self.files = [*self.files, {"action": action, "text": text, "tip": tip}]

    def close(self) -> None:
        """Close the menu and remove its actions."""
        self._actions = {}
        super().close()

    def _handle(self, _widget: object, content: dict[str, Any], buffers: Any) -> None:
        action = self._actions.get(str(content.get("action")))
        if action is None:
            return
        reply: dict[str, Any] = {"id": content.get("id"), "text": "", "error": ""}
        data: list[bytes] = []
        try:
            arguments = (bytes(buffers[0]), str(content.get("name", ""))) if buffers else ()
            made = action(*arguments)
            reply["text"] = made if isinstance(made, str) else ""
            if isinstance(made, SavedFile):
                reply["name"], data = made.name, [made.data]
        except Exception as error:
            logger.debug("%s of a menu failed", content.get("action"), exc_info=True)
            reply["error"] = as_sentence(error)
        self.send(reply, data)
