"""A GPU for machines without one: tensors that say they are there and refuse what a GPU refuses.

Values lie in main memory and are computed there, so that programs run as ever. A tensor that is "on
the GPU" is of a subclass, which says so to all that Python calls with it: tensors of two devices do
not meet, NumPy does not get one, and only what was moved is moved. LSTMs in mixed precision compute
in float16, as cuDNN's do in PyTorch whatever the precision is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
COPIES = {"copy_", "__setitem__", "__deepcopy__"}  # which may meet other devices' tensors
NOT_ELEMENTWISE = {"cat", "stack", "matmul", "linear", "where"}  # a number in main memory won't do
TRANSFORMS = {"stft", "istft", "rfft", "irfft", "fft", "ifft"}


class OnGpu(Tensor):
    """A tensor that is said to be on a GPU."""

    def __deepcopy__(self, memo: dict[int, Any]) -> OnGpu:
        """A tensor of its own, a parameter if this is one."""
        copied = self.detach().clone().requires_grad_(self.requires_grad)
        copied.__dict__.update(self.__dict__)
        memo[id(self)] = copied
        return copied

    def __reduce_ex__(self, protocol: Any) -> Any:
        """In files it is a tensor like any other."""
        with torch._C.DisableTorchFunction():
            return self.detach().as_subclass(Tensor).__reduce_ex__(protocol)

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        """Do what torch does, on the GPU."""
        return called(function, args, kwargs or {})


class Gpu(TorchFunctionMode):
    """Puts on the GPU what is asked to be there."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        """Do what torch does, where it is asked for."""
        return called(function, args, kwargs or {})


def called(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """A function's result, on the device that it would be on.

    Raises:
        RuntimeError: if a GPU would refuse it.
    """
    name = getattr(function, "__name__", "")
    if name in ("device", "_parse_to"):
        with torch._C.DisableTorchFunction():
            return function(*args, **kwargs)
    if name == "_has_compatible_shallow_copy_type":  # or modules would keep tensors they move
        return False
    flat = [*_leaves((args, kwargs))]
    tensors = [value for value in flat if isinstance(value, Tensor)]
    ours = any(isinstance(value, OnGpu) for value in tensors)
    asked = next((torch.device(value) for value in flat if _names_device(value)), None)
    if name == "__get__" and function.__self__ in (Tensor.device, Tensor.is_cuda):
        return ours if function.__self__ is Tensor.is_cuda else GPU if ours else CPU
    if name in ("numpy", "__array__") and ours:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")
    if name == "pin_memory":
        assert not ours, "only dense CPU tensors can be pinned"
        return args[0].clone()
    if ours and name not in COPIES:
        _check_together(name, args, tensors)
    if name in TRANSFORMS and ours and not torch.is_autocast_enabled("cpu"):
        assert not any(value.dtype in (torch.half, torch.bfloat16) for value in tensors)
    if name == "lstm" and ours and torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            args = _mapped(lambda each: each.half() if isinstance(each, Tensor) else each, args)
            return called(function, args, kwargs)
    args, kwargs = _mapped(lambda value: CPU if _names_device(value) else value, (args, kwargs))
    with torch._C.DisableTorchFunction():
        result = function(*args, **kwargs)
        there = ours if asked is None else asked.type == "cuda"
        if name in ("cpu", "tolist", "item") or (name in COPIES and not isinstance(args[0], OnGpu)):
            there = False
        if name == "cuda":
            there = True
        kind = OnGpu if there else Tensor
        moved = bool(tensors) and ours != there
        return _mapped(lambda value: _as(kind, value, moved), result)


def _as(kind: type[Tensor], value: Any, moved: bool) -> Any:
    if not isinstance(value, Tensor) or isinstance(value, OnGpu) == (kind is OnGpu):
        return value
    if value.requires_grad and value.is_leaf:  # it must stay one
        return value.detach().as_subclass(kind).requires_grad_()
    return (value.clone() if moved else value).as_subclass(kind)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from _leaves(each)
    elif isinstance(value, dict):
        yield from _leaves([*value.values()])
    else:
        yield value


def _mapped(function: Callable[[Any], Any], value: Any) -> Any:
    """A function of each leaf."""
    if isinstance(value, torch.Size) or not isinstance(value, (list, tuple, dict)):
        return function(value)
    if isinstance(value, dict):
        return {key: _mapped(function, each) for key, each in value.items()}
    return type(value)(_mapped(function, each) for each in value)


def _names_device(value: Any) -> bool:
    return isinstance(value, torch.device) or (isinstance(value, str) and value[:4] == "cuda")


def _check_together(name: str, args: Any, tensors: list[Tensor]) -> None:
    strangers = [value for value in tensors if not isinstance(value, OnGpu)]
    if name == "__getitem__" and isinstance(args[0], OnGpu):  # by indices in main memory
        return
    if any(value.dim() or name in NOT_ELEMENTWISE for value in strangers):
        raise RuntimeError(f"{name}: Expected all tensors to be on the same device, cuda:0 and cpu")


class _Pool(ThreadPoolExecutor):
    """Its threads know of the GPU too."""

    def submit(self, function, /, *args, **kwargs):
        """Submit a call."""
        return super().submit(_in_mode, function, *args, **kwargs)


def _in_mode(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with Gpu():
        return function(*args, **kwargs)


class _Autocast(torch.autocast):
    def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
        super().__init__("cpu" if device_type == "cuda" else device_type, *args, **kwargs)


@contextmanager
def gpu() -> Iterator[None]:
    """Within it there is a GPU, `cuda`: the machine's, or one that is pretended."""
    if torch.cuda.is_available():
        yield
        return
    properties = SimpleNamespace(name="pretended", major=9, minor=0, total_memory=1 << 30)
    with pytest.MonkeyPatch.context() as patch, Gpu():
        for name, answer in {
            "is_available": True,
            "device_count": 1,
            "current_device": 0,
            "set_device": None,
            "empty_cache": None,
            "is_bf16_supported": True,
            "is_current_stream_capturing": False,
            "get_device_properties": properties,
            "get_device_capability": (properties.major, properties.minor),
            "device": nullcontext(),
        }.items():
            patch.setattr(torch.cuda, name, lambda *_, answer=answer, **__: answer)
        patch.setattr(torch.backends.cudnn, "is_acceptable", lambda tensor: False)
        patch.setattr(torch, "autocast", _Autocast)
        patch.setattr("unbraid.runner.ThreadPoolExecutor", _Pool)
        yield
