"""Drawings of scores as SVG: box plots over tracks, and bars track by track."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from unbraid.evaluation.compare import ENDLESS

COLOURS = ("#e8590c", "#1971c2", "#2f9e44", "#9c36b5", "#c2255c", "#0c8599", "#e8b50c", "#868e96")

Values = Mapping[str, NDArray[np.float64]]  # system -> dB of each track
_Scale = Callable[[float], float]  # dB -> place in the drawing


def colours(systems: Sequence[str]) -> dict[str, str]:
    """A colour for each system, the same in all drawings."""
    return {system: COLOURS[number % len(COLOURS)] for number, system in enumerate(systems)}


def box_plot(metric: str, values: Values, tracks: Sequence[str], palette: Mapping[str, str]) -> str:
    """Boxes of the quartiles, whiskers to the furthest track within 1.5 box heights, all tracks.

    What is `ENDLESS` is not drawn: all else would be a line beside it.

    Args:
        metric: title of the drawing.
        values: system -> dB of each track, `[tracks]`.
        tracks: their names, shown on hovering.
        palette: system -> colour.
    """
    width, height, left, top, bottom = 52 + 58 * len(values), 230, 40, 26, 12
    values = {
        system: np.where(column < ENDLESS, column, np.nan) for system, column in values.items()
    }
    finite = np.concatenate([column[np.isfinite(column)] for column in values.values()])
    if not finite.size:
        return ""
    ticks = _ticks(finite.min(), finite.max(), 6)

    def y(value: float) -> float:
        return top + (ticks[-1] - value) / (ticks[-1] - ticks[0]) * (height - top - bottom)

    parts = [f'<text x="0" y="13" class="head">{escape(metric)}</text>']
    for tick in ticks:
        parts.append(
            f'<line x1="{left}" x2="{width}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" class="grid"/>'
            f'<text x="{left - 6}" y="{y(tick) + 4:.1f}" class="tick">{tick:g}</text>'
        )
    for number, (system, column) in enumerate(values.items()):
        shown, x, colour = column[np.isfinite(column)], left + 30 + 58 * number, palette[system]
        if shown.size:
            parts.append(_box(system, shown, x, y, colour))
            parts.append(_dots(system, column, tracks, x, y, colour))
    return svg(width, height, parts, f"{metric} over tracks")


def _box(system: str, values: NDArray[np.float64], x: float, y: _Scale, colour: str) -> str:
    low, middle, high = (float(q) for q in np.percentile(values, (25, 50, 75)))
    reach = 1.5 * (high - low)
    bottom = float(values[values >= low - reach].min())
    top = float(values[values <= high + reach].max())
    return (
        f'<g stroke="{colour}"><title>{escape(system)}: median {middle:.2f}, '
        f"quartiles {low:.2f} and {high:.2f} dB</title>"
        f'<line x1="{x}" x2="{x}" y1="{y(bottom):.1f}" y2="{y(low):.1f}"/>'
        f'<line x1="{x}" x2="{x}" y1="{y(high):.1f}" y2="{y(top):.1f}"/>'
        f'<rect x="{x - 17}" width="34" y="{y(high):.1f}" height="{max(1, y(low) - y(high)):.1f}" '
        f'rx="3" fill="{colour}" fill-opacity=".18"/>'
        f'<line x1="{x - 17}" x2="{x + 17}" y1="{y(middle):.1f}" y2="{y(middle):.1f}" '
        'stroke-width="3"/></g>'
    )


def _dots(
    system: str,
    values: NDArray[np.float64],
    tracks: Sequence[str],
    x: float,
    y: _Scale,
    colour: str,
) -> str:
    shift = np.random.default_rng(0).uniform(-11, 11, len(values))  # so that dots do not overlap
    return "".join(
        f'<circle cx="{x + dx:.1f}" cy="{y(value):.1f}" r="2.6" fill="{colour}">'
        f"<title>{escape(track)}, {escape(system)}: {value:.2f} dB</title></circle>"
        for value, track, dx in zip(values, tracks, shift, strict=True)
        if np.isfinite(value)
    )


def track_bars(values: Values, tracks: Sequence[str], palette: Mapping[str, str]) -> str:
    """A bar for each track and system, the best track of the first system at the top.

    Args:
        values: system -> dB of each track, `[tracks]`.
        tracks: their names.
        palette: system -> colour.
    """
    bar, gap, left, width = 7, 9, 250, 900
    row = bar * len(values) + gap
    height = row * len(tracks) + 26
    finite = np.concatenate(list(values.values()))
    ticks = _ticks(min(0.0, np.nanmin(finite)), max(0.0, np.nanmax(finite)), 8)

    def x(value: float) -> float:
        return left + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (width - left - 10)

    parts = [
        f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="18" y2="{height}" '
        f'class="{"axis" if tick == 0 else "grid"}"/>'
        f'<text x="{x(tick):.1f}" y="11" class="tick middle">{tick:g}</text>'
        for tick in ticks
    ]
    order = np.argsort(-next(iter(values.values())))
    for place, index in enumerate(order):
        top = 22 + place * row
        name = tracks[index] if len(tracks[index]) <= 38 else f"{tracks[index][:37]}…"
        middle = f"{top + row / 2:.1f}"
        parts.append(f'<text x="{left - 8}" y="{middle}" class="name">{escape(name)}</text>')
        for number, (system, column) in enumerate(values.items()):
            start, stop = sorted((x(0), x(float(column[index]))))
            parts.append(
                f'<rect x="{start:.1f}" y="{top + number * bar}" width="{stop - start:.1f}" '
                f'height="{bar - 1}" rx="1.5" fill="{palette[system]}"><title>'
                f"{escape(tracks[index])}, {escape(system)}: {column[index]:.2f} dB</title></rect>"
            )
    return svg(width, height, parts, "SDR of each track")


def legend(palette: Mapping[str, str]) -> str:
    """Names of the systems beside their colours."""
    items = (
        f'<li><i style="background:{colour}"></i>{escape(system)}</li>'
        for system, colour in palette.items()
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def _ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers that enclose the range, about so many."""
    rough = max(high - low, 1e-3) / about
    power = 10 ** np.floor(np.log10(rough))
    step = float(next(n for n in (1, 2, 5, 10) if n * power >= rough) * power)
    first, last = np.floor(low / step), np.ceil(high / step)
    return [float(round(number * step, 6)) for number in np.arange(first, max(last, first + 1) + 1)]


def svg(width: float, height: float, parts: Sequence[str], label: str) -> str:
    """A drawing.

    Args:
        width: in pixels, at most; it shrinks with the page.
        height: likewise.
        parts: its elements.
        label: for screen readers.
    """
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )
