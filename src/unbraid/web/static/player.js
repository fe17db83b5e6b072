// Plays the stems of a song through one Web Audio graph, all from one clock: sample-locked.
//
// Each stem is a buffer of its own; their sources start at the same time of the same context. A
// speed other than 1 plays buffers that were stretched before (stretch.js), so that looping and
// seeking are the same at any speed, and nothing has to be computed while it sounds. Sources and
// buffers, unlike audio worklets, are there on plain http too: on a phone in the same network.

import { AHEAD, openContext } from "./clock.js";

export class Player extends EventTarget {
  /** @param {number} sampleRate - Hz of the song, so that nothing is resampled */
  constructor(sampleRate) {
    super();
    this.context = openContext(sampleRate);
    this.stems = new Map();
    this.playing = false;
    this.speed = 1;
    this.wantedSpeed = 1; // differs while stretching
    this.loop = null; // {start, end} in seconds of the song
    this.duration = 0;
    this.offset = 0; // seconds of the song at which it plays, or stands
    this.startedAt = 0; // context time of that
  }

  /** Add a stem. @param {string} name @param {ArrayBuffer} file */
  async add(name, file) {
    const buffer = await this.context.decodeAudioData(file).catch(() => {
      throw new Error(`this browser cannot play the stem ${name}: it is empty, or too long`);
    });
    const gain = new GainNode(this.context);
    const analyser = new AnalyserNode(this.context, { fftSize: 2048 });
    gain.connect(analyser).connect(this.context.destination);
    this.stems.set(name, {
      name, buffer, shown: buffer, gain, analyser, source: null, volume: 1, muted: false, solo: false,
    });
    this.duration = Math.max(this.duration, buffer.duration);
  }

  get position() {
    if (!this.playing) return this.offset;
    return this.#positionAt(this.context.currentTime);
  }

  play() {
    if (this.playing) return;
    this.context.resume();
    if (this.offset >= this.duration) this.offset = this.loop ? this.loop.start : 0;
    this.playing = true;
    this.#start(this.offset, this.context.currentTime + AHEAD);
    this.#changed();
  }

  pause() {
    if (!this.playing) return;
    this.offset = this.position;
    this.playing = false;
    this.#stop(this.context.currentTime);
    this.#changed();
  }

  /** @param {number} seconds - of the song */
  seek(seconds) {
    const position = Math.min(Math.max(0, seconds), this.duration);
    if (this.playing) this.#restart(() => position);
    else this.offset = position;
    this.#changed();
  }

  /** Repeat a part, or with null nothing. @param {{start: number, end: number} | null} loop */
  setLoop(loop) {
    this.loop = loop;
    if (this.playing) {
      const inside = (at) => (loop && (at < loop.start || at >= loop.end) ? loop.start : at);
      this.#restart((at) => inside(at));
    }
    this.#changed();
  }

  /** Change speed, not pitch; what plays goes on until the new buffers are there. */
  async setSpeed(speed) {
    this.wantedSpeed = speed;
    this.#changed();
    const buffers = speed === 1 ? null : await this.#stretched(speed);
    if (this.wantedSpeed !== speed || this.context.state === "closed") return;
    const swap = () => {
      this.speed = speed;
      for (const [i, stem] of [...this.stems.values()].entries()) {
        stem.shown = buffers ? buffers[i] : stem.buffer;
      }
    };
    if (this.playing) this.#restart((at) => at, swap);
    else swap();
    this.#changed();
  }

  /** @param {string} name @param {{volume?: number, muted?: boolean, solo?: boolean}} change */
  set(name, change) {
    Object.assign(this.stems.get(name), change);
    for (const stem of this.stems.values()) {
      stem.gain.gain.setTargetAtTime(this.sounds(stem.name) ? stem.volume : 0, this.context.currentTime, 0.01);
    }
    this.#changed();
  }

  /** Whether a stem is heard: not muted, and solo if any is. @param {string} name */
  sounds(name) {
    const stem = this.stems.get(name);
    const anySolo = [...this.stems.values()].some((other) => other.solo);
    return !stem.muted && (stem.solo || !anySolo);
  }

  /** Largest sample of a stem in the last 50 ms as it is heard. @param {string} name */
  level(name) {
    const samples = new Float32Array(2048);
    this.stems.get(name).analyser.getFloatTimeDomainData(samples);
    return samples.reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0);
  }

  close() {
    this.#worker?.terminate();
    this.context.close();
  }

  #worker = null;

  #changed() {
    this.dispatchEvent(new Event("change"));
  }

  #positionAt(time) {
    const position = this.offset + Math.max(0, time - this.startedAt) * this.speed;
    const { loop } = this;
    if (loop && this.offset < loop.end && position >= loop.end) {
      return loop.start + ((position - loop.start) % (loop.end - loop.start));
    }
    return Math.min(position, this.duration);
  }

  #start(position, when) {
    this.offset = position;
    this.startedAt = when;
    for (const stem of this.stems.values()) {
      const { loop, speed } = this;
      stem.source = new AudioBufferSourceNode(this.context, {
        buffer: stem.shown,
        loop: loop !== null && position < loop.end,
        loopStart: loop ? loop.start / speed : 0,
        loopEnd: loop ? loop.end / speed : 0,
      });
      stem.source.connect(stem.gain);
      stem.source.start(when, position / speed);
    }
    const [{ source }] = this.stems.values();
    source.onended = () => {
      const [first] = this.stems.values();
      if (first.source !== source || !this.playing) return;
      this.playing = false;
      this.offset = this.duration;
      this.#changed();
    };
  }

  #stop(when) {
    for (const stem of this.stems.values()) {
      stem.source?.stop(when);
      stem.source = null;
    }
  }

  /** Go on without a gap from another place, or with other buffers. */
  #restart(place, swap = () => {}) {
    const when = this.context.currentTime + AHEAD;
    const position = place(this.#positionAt(when));
    this.#stop(when);
    swap();
    this.#start(position, when);
  }

  async #stretched(speed) {
    this.#worker?.terminate(); // the speed wanted before is wanted no longer
    const worker = new Worker(new URL("stretch-worker.js", import.meta.url), { type: "module" });
    this.#worker = worker;
    const buffers = [...this.stems.values()].map((stem) => stem.buffer);
    const channels = buffers.flatMap((buffer) =>
      Array.from({ length: buffer.numberOfChannels }, (_, i) => buffer.getChannelData(i)),
    );
    const stretched = await new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = () => reject(new Error("stretching failed"));
      worker.postMessage({ channels, speed, rate: this.context.sampleRate });
    });
    worker.terminate();
    return buffers.map(({ numberOfChannels, sampleRate }) => {
      const length = stretched[0].length;
      const buffer = new AudioBuffer({ numberOfChannels, length, sampleRate });
      for (let i = 0; i < numberOfChannels; i++) buffer.copyToChannel(stretched.shift(), i);
      return buffer;
    });
  }
}
