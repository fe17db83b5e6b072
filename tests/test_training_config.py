"""Configurations of trainings: their bases, what replaces what, and those that are shipped."""

from pathlib import Path

import pytest

from unbraid.errors import ConfigError
from unbraid.models import build
from unbraid.training.config import CONFIGS, TrainConfig, read_config


def test_missing_configuration_names_the_shipped_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file.*bandsplit"):
        read_config(tmp_path / "missing.yaml")


def test_parts_of_configurations_are_not_offered(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        read_config(tmp_path / "openly-licensed")
    offered = str(raised.value).split(": ")[-1].split(", ")
    assert {"bandsplit", "conv1d", "dprnn"} <= set(offered)
    assert "openly-licensed" not in offered


def test_configuration_starts_from_its_base(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "one.yaml").write_text("base: two.yaml\nname: one\nrun: {seed: 1}")
    (tmp_path / "parts" / "two.yaml").write_text("base: bandsplit\nrun: {seed: 2, steps: 3}")
    (tmp_path / "mine.yaml").write_text("base: parts/one.yaml\noptimizer: {warmup: 7}")
    config = read_config(tmp_path / "mine.yaml", ["optimizer.clip=5"])
    shipped = read_config(Path("bandsplit"))
    assert (config.name, config.run.seed, config.run.steps) == ("one", 1, 3)
    assert (config.optimizer.warmup, config.optimizer.clip) == (7, 5)
    assert (config.licence, config.data, config.model) == (
        shipped.licence,
        shipped.data,
        shipped.model,
    )


def test_music_and_another_network_replace_the_base(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "base: bandsplit\nmodel: {features: 7}\ndata: {songs: {theirs: {path: /theirs}}}"
    )
    (tmp_path / "mine.yaml").write_text(
        "base: base.yaml\nmodel: {architecture: conv1d}\n"
        "data: {stems: {vocals: {mine: {path: /mine}}}, batch_size: 3}"
    )
    config, base = read_config(tmp_path / "mine.yaml"), read_config(tmp_path / "base.yaml")
    assert config.model == {"architecture": "conv1d"}
    assert base.model == {"architecture": "bandsplit", "features": 7}
    assert list(config.data.stems) == ["vocals"]
    assert list(config.data.stems["vocals"]) == ["mine"]
    assert config.data.songs == base.data.songs
    assert config.data.valid == base.data.valid


@pytest.mark.parametrize(
    ("words", "vocals", "songs"),
    [
        (["data.stems={}"], [], ["own"]),
        (["data.stems={vocals: {mine: {path: /mine}}}"], ["mine"], ["own"]),
        (["data.stems.vocals.mine.path=/mine"], ["base", "mine"], ["own"]),
        (
            ["data.songs={more: {path: /more}}", "data.songs.most.path=/m"],
            ["base"],
            ["more", "most"],
        ),
    ],
)
def test_sources_on_the_command_line_replace_those_of_the_file_if_they_are_given_whole(
    tmp_path: Path, words: list[str], vocals: list[str], songs: list[str]
) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(
        "name: my\nlicence: CC0\ndata_card: none\n"
        "data: {stems: {vocals: {base: {path: /base}}}, songs: {own: {path: /own}}, valid: /valid}"
    )
    data = read_config(path, words).data
    assert list(data.stems.get("vocals", {})) == vocals
    assert list(data.songs) == songs


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("base: nowhere.yaml", "base 'nowhere.yaml'.*no such file.*bandsplit"),
        ("base: mine.yaml", "leads back"),
        ("base: other.yaml", "leads back"),
        ("base: bandsplit\ndata: 5", "data: holds settings of its own"),
        ("base: bandsplit\nmodel: 5", "model"),
        ("base: bandsplit\ndata: {stems: 5}", "stems"),
        ("- base: bandsplit", "not a map"),
        ("base: [unclosed", "mine.yaml"),
        ("base: {bandsplit: 1}", "no such file"),
    ],
)
def test_wrong_bases_are_one_line(tmp_path: Path, written: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(written)
    (tmp_path / "other.yaml").write_text("base: mine.yaml")
    with pytest.raises(ConfigError, match=message) as raised:
        read_config(tmp_path / "mine.yaml")
    assert "\n" not in str(raised.value)


def test_shipped_networks_are_compared_on_the_same_music() -> None:
    names = ["bandsplit", "conv1d", "dprnn", "openunmix"]
    configs = [read_config(Path(name)) for name in names]
    assert [config.model["architecture"] for config in configs] == names
    for config in configs:
        assert config.data.stems == configs[0].data.stems
        assert config.data.augment == configs[0].data.augment
        assert config.data.valid == configs[0].data.valid


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_configurations_are_valid(path: Path) -> None:
    config = read_config(Path("configs") / path.name)
    assert isinstance(config, TrainConfig)
    settings = dict(config.model)
    build(settings.pop("architecture"), **settings)
