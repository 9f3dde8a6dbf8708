"""Studies: the computations about a model that explorers, the command line and scripts share, without any widget."""

from xai_widgets.studies.attribution import AttributionKey, AttributionStudy
from xai_widgets.studies.evaluation import Cell, EvaluationStudy, Score, Table
from xai_widgets.studies.store import DiskStore, Outcome, ResultStore
from xai_widgets.studies.study import Study

__all__ = [
    "AttributionKey",
    "AttributionStudy",
    "Cell",
    "DiskStore",
    "EvaluationStudy",
    "Outcome",
    "ResultStore",
    "Score",
    "Study",
    "Table",
]
