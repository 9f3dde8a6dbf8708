"""A tiny vision transformer, with its attention written in the ways in which people write it."""

import math

import torch
import torch.nn.functional as F
from networks import CLASSES
from torch import nn

WIDTH, HEADS, SIDE = 8, 2, 4
FORMS = ["fused", "explicit", "bmm", "einsum", "multi_head"]


class SelfAttention(nn.Module):
    """Self-attention; every form has the same weights and values."""

    def __init__(self, form, bias=True):
        super().__init__()
        self.form = form
        self.inner = nn.MultiheadAttention(WIDTH, HEADS, bias=bias, batch_first=True)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        if self.form == "multi_head":
            return self.inner(x, x, x, need_weights=False)[0]
        q, k, v = (
            part.unflatten(2, (HEADS, -1)).transpose(1, 2)
            for part in F.linear(x, self.inner.in_proj_weight, self.inner.in_proj_bias).chunk(3, 2)
        )
        scale = q.shape[-1] ** -0.5
        if self.form == "fused":
            y = F.scaled_dot_product_attention(q, k, v)
        elif self.form == "explicit":
            y = self.drop((q @ k.transpose(2, 3) * scale).softmax(-1)) @ v
        elif self.form == "einsum":
            weights = torch.softmax(torch.einsum("bhid,bhjd->bhij", q, k) * scale, -1)
            y = torch.einsum("bhij,bhjd->bhid", weights, v)
        elif self.form == "talking":
            weights = (q @ k.transpose(2, 3) * scale).softmax(-1)
            y = torch.einsum("bhij,hg->bgij", weights, torch.eye(HEADS) - 0.2) @ v
        elif self.form == "transposed":
            y = (v.transpose(2, 3) @ (k @ q.transpose(2, 3) * scale).softmax(-2)).transpose(2, 3)
        elif self.form == "heads first":
            q, k, v = (part.transpose(0, 1).flatten(0, 1) for part in (q, k, v))
            weights = torch.softmax(torch.bmm(q * scale, k.transpose(1, 2)), -1)
            y = torch.bmm(weights, v).unflatten(0, (HEADS, len(x))).transpose(0, 1)
        elif self.form == "relative":
            weights = (q @ k.transpose(2, 3) * scale).softmax(-1)
            y = weights @ v + weights @ torch.zeros_like(v[0, 0])
        else:
            q, k, v = (part.flatten(0, 1) for part in (q, k, v))
            weights = F.softmax(torch.bmm(q * scale, k.transpose(1, 2)), dim=-1)
            y = torch.bmm(self.drop(weights), v).unflatten(0, (len(x), HEADS))
        return self.inner.out_proj(y.transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    def __init__(self, form, bias=True):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, bias=bias), nn.LayerNorm(WIDTH, bias=bias)
        self.attention = SelfAttention(form, bias)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 2 * WIDTH, bias=bias), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH, bias=bias)
        )

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """A vision transformer of 16 patches and three blocks, that reads its first token or the mean of the patches."""

    def __init__(self, form="fused", prefix=1, bias=True, channels=3):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, WIDTH, 2, stride=2, bias=bias)
        self.prefix = nn.Parameter(torch.zeros(1, prefix, WIDTH)) if prefix else None
        self.position = nn.Parameter(torch.zeros(1, prefix + SIDE**2, WIDTH)) if bias else None
        self.block1, self.block2, self.block3 = (TransformerBlock(form, bias) for _ in range(3))
        self.norm = nn.LayerNorm(WIDTH, bias=bias)
        self.fc = nn.Linear(WIDTH, CLASSES, bias=bias)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.parameters():
                # Sharp attention, so that its gradients are far from 0.
                scale = 1.5 if parameter.ndim == 2 else 1.0
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale / WIDTH**0.5)
            for norm in [part for part in self.modules() if isinstance(part, nn.LayerNorm)]:
                norm.weight += 1

    def tokens(self, x):
        """Return the tokens after the last block."""
        x = self.conv1(x).flatten(2).transpose(1, 2)
        if self.prefix is not None:
            x = torch.cat([self.prefix.expand(len(x), -1, -1), x], 1)
        x = x if self.position is None else x + self.position
        return self.block3(self.block2(self.block1(x)))

    def head(self, x):
        """Return the scores."""
        x = self.norm(x)
        return self.fc(x.mean(1) if self.prefix is None else x[:, 0])

    def forward(self, x):
        return self.head(self.tokens(x))


def looking_at(patch):
    """Return a transformer in which the class token attends to one patch, and each patch to itself.

    Tokens have angles as positions, in channels 0 and 1, and look at the angle in channels 2 and 3. Channel 4 is the
    brightness of a patch, which attention writes to channel 5, and which is the score of class 1.
    """
    network = Transformer("multi_head").eval()
    angles = torch.arange(1 + SIDE**2) * (2 * math.pi / (1 + SIDE**2))
    looks = angles.clone()
    looks[0] = angles[1 + patch]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.conv1.weight[4] = 1 / 12
        position = [angles.cos(), angles.sin(), looks.cos(), looks.sin()]
        network.position[0, :, :4] = torch.stack(position, 1)
        for block in (network.block1, network.block2, network.block3):
            block.norm1 = block.norm2 = nn.Identity()
            query, key, value = block.attention.inner.in_proj_weight.chunk(3)
            for head in range(HEADS):
                first = head * WIDTH // HEADS
                query[first : first + 2, 2:4] = 60 * torch.eye(2)
                key[first : first + 2, 0:2] = 60 * torch.eye(2)
                value[first, 4] = 1.0
                block.attention.inner.out_proj.weight[5, first] = 0.5
        network.norm = nn.Identity()
        network.fc.weight[1, 5] = 1.0
    return network


def only(patch):
    """Return a map of 1 at one patch and 0 at all others."""
    made = torch.zeros(SIDE**2)
    made[patch] = 1.0
    return made.view(1, 1, SIDE, SIDE)


def attends(method):
    """Return whether a method requires attention."""
    return "attention" in method.requires
