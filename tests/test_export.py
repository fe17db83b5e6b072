"""Exported networks: equal to torch's, in onnxruntime alone and through `unbraid separate`."""

from __future__ import annotations

import base64
import dataclasses
import json
import pickle
from pathlib import Path
from shutil import copy

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
import torch
from torch import nn
from typer.testing import CliRunner

from unbraid import Separator
from unbraid.cli import app
from unbraid.errors import ConfigError, ModelError, UnbraidError
from unbraid.export import export, sung_in_noise
from unbraid.models import DEFAULT, build, checkpoint
from unbraid.models.onnx import OnnxNetwork
from unbraid.models.presence import FEATURES, Gate
from unbraid.overlap import segment_samples

RATE = 44100
SEGMENT = 0.5
NETWORKS = {
    "bandsplit": {"features": 4, "hidden": 4, "blocks": 1, "targets": ["vocals", "drums"]},
    "dprnn": {"features": 4, "hidden": 4, "blocks": 1, "maps": 1},
    "openunmix": {"hidden": 4, "own_residual": True},
    "conv1d": {"channels": [4]},
    "spleeter": {
        "widths": [2, 4],
        "heard": 256,
        "extended": 9,
        "level": -16.0,
        "ratio": False,
        "presence": 3,
        "targets": ["vocals", "drums"],
        "looks": [[4608, 1280]],
    },
}
RECURRENT = {
    "bandsplit": 2,
    "dprnn": 2,
    "openunmix": 6,
    "conv1d": 0,
    "spleeter": 2,
}


def saved(path: Path, architecture: str, **config) -> Path:
    torch.manual_seed(0)
    network = build(architecture, **config)
    for module in network.modules():
        if isinstance(module, Gate):  # as if it had learnt something
            nn.init.normal_(module.score.weight)
            nn.init.constant_(module.score.bias, 0.5)
    checkpoint.save(network, path, architecture=architecture, licence="CC0-1.0", data="nothing")
    return path


