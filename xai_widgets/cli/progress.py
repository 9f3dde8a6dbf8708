"""The progress bar of commands."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from tqdm import tqdm

from xai_widgets.studies import Study


def compute(
    study: Study[Any, Any], keys: Collection[Any], *, unit: str, quiet: bool, describe: Callable[[Any], str]
) -> None:
    """Compute the keys of a study with a progress bar; ``describe`` returns the text beside it for a key."""
    # None: the bar is shown only at a terminal.
    bar = tqdm(total=len(keys), unit=unit, leave=False, disable=quiet or None)
    # A ValueError is raised at the end if every key failed; commands report failures from the study.
    with bar, suppress(ValueError):
        for key in study.missing(keys):
            bar.set_description_str(describe(key), refresh=False)
            bar.update(study.outcome(key).complete)
