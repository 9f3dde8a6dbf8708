"""Tensor operations on images and maps: resize, blur, fill, perturb and normalize."""
