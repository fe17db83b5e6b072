"""Exported networks, run by onnxruntime: no network is built in torch, no weight file is read."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from unbraid.errors import ConfigError, ModelError
from unbraid.models.checkpoint import ModelInfo
from unbraid.models.presence import FEATURES, Gate

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

FORMAT = "unbraid-onnx-3"
SUFFIX = ".onnx"
INPUT, OUTPUT, EVIDENCE = "mixture", "targets", "evidence"


@dataclass(frozen=True)
class OnnxConfig:
    """What a graph tells of its network.

    Attributes:
        targets: stems that the network estimates.
        residual: name of what remains of the mixture.
        sample_rate: Hz.
        hop: STFT hop in samples, 1 without an STFT.
        grid: samples by which what is moved comes out the same, moved alike.
        segment: samples that the graph takes, no more and no fewer.
    """

    targets: tuple[str, ...]
    residual: str
    sample_rate: int
    hop: int
    grid: int
    segment: int


class OnnxNetwork:
    """A graph of `unbraid export`, to be called as the network that it was made of.

    Args:
        path: the `.onnx` file.

    Raises:
        ModelError: if onnxruntime is missing, or the file is damaged or of another kind.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path).absolute()
        self._session = _session(Path(path), optimized=True)
        metadata = _metadata(self._session, Path(path))
        with _damage_told(Path(path)):
            self.config = _config(metadata)
            self.gates = _gates(metadata["gates"], len(self.config.targets))
        _check_shapes(self._session, self.config, bool(self.gates), Path(path))
        self.grid = self.config.grid

    def __reduce__(self) -> tuple[type[OnnxNetwork], tuple[Path]]:
        """Pickle the file's path, from which another process reads the graph."""
        return OnnxNetwork, (self._path,)

    def __call__(self, mixture: Tensor) -> Tensor:
        """Estimate the targets `[b, targets, 2, segment]` of a mixture `[b, 2, segment]`."""
        return self._run(mixture)[0]

    def with_evidence(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate the targets, and tell what speaks for their being there.

        Returns:
            Targets `[b, targets, 2, segment]`, and what `gates`, of which there must be some, hear
            of each, `[b, targets, features, frames]`.
        """
        estimates, evidence = self._run(mixture)
        return estimates, evidence

    def _run(self, mixture: Tensor) -> list[Tensor]:
        return [*map(torch.from_numpy, self._session.run(None, {INPUT: mixture.numpy()}))]

    def to(self, device: torch.device) -> OnnxNetwork:
        """Itself: onnxruntime computes on the processor.

        Raises:
            ConfigError: for any other device.
        """
        if device.type != "cpu":
            raise ConfigError(
                f"device {device.type!r}: ONNX networks run on the processor; use cpu"
            )
        return self

    def eval(self) -> OnnxNetwork:
        """Itself: a graph is not trained."""
        return self


def read_info(path: Path) -> ModelInfo:
    """Header of an exported network: that of the weight file that it was made of.

    Raises:
        ModelError: if onnxruntime is missing, or the file is damaged or of another kind.
    """
    metadata = _metadata(_session(path, optimized=False), path)
    with _damage_told(path):
        config = _config(metadata)
        return ModelInfo(
            name=path.stem,
            path=path,
            architecture=metadata["architecture"],
            config=vars(config),
            targets=config.targets,
            residual=config.residual,
            sample_rate=config.sample_rate,
            licence=metadata["licence"],
            data=metadata["data"],
            parameters=int(metadata["parameters"]),
            sha256=metadata["sha256"],
        )


def metadata_of(info: ModelInfo, config: OnnxConfig, gates: nn.ModuleList) -> dict[str, str]:
    """What goes into a file so that `OnnxNetwork` and `read_info` find it there.

    Args:
        info: of the weight file that it is made of.
        config: of the graph.
        gates: of the network, which go over songs, as no graph of a segment does.
    """
    return {
        "format": FORMAT,
        "architecture": info.architecture,
        "targets": json.dumps(config.targets),
        "residual": config.residual,
        "sample_rate": str(config.sample_rate),
        "hop": str(config.hop),
        "grid": str(config.grid),
        "segment": str(config.segment),
        "licence": info.licence,
        "data": info.data,
        "parameters": str(info.parameters),
        "sha256": info.sha256,
        "gates": b64encode(safetensors.torch.save(gates.state_dict())).decode(),
    }


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Surrounds what takes a file's metadata at its word."""
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"{path}: not a readable ONNX file (its metadata is incomplete); export it again"
        ) from error


def _config(metadata: dict[str, str]) -> OnnxConfig:
    return OnnxConfig(
        targets=tuple(json.loads(metadata["targets"])),
        residual=metadata["residual"],
        sample_rate=int(metadata["sample_rate"]),
        hop=int(metadata["hop"]),
        grid=int(metadata["grid"]),
        segment=int(metadata["segment"]),
    )


def _gates(encoded: str, targets: int) -> list[Gate]:
    """Gates of as many targets, or none, as `metadata_of` wrote them."""
    weights = safetensors.torch.load(b64decode(encoded))
    if not weights:
        return []
    width = weights["0.past.weight_hh_l0"].shape[1]
    gates = nn.ModuleList(Gate(width) for _ in range(targets))
    gates.load_state_dict(weights)
    return [*gates.eval()]


def _session(path: Path, optimized: bool) -> InferenceSession:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ModelError(
            f'{path}: onnxruntime is missing: this needs pip install "unbraid[export]"'
        ) from error
    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base of their own
        reason = str(error).splitlines()[0]
        raise ModelError(f"{path}: not a readable ONNX file ({reason}); export it again") from error


def _check_shapes(session: InferenceSession, config: OnnxConfig, gated: bool, path: Path) -> None:
    """Raise for a graph that tools have made into another one, as one of float16."""
    targets, segment = len(config.targets), config.segment
    expected = {INPUT: [2, segment], OUTPUT: [targets, 2, segment]}
    if gated:
        expected[EVIDENCE] = [targets, FEATURES, segment // config.hop]
    found = {
        each.name: each.shape[1:]
        for each in (*session.get_inputs(), *session.get_outputs())
        if each.type == "tensor(float)"
    }
    if found != expected:
        raise ModelError(
            f"{path}: not the graph of `unbraid export` that its metadata tells of; export it again"
        )


def _metadata(session: InferenceSession, path: Path) -> dict[str, str]:
    metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
    if metadata.get("format") != FORMAT:
        raise ModelError(
            f"{path}: ONNX, but not of `unbraid export` as it is now (its metadata says format "
            f"{metadata.get('format')!r}, not {FORMAT!r}); export it again"
        )
    return metadata
