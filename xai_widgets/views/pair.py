"""The choice of two rows and a metric, which a leaderboard shares with the images behind it."""

from __future__ import annotations

from typing import Any

from traitlets import List, TraitError, Unicode

from xai_widgets.core.validation import brief


# Not of List[str]: in the oldest traitlets the class takes no parameters.
class Pair(List):
    """A trait that holds the names of up to two different rows, A and B.

    Parameters
    ----------
    **metadata
        Metadata of the trait.
    """

    def __init__(self, **metadata: Any) -> None:
        super().__init__(Unicode(), **metadata)
        self.tag(sync=True)

    def validate(self, obj: Any, value: Any) -> list[str]:
        """Raise TraitError for more than two names, or the same one twice."""
        names: list[str] = list(super().validate(obj, value) or ())
        if len(names) > 2 or len(set(names)) < len(names):
            raise TraitError(
                f"expected {type(obj).__name__}.{self.name} to be up to two different names, got {brief(names)}"
            )
        return names