@pytest.fixture(scope="module")
def exported(model: Path, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "tiny.onnx"
    export(model, path, SEGMENT)
    return path


@pytest.mark.parametrize("architecture", NETWORKS)
def test_the_graph_does_what_the_network_does(tmp_path, architecture: str) -> None:
    config = NETWORKS[architecture]
    weights = saved(tmp_path / "model.safetensors", architecture, **config)
    export(weights, tmp_path / "model.onnx", SEGMENT)
    network = checkpoint.load(weights)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (found,), (made, *beside) = session.get_inputs(), session.get_outputs()
    metadata = session.get_modelmeta().custom_metadata_map
    segment, hop = int(metadata["segment"]), int(metadata["hop"])
    targets = len(config.get("targets", ["vocals"]))
    assert (found.name, found.shape) == ("mixture", ["batch", 2, segment])
    assert (made.name, made.shape) == ("targets", ["batch", targets, 2, segment])
    told = (
        [("evidence", ["batch", targets, FEATURES, segment // hop])] if "presence" in config else []
    )
    assert [(output.name, output.shape) for output in beside] == told
    for batch in (1, 3):
        mixture = torch.randn(batch, 2, segment) / 8
        estimates, *evidence = session.run(None, {"mixture": mixture.numpy()})
        with torch.inference_mode():
            expected = network(mixture).numpy()
        assert expected.std() > 1e-3
        np.testing.assert_allclose(estimates, expected, atol=1e-4, rtol=0)
        if evidence:
            with torch.inference_mode():
                _, known = network.with_evidence(mixture)
            assert known.std() > 0.05
            np.testing.assert_allclose(evidence[0], known.numpy(), atol=1e-4, rtol=0)
    nodes = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert nodes.count("LSTM") + nodes.count("GRU") == RECURRENT[architecture]  # not unrolled
    assert not {"Loop", "Scan", "If", "STFT", "DFT"} & set(nodes)


def test_the_file_tells_what_it_was_made_of(model: Path, exported: Path) -> None:
    info, made_of = checkpoint.read_info(exported), checkpoint.read_info(model)
    own = {"name", "path", "config"}
    for field in {field.name for field in dataclasses.fields(info)} - own:
        assert getattr(info, field) == getattr(made_of, field), field
    metadata = {prop.key: prop.value for prop in onnx.load(exported).metadata_props}
    assert json.loads(metadata["targets"]) == ["vocals"]
    assert int(metadata["segment"]) % int(metadata["hop"]) == 0


def test_a_separator_of_a_graph_goes_to_other_processes(exported: Path, monkeypatch) -> None:
    monkeypatch.chdir(exported.parent)
    separator = Separator.from_pretrained(exported.name)
    sent = pickle.dumps(separator)
    monkeypatch.chdir("/")
    mixture = np.random.default_rng(0).normal(0, 0.1, (2, RATE)).astype(np.float32)
    here, there = (one(mixture, RATE)["vocals"] for one in (separator, pickle.loads(sent)))
    np.testing.assert_array_equal(there, here)


@pytest.mark.parametrize("channels", [1, 2])
def test_separate_needs_no_torch_network(
    tmp_path, monkeypatch, model: Path, exported: Path, channels: int
) -> None:
    song = tmp_path / "song.wav"
    noise = np.random.default_rng(0).normal(0, 0.1, (round(1.3 * RATE), channels))
    soundfile.write(song, noise, RATE, "PCM_16")
    by_torch = Separator.from_pretrained(
        model, device="cpu", segment=SEGMENT, precision="float32"
    ).separate_file(song, tmp_path / "torch")

    def forbidden(*arguments: object, **options: object) -> None:
        raise AssertionError("a torch network is built")

    monkeypatch.setattr(nn.Module, "__init__", forbidden)
    monkeypatch.setattr(checkpoint, "safe_open", forbidden)
    command = ["separate", str(song), "-o", str(tmp_path / "onnx")]
    command += ["--runtime", "onnx", "--model", str(exported)]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output

    stems = {}
    for stem, path in by_torch.items():
        stems[stem], _ = soundfile.read(tmp_path / "onnx" / "song" / f"{stem}.wav", dtype="int16")
        expected, _ = soundfile.read(path, dtype="int16")
        assert np.abs(expected).max() > 100
        assert np.abs(stems[stem].astype(int) - expected).max() / 2**15 < 1e-4
    mixture, _ = soundfile.read(song, dtype="int16")
    np.testing.assert_array_equal(sum(stems.values()), mixture)


def test_a_song_shorter_than_the_segment(exported: Path) -> None:
    song = np.random.default_rng(0).normal(0, 0.1, (2, 1000)).astype(np.float32)
    stems = Separator.from_pretrained(exported)(song, RATE)
    np.testing.assert_allclose(sum(stems.values()), song, atol=1e-6)


def test_the_command_line_exports(tmp_path, model: Path) -> None:
    out = tmp_path / "deep" / "tiny.onnx"
    command = ["export", str(model), str(out), "--segment", str(SEGMENT)]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0
    assert f"--model {out}" in done.output
    assert OnnxNetwork(out).config.segment / RATE == pytest.approx(SEGMENT, abs=0.05)


def test_the_sound_to_compare_on_is_a_voice_to_the_default_network() -> None:
    network = checkpoint.load(DEFAULT)
    sound = sung_in_noise(segment_samples(network.config), RATE)
    with torch.inference_mode():
        assert network(sound).std() > 0.5 * sound.std()


def test_a_file_that_differs_from_torch_never_appears(tmp_path, monkeypatch, model: Path) -> None:
    out = tmp_path / "tiny.onnx"
    out.write_text("older")
    monkeypatch.setattr("unbraid.export.TOLERANCE", 0.0)
    with pytest.raises(ModelError, match="differs from torch"):
        export(model, out, SEGMENT)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.onnx"]
    assert out.read_text() == "older"


def test_evidence_that_differs_from_torch_is_told(tmp_path, monkeypatch) -> None:
    network = saved(tmp_path / "gated.safetensors", "spleeter", **NETWORKS["spleeter"])
    told = OnnxNetwork.with_evidence

    def weaker(self, mixture):
        estimates, evidence = told(self, mixture)
        return estimates, evidence / 2

    monkeypatch.setattr(OnnxNetwork, "with_evidence", weaker)
    with pytest.raises(ModelError, match="differs from torch"):
        export(network, tmp_path / "gated.onnx", SEGMENT)
    assert not (tmp_path / "gated.onnx").exists()


def test_gates_go_with_the_graph(tmp_path) -> None:
    network = saved(tmp_path / "gated.safetensors", "spleeter", **NETWORKS["spleeter"])
    export(network, tmp_path / "gated.onnx", SEGMENT)
    song = np.random.default_rng(0).normal(0, 0.1, (2, 2 * RATE)).astype(np.float32)
    by_onnx, by_torch = (
        Separator.from_pretrained(path, device="cpu", segment=SEGMENT, precision="float32")
        for path in (tmp_path / "gated.onnx", network)
    )
    found, expected = by_onnx(song, RATE), by_torch(song, RATE)
    by_torch.model.gates = nn.ModuleList()
    ungated = Separator(by_torch.model, device="cpu", segment=SEGMENT, precision="float32")
    for stem, without in ungated(song, RATE).items():
        np.testing.assert_allclose(found[stem], expected[stem], atol=1e-4)
        assert np.abs(without - expected[stem]).max() > 1e-2


def test_shares_of_energy_can_be_exported(tmp_path) -> None:
    """Which export itself compares with torch."""
    network = saved(tmp_path / "both.safetensors", "spleeter", widths=[2, 4], heard=256, ratio=True)
    out = tmp_path / "both.onnx"
    export(network, out, SEGMENT)
    assert out.stat().st_size > 0


def test_hops_that_do_not_divide_the_window_can_be_exported(tmp_path) -> None:
    """Which export itself compares with torch."""
    uneven = saved(tmp_path / "uneven.safetensors", "dprnn", features=4, hidden=4, hop=1000)
    out = tmp_path / "uneven.onnx"
    export(uneven, out, SEGMENT)
    assert out.stat().st_size > 0


def test_what_can_not_be_exported(tmp_path, model: Path, exported: Path) -> None:
    causal = saved(tmp_path / "causal.safetensors", "dprnn", features=4, hidden=4, causal=True)
    dprnn = saved(tmp_path / "dprnn.safetensors", "dprnn", features=4, hidden=4)
    longer = {"widths": [2, 4], "heard": 256, "looks": [[8192, 1024]]}
    looking = saved(tmp_path / "looking.safetensors", "spleeter", **longer)
    (tmp_path / "file").touch()
    for name, out, seconds, message in [
        (causal, "a.onnx", SEGMENT, "causal"),
        (looking, "a.onnx", 0.11, "segment: give 0.186 s"),
        (model, "a.pt", SEGMENT, "a.pt"),
        (exported, "a.onnx", SEGMENT, "tiny.onnx"),
        (dprnn, "a.onnx", 0.01, "segment"),
        (model, "a.onnx", -1, "segment"),
        (model, "file/a.onnx", SEGMENT, "cannot be written"),
        ("nonsense", "a.onnx", SEGMENT, "no model 'nonsense'"),
    ]:
        with pytest.raises(UnbraidError, match=message):
            export(name, tmp_path / out, seconds)
        assert not (tmp_path / out).exists()


def test_files_that_are_not_exported_networks(tmp_path, exported: Path) -> None:
    damaged, foreign, older = (
        tmp_path / f"{name}.onnx" for name in ("damaged", "foreign", "older")
    )
    damaged.write_bytes(exported.read_bytes()[:-1000])
    graph = onnx.load(exported)
    metadata = {prop.key: prop.value for prop in graph.metadata_props}
    onnx.helper.set_model_props(graph, {**metadata, "format": "unbraid-onnx-2"})
    onnx.save(graph, older)
    del graph.metadata_props[:]
    onnx.save(graph, foreign)
    for path, message in [
        (damaged, "export it again"),
        (foreign, "not of `unbraid export`"),
        (older, "format 'unbraid-onnx-2'.*export it again"),
    ]:
        with pytest.raises(ModelError, match=message):
            Separator.from_pretrained(path)
        with pytest.raises(ModelError, match=message):
            checkpoint.read_info(path)


@pytest.mark.parametrize(
    ("read", "key", "value"),
    [
        (checkpoint.read_info, "licence", None),
        (checkpoint.read_info, "segment", None),
        (OnnxNetwork, "segment", None),
        (OnnxNetwork, "hop", "x"),
        (OnnxNetwork, "grid", None),
        (OnnxNetwork, "targets", "null"),
        (OnnxNetwork, "gates", None),
        (OnnxNetwork, "gates", "x"),
    ],
)
def test_a_file_whose_metadata_is_incomplete(tmp_path, exported: Path, read, key, value) -> None:
    damaged = tmp_path / "damaged.onnx"
    graph = onnx.load(exported)
    metadata = {prop.key: prop.value for prop in graph.metadata_props if prop.key != key}
    onnx.helper.set_model_props(graph, {**metadata, **({key: value} if value else {})})
    onnx.save(graph, damaged)
    with pytest.raises(ModelError, match=r"damaged.onnx: .*is incomplete.*export it again"):
        read(damaged)


@pytest.mark.parametrize("change", ["segment", "targets", "type", "evidence"])
def test_a_graph_that_is_no_longer_what_it_says_is_refused(tmp_path, change: str) -> None:
    path = tmp_path / "changed.onnx"
    export(saved(tmp_path / "w.safetensors", "spleeter", **NETWORKS["spleeter"]), path, SEGMENT)
    model = onnx.load(path)
    if change == "evidence":
        del model.graph.output[1]
    elif change == "type":  # as tools do that halve the precision
        (mixture,) = model.graph.input
        mixture.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
        for node in model.graph.node:
            node.input[:] = ["single" if name == "mixture" else name for name in node.input]
        cast = onnx.helper.make_node("Cast", ["mixture"], ["single"], to=onnx.TensorProto.FLOAT)
        model.graph.node.insert(0, cast)
    else:
        metadata = {prop.key: prop.value for prop in model.metadata_props}
        more = {"segment": "44032", "targets": '["vocals", "drums", "bass"]'}
        gates = (
            {} if change == "segment" else {"gates": base64.b64encode(b"\2" + 7 * b"\0" + b"{}")}
        )
        onnx.helper.set_model_props(model, {**metadata, change: more[change], **gates})
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"changed.onnx: not the graph .* export it again"):
        OnnxNetwork(path)


def test_a_graph_keeps_its_segment_and_device(exported: Path) -> None:
    with pytest.raises(ConfigError, match=r"exported for 0\.511 s"):
        Separator.from_pretrained(exported, segment=2.0)
    with pytest.raises(ConfigError, match="processor"):
        OnnxNetwork(exported).to(torch.device("meta"))
    Separator.from_pretrained(exported, segment=SEGMENT, device="cpu")


def test_a_graph_stays_on_the_processor_where_there_is_a_gpu(exported: Path, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("unbraid.runner._fault", lambda device: None)
    separator = Separator.from_pretrained(exported)
    assert (separator.device.type, separator.precision) == ("cpu", "float32")
    with pytest.raises(ConfigError, match="computes in float32"):
        Separator.from_pretrained(exported, precision="bfloat16")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--runtime", "onnx"], f"unbraid export {DEFAULT} {DEFAULT}.onnx"),
        (["--runtime", "onnx", "--model", "OTHER"], "unbraid export '{}' 'my net.onnx'"),
        (["--runtime", "torch", "--model", "EXPORTED"], "--runtime torch does not run exported"),
    ],
)
def test_runtimes_that_do_not_fit_the_model(
    tmp_path, model: Path, exported: Path, options: list[str], message: str
) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, np.zeros((10, 2)), RATE)
    other = copy(model, tmp_path / "my net.safetensors")
    paths = {"EXPORTED": str(exported), "OTHER": str(other)}
    options = [paths.get(option, option) for option in options]
    done = CliRunner().invoke(app, ["separate", str(song), "-o", str(tmp_path), *options])
    assert isinstance(done.exception, UnbraidError)
    assert message.format(other) in str(done.exception)
