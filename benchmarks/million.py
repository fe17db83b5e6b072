"""What a catalogue costs on a cluster: hours, money, storage and traffic, computed.

    python benchmarks/million.py [--machines 1 10 100] [--cores 2 16] [--price 0.04] [...]

Prints the tables of docs/scaling.md. Measured, by benchmarks/fleet.py: how many times as fast as
real time one Ray worker on one core separates, and how many times as fast two on two cores are; and
the bit rates of the demo song and of its stems, as `unbraid separate --format` writes them. All
else is assumed, and an option each. With

    e = efficiency of a core in a machine of C, (gain / 2) ** log2(C): each doubling costs what the
        measured one did
    k = efficiency of a machine among several

a machine separates `C * pace * e * k * 60 / minutes` songs an hour, and the catalogue costs
`songs / (songs an hour of all) * machines * C * price`.
"""

from __future__ import annotations

import argparse
from math import log2

REQUESTS = 4  # a song: look and read; each of two stems: write


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    number = {"type": float, "metavar": "X"}
    parser.add_argument("--songs", type=int, default=1_000_000)
    parser.add_argument("--minutes", default=4.0, help="of a song", **number)
    parser.add_argument("--machines", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--cores", type=int, nargs="+", default=[2, 16], help="of a machine")
    parser.add_argument("--pace", default=10.7, help="x real time, one worker on a core", **number)
    parser.add_argument("--gain", default=1.51, help="two workers on two cores over one", **number)
    parser.add_argument("--together", default=0.95, help="k: of one among several", **number)
    parser.add_argument("--price", default=0.04, help="of a core-hour", **number)
    parser.add_argument("--flac", default=788.0, help="kbit/s of a song", **number)
    parser.add_argument("--flac-stems", default=1279.0, help="kbit/s of both stems", **number)
    parser.add_argument("--opus", default=128.0, help="kbit/s of a song", **number)
    parser.add_argument("--ogg-stems", default=453.0, help="kbit/s of both stems", **number)
    parser.add_argument("--storage-price", default=23.0, help="of a terabyte a month", **number)
    parser.add_argument("--request-price", default=0.005, help="of 1000 requests", **number)
    asked = parser.parse_args()
    print("\n\n".join([hours(asked), storage(asked), traffic(asked)]))


def songs_an_hour(asked: argparse.Namespace, machines: int, cores: int) -> float:
    efficiency = (asked.gain / 2) ** log2(cores) * (asked.together if machines > 1 else 1)
    return machines * cores * asked.pace * efficiency * 60 / asked.minutes


def hours(asked: argparse.Namespace) -> str:
    rows = []
    for cores in asked.cores:
        for machines in asked.machines:
            pace = songs_an_hour(asked, machines, cores)
            time = asked.songs / pace
            work = time * machines * cores
            price = f"{work * asked.price:,.0f}"
            cells = [f"{pace:,.0f}", short(time), short(time / 24), f"{work:,.0f}", price]
            rows.append([f"{machines} of {cores} cores", *cells])
    return table(["machines", "songs an hour", "hours", "days", "core-hours", "$"], rows)


def rates(asked: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Bit rates of a song and of its two stems together, kbit/s."""
    return {
        "FLAC in, FLAC out": (asked.flac, asked.flac_stems),
        "FLAC in, Ogg out": (asked.flac, asked.ogg_stems),
        "Opus in, Ogg out": (asked.opus, asked.ogg_stems),
    }


def terabytes(asked: argparse.Namespace, rate: float) -> float:
    return asked.songs * asked.minutes * 60 * rate * 1000 / 8 / 1e12


def storage(asked: argparse.Namespace) -> str:
    rows = []
    for name, (song, stems) in rates(asked).items():
        read, written = terabytes(asked, song), terabytes(asked, stems)
        kept = (read + written) * asked.storage_price
        rows.append([name, f"{read:.1f}", f"{written:.1f}", f"{kept:,.0f}"])
    requests = asked.songs * REQUESTS
    note = f"Requests: {requests:,}, {requests / 1000 * asked.request_price:,.0f} $."
    return table(["", "TB read", "TB written", "$ a month"], rows) + "\n\n" + note


def traffic(asked: argparse.Namespace) -> str:
    rows = []
    for cores in asked.cores:
        for machines in asked.machines:
            cells = [
                f"{songs_an_hour(asked, machines, cores) * asked.minutes * rate / 60 / 1000:,.0f}"
                for pair in rates(asked).values()
                for rate in (sum(pair),)
            ]
            rows.append([f"{machines} of {cores} cores", *cells])
    return table(["Mbit/s, read and written", *rates(asked)], rows)


def short(value: float) -> str:
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])


if __name__ == "__main__":
    main()
