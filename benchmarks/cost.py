"""What a network costs: its multiply-adds, counted layer by layer as they run, in any thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass
class Cost:
    multiply_adds: int = 0


@contextlib.contextmanager
def counting(network: nn.Module) -> Iterator[Cost]:
    """Multiply-adds of the linear layers, recurrences and convolutions that run inside."""
    cost, lock = Cost(), threading.Lock()

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        matrices = sum(weight.numel() for weight in layer.parameters() if weight.dim() > 1)
        if isinstance(layer, nn.Linear | nn.RNNBase):
            positions = inputs[0].numel() // inputs[0].shape[-1]
        elif isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d):
            positions = inputs[0].numel() // layer.in_channels
        else:
            positions = output.numel() // layer.out_channels
        with lock:
            cost.multiply_adds += positions * matrices

    convolutions = nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.ConvTranspose2d
    hooks = [
        layer.register_forward_hook(count)
        for layer in network.modules()
        if isinstance(layer, nn.Linear | nn.RNNBase | convolutions)
    ]
    try:
        yield cost
    finally:
        for hook in hooks:
            hook.remove()
