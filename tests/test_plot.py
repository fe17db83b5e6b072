"""The picture of a separation."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from unbraid.audio import load_audio, save_audio

plot = pytest.importorskip("unbraid.plot")
image = pytest.importorskip("matplotlib.image")


def sine(path: Path, seconds: float, frequency: float = 1000.0, rate: int = 44100) -> Path:
    time = np.arange(round(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * frequency * time).astype(np.float32)
    save_audio(path, np.stack([tone, tone]), rate, "32f")
    return path


@pytest.mark.parametrize("name", ["Песня.wav", "04 絆ふぉーえばー.wav", "$a_b$ [live].wav"])
def test_a_picture_is_drawn_without_warnings_for_any_name(tmp_path, name):
    song = sine(tmp_path / name, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot.plot_files(song, {"vocals": song, "accompaniment": song}, tmp_path / "deep/a.png")
    height, width, _ = image.imread(tmp_path / "deep/a.png").shape
    assert width == 1800
    assert height > 1000
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.png"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("samples", "rate"), [(0, 8000), (1, 96000), (100, 8000), (44100, 96000)])
def test_short_and_silent_files_are_drawn(tmp_path, samples, rate):
    save_audio(tmp_path / "a.wav", np.zeros((1, samples), np.float32), rate, "16")
    plot.plot_files(tmp_path / "a.wav", {"vocals": tmp_path / "a.wav"}, tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()


@pytest.mark.parametrize("rate", [1, 40, 80])
def test_a_file_whose_rate_leaves_nothing_to_show_is_drawn(tmp_path, rate):
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 200)).astype(np.float32)
    save_audio(tmp_path / "a.wav", noise, rate)
    made = plot.overview(tmp_path / "a.wav")
    assert made.top > plot.LOWEST
    assert np.isfinite(made.level).all()


@pytest.mark.parametrize("seconds", [0.2, 20, 120])
def test_an_overview_measures_level_frequency_and_length(tmp_path, seconds):
    made = plot.overview(sine(tmp_path / "a.wav", seconds, 1000.0))
    assert made.duration == pytest.approx(seconds)
    assert made.level.shape[1] == len(made.low) == len(made.rms) <= plot.COLUMNS
    assert made.low.min() == pytest.approx(-1, abs=0.01)
    assert made.high.max() == pytest.approx(1, abs=0.01)
    middle = made.level[:, made.level.shape[1] // 2]
    place = (middle.argmax() + 0.5) / plot.ROWS
    assert plot.LOWEST * (made.top / plot.LOWEST) ** place == pytest.approx(1000, rel=0.02)
    assert middle.max() == pytest.approx(-3, abs=3)
    assert made.rms[len(made.rms) // 2] == pytest.approx(0.5**0.5, abs=0.01)


def test_mono_is_as_bright_as_two_equal_channels(tmp_path):
    both = plot.overview(sine(tmp_path / "stereo.wav", 1))
    tone, rate = load_audio(tmp_path / "stereo.wav")
    save_audio(tmp_path / "mono.wav", tone[:1], rate, "32f")
    mono = plot.overview(tmp_path / "mono.wav")
    np.testing.assert_allclose(mono.level, both.level, atol=0.01)
    np.testing.assert_allclose(mono.rms, both.rms, atol=1e-6)


def test_what_happens_late_is_drawn_late(tmp_path):
    audio = np.zeros((2, 44100 * 100), np.float32)
    audio[:, 44100 * 75 : 44100 * 76] = 0.5
    save_audio(tmp_path / "a.wav", audio, 44100, "16")
    made = plot.overview(tmp_path / "a.wav")
    loud = np.flatnonzero(made.high > 0.4) / len(made.high) * 100
    assert loud.min() == pytest.approx(75, abs=0.15)
    assert loud.max() == pytest.approx(76, abs=0.15)


def test_axes_say_where_and_how_loud_things_are(tmp_path):
    dull = np.zeros((2, 44100 * 30), np.float32)
    dull[:, 44100 * 10 : 44100 * 20] = -0.25  # never above 0: the scale must hold what is below
    save_audio(tmp_path / "dull.wav", dull, 44100, "32f")
    tone = plot.overview(sine(tmp_path / "tone.wav", 30, 1000.0))
    quiet = plot.overview(tmp_path / "dull.wav")
    figure = plot.draw({"mixture": tone, "vocals": quiet}, "song")

    wave, spectrum, wave_below, spectrum_below, bar = figure.axes
    (image,), (image_below,) = spectrum.get_images(), spectrum_below.get_images()
    left, right, bottom, top = image.get_extent()
    assert (left, right) == (0, 30) and wave.get_xlim() == (0, 30)
    assert image.origin == "lower"
    row = image.get_array()[:, 500].argmax() + 0.5
    place = bottom + (top - bottom) * row / plot.ROWS
    ticks = {
        label.get_text(): tick
        for label, tick in zip(spectrum.get_yticklabels(), spectrum.get_yticks(), strict=True)
    }
    assert place == pytest.approx(ticks["1k"], abs=0.03)
    assert list(ticks) == ["50", "100", "200", "500", "1k", "2k", "5k", "10k", "20k"]
    assert image.get_clim() == image_below.get_clim() and bar.get_ylabel() == "Level (dB)"
    assert image.get_clim()[1] >= tone.level.max() > image.get_clim()[1] - 5.01
    assert wave.get_ylim() == wave_below.get_ylim() == pytest.approx((-1.05, 1.05), abs=0.01)
    times = [label.get_text() for label in spectrum_below.get_xticklabels()]
    assert times == [f"0:{second:02d}" for second in range(0, 30, 5)]
    low, high = plot.draw({"mixture": quiet}, "song").axes[0].get_ylim()
    assert low == pytest.approx(-1.05 * 0.25) and high == -low


def test_a_failure_leaves_no_file(tmp_path):
    song = sine(tmp_path / "a.wav", 1)
    with pytest.raises(ValueError, match="no such file"):
        plot.plot_files(song, {"vocals": tmp_path / "none.wav"}, tmp_path / "out/a.png")
    assert list(tmp_path.glob("**/*.png")) == []


@pytest.mark.skipif(os.name == "nt", reason="names are text")
def test_a_name_that_is_no_text_is_drawn(tmp_path):
    song = sine(tmp_path / os.fsdecode(b"caf\xe9.wav"), 1)
    plot.plot_files(song, {"vocals": song}, tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()


def test_a_picture_may_have_as_long_a_name_as_any_file(tmp_path):
    song, picture = sine(tmp_path / "a.wav", 1), tmp_path / f"{'x' * 251}.png"
    plot.plot_files(song, {"vocals": song}, picture)
    assert picture.exists()
