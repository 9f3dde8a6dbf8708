"""Backward rules: replace the backward pass of operations, and keep the forward pass, inside a ``with`` block.

:class:`BackwardRules` replaces the backward of ReLU and max-pooling; :class:`PropagationRules` that of every operation
between the pixels and the scores. :class:`AttentionRecorder` records attention matrices.
"""

from xai_widgets.rules.attention import Attention, AttentionRecorder, expanded_attention
from xai_widgets.rules.backward import BackwardRules, deconv_relu, guided_relu, positive_gradient
from xai_widgets.rules.folding import at_least_float32, fold, producer_node
from xai_widgets.rules.propagation import Norm, Operation, PropagationRules, check_reached
from xai_widgets.rules.relu import relu_rules

__all__ = [
    "Attention",
    "AttentionRecorder",
    "BackwardRules",
    "Norm",
    "Operation",
    "PropagationRules",
    "at_least_float32",
    "check_reached",
    "deconv_relu",
    "expanded_attention",
    "fold",
    "guided_relu",
    "positive_gradient",
    "producer_node",
    "relu_rules",
]
