"""The methods that an explorer computes by default, without those that the network does not allow."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xai_widgets.methods import METHODS, Method


class DefaultMethods:
    """A default choice of methods, in which others replace those that fail, until the user chooses.

    Parameters
    ----------
    names : sequence of str
        The methods to begin with.
    spare : sequence of str
        Methods that replace them, one for each that failed, in this order.
    """

    def __init__(self, names: Sequence[str], spare: Sequence[str]) -> None:
        self.names, self.spare = tuple(names), tuple(spare)

    def options(self) -> list[Method]:
        """Return all registered methods, the default and spare ones first."""
        first = [METHODS[name] for name in (*self.names, *self.spare)]
        return [*first, *(method for method in METHODS.values() if method not in first)]

    def replaced(self, error: Callable[[str], str]) -> list[str]:
        """Return the names with spare ones in place of those that failed.

        Parameters
        ----------
        error : callable
            Returns the reason why a method failed, "" for one that did not fail or was not tried.
        """
        names, spare = list(self.names), list(self.spare)
        while spare and (failed := [name for name in names if error(name)]):
            names.remove(failed[0])
            names.append(spare.pop(0))
        return names


def is_slow(method: Method) -> bool:
    """Return whether a method takes a number of passes that an option sets."""
    return method.slow
