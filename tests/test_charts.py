"""Drawings of scores and ratings: where things stand is what the axes say."""

from __future__ import annotations

import base64
import io
from xml.etree.ElementTree import Element, fromstring

import numpy as np
import pytest

from unbraid.audio import save_audio
from unbraid.evaluation.charts import box_plot, track_bars
from unbraid.evaluation.pictures import COLUMNS, ROWS, level_of, picture_url
from unbraid.listening.chart import mean_plot
from unbraid.listening.statistics import Mean
from unbraid.plot import LOWEST, RANGE

RATE = 44100


class Axis:
    """Values of places along one axis of a drawing, as its ticks have them."""

    def __init__(self, svg: Element, axis: str) -> None:
        lines = [line for line in svg.findall("line") if line.get("class") in ("grid", "axis")]
        texts = [text for text in svg.findall("text") if "tick" in text.get("class", "")]
        self._places = [float(line.get(f"{axis}1")) for line in lines]
        self.ticks = [float(text.text) for text in texts]
        assert len(self._places) == len(self.ticks)

    def __call__(self, place: str | float | None) -> float:
        order = np.argsort(self._places)
        xs, ys = np.array(self._places)[order], np.array(self.ticks)[order]
        assert xs[0] - 0.1 <= float(place) <= xs[-1] + 0.1
        return float(np.interp(float(place), xs, ys))


def test_boxes_are_quartiles_and_whiskers_leave_outliers_to_the_dots():
    values = np.array([-3.0, 0, 1, 2, 3, 4, 5, 6, 20])
    palette = {"one": "#111", "other": "#222"}
    tracks = [f"t{value}" for value in values]
    both = {"one": values, "other": np.where(values > 5, np.nan, values)}
    svg = fromstring(box_plot("SDR (dB)", both, tracks, palette))
    y = Axis(svg, "y")

    box, other = svg.findall("g")
    assert (box.get("stroke"), other.get("stroke")) == ("#111", "#222")
    rect = box.find("rect")
    high, height = float(rect.get("y")), float(rect.get("height"))
    assert (y(high), y(high + height)) == pytest.approx((5, 1), abs=0.1)
    *whiskers, middle = box.findall("line")
    assert y(middle.get("y1")) == y(middle.get("y2")) == pytest.approx(3, abs=0.1)
    ends = {round(y(line.get(end))) for line in whiskers for end in ("y1", "y2")}
    assert ends == {-3, 1, 5, 6}
    dots = [dot for dot in svg.findall("circle") if dot.get("fill") == "#111"]
    assert [y(dot.get("cy")) for dot in dots] == pytest.approx(values, abs=0.1)
    assert len(svg.findall("circle")) == 9 + 7
    assert dots[0].find("title").text == "t-3.0, one: -3.00 dB"


def test_bars_begin_at_zero_and_the_best_track_is_at_the_top():
    palette = {"one": "#111", "other": "#222"}
    values = {"one": np.array([-4.0, 8.0, 2.0]), "other": np.array([1.0, -1.0, 3.0])}
    svg = fromstring(track_bars(values, ["low", "high", "middle"], palette))
    x = Axis(svg, "x")

    names = [text.text for text in svg.findall("text") if text.get("class") == "name"]
    assert names == ["high", "middle", "low"]
    bars = sorted(svg.findall("rect"), key=lambda bar: float(bar.get("y")))
    assert [bar.get("fill") for bar in bars] == ["#111", "#222"] * 3
    spans = [(x(bar.get("x")), x(float(bar.get("x")) + float(bar.get("width")))) for bar in bars]
    expected = [(0, 8), (-1, 0), (0, 2), (0, 3), (-4, 0), (0, 1)]
    assert np.allclose(spans, expected, atol=0.05)


def test_means_of_ratings_stand_where_the_ticks_say_and_intervals_end_with_the_scale():
    rows = {
        "reference": Mean({"Ann": 100.0, "Bob": 98.0}, 99.0, 86.3, 111.7),
        "alpha": Mean({"Ann": 10.0, "Bob": 30.0}, 20.0, -107.1, 147.1),
        "beta": Mean({"Ann": 64.0}, 64.0, float("nan"), float("nan")),
    }
    svg = fromstring(mean_plot("Quality", rows, {"alpha": "#111", "beta": "#222"}))
    x = Axis(svg, "x")

    assert x.ticks == [0, 20, 40, 60, 80, 100]
    assert max(float(line.get("x2")) for line in svg.iter("line")) < float(svg.get("width"))
    means = svg.findall("g")
    dots = [mean.find("circle") for mean in means]
    assert [x(dot.get("cx")) for dot in dots] == pytest.approx([99, 20, 64], abs=0.1)
    spans = [mean.find("line") for mean in means]
    assert [(x(s.get("x1")), x(s.get("x2"))) for s in spans[:2]] == [
        pytest.approx((86.3, 100), abs=0.1),
        pytest.approx((0, 100), abs=0.1),
    ]
    assert spans[2] is None  # a single listener has no interval
    listeners = {dot.find("title").text: x(dot.get("cx")) for dot in svg.findall("circle")}
    assert listeners["Bob: 30.0"] == pytest.approx(30, abs=0.1)


def test_a_picture_has_low_frequencies_below_and_loud_ones_bright(tmp_path):
    image = pytest.importorskip("PIL.Image")
    times = np.arange(3 * RATE) / RATE
    tone = np.sin(2 * np.pi * 1000 * times) * (times > 2)  # in the last second
    save_audio(tmp_path / "a.wav", tone[None].astype(np.float32), RATE)

    level = level_of(tmp_path / "a.wav")
    url = picture_url(level, brightest=0)

    assert level.shape == (ROWS, COLUMNS)
    head, data = url.split(",")
    assert head == "data:image/png;base64"
    picture = np.asarray(image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
    assert picture.shape == (ROWS, COLUMNS, 3)
    light = picture.astype(int).sum(2)
    row, _ = np.unravel_index(light.argmax(), light.shape)
    place = 1 - (row + 0.5) / ROWS
    assert LOWEST * (20_000 / LOWEST) ** place == pytest.approx(1000, rel=0.06)
    assert tuple(picture[0, 10]) == (0, 0, 4)  # RANGE below the brightest, and more
    assert np.flatnonzero(light[row] > 300).min() / COLUMNS == pytest.approx(2 / 3, abs=0.02)
    ends = np.array([[-RANGE, -RANGE / 2, 0]])
    data = picture_url(ends, brightest=0).split(",")[1]
    shades = np.asarray(image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))[0]
    assert tuple(shades[0]) == (0, 0, 4) and tuple(shades[2]) == (0xFC, 0xFD, 0xBF)
