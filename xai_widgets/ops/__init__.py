"""Tensor operations on images and maps: resize, blur, fill, perturb, normalize and convert colors."""
