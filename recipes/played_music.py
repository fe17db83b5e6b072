"""Accompaniment to train on: guitars, pianos, strings and bands, played by FluidSynth at random.

    apt-get install fluidsynth fluid-soundfont-gm musescore-general-soundfont && pip install mido
    python recipes/played_music.py 14 played

The music of games has few plucked, bowed or blown instruments without drums, and lacks what a voice
is easily mistaken for: melodies with vibrato and slides. Each file holds ten pieces of 45 seconds:
common chord progressions on strummed or picked guitars (half of the pieces), pianos and pads, bands
with drums, or strings and winds, every second piece with a lead instrument. The sounds are those of
FluidR3 GM and MuseScore General (both MIT). The same number gives the same file.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path
from random import Random

import mido
import numpy as np
import soundfile

SOUNDFONTS = (
    "/usr/share/sounds/sf2/FluidR3_GM.sf2",
    "/usr/share/sounds/sf3/MuseScore_General_Full.sf3",
)
RATE = 44100
SECONDS = 45  # of a piece
PIECES = 10  # in a file
DRUMS = 9  # General MIDI's channel of percussion
# MIDI notes of chords as guitarists finger them
SHAPES = {
    "C": [48, 52, 55, 60, 64],
    "D": [50, 57, 62, 66],
    "E": [40, 47, 52, 56, 59, 64],
    "G": [43, 47, 50, 55, 59, 67],
    "A": [45, 52, 57, 61, 64],
    "Am": [45, 52, 57, 60, 64],
    "Em": [40, 47, 52, 55, 59, 64],
    "Dm": [50, 57, 62, 65],
    "F": [41, 48, 53, 57, 60, 65],
    "Bm": [47, 54, 59, 62, 66],
    "Cadd9": [48, 52, 55, 62, 67],
    "Dsus": [50, 57, 62, 67],
    "A7": [45, 52, 55, 61, 64],
    "E7": [40, 47, 50, 56, 59, 64],
    "G7": [43, 47, 50, 55, 59, 65],
}
PROGRESSIONS = [
    line.split()
    for line in [
        *("C G Am F", "G D Em Cadd9", "Am F C G", "Em C G D", "D A Bm G", "A E D A", "Dm Am C G"),
        *("C Am Dm G7", "G Em C D", "E A E7 A7", "Am Dm E7 Am", "D Dsus G A", "F C Dm Am"),
        "C F C G",
    ]
]
STRUMS = [  # which eighths of a bar are struck
    [1, 0, 1, 1, 0, 1, 1, 1],
    [1, 0, 1, 0, 1, 0, 1, 0],
    [1, 0, 1, 1, 1, 0, 1, 1],
    [1, 1, 1, 1, 1, 1, 1, 1],
    [1, 0, 0, 1, 0, 0, 1, 0],
    [1, 0, 0, 0, 1, 0, 1, 1],
]
# programs of General MIDI
ACOUSTIC = [24, 25, 25, 25, 24, 104, 105, 26, 15, 106]
ELECTRIC = [26, 27, 28, 29, 30, 30, 25]
KEYS = [0, 0, 1, 2, 4, 5, 6, 46]
ORCHESTRA = [40, 41, 42, 43, 44, 45, 48, 68, 70, 71, 73, 60, 57, 46]
LEADS = [
    *(22, 40, 40, 41, 42, 56, 59, 60, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 77),
    *(80, 81, 82, 84, 87, 26, 27, 29, 30, 30, 21, 23, 104, 105, 106, 110, 78, 79, 24, 25),
]


class Piece:
    """One random piece of music.

    Args:
        number: the same number gives the same piece.
    """

    def __init__(self, number: int) -> None:
        self.rng = rng = Random(1000 + number)
        self.events: list[tuple[float, int, mido.Message]] = []  # seconds, order, message
        self.channels = (channel for channel in range(16) if channel != DRUMS)
        self.beat = 60 / rng.uniform(60, 150)
        self.bars = int(SECONDS / (4 * self.beat)) + 1
        self.chords = rng.choice(PROGRESSIONS)
        if rng.random() < 0.4:
            self.chords = self.chords + rng.choice(PROGRESSIONS)
        self.key = rng.randrange(-3, 6)
        self.swing = rng.choice([0, 0, 0, 0.15, 0.3])
        self.reverb = rng.choice([0, 10, 40, 80])
        kinds = [self.guitars, self.keys, self.band, self.orchestra]
        rng.choices(kinds, [0.5, 0.17, 0.2, 0.13])[0]()
        if rng.random() < 0.5:
            program, volume = rng.choice(LEADS), rng.randint(75, 120)
            pan = rng.choice([64, 64, rng.randint(30, 98)])
            self.lead(self.instrument(program, volume, pan, self.reverb, rng.choice([0, 20])))

    def guitars(self) -> None:
        """One to three acoustic guitars, at times with a bass, a pad or drums."""
        rng = self.rng
        count, doubled = rng.randint(1, 3), rng.random() < 0.4
        for index in range(count):
            program = rng.choice(ACOUSTIC)
            pan = [64, 20, 108][index] if not doubled or index == 0 else rng.choice([10, 118])
            if count > 1:
                pan = [rng.randint(5, 50), rng.randint(78, 122), 64][index]
            volume = rng.randint(80, 115)
            channel = self.instrument(program, volume, pan, self.reverb, rng.choice([0, 0, 20]))
            if index:
                rng.choice([0, 0, 5, 7])  # drawn so that numbers keep their pieces
            self.guitar(channel, rng.choice(["strum", "strum", "pick"]))
        if rng.random() < 0.4:
            program, volume = rng.choice([32, 33, 35]), rng.randint(70, 110)
            self.bass(self.instrument(program, volume, 64, self.reverb // 2, 0))
        if rng.random() < 0.35:
            channel = self.pad_instrument([48, 49, 42, 40, 0, 21, 19, 16, 11], 50, 90)
            self.pad(channel, rng.choice(["hold", "arpeggio"]))
        if rng.random() < 0.2:
            self.drums()

    def keys(self) -> None:
        """A piano or harp, at times with strings and a bass."""
        rng = self.rng
        program, volume = rng.choice(KEYS), rng.randint(80, 115)
        channel = self.instrument(program, volume, 64, self.reverb, 0)
        self.pad(channel, rng.choice(["block", "arpeggio"]))
        if rng.random() < 0.6:
            self.pad(self.pad_instrument([48, 49, 50, 51, 89, 90, 88, 42], 50, 100), "hold")
        if rng.random() < 0.4:
            program, volume = rng.choice([32, 33]), rng.randint(70, 110)
            self.bass(self.instrument(program, volume, 64, 0, 0))

    def band(self) -> None:
        """Electric guitars, bass and drums, at times with keys."""
        rng = self.rng
        for index in range(rng.randint(1, 2)):
            program, volume = rng.choice(ELECTRIC), rng.randint(60, 105)
            pan = [rng.randint(5, 50), rng.randint(78, 122)][index]
            channel = self.instrument(program, volume, pan, self.reverb, rng.choice([0, 30]))
            self.guitar(channel, rng.choice(["strum", "strum", "pick"]))
        program, volume = rng.choice([33, 34, 36, 38]), rng.randint(80, 115)
        self.bass(self.instrument(program, volume, 64, 0, 0))
        self.drums()
        if rng.random() < 0.4:
            channel = self.pad_instrument([16, 17, 18, 4, 0, 61, 62, 81], 50, 90)
            self.pad(channel, rng.choice(["hold", "block"]))

    def orchestra(self) -> None:
        """Two to four strings or winds."""
        rng = self.rng
        for _ in range(rng.randint(2, 4)):
            program, volume, pan = rng.choice(ORCHESTRA), rng.randint(60, 110), rng.randint(10, 117)
            channel = self.instrument(program, volume, pan, self.reverb, 0)
            octave = rng.choice([0, 0, 12])
            self.pad(channel, rng.choice(["hold", "arpeggio", "block"]), octave)

    def instrument(self, program: int, volume: int, pan: int, reverb: int, chorus: int) -> int:
        """A new channel with an instrument; all but the program from 0 to 127."""
        channel = next(self.channels)
        self.add(0, -2, mido.Message("program_change", channel=channel, program=program))
        for control, value in ((7, volume), (10, pan), (91, reverb), (93, chorus)):
            self.control(channel, control, value)
        return channel

    def pad_instrument(self, programs: list[int], softest: int, loudest: int) -> int:
        """A channel for what lies behind the others."""
        rng = self.rng
        program, volume = rng.choice(programs), rng.randint(softest, loudest)
        return self.instrument(program, volume, rng.randint(30, 98), self.reverb, 0)

    def guitar(self, channel: int, way: str) -> None:
        """Chords, strummed string after string, or picked."""
        rng, beat = self.rng, self.beat
        strum = rng.choice(STRUMS)
        picked = [0, *[rng.randrange(6) for _ in range(8)][1:]]
        loudness = rng.uniform(60, 100)
        for bar in range(self.bars):
            shape = self.shape(bar)
            for eighth in range(8):
                late = self.swing * beat / 2 if eighth % 2 else 0
                start = (4 * bar + eighth / 2) * beat + late + rng.gauss(0, 0.006)
                if way == "strum":
                    if not strum[eighth] and rng.random() < 0.9:
                        continue
                    down = eighth % 2 == 0
                    notes = shape if down else shape[::-1][: rng.randint(2, 4)]
                    gap = rng.uniform(0.006, 0.022)
                    accent = 1.15 if eighth % 4 == 0 else 0.9
                    length = beat * rng.uniform(0.4, 1.6)
                    for string, note in enumerate(notes):
                        velocity = loudness * accent * rng.uniform(0.75, 1.1)
                        self.note(channel, start + string * gap, length, note, velocity)
                else:
                    length, note = beat * rng.uniform(1, 2.5), shape[picked[eighth] % len(shape)]
                    self.note(channel, start, length, note, loudness * rng.uniform(0.7, 1.1))
                    if eighth % 4 == 0:
                        late = rng.uniform(0, 0.01)
                        self.note(channel, start + late, beat * 2, shape[0], loudness)

    def pad(self, channel: int, way: str, octave: int = 0) -> None:
        """Chords in the middle, held, broken, or in blocks."""
        rng, beat = self.rng, self.beat
        loudness = rng.uniform(50, 90)
        for bar in range(self.bars):
            open_shape = SHAPES[self.chords[bar % len(self.chords)]]
            shape = [note + octave + self.key for note in open_shape]
            high = [note + self.key + octave + 12 * (note < 55) for note in open_shape][-4:]
            start = 4 * bar * beat
            if way == "hold":
                for note in high:
                    length = beat * 4 * rng.uniform(0.95, 1.02)
                    self.note(channel, start, length, note, loudness * rng.uniform(0.8, 1.1))
            else:
                for index in range(rng.choice([4, 8, 4])):
                    if way == "block":
                        for note in high:
                            at = start + index * beat + rng.gauss(0, 0.006)
                            length = beat * rng.uniform(0.5, 1.2)
                            self.note(channel, at, length, note, loudness * rng.uniform(0.7, 1.1))
                        if index >= 3:
                            break
                    else:
                        at = start + index * beat / 2 + rng.gauss(0, 0.006)
                        note = high[index * 3 % len(high)] + 12 * (index % 3 == 2)
                        length = beat * rng.uniform(0.5, 2)
                        self.note(channel, at, length, note, loudness * rng.uniform(0.7, 1.1))
            if rng.random() < 0.5:
                low = shape[0] - (12 if open_shape[0] > 50 else 0)
                self.note(channel, start, beat * 3.8, low, loudness * 0.9)

    def bass(self, channel: int) -> None:
        """Roots, at times fifths."""
        rng, beat = self.rng, self.beat
        eighths = [eighth / 2 for eighth in range(8)]
        beats = rng.choice([[0], [0, 2], [0, 1.5, 2.5], [0, 1, 2, 3], eighths])
        loudness = rng.uniform(70, 105)
        for bar in range(self.bars):
            root = self.shape(bar)[0]
            while root > 45:
                root -= 12
            for index, at in enumerate(beats):
                start = (4 * bar + at) * beat + rng.gauss(0, 0.006)
                note = root + (7 if index and rng.random() < 0.2 else 0)
                self.note(channel, start, beat * 0.9, note, loudness * rng.uniform(0.85, 1.1))

    def drums(self) -> None:
        """Bass drum, snare and hi-hat or shaker."""
        rng, beat = self.rng, self.beat
        loudness, hat = rng.uniform(60, 110), rng.choice([42, 51, 44, 70])
        kicks = rng.choice([[0, 2], [0, 2.5], [0, 1.5, 2], [0, 1, 2, 3], [0]])
        snares, snare = rng.choice([[1, 3], [1, 3], [2]]), rng.choice([38, 40, 37, 39])
        for bar in range(self.bars):
            first = 4 * bar * beat
            for eighth in range(8):
                late = self.swing * beat / 2 if eighth % 2 else 0
                at = first + eighth * beat / 2 + late + rng.gauss(0, 0.004)
                accent = 0.8 if eighth % 2 else 1
                self.note(DRUMS, at, 0.1, hat, loudness * accent * rng.uniform(0.6, 0.9))
            for at in kicks:
                self.note(DRUMS, first + at * beat + rng.gauss(0, 0.004), 0.1, 36, loudness * 1.1)
            for at in snares:
                at = first + at * beat + rng.gauss(0, 0.004)
                self.note(DRUMS, at, 0.1, snare, loudness * 1.05)
            if bar % 4 == 0 and rng.random() < 0.5:
                self.note(DRUMS, first, 1, 49, loudness)

    def lead(self, channel: int) -> None:
        """A melody in the range of singers, with slides, vibrato and swells."""
        rng, beat = self.rng, self.beat
        loudness, at = rng.uniform(70, 110), rng.uniform(0, 2) * beat
        last, octave = 67 + self.key % 12, rng.choice([0, 0, 0, -12, 12, -5])
        vibrato = rng.random() < 0.7
        while at < SECONDS:
            if rng.random() < 0.12:
                at += beat * rng.choice([1, 2, 4])
                continue
            chord = {note % 12 for note in self.shape(int(at / (4 * beat)))}
            length = beat * rng.choice([0.5, 0.5, 1, 1, 1.5, 2, 3, 0.25])
            near = [n for n in range(55, 86) if n % 12 in chord or rng.random() < 0.2]
            weights = [np.exp(-abs(n - last) / 3.5) * np.exp(-abs(n - 69) / 10) for n in near]
            last = rng.choices(near, weights)[0]
            sounding, velocity = length * rng.uniform(0.8, 1.05), loudness * rng.uniform(0.75, 1.1)
            self.note(channel, at, sounding, last + octave, velocity)
            if rng.random() < 0.25:
                slide = rng.choice([-4096, -2048, 2048])
                for step in range(7):
                    self.bend(channel, at + 0.1 * step / 6, slide * (1 - step / 6))
            if vibrato and length > beat * 0.9:
                rate, depth, time = rng.uniform(4.5, 6.5), rng.uniform(150, 900), at + 0.15
                while time < at + length * 0.95:
                    self.bend(channel, time, depth * np.sin(2 * np.pi * rate * (time - at)))
                    time += 0.02
                self.bend(channel, at + length * 0.96, 0)
            if rng.random() < 0.3:
                for step in range(8):
                    swell = 70 + 57 * np.sin(np.pi * (step + 1) / 9)
                    self.control(channel, 11, swell, at + length * step / 8)
            else:
                self.control(channel, 11, 120, at)
            at += length

    def shape(self, bar: int) -> list[int]:
        """Notes of a bar's chord."""
        return [note + self.key for note in SHAPES[self.chords[bar % len(self.chords)]]]

    def note(self, channel: int, at: float, length: float, note: int, velocity: float) -> None:
        """A note at so many seconds, if it is one that MIDI has."""
        if 0 <= note < 128:
            force, at = int(np.clip(velocity, 1, 127)), max(0.0, at)
            on = mido.Message("note_on", channel=channel, note=note, velocity=force)
            off = mido.Message("note_off", channel=channel, note=note, velocity=0)
            self.add(at, 1, on)
            self.add(at + length, 0, off)

    def control(self, channel: int, control: int, value: float, at: float = 0) -> None:
        """A controller's new value."""
        message = mido.Message("control_change", channel=channel, control=control)
        self.add(at, -1, message.copy(value=int(np.clip(value, 0, 127))))

    def bend(self, channel: int, at: float, amount: float) -> None:
        """The pitch wheel's new place; 4096 is a semitone."""
        self.add(at, -1, mido.Message("pitchwheel", channel=channel, pitch=int(amount)))

    def add(self, at: float, order: int, message: mido.Message) -> None:
        """An event at so many seconds; of those at one time, the lowest order is first."""
        self.events.append((at, order, message))

    def save(self, path: Path) -> None:
        """Write a MIDI file."""
        track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500_000)])
        last = 0
        for at, _, message in sorted(self.events, key=lambda event: event[:2]):
            tick = int(at * 1920)
            track.append(message.copy(time=max(0, tick - last)))
            last = max(last, tick)
        mido.MidiFile(ticks_per_beat=960, tracks=[track]).save(path)


def play(number: int, path: Path) -> None:
    """Write file `number`, FLAC of 16 bits."""
    with tempfile.TemporaryDirectory() as scratch:
        songs, sound = [], Path(scratch) / "sound.wav"
        for index in range(PIECES):
            songs.append(Path(scratch) / f"{index}.mid")
            Piece(number * PIECES + index).save(songs[-1])
        gain = Random(number).uniform(0.3, 0.5)
        options = ["-ni", "-q", "-g", str(gain), "-r", str(RATE), "-F", str(sound), "-T", "wav"]
        soundfont = SOUNDFONTS[number % len(SOUNDFONTS)]
        subprocess.run(
            ["fluidsynth", *options, soundfont, *map(str, songs)], check=True, capture_output=True
        )
        audio, _ = soundfile.read(sound, dtype="float32")
    audio *= 0.9 / max(0.01, np.abs(audio).max())
    soundfile.write(path, audio, RATE, subtype="PCM_16")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=int, help="how many, of about 8 minutes each")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for number in range(options.files):
        play(number, options.folder / f"{number:04}.flac")


if __name__ == "__main__":
    main()
