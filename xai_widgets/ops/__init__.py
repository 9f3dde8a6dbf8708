"""Tensor operations that several packages use: resizing, blurring, filling and scaling of images and maps."""
