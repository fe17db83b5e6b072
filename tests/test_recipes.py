"""The recipes that make a network of another, as the command line runs them."""

import os
import runpy
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from training_tree import training_tree
from unbraid import Separator
from unbraid.models import build, checkpoint
from unbraid.models.presence import Evidence, Gate

RECIPES = Path(__file__).parents[1] / "recipes"
TINY = {"widths": (2, 4), "n_fft": 4096, "hop": 1024, "heard": 64}

Run = Callable[..., None]


@pytest.fixture
def run(monkeypatch) -> Run:
    def run(recipe: str, *arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", [recipe, *map(str, arguments)])
        runpy.run_path(str(RECIPES / recipe), run_name="__main__")

    return run


def saved(path: Path, seed: int, data: str = "noise", **settings: object) -> Path:
    torch.manual_seed(seed)
    network = build("spleeter", **TINY, **settings)
    checkpoint.save(network, path, architecture="spleeter", licence="CC0 1.0", data=data)
    return path


@pytest.mark.parametrize(("words", "share"), [([], 0.5), (["--share", 0.75], 0.75)])
def test_average_is_the_mean_of_a_network_and_what_it_began_with(
    run, tmp_path, words, share
) -> None:
    before = saved(tmp_path / "before.safetensors", 0, ratio=False)
    info = checkpoint.read_info(before)
    card = f"tones; begun with before (CC0 1.0; SHA-256 {info.sha256}), of: noise"
    after = saved(tmp_path / "after.safetensors", 1, card, ratio=False)
    run("average.py", before, after, tmp_path / "mean.safetensors", *words)

    one, other, mean = (
        checkpoint.load(path).state_dict()
        for path in (before, after, tmp_path / "mean.safetensors")
    )
    for name in mean:
        expected = (one[name] + share * (other[name] - one[name])).to(mean[name].dtype)
        torch.testing.assert_close(mean[name], expected, rtol=1e-3, atol=1e-3)
    assert checkpoint.read_info(tmp_path / "mean.safetensors").data.startswith(card)


def test_average_refuses_a_network_that_the_other_did_not_begin_with(run, tmp_path, capsys) -> None:
    one = saved(tmp_path / "one.safetensors", 0)
    card = f"tones; taught by one (CC0 1.0; SHA-256 {checkpoint.read_info(one).sha256}), of: noise"
    other = saved(tmp_path / "other.safetensors", 1, card)
    with pytest.raises(SystemExit):
        run("average.py", one, other, tmp_path / "mean.safetensors")
    assert "did not begin with" in capsys.readouterr().err
    assert not (tmp_path / "mean.safetensors").exists()


def test_looks_are_added_to_the_same_weights(run, tmp_path) -> None:
    before = saved(tmp_path / "before.safetensors", 0, ratio=False, looks=[[4096, 512]])
    run("looks.py", before, tmp_path / "after.safetensors", "4608/1280", "2048/512")

    once, after = (
        checkpoint.read_info(tmp_path / f"{name}.safetensors") for name in ("before", "after")
    )
    assert after.config == {**once.config, "looks": [[4608, 1280], [2048, 512]]}
    assert (after.licence, after.data) == (once.licence, once.data)
    half = checkpoint.load(before).half().float().state_dict()  # as it is stored
    for name, weight in checkpoint.load(after.path).state_dict().items():
        torch.testing.assert_close(weight, half[name], rtol=0, atol=0)


def test_the_vocals_of_spleeter_are_its_first_network(run, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("UNBRAID_MODELS", str(tmp_path))
    both = checkpoint.load(saved(tmp_path / "spleeter.safetensors", 0))
    run("spleeter_vocals.py", tmp_path / "vocals.safetensors")

    vocals = checkpoint.load(tmp_path / "vocals.safetensors")
    assert len(vocals.networks) == 1
    magnitudes = torch.rand(1, 2, 8, 64)
    with torch.no_grad():
        expected = both.networks[0].eval()(magnitudes)
        torch.testing.assert_close(
            vocals.networks[0].eval()(magnitudes), expected, rtol=1e-2, atol=1e-2
        )


def test_a_gate_is_added_and_nothing_else_changed(run, tmp_path) -> None:
    tree = training_tree(tmp_path)
    before = saved(tmp_path / "before.safetensors", 0, ratio=False)
    out = tmp_path / "gated.safetensors"
    run("presence.py", before, tree / "tiny.yaml", out, "--mixtures", 12)

    gated, ungated = checkpoint.load(out), checkpoint.load(before).state_dict()
    weights = gated.state_dict()
    assert gated.config.presence
    assert all(
        name.split(".")[0] == "gates" or ".evidence." in name for name in {*weights} - {*ungated}
    )
    for name, weight in ungated.items():
        torch.testing.assert_close(weights[name], weight, rtol=1e-3, atol=1e-3)
    assert "gate of 12 mixtures" in checkpoint.read_info(out).data


def test_a_gate_learns_the_same_where_there_was_one(run, tmp_path) -> None:
    tree = training_tree(tmp_path)
    learnt = []
    for width in (0, 24, 3):  # none, one of the recipe's width and another
        before = saved(tmp_path / "before.safetensors", 0, ratio=False, presence=width)
        out = tmp_path / f"{width}.safetensors"
        run("presence.py", before, tree / "tiny.yaml", out, "--mixtures", 12)
        learnt.append(checkpoint.load(out).state_dict())
    torch.testing.assert_close(learnt, [learnt[0]] * 3, rtol=0, atol=0)


def test_a_gate_hears_where_the_voice_of_its_mixtures_is(tmp_path) -> None:
    """Cells of what the deepest layers say and of the voice are of the same times."""
    listen = runpy.run_path(str(RECIPES / "presence.py"))["listen"]
    tree = training_tree(tmp_path)
    network = build("spleeter", **TINY, ratio=False, presence=4).eval()
    heard, voice, mixture = listen(network, tree / "tiny.yaml", 12, 0)
    assert [layer.shape for layer in heard] == [(12, 2, 16, 32), (12, 4, 8, 16)]
    assert voice.shape == mixture.shape == (12, 8)
    sung = voice.max(1).values > -100
    assert sung[::2].any() and not sung[1::2].any()  # with its voice, and without
    assert (mixture >= voice - 3)[sung].float().mean() > 0.9
    differs = torch.stack([(layer[::2] != layer[1::2]).flatten(1).any(1) for layer in heard])
    assert (differs == sung[::2]).all()


def test_a_gate_learns_where_a_voice_is() -> None:
    learn = runpy.run_path(str(RECIPES / "presence.py"))["learn"]
    torch.manual_seed(0)
    heard = [3 + 5 * torch.randn(800, 6, 16, 4), 3 + 5 * torch.randn(800, 6, 8, 2)]
    voice = torch.where(torch.rand(800, 8) < 0.5, -20.0, -100.0)
    heard[1][:, 1] += torch.where(voice > -50, 10.0, -10.0).unsqueeze(-1)
    evidence, gate = Evidence((6, 6), 2, 16), Gate(16)
    silence = [torch.zeros(1, 6, 16, 4), torch.zeros(1, 6, 8, 2)]
    learn(evidence, gate, heard, silence, voice, torch.full_like(voice, -15.0))
    with torch.no_grad():
        scores = gate(evidence(heard))
    assert (scores[voice > -50] >= 1).float().mean() > 0.98
    assert (scores[voice < -50] <= 0).float().mean() > 0.9
    ended = [
        torch.where(torch.arange(t)[:, None] < t // 2, layer, 0.0)
        for t, layer in zip((16, 8), heard, strict=True)
    ]
    with torch.no_grad():
        scores = gate(evidence(ended))[:, :4]  # as if the song ended there
    assert (scores[voice[:, :4] > -50] >= 1).float().mean() > 0.98


class Hearing:
    """Takes for vocals so many decibels less as the loudest sample says in hundreds."""

    stems = ("vocals", "accompaniment")

    def __call__(self, audio: np.ndarray, rate: int) -> dict[str, np.ndarray]:
        return {"vocals": audio * 10 ** (-100 * np.abs(audio).max() / 20)}


def test_hard_music_is_what_is_taken_for_a_voice_in_part(run, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(Separator, "from_pretrained", lambda model: Hearing())
    tree = training_tree(tmp_path)
    for name, levels in {
        "music/games/leads.wav": [-10, -30, -3],
        "music/games/drums.wav": [-40, -25, -22],
        "music/games/songs.wav": [-3, -2, -10],  # as it is sung, most of it
        "music/choirs/aahs.wav": [-10, -10, -10],
        "music/heldout/pads.wav": [-10, -10, -10],
    }.items():
        (tree / name).parent.mkdir(exist_ok=True)
        audio = np.repeat([-level / 100 for level in levels], 12 * 8000)
        soundfile.write(tree / name, audio, 8000)
    config = tree / "hard.yaml"
    config.write_text(f"base: tiny.yaml\ndata: {{instrumentals: [{tree}/music/heldout]}}\n")
    run("hard_music.py", "any", config, tmp_path / "hard", "--without", "choirs")

    assert [path.name for path in (tmp_path / "hard").iterdir()] == ["games-leads-0.flac"]
    audio, rate = soundfile.read(tmp_path / "hard/games-leads-0.flac")
    assert rate == 8000
    np.testing.assert_allclose(audio, np.full(12 * 8000, 0.1), atol=1e-4)


def test_leads_are_of_every_kind_and_a_number_always_gives_the_same_one() -> None:
    piece = runpy.run_path(str(RECIPES / "synthetic_leads.py"))["piece"]
    piece.__globals__["SECONDS"] = 4
    pieces = [piece(np.random.default_rng(number)) for number in range(6)]
    np.testing.assert_array_equal(piece(np.random.default_rng(3)), pieces[3])
    for audio in pieces:
        assert audio.shape == (2, 4 * 44100)
        assert np.isfinite(audio).all() and np.abs(audio).max() <= 0.7
    widths = {bool(np.abs(audio[0] - audio[1]).max() > 1e-3) for audio in pieces}
    assert widths == {True, False}
    assert len({audio.tobytes() for audio in pieces}) == 6


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="packages are unpacked on Debian")
def test_packages_are_unpacked_with_the_archives_in_them(tmp_path, run, monkeypatch, capsys):
    package, unpacked = tmp_path / "package", tmp_path / "unpacked"
    (package / "DEBIAN").mkdir(parents=True)
    control = (
        "Package: nexuiz-music\nVersion: 1\nArchitecture: all\nMaintainer: a\nDescription: b\n"
    )
    (package / "DEBIAN" / "control").write_text(control)
    with zipfile.ZipFile(package / "music.pk3", "w") as archive:
        archive.writestr("cdtracks/one.ogg", b"sound")
        archive.writestr("maps/one.bsp", b"no sound")
    subprocess.run(["dpkg-deb", "-b", package, tmp_path / "a.deb"], check=True)
    stub = tmp_path / "bin" / "apt-get"
    stub.parent.mkdir()
    stub.write_text(f'#!/bin/sh\ntest "$2" = nexuiz-music && cp {tmp_path}/a.deb .\n')
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", str(stub.parent), prepend=os.pathsep)
    for line in ("nexuiz-music: unpacked", "nexuiz-music: is there"):
        with pytest.raises(SystemExit, match="22 of 23 are missing: 0ad-data"):
            run("game_packages.py", unpacked)
        said = capsys.readouterr().out.splitlines()
        assert line in said
        assert "0ad-data: not to be had: no package" in said
    files = [path.relative_to(unpacked) for path in unpacked.rglob("*") if path.is_file()]
    assert files == [Path("nexuiz-music/music/cdtracks/one.ogg")]
