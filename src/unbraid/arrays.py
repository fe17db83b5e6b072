"""Arrays in the shape that is needed: float32 `[channels, samples]`, stereo, of a length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from unbraid.audio.files import as_numpy
from unbraid.audio.info import Block
from unbraid.errors import AudioError

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", bound="NDArray[np.floating[Any]] | Tensor")


def checked(audio: NDArray[np.floating[Any]] | Tensor) -> Block:
    """The audio as float32 `[channels, samples]`.

    Raises:
        AudioError: if it is not floating, not finite, or of another shape.
    """
    array = as_numpy(audio)
    if not np.issubdtype(array.dtype, np.floating):
        raise AudioError(
            f"audio of {array.dtype}: give floating samples, of which 1.0 is full scale"
        )
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2 or array.shape[0] == 0:
        raise AudioError(
            f"audio of shape {list(np.shape(audio))}: give [channels, samples] or [samples]"
        )
    if array.shape[1] < array.shape[0] and array.shape[0] > 32:
        raise AudioError(
            f"audio of shape {list(array.shape)} looks like [samples, channels]: transpose it"
        )
    with np.errstate(over="ignore"):  # float64 reaches further
        single = np.ascontiguousarray(array, dtype=np.float32)
    check_finite(single)
    return single


def check_finite(audio: Block, start: int = 0) -> None:
    """Raise an AudioError if a sample of `[channels, samples]` is not, the first being `start`."""
    if not np.isfinite(audio).all():
        first = start + int(np.flatnonzero(~np.isfinite(audio).all(0))[0])
        raise AudioError(f"audio is not finite at sample {first}: repair it first")


def like(audio: Array, stem: Block) -> Array:
    """A stem in the kind, device and shape of the audio it came from."""
    shaped = stem.reshape(np.shape(audio))
    if not hasattr(audio, "detach"):
        return cast(Array, shaped)
    import torch

    return cast(Array, torch.from_numpy(shaped).to(audio.device))


def as_stereo(audio: np.ndarray) -> np.ndarray:
    """Front left and right `[2, samples]` of `[channels, samples]`; mono is doubled."""
    return audio[:2] if audio.shape[0] > 1 else np.repeat(audio, 2, axis=0)


def fitted(audio: np.ndarray, samples: int) -> np.ndarray:
    """Cut or pad with silence to `[channels, samples]`, float32."""
    padded = np.pad(audio[:, :samples], ((0, 0), (0, max(0, samples - audio.shape[1]))))
    return np.ascontiguousarray(padded, dtype=np.float32)
