"""Studies: the computations about a model that explorers, the command line and scripts share, without any widget."""

from xai_widgets.studies.attribution import AttributionKey, AttributionStudy
from xai_widgets.studies.evaluation import Cell, EvaluationStudy, Score, Table
from xai_widgets.studies.score_store import ScoreStore
from xai_widgets.studies.score_tables import Evaluation, Interval
from xai_widgets.studies.scoring import evaluate
from xai_widgets.studies.store import DiskStore, Outcome, ResultStore
from xai_widgets.studies.study import Study

__all__ = [
    "AttributionKey",
    "AttributionStudy",
    "Cell",
    "DiskStore",
    "Evaluation",
    "EvaluationStudy",
    "Interval",
    "Outcome",
    "ResultStore",
    "Score",
    "ScoreStore",
    "Study",
    "Table",
    "evaluate",
]
