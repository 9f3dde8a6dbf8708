"""The base of studies: order, resuming, failures and warnings."""

import pytest

from xai_widgets.core.run import Run
from xai_widgets.errors import warn
from xai_widgets.studies import Outcome, ResultStore, Study


class Counting(Study):
    """Counts to 3 for each key, from where an earlier result ended."""

    def __init__(self, *, bad=(), resumable=False, store=None):
        super().__init__(store)
        self.bad, self.resumable, self.log = set(bad), resumable, []

    def run(self, key, start=None):
        self.log.append((key, start))

        def steps():
            warn(f"{key} begins")
            for count in range(1, 4):
                if key in self.bad and count == 2:
                    raise RuntimeError(f"{key} is bad")
                yield (start or 0) + count

        return Run(steps(), total=3)

    def steps(self, key):
        return 3


def test_every_key_is_computed_once_and_kept():
    study = Counting()
    outcomes = study.compute(["a", "b", "a"], progress=False)
    assert outcomes == {key: Outcome(3, "", (f"{key} begins",), complete=True) for key in "ab"}
    study.compute(["b", "c"], progress=False)
    assert [key for key, _ in study.log] == ["a", "b", "c"]
    # Nothing is missing.
    assert study.compute(["a"], progress=False)["a"].result == 3


def test_snapshots_name_the_key_that_changed():
    study = Counting()
    seen = [
        (key, study.outcome(key).result, study.outcome(key).complete) for key in study.missing(["a", "b"])
    ]
    assert seen == [
        (key, n, done) for key in "ab" for n, done in [(1, False), (2, False), (3, False), (3, True)]
    ]


def test_the_bar_reaches_its_end():
    run = Counting().missing(["a", "b"])
    for _ in run:
        pass
    assert run.done == run.total == 8


def test_a_failure_stops_no_other_key():
    study = Counting(bad="a")
    outcomes = study.compute(["a", "b"], progress=False)
    assert outcomes["a"] == Outcome(None, "a is bad", ("a begins",), complete=True)
    assert outcomes["b"].result == 3
    assert study.failures(["a", "b"]) == {"a": "a is bad"}
    # It is not tried again unless asked to.
    study.compute(["a", "b"], progress=False)
    assert [key for key, _ in study.log] == ["a", "b"]


def test_all_failures_are_an_error():
    study = Counting(bad="ab")
    with pytest.raises(ValueError, match=r"a is bad \(and 1 more failed\)"):
        study.compute(["a", "b"], progress=False)
    assert study.failures("ab") == {"a": "a is bad", "b": "b is bad"}


def test_another_key_can_replace_a_failed_one():
    study = Counting(bad="ac")
    run = study.missing(["a", "b"], replaced=lambda key: {"a": ["c"], "c": ["d"]}.get(key, []))
    run.result(progress=False)
    assert [key for key, _ in study.log] == ["a", "b", "c", "d"]
    assert study.result("d") == 3


def test_the_order_may_change_between_keys():
    study = Counting()
    first = iter("cab")
    for _ in study.missing("abc", choose=lambda keys: next(first)):
        pass
    assert [key for key, _ in study.log] == ["c", "a", "b"]


def test_a_stopped_key_is_resumed():
    study = Counting(resumable=True)
    run = study.missing(["a"])
    for _ in run:
        run.cancel()
    assert study.outcome("a") == Outcome(1, "", ("a begins",), complete=False)
    study.compute(["a"], progress=False)
    assert study.log == [("a", None), ("a", 1)]
    assert study.result("a") == 4


def test_again_improves_a_resumable_result_and_renews_another():
    for resumable, start in ((True, 3), (False, None)):
        study = Counting(resumable=resumable)
        study.compute(["a"], progress=False)
        study.compute(["a"], again=True, progress=False)
        assert study.log == [("a", None), ("a", start)]


def test_a_failed_attempt_to_resume_keeps_the_result():
    study = Counting(resumable=True)
    study.compute(["a"], progress=False)
    study.bad = {"a"}
    with pytest.raises(ValueError, match="a is bad"):
        study.compute(["a"], again=True, progress=False)
    assert study.outcome("a").result == 4
    assert study.outcome("a").error == "a is bad"


def test_results_go_to_the_store_of_the_beginning():
    """An explorer replaces the store with the image: a late result must not appear beside the new image."""
    study = Counting()
    old = study.store
    run = study.missing(["a"])
    for _ in run:
        study.store = ResultStore()
    assert old["a"].complete
    assert len(study.store) == 0


def test_forgotten_keys_are_computed_again():
    study = Counting()
    study.compute(["a"], progress=False)
    study.forget(["a", "never computed"])
    assert study.outcome("a") == Outcome()


def test_a_computation_that_ends_early_has_converged():
    class Early(Study):
        def run(self, key, start=None):
            return Run(iter(range(1, key + 1)), total=5)

        def steps(self, key):
            return 5

    study = Early()
    study.compute([3, 5], progress=False)
    assert study.convergence([3]) == "converged after 3 of 5 steps"
    assert study.convergence([5]) == ""
    study.forget([3])
    assert study.convergence([3]) == ""
