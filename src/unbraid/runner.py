"""A network at work: on a device, in a precision, on as many segments at a time as suit both."""

from __future__ import annotations

import os
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from threading import Lock
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from unbraid.errors import ConfigError, ModelError, UnbraidWarning
from unbraid.models.onnx import OnnxNetwork
from unbraid.wiener import wiener

AT_ONCE = 4  # batches that a processor works on at most, as a segment takes some 80 MiB
BATCH = 32  # segments that other devices start with; fewer if their memory does not hold them
PRECISIONS = ("auto", "float32", "bfloat16")

Item = TypeVar("Item")
Result = TypeVar("Result")


class Runner:
    """Estimates the targets of batches of segments.

    On a processor each segment has a thread of its own, as threads that share the work of one wait
    for each other at every step of a recurrence. Other devices take whole batches, and half of one
    for good when their memory runs out.

    Args:
        model: a network of `unbraid.models`, exported or not.
        device: `cpu`, `cuda`, `mps`, or `auto` for the best at hand.
        precision: `float32`, `bfloat16`, or `auto`: bfloat16 where the device multiplies it
            natively, which is faster.
        batch_size: segments in a batch; by default 1 on processors, `BATCH` elsewhere.
        wiener: iterations of the filter of `unbraid.wiener`.

    Attributes:
        device: that the network is on.
        precision: that it computes in, `float32` or `bfloat16`.
        batch_size: segments that a batch may have.

    Raises:
        ConfigError: if the device is not there, lacks the precision, or there is no such.
    """

    def __init__(
        self,
        model: nn.Module | OnnxNetwork,
        device: str,
        precision: str,
        batch_size: int | None,
        wiener: int,
    ) -> None:
        _keep_forks_going()
        exported = isinstance(model, OnnxNetwork)
        self.device = _device("cpu" if exported and device == "auto" else device)
        self.precision = _precision(precision, self.device, exported)
        self.model = model.to(self.device).eval()
        self._in_threads = self.device.type == "cpu" and not exported
        self.batch_size = batch_size or (1 if self.device.type == "cpu" else BATCH)
        self._wiener = wiener
        self._halving = Halving(self._estimate)

    def __call__(self, segments: Tensor) -> list[Tensor]:
        """Estimates `[b, targets, 2, samples]` of segments `[b, 2, samples]`, both in main memory.

        Those of a network with gates are followed by what these hear, `[b, targets, features,
        frames]`, for `unbraid.gating`.

        Raises:
            ModelError: if the network makes something that is not finite, or the device's memory
                does not hold a single segment.
        """
        return self._halving(segments)

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Like Python's `map`, but what comes next is computed while a result is used.

        On processors several items are computed at a time, and the threads are divided among them.

        Args:
            function: calls this runner.
            items: taken as needed, no more of them than are computed at a time, and one.
        """
        threads = torch.get_num_threads()
        at_once = min(threads, AT_ONCE) if self._in_threads else 1
        if threads == 1 and self._in_threads:  # a second one would be more than was allowed
            yield from map(function, items)
            return
        pool = ThreadPoolExecutor(at_once, "unbraid", torch.set_num_threads, (threads // at_once,))
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > at_once:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)  # MKL's number is one for all threads

    def _estimate(self, segments: Tensor) -> list[Tensor]:
        half = self.precision == "bfloat16"
        repeatable: AbstractContextManager[None] = nullcontext()
        if self.device.type == "cuda":
            segments, repeatable = segments.pin_memory(), _repeatable
        with torch.inference_mode(), repeatable:
            mixture = segments.to(self.device, non_blocking=True)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
                estimates, *evidence = _asked(self.model, mixture)
            estimates = estimates.float()
            if not torch.isfinite(estimates).all():
                peak = float(segments.abs().max())
                raise ModelError(
                    f"the network's output is not finite where the song peaks at {peak:.0e} of "
                    "full scale: the song is damaged, or the weights are unusable"
                )
            if self._wiener:
                residual = mixture - estimates.sum(1)
                stems = torch.cat([estimates, residual[:, None]], dim=1)
                estimates = wiener(stems, self._wiener)[:, :-1]
            return [part.cpu() for part in (estimates, *evidence)]


class Halving:
    """A function of batches that takes half of one for good when the device's memory runs out.

    Args:
        function: maps `[b, ...]` to one or more `[b, ...]`, row by row.
    """

    def __init__(self, function: Callable[[Tensor], Sequence[Tensor]]) -> None:
        self._function = function
        self._most: int | None = None

    def __call__(self, batch: Tensor) -> list[Tensor]:
        """The function's results for all rows.

        Raises:
            ModelError: if the memory does not hold a single row.
        """
        results = []
        while len(batch):
            rows = batch[: self._most]
            try:
                results.append(self._function(rows))
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if len(rows) == 1:
                    raise ModelError(
                        "the device's memory does not hold a segment: end what else runs there, "
                        "use --device cpu, or, in Python, a shorter segment"
                    ) from error
                self._most = len(rows) // 2
            else:
                batch = batch[len(rows) :]
        return [torch.cat(parts) for parts in zip(*results, strict=True)]


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device's memory has run out; only CUDA's allocator has a kind for that."""
    words = ("out of memory", "not enough memory", "can't allocate memory", "ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in words)


def _asked(model: Any, mixture: Tensor) -> tuple[Tensor, ...]:
    """A network's estimates, and what its gates hear if it has any."""
    return model.with_evidence(mixture) if getattr(model, "gates", ()) else (model(mixture),)


@cache
def _keep_forks_going() -> None:
    """Have processes that are forked from this one compute in one thread.

    PyTorch's other threads are not in there, and would be waited for without end.
    """
    if sys.platform != "win32":
        os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))


