import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from unbraid.errors import ConfigError, ModelError
from unbraid.models import DEFAULT, architectures, build, checkpoint, find, list_models

TINY = {"features": 8, "hidden": 8, "blocks": 1}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    torch.manual_seed(0)
    model = build("bandsplit", bands=[[4, 500]], **TINY)
    checkpoint.save(model, path, architecture="bandsplit", licence="CC0 1.0", data="noise")
    return path


def tampered(path: Path, **metadata: str) -> Path:
    with safe_open(path, "pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = {**file.metadata(), **metadata}
    other = path.with_name("tampered.safetensors")
    save_file(weights, other, header)
    return other


def test_round_trip(saved: Path) -> None:
    torch.manual_seed(0)
    original = build("bandsplit", bands=[[4, 500]], **TINY).eval()
    loaded = checkpoint.load(saved)
    assert loaded.config == original.config
    assert not loaded.training
    audio = torch.randn(1, 2, 9000)
    torch.testing.assert_close(loaded(audio), original(audio))


def test_header_says_what_a_user_must_know(saved: Path) -> None:
    info = checkpoint.read_info(saved)
    assert (info.name, info.architecture, info.licence) == ("tiny", "bandsplit", "CC0 1.0")
    assert (info.targets, info.residual, info.sample_rate) == (("vocals",), "accompaniment", 44100)
    assert info.parameters == sum(p.numel() for p in checkpoint.load(saved).parameters())


def test_half_precision_comes_back_as_float32(tmp_path: Path) -> None:
    model = build("bandsplit", **TINY)
    path = tmp_path / "half.safetensors"
    checkpoint.save(
        model, path, architecture="bandsplit", licence="x", data="x", dtype=torch.float16
    )
    loaded = checkpoint.load(path)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    for name, value in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value, atol=1e-3, rtol=1e-3)


def test_statistics_beyond_half_precision_are_kept(tmp_path: Path) -> None:
    network = build("openunmix", hidden=4, layers=1)
    for bn in (module for module in network.modules() if isinstance(module, nn.BatchNorm1d)):
        bn.running_var.fill_(1e6)  # float16 ends at 65504
    path = tmp_path / "half.safetensors"
    facts = {"architecture": "openunmix", "licence": "CC0-1.0", "data": "nothing"}
    checkpoint.save(network, path, **facts, dtype=torch.float16)
    loaded = checkpoint.load(path)
    assert not loaded.training
    state = loaded.state_dict()
    assert {float(state[name].max()) for name in state if name.endswith("running_var")} == {1e6}


def test_changed_weights_are_noticed(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[-5] ^= 1
    saved.write_bytes(content)
    with pytest.raises(ModelError, match="SHA-256"):
        checkpoint.load(saved)


def test_truncated_file(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(ModelError, match="not a readable weight file"):
        checkpoint.load(saved)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "evil.safetensors"
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(ModelError, match="not a readable weight file"):
        checkpoint.load(path)


def test_a_runs_checkpoint_leads_to_its_weights(tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(ModelError, match=r"give the \.safetensors that it leaves"):
        checkpoint.load(path)


def test_foreign_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(3)}, path)
    with pytest.raises(ModelError, match=r"not weights of unbraid .*; give what `unbraid train`"):
        checkpoint.load(path)


def test_header_of_another_network(saved: Path) -> None:
    config = json.loads(safe_open(saved, "pt").metadata()["config"])
    other = tampered(saved, config=json.dumps({**config, "features": 16}))
    with pytest.raises(ModelError, match="don't fit"):
        checkpoint.load(other)


@pytest.mark.parametrize("header", ["{", "null", '{"targets": ["vocals"]}', '{"targets": 1}'])
def test_a_header_that_lacks_something(saved: Path, header: str) -> None:
    with pytest.raises(ModelError, match=r"tampered.*header is incomplete"):
        checkpoint.read_info(tampered(saved, config=header))


def test_a_header_of_a_later_version(saved: Path) -> None:
    config = json.loads(safe_open(saved, "pt").metadata()["config"])
    other = tampered(saved, config=json.dumps({**config, "new": 1}))
    with pytest.raises(ModelError, match=r"tampered.*no setting 'new'"):
        checkpoint.load(other)


@pytest.mark.parametrize("architecture", architectures())
@pytest.mark.parametrize("targets", [[], "vocals", ["vocals", "vocals"], ["vocals", "rest"]])
def test_stems_that_are_not_told_apart(architecture: str, targets: list[str] | str) -> None:
    with pytest.raises(ConfigError, match="list one or more, each once, without the residual"):
        build(architecture, targets=targets, residual="rest")


@pytest.mark.parametrize("architecture", ["bandsplit", "dprnn", "openunmix", "spleeter"])
@pytest.mark.parametrize("sizes", [{"hop": 0}, {"hop": 2049}, {"n_fft": 4095}])
def test_windows_that_do_not_overlap(architecture: str, sizes: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="at most half of an even n_fft"):
        build(architecture, **sizes)


def test_unknown_model_lists_the_shipped_ones() -> None:
    with pytest.raises(ModelError, match=r"no model 'nonsense'.*bandsplit"):
        checkpoint.load("nonsense")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", ""])
def test_what_can_not_be_a_file_is_no_model(name: str) -> None:
    with pytest.raises(ModelError, match="no model"):
        find(name)


def test_shipped_weights_have_licence_data_and_card() -> None:
    models = list_models()
    assert {DEFAULT, "bandsplit"} <= {model.name for model in models}
    for model in models:
        assert model.licence
        assert model.data
        assert model.path.with_suffix(".md").is_file()
        assert model.path.stat().st_size < 20e6
