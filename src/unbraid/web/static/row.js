// A stem's row: name, switches, volume, waveform, level, spectrogram.

import { LoopRegion } from "./loop-region.js";
import { fromTemplate, nonce } from "./page.js";
import { titled } from "./text.js";
import SpectrogramPlugin from "./vendor/spectrogram.js";
import WaveSurfer from "./vendor/wavesurfer.js";
import { colours, peaks } from "./wave.js";

const dark = matchMedia("(prefers-color-scheme: dark)");

export class Row {
  /**
   * @param {import("./player.js").Player} player
   * @param {string} stem
   * @param {(loop: {start: number, end: number} | null) => void} setLoop
   */
  constructor(player, stem, setLoop) {
    this.player = player;
    this.stem = stem;
    this.setLoop = setLoop;
    this.peaks = peaks(player.stems.get(stem).buffer);
    this.peak = Math.max(...this.peaks);
    this.element = fromTemplate("row");
    this.element.setAttribute("aria-label", titled(stem));
    this.element.querySelector("h2").textContent = titled(stem);
    this.solo = this.element.querySelector(".solo");
    this.mute = this.element.querySelector(".mute");
    this.volume = this.element.querySelector(".volume input");
    this.meter = this.element.querySelector(".meter i");
    this.solo.setAttribute("aria-label", `Solo ${stem}`);
    this.mute.setAttribute("aria-label", `Mute ${stem}`);
    this.volume.setAttribute("aria-label", `Volume of ${stem}`);
    this.solo.onclick = () => this.toggle("solo");
    this.mute.onclick = () => this.toggle("muted");
    this.volume.oninput = () => player.set(stem, { volume: Number(this.volume.value) });
    this.recolour = () => this.surfer.setOptions(colours());
  }

  /** Draw the waveform; the element must be in the page. @param {number} loudest - sample, which fills the height */
  draw(loudest) {
    const { buffer } = this.player.stems.get(this.stem);
    this.loop = new LoopRegion(() => this.player.loop, this.setLoop);
    this.surfer = WaveSurfer.create({
      container: this.element.querySelector(".wave"),
      height: matchMedia("(max-width: 720px)").matches ? 64 : 108,
      ...colours(),
      cursorWidth: 2,
      barWidth: 2,
      barGap: 1.5,
      barRadius: 2,
      hideScrollbar: true,
      peaks: [this.peaks],
      duration: buffer.duration,
      normalize: true, // without it, maxPeak is nothing
      maxPeak: loudest,
      cspNonce: nonce,
      plugins: [this.loop.plugin],
    });
    this.surfer.getDecodedData = () => buffer; // the spectrogram is of the samples, not the peaks
    this.surfer.on("interaction", (time) => this.player.seek(time));
    this.loop.begin();
    this.loop.plugin.on("region-double-clicked", () => this.setLoop(null));
    dark.addEventListener("change", this.recolour);
  }

  toggle(what) {
    this.player.set(this.stem, { [what]: !this.player.stems.get(this.stem)[what] });
  }

  /** Show the player's state. */
  update() {
    const { solo, muted, volume } = this.player.stems.get(this.stem);
    this.solo.setAttribute("aria-pressed", solo);
    this.mute.setAttribute("aria-pressed", muted);
    this.volume.value = volume;
    this.element.classList.toggle("silent", !this.player.sounds(this.stem));
    this.loop.update();
  }

  /** Move the playhead and the level. */
  follow(position) {
    this.surfer.setTime(position);
    const level = this.player.playing ? this.player.level(this.stem) : 0;
    this.meter.style.transform = `scaleY(${Math.min(1, Math.sqrt(level))})`;
  }

  showSpectrogram(wish) {
    const container = this.element.querySelector(".spectrogram");
    container.hidden = !wish;
    if (wish && !this.spectrogram) {
      this.spectrogram = this.surfer.registerPlugin(
        SpectrogramPlugin.create({
          container, height: 150, fftSamples: 2048, scale: "mel", frequencyMax: 16000,
          colorMap: heat(), autoGain: true, rangeDB: 65,
          labels: true, labelsColor: colours().cursorColor, labelsHzColor: colours().cursorColor, labelsBackground: colours().labelColor,
        }),
      );
    } else if (!wish && this.spectrogram) {
      this.surfer.unregisterPlugin(this.spectrogram);
      this.spectrogram = null;
      container.replaceChildren();
    }
  }

  destroy() {
    dark.removeEventListener("change", this.recolour);
    this.surfer.destroy();
    this.element.remove();
  }
}

/** Colours of a spectrogram, from silent to loud. */
function heat() {
  const stops = dark.matches
    ? [[24, 26, 31], [140, 60, 30], [255, 138, 76], [255, 240, 220]]
    : [[250, 249, 247], [255, 205, 170], [194, 65, 12], [60, 15, 5]];
  return Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * (stops.length - 1);
    const from = Math.min(Math.floor(at), stops.length - 2);
    const mixed = stops[from].map((part, c) => part + (at - from) * (stops[from + 1][c] - part));
    return [...mixed.map((part) => part / 255), 1];
  });
}
