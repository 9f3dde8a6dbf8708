"""The best classes at one point of a curve, as bars."""

from __future__ import annotations

from typing import Any

from traitlets import Float, Int, List, Unicode, validate

from xai_widgets.views.arrays import Array
from xai_widgets.views.base import View
from xai_widgets.views.traits import GAMES, Choice, Unit, low_below_high


class ScoresView(View):
    """Bars of the top-K class scores of one method and game, at one fraction.

    All scores are sent once, so the bars follow `fraction` without a kernel. The step shown is the
    computed one nearest to `fraction`; its own `x` is written above the bars, unless there is one step only.

    Attributes
    ----------
    x : numpy.ndarray of float32, shape (T,), or None
        The steps, ascending, for instance as fractions; a single step needs none. Default None.
    values : numpy.ndarray of float32, shape (M, 2, T, K), or None
        Scores of the K best classes, for M methods, both games (0 deletion, 1 insertion) and
        T steps; NaN where nothing is computed yet. Default None.
    indices : numpy.ndarray of int32, shape (M, 2, T, K), or None
        The classes of `values`. Default None.
    target_values : numpy.ndarray of float32, shape (M, 2, T), or None
        Scores of `target`, shown in a row of its own when it is not among the best. Default None.
    reference : numpy.ndarray of float32, shape (C,), or None
        A score of each class to compare with, by its index, for instance that of the image before it was
        perturbed: a tick on each bar, and the change in words; NaN for none. Default None.
    labels : list of str
        The name of each class; a class without one is shown by its number. Default empty.
    target : int
        The class that is marked; -1 for none. Default -1.
    frame, game, fraction : int, {"deletion", "insertion"}, float in [0, 1]
        The method, the game and the step to show, from the first (0) to the last `x` (1). Defaults 0, "deletion", 0.
    value_limits : list of float
        The scores of an empty and of a full bar. Default ``[0, 1]``, as for probabilities.
    words : list of str
        What the number of a step says, for both games. Default ``["deleted", "inserted"]``, as in "0.1 deleted".
    width : int
        Largest width in CSS px, 0 for the width of the column. Default 0.
    title : str
        A heading, also the accessible name.
    """

    _bundle = "scores_view"

    x = Array("float32", (None,), help="The steps, ascending, shape (T,).")
    values = Array("float32", (None, 2, None, None), help="Scores of the K best classes, (M, 2, T, K).")
    indices = Array("int32", (None, 2, None, None), help="Classes of the scores, (M, 2, T, K).")
    target_values = Array("float32", (None, 2, None), help="Scores of the target, (M, 2, T).")
    reference = Array("float32", (None,), help="Scores of all classes to compare with, (C,).")
    labels: List[str] = List(Unicode(), help="The name of each class.").tag(sync=True)
    target = Int(-1, help="The class that is marked; -1: none.").tag(sync=True)
    frame = Int(0, help="The method that is shown.").tag(sync=True)
    game = Choice(GAMES, help="The game that is shown.")
    fraction = Unit(help="The step that is shown.")
    value_limits: List[float] = List(
        Float(), [0.0, 1.0], minlen=2, maxlen=2, help="The scores of an empty and of a full bar."
    ).tag(sync=True)
    words: List[str] = List(
        Unicode(),
        ["deleted", "inserted"],
        minlen=2,
        maxlen=2,
        help="What the number of a step says, for both games.",
    ).tag(sync=True)
    width = Int(0, min=0, help="Largest width, CSS px; 0: that of the column.").tag(sync=True)

    @validate("value_limits")
    def _limits_are_a_range(self, proposal: dict[str, Any]) -> list[float]:
        return low_below_high("ScoresView.value_limits", proposal["value"])
