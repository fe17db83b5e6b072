"""A drawing of ratings as SVG: a row a system, its mean, interval and listeners."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

from unbraid.evaluation.charts import svg
from unbraid.listening.statistics import Mean

GREY = "#868e96"  # of the reference and the anchor
_ROW, _LEFT, _TOP, _WIDTH = 34, 120, 34, 420
_NAME = 17  # letters of a name that fit


def mean_plot(title: str, rows: Mapping[str, Mean], palette: Mapping[str, str]) -> str:
    """Means with their 95 % intervals, and a faint dot for each listener's own mean.

    Args:
        title: of the drawing.
        rows: system -> mean, from the top.
        palette: system -> colour; grey for the others.
    """
    height = _TOP + _ROW * len(rows) + 4
    parts = [f'<text x="0" y="13" class="head">{escape(title)}</text>']
    for tick in range(0, 101, 20):
        x = f"{_x(tick):.1f}"
        parts.append(
            f'<line x1="{x}" x2="{x}" y1="{_TOP - 8}" y2="{height}" class="grid"/>'
            f'<text x="{x}" y="{_TOP - 12}" class="tick middle">{tick}</text>'
        )
    for number, (system, mean) in enumerate(rows.items()):
        y, colour = _TOP + _ROW * (number + 0.5), palette.get(system, GREY)
        name = system if len(system) <= _NAME else f"{system[: _NAME - 1]}…"
        parts.append(f'<text x="{_LEFT - 10}" y="{y + 4}" class="name">{escape(name)}</text>')
        parts += (
            f'<circle cx="{_x(value):.1f}" cy="{y}" r="3" fill="{colour}" fill-opacity=".35">'
            f"<title>{escape(listener)}: {value:.1f}</title></circle>"
            for listener, value in mean.listeners.items()
        )
        parts.append(_mean(system, mean, y, colour))
    return svg(_WIDTH, height, parts, f"{title}, means of {', '.join(rows)}")


def _mean(system: str, mean: Mean, y: float, colour: str) -> str:
    said, span = f"{escape(system)}: {mean.value:.1f}", ""
    if not math.isnan(mean.low):
        said += f", 95 % {mean.low:.1f} to {mean.high:.1f}"
        low, high = _x(max(0.0, mean.low)), _x(min(100.0, mean.high))
        ends = "".join(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y - 6}" y2="{y + 6}"/>' for x in (low, high)
        )
        span = f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}"/>{ends}'
    dot = f'<circle cx="{_x(mean.value):.1f}" cy="{y}" r="5" fill="{colour}"/>'
    return f'<g stroke="{colour}"><title>{said}</title>{span}{dot}</g>'


def _x(rating: float) -> float:
    return _LEFT + rating / 100 * (_WIDTH - _LEFT - 12)
