"""The network as images in [0, 1] to class scores, its layers and hooks, checked arguments, and resumable runs."""
