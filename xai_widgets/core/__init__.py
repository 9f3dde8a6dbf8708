"""The image model, its layers and hooks, argument validation, and resumable runs."""
