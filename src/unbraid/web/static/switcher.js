// Plays the sounds of a page from one clock, all the time; switching only changes what is heard.

import { AHEAD, openContext } from "./clock.js";

const FADE = 0.004; // time constant of cross-fades in seconds: both gains sum to 1 throughout
const EDGE = 0.005; // seconds of fade at the ends of the loop
const SHORTEST = 0.3; // seconds of a loop

export class Switcher extends EventTarget {
  /** @param {number} sampleRate - Hz of the sounds, so that nothing is resampled */
  constructor(sampleRate) {
    super();
    this.context = openContext(sampleRate);
    this.sounds = new Map(); // id -> AudioBuffer
    this.heard = null; // id
    this.loop = null; // {start, end} in seconds
    this.playing = null; // {sources, gains, out} of the running loop
    this.offset = 0; // seconds at which it plays, or stands
    this.startedAt = 0; // context time of that
  }

  /** Add a sound; the first one is heard first. @param {string} id @param {ArrayBuffer} file */
  async add(id, file) {
    this.sounds.set(id, await this.context.decodeAudioData(file));
    this.heard ??= id;
    this.loop ??= { start: 0, end: this.duration };
  }

  get duration() {
    return Math.min(...[...this.sounds.values()].map((buffer) => buffer.duration));
  }

  get position() {
    return this.playing ? this.#positionAt(this.context.currentTime) : this.offset;
  }

  play() {
    if (this.playing) return;
    this.context.resume();
    this.#start(this.offset, this.context.currentTime + AHEAD);
    this.#changed();
  }

  pause() {
    if (!this.playing) return;
    this.offset = this.position;
    this.#stop(this.context.currentTime);
    this.#changed();
  }

  /** Hear another sound at the same moment of the loop. @param {string} id */
  select(id) {
    this.heard = id;
    if (this.playing) {
      for (const [other, gain] of this.playing.gains) this.#fade(gain, other === id ? 1 : 0);
    }
    this.#changed();
  }

  /** @param {number} seconds */
  seek(seconds) {
    this.#restart(() => this.#inside(seconds));
  }

  /** Repeat this part; one too short to hear changes nothing. @param {{start: number, end: number}} loop */
  setLoop(loop) {
    this.#restart((position) => {
      if (loop.end - loop.start >= SHORTEST) this.loop = loop;
      return this.#inside(position);
    });
  }

  close() {
    this.context.close();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }

  #inside(position) {
    return position >= this.loop.start && position < this.loop.end ? position : this.loop.start;
  }

  #positionAt(time) {
    const { start, end } = this.loop;
    return start + ((this.offset - start + Math.max(0, time - this.startedAt)) % (end - start));
  }

  #fade(gain, level, when = this.context.currentTime) {
    gain.gain.setTargetAtTime(level, when, FADE);
  }

  #start(position, when) {
    this.offset = position;
    this.startedAt = when;
    const out = new GainNode(this.context, { gain: 0 });
    out.connect(this.context.destination);
    this.#fade(out, 1, when);
    const gains = new Map();
    const sources = [...this.sounds].map(([id, buffer]) => {
      const gain = new GainNode(this.context, { gain: id === this.heard ? 1 : 0 });
      const source = new AudioBufferSourceNode(this.context, { buffer: part(buffer, this.loop), loop: true });
      source.connect(gain).connect(out);
      source.start(when, position - this.loop.start);
      gains.set(id, gain);
      return source;
    });
    this.playing = { sources, gains, out };
  }

  #stop(when) {
    this.#fade(this.playing.out, 0, when);
    for (const source of this.playing.sources) source.stop(when + 8 * FADE);
    this.playing = null;
  }

  #restart(place) {
    if (this.playing) {
      const when = this.context.currentTime + AHEAD;
      const position = place(this.#positionAt(when));
      this.#stop(when);
      this.#start(position, when);
    } else {
      this.offset = place(this.offset);
    }
    this.#changed();
  }
}

/** A part of a buffer with faded ends, so that its repetition does not click. */
function part(buffer, { start, end }) {
  const { sampleRate, numberOfChannels } = buffer;
  const first = Math.round(start * sampleRate);
  const length = Math.min(Math.round(end * sampleRate), buffer.length) - first;
  const edge = Math.min(Math.round(EDGE * sampleRate), Math.floor(length / 2));
  const result = new AudioBuffer({ numberOfChannels, length, sampleRate });
  for (let c = 0; c < numberOfChannels; c++) {
    const samples = result.getChannelData(c);
    samples.set(buffer.getChannelData(c).subarray(first, first + length));
    for (let i = 0; i < edge; i++) {
      const level = Math.sin((Math.PI / 2) * (i / edge)) ** 2;
      samples[i] *= level;
      samples[length - 1 - i] *= level;
    }
  }
  return result;
}
