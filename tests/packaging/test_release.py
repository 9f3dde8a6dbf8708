"""The way to a release: its workflows, the check of its tag, the citation."""

import datetime
import re
from pathlib import Path

import pytest
import release as script
import yaml

import xai_widgets

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"


def workflow(name):
    return yaml.safe_load((WORKFLOWS / name).read_text(encoding="utf-8"))


def triggers(content):
    # YAML 1.1 reads the key `on` as a truth value.
    return content[True]


def steps(content):
    return [step for job in content["jobs"].values() for step in job.get("steps", [])]


def commands(content):
    return [step["run"] for step in steps(content) if "run" in step]


def targets():
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("path", sorted(WORKFLOWS.glob("*.yml")), ids=lambda path: path.name)
def test_a_workflow_uses_what_there_is(path):
    content = workflow(path.name)
    assert content["permissions"] == {"contents": "read"}
    for command in commands(content):
        first, *rest = command.split()
        if first == "make":
            assert set(rest) <= targets()
        elif first == "python":
            assert (ROOT / rest[0]).is_file()
        elif first == ".venv/bin/python":
            assert rest[:2] == ["-m", "build"]
        else:
            assert (ROOT / first).is_file()
    for step in steps(content):
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+|pypa/gh-action-pypi-publish@release/v1", step["uses"])
    assert "secrets." not in path.read_text(encoding="utf-8")


def test_ci_runs_what_everybody_runs():
    content = workflow("ci.yml")
    assert {"push", "pull_request", "workflow_call"} <= set(triggers(content))
    assert ".ci/run" in commands(content)
    assert {"make docs", "make environments"} <= set(commands(content))
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    oldest = re.search(r'requires-python = ">=(.*?)"', pyproject)[1]
    assert oldest in content["jobs"]["test"]["strategy"]["matrix"]["python"]


def test_a_release_is_checked_built_and_published_without_a_password():
    content = workflow("release.yml")
    assert triggers(content) == {"push": {"tags": ["v*"]}}
    jobs = content["jobs"]
    assert jobs["check"]["uses"] == "./.github/workflows/ci.yml"
    assert jobs["build"]["needs"] == "check"
    assert jobs["publish"]["needs"] == "build"
    assert jobs["publish"]["environment"] == "pypi"
    # The right to publish is that of one job, which runs nothing of this repository.
    assert [name for name, job in jobs.items() if "permissions" in job] == ["publish"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    download, publish = jobs["publish"]["steps"]
    assert publish["uses"].startswith("pypa/gh-action-pypi-publish@")
    (upload,) = (step for step in jobs["build"]["steps"] if "upload-artifact" in step.get("uses", ""))
    assert upload["with"]["name"] == download["with"]["name"]
    assert upload["with"]["path"] == download["with"]["path"] == "dist"
    order = commands(jobs_of(content, "build"))
    assert [command.split()[-1] for command in order[1:]] == ["wheel", "build"]


def jobs_of(content, name):
    return {"jobs": {name: content["jobs"][name]}}


def test_the_check_of_a_tag_reads_the_version():
    assert script.version() == xai_widgets.__version__


GOOD = "# Changelog\n\n## 1.2.0 (2030-01-31)\n\n- Something.\n\n## 1.1.0 (2029-01-31)\n"


def test_a_good_tag_may_be_released():
    assert script.problems("v1.2.0", "1.2.0", GOOD) == []


@pytest.mark.parametrize(
    ("tag", "version", "changelog", "words"),
    [
        ("1.2.0", "1.2.0", GOOD, "wanted 'v1.2.0'"),
        ("v1.2.1", "1.2.0", GOOD, "wanted 'v1.2.0'"),
        ("v1.1.0", "1.1.0", GOOD, "begins with '1.2.0 (2030-01-31)'"),
        ("v1.2.0", "1.2.0", GOOD.replace("2030-01-31", "unreleased"), "wanted '1.2.0 (YEAR-MONTH-DAY)'"),
        ("v1.2.0", "1.2.0", "# Changelog\n", "begins with ''"),
        # A point is a point.
        ("v1x2x0", "1x2x0", GOOD, "begins with '1.2.0 (2030-01-31)'"),
    ],
)
def test_another_one_may_not(tag, version, changelog, words):
    (problem,) = script.problems(tag, version, changelog)
    assert words in problem


def test_another_repository_than_that_of_the_links_may_not():
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    repository = re.search(r'^Repository = "https://github\.com/(.*)"$', pyproject, re.MULTILINE)[1]
    assert script.foreign(pyproject, repository) == []
    (problem,) = script.foreign(pyproject, "another/one")
    assert f"got {repository}" in problem


def test_the_changelog_begins_with_this_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+) \((.*)\)$", changelog, re.MULTILINE)
    assert newest[1] == xai_widgets.__version__
    assert newest[2] == "unreleased" or datetime.date.fromisoformat(newest[2])


def test_the_citation_is_valid():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    # What version 1.2.0 of the format requires.
    assert citation["cff-version"] == "1.2.0"
    assert all(citation[key] for key in ("message", "title", "authors"))
    assert all("name" in author or "family-names" in author for author in citation["authors"])
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'license = "{citation["license"]}"' in pyproject
    assert [author["name"] for author in citation["authors"]] == re.findall(
        r'\{ name = "(.*?)" \}', pyproject
    )
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("BSD 3-Clause License")
