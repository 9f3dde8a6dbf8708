"""Fewer examples for properties that take long."""

from hypothesis import settings


def fewer_examples(divisor):
    """Let Hypothesis try this fraction of the examples of its profile."""
    return settings(max_examples=-(-settings.default.max_examples // divisor))
