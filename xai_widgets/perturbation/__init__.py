"""Perturbations: what a network still sees when parts of the image, or of a layer, are taken away."""
