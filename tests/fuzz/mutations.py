"""Values that are wrong, strange or the same in other words, as expressions of :mod:`world`."""

# Tables are read by rows.
# ruff: noqa: E501
from __future__ import annotations

import random
import re

#: Anything that an argument may be given by mistake.
HOSTILE = (
    "None", "True", "''", "'text'", "'a' * 5000", r"'two\nlines'", "b'bytes'", "1j", "object()", "Silent()", "Hostile()",
    "len", "int", "Ellipsis", "slice(None)", "range(3)", "iter([1, 2])", "{}", "{'a': 1}", "set()", "()", "[]",
    "[None]", "[Silent()]", "[[1, 2], [3]]", "['a', 1]", "[1, 2, 3]", "(0.1, 0.2)", "[nan]", "[10**30]",
    "0", "1", "-1", "0.5", "1.5", "-0.5", "nan", "inf", "-inf", "1e-300", "1e300", "10**12", "2**63", "-10**30", "10**400",
    "Fraction(1, 2)", "np.float32('nan')", "np.float16(0.5)", "np.int8(-1)", "np.uint8(200)", "np.bool_(True)",
    "np.array('x')", "np.array(None)", "np.array([])", "np.array([1, 2])", "np.zeros((2, 2, 2))", "np.zeros((0, 4, 3))",
    "np.datetime64('2020-01-01')", "np.full((16, 16, 3), 300.0)", "np.full((16, 16, 3), nan)", "np.zeros((16, 16, 3), object)",
    "torch.tensor(1)", "torch.tensor(0.5)", "torch.tensor(nan)", "torch.tensor([])", "torch.tensor([1, 2])",
    "torch.tensor(True)", "torch.tensor(1j)", "torch.zeros(3, 16, 16)", "torch.zeros(1, 3, 0, 0)", "torch.zeros(0, 3, 16, 16)",
    "torch.zeros(1, 3, 5, 7)", "torch.full((1, 3, 16, 16), nan)", "torch.full((1, 3, 16, 16), 255.0)",
    "torch.full((1, 3, 16, 16), -1.0)", "torch.zeros(1, 16, 16)", "torch.full((1, 16, 16), inf)",
    "torch.zeros(1, 3, 16, 16, dtype=torch.complex64)", "torch.zeros(1, 3, 16, 16, dtype=torch.int64)",
    "torch.zeros(1, 3, 16, 16, device='meta')", "torch.zeros(2, 2).to_sparse()", "torch.zeros(3, 16, 16).to_sparse()",
    "torch.nested.nested_tensor([torch.zeros(3, 4, 4), torch.zeros(3, 5, 5)])", "torch.rand(2, 3, 16, 16)",
    "torch.zeros(1, 3, 16, 16, requires_grad=True)", "nn.Identity()", "Tiny()", "nn.Parameter(torch.ones(2))",
    "Image.new('RGB', (0, 0))", "Image.new('RGB', (3, 3))", "Image.new('F', (16, 16), 300.0)",
    "Path('/nowhere/image.png')", "Path('/')", "Path('a' * 300)", r"'\x00'", "'conv9'", "'fc'", "network()", "network('broken')",
    "A.gradient", "torch.float32", "torch.device('cpu')",
)  # fmt: skip

_NUMBER = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?$")
#: The same number, in other words.
SAME = ("torch.tensor({})", "np.array({})", "np.float64({})", "torch.tensor([{}])", "Fraction('{}')")


def mutate(value: str, rng: random.Random) -> tuple[str, bool]:
    """Return another value for an argument, and whether it has to be taken exactly like the first."""
    if _NUMBER.match(value) and rng.random() < 0.3:
        return rng.choice(SAME).format(value), True
    return rng.choice(HOSTILE), False
