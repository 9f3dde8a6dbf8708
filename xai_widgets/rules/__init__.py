"""The same forward pass, another backward pass, for the length of one block.

:class:`BackwardRules` give ReLU and max-pooling another backward; :class:`PropagationRules` every operation on the way.
"""

from xai_widgets.rules.backward import BackwardRules, deconv_relu, guided_relu, positive_gradient
from xai_widgets.rules.folding import at_least_float32, fold, producer_node
from xai_widgets.rules.propagation import Norm, Operation, PropagationRules, check_reached
from xai_widgets.rules.relu import relu_rules

__all__ = [
    "BackwardRules",
    "Norm",
    "Operation",
    "PropagationRules",
    "at_least_float32",
    "check_reached",
    "deconv_relu",
    "fold",
    "guided_relu",
    "positive_gradient",
    "producer_node",
    "relu_rules",
]
