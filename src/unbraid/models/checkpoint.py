"""Weights as safetensors, with all that is needed to rebuild and to trust them in the header.

Headers are read without torch, which takes seconds to import.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from unbraid.errors import ModelError, UnbraidError
from unbraid.models import build, find
from unbraid.replacing import replacing

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

FORMAT = "unbraid-1"
PICKLES = (".ckpt", ".pth", ".pt")  # what training goes on from, and others publish


@dataclass(frozen=True)
class ModelInfo:
    """Header of a weight file.

    Attributes:
        name: the file's name without suffix.
        path: the file.
        architecture: name for `build`.
        config: fields of the architecture's configuration.
        targets: stems that the network estimates.
        residual: name of what remains.
        sample_rate: Hz.
        licence: of the weights.
        data: what they were trained on, in a sentence.
        parameters: number of weights.
        sha256: of the weights.
    """

    name: str
    path: Path
    architecture: str
    config: dict[str, Any]
    targets: tuple[str, ...]
    residual: str
    sample_rate: int
    licence: str
    data: str
    parameters: int
    sha256: str


def save(
    model: nn.Module,
    path: str | Path,
    *,
    architecture: str,
    licence: str,
    data: str,
    dtype: torch.dtype | None = None,
) -> ModelInfo:
    """Write a network's weights; the file appears whole or not at all.

    Args:
        model: the network, with its `config`.
        path: file to write, `.safetensors`.
        architecture: its name for `build`.
        licence: of the weights.
        data: what they were trained on, in a sentence.
        dtype: of the stored parameters; None for float32.

    Returns:
        The header that was written.
    """
    import torch
    from safetensors.torch import save as to_bytes

    path = Path(path)
    dtype = dtype or torch.float32
    parameters = dict(model.named_parameters())  # statistics keep their type: they may be large
    weights = {
        name: tensor.detach().to("cpu", dtype if name in parameters else None).contiguous()
        for name, tensor in model.state_dict().items()
    }
    metadata = {
        "format": FORMAT,
        "architecture": architecture,
        "config": json.dumps(dataclasses.asdict(model.config)),  # type: ignore[call-overload]
        "licence": licence,
        "data": data,
        "sha256": _sha256(weights),
    }
    with replacing(path) as temporary:
        temporary.write_bytes(to_bytes(weights, metadata))
    return read_info(path)


def read_info(path: Path) -> ModelInfo:
    """Header of a weight file, or of an exported one, without reading the weights.

    Raises:
        ModelError: if it is not a weight file of this package.
    """
    if path.suffix == ".onnx":
        from unbraid.models import onnx

        return onnx.read_info(path)
    metadata, parameters = _header(path)
    try:
        config = json.loads(metadata["config"])
        return ModelInfo(
            name=path.stem,
            path=path,
            architecture=metadata["architecture"],
            config=config,
            targets=tuple(config["targets"]),
            residual=config["residual"],
            sample_rate=config["sample_rate"],
            licence=metadata["licence"],
            data=metadata["data"],
            parameters=parameters,
            sha256=metadata["sha256"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, "its header is incomplete") from error


def load(name_or_path: str | Path) -> nn.Module:
    """Rebuild a network with its weights, in float32, ready to separate.

    Args:
        name_or_path: name of a shipped model, or path of a weight file.

    Raises:
        ModelError: if there is no such model, or the file is damaged or of another kind.
    """
    path = find(name_or_path)
    info = read_info(path)
    try:
        with safe_open(path, "pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error
    if _sha256(weights) != info.sha256:
        raise _damaged(path, "its SHA-256 differs from the header's")
    try:
        model = build(info.architecture, **info.config)
        model.load_state_dict(weights)
    except UnbraidError as error:
        raise _damaged(path, error) from error
    except RuntimeError as error:
        raise _damaged(path, "its weights don't fit the network in its header") from error
    return model.float().eval()


def _header(path: Path) -> tuple[dict[str, str], int]:
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        if path.suffix in PICKLES:
            raise ModelError(
                f"{path}: a pickle, which is not opened; of a run, give the .safetensors that it "
                "leaves beside checkpoints/, of published weights what `unbraid models add` made"
            ) from error
        raise _damaged(path, error) from error
    if metadata.get("format") != FORMAT:
        raise ModelError(
            f"{path}: safetensors, but not weights of unbraid (header says format "
            f"{metadata.get('format')!r}, not {FORMAT!r}); give what `unbraid train` or "
            "`unbraid models add` made"
        )
    return metadata, sum(map(prod, shapes))


def _sha256(weights: dict[str, Tensor]) -> str:
    import torch

    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        flat = weights[name].contiguous().reshape(-1)  # a scalar has no view as bytes
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _damaged(path: Path, why: object) -> ModelError:
    return ModelError(f"{path}: not a readable weight file ({why}); fetch or train it again")