class _Repeatable:
    """Has cuDNN give the same bits every time, which its transposed convolutions else may not.

    The flag is the process's: it is put back when the last of several threads is through.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._within = 0
        self._before = False

    def __enter__(self) -> None:
        with self._lock:
            if not self._within:
                self._before = torch.backends.cudnn.deterministic
                torch.backends.cudnn.deterministic = True
            self._within += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._within -= 1
            if not self._within:
                torch.backends.cudnn.deterministic = self._before


_repeatable = _Repeatable()


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            reason = _fault(torch.device("cuda"))
            if not reason:
                return torch.device("cuda")
            warnings.warn(f"the GPU is not used: {reason}", UnbraidWarning, stacklevel=2)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    counts = {"cpu": 1, "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0}
    counts["mps"] = int(torch.backends.mps.is_available())
    kind, colon, number = name.partition(":")
    numbers = [str(number) for number in range(counts.get(kind, 0))]
    if not numbers or (colon and number not in numbers):
        have = ", ".join(kind for kind, count in counts.items() if count)
        raise ConfigError(f"device {name!r} is not at hand here; there is: {have}, or auto")
    device = torch.device(name)
    if kind == "cuda" and (reason := _fault(device)):
        raise ConfigError(f"device {name!r}: {reason}; choose another, or cpu")
    return device


def _fault(device: torch.device) -> str | None:
    """Why a GPU that is there does not compute, as one that PyTorch was not made for."""
    try:
        torch.zeros(1, device=device).cos().item()
    except RuntimeError as error:
        return str(error).splitlines()[0]
    return None


def _precision(name: str, device: torch.device, exported: bool) -> str:
    if name not in PRECISIONS:
        raise ConfigError(f"precision {name!r}: choose one of {', '.join(PRECISIONS)}")
    fixed = "an exported network" if exported else "mps" if device.type == "mps" else None
    if fixed:
        if name == "bfloat16":
            raise ConfigError(f"precision bfloat16: {fixed} computes in float32; choose that")
        return "float32"
    if name == "auto":
        return "bfloat16" if _multiplies_halves(device) else "float32"
    return name


def _multiplies_halves(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 natively, which is faster than float32."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    flags = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(flags())
