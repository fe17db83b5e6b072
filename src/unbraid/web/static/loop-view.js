// The reference's waveform, on which the loop is drawn.

import { nonce } from "./page.js";
import RegionsPlugin from "./vendor/regions.js";
import WaveSurfer from "./vendor/wavesurfer.js";
import { colours, peaks } from "./wave.js";

const dark = matchMedia("(prefers-color-scheme: dark)");

export class LoopView {
  /**
   * @param {HTMLElement} container
   * @param {AudioBuffer} buffer
   * @param {import("./switcher.js").Switcher} switcher
   */
  constructor(container, buffer, switcher) {
    this.switcher = switcher;
    this.regions = RegionsPlugin.create();
    this.surfer = WaveSurfer.create({
      container,
      height: 72,
      ...colours(),
      progressColor: colours().waveColor,
      cursorWidth: 2,
      barWidth: 2,
      barGap: 1.5,
      barRadius: 2,
      hideScrollbar: true,
      normalize: true,
      peaks: [peaks(buffer)],
      duration: buffer.duration,
      cspNonce: nonce,
      plugins: [this.regions],
    });
    this.surfer.on("interaction", (time) => switcher.seek(time));
    this.regions.enableDragSelection({ color: colours().loopColor });
    const choose = (region) => { if (!this.#isLoop(region)) switcher.setLoop({ start: region.start, end: region.end }); };
    this.regions.on("region-created", choose); // also by update, with the loop
    this.regions.on("region-updated", choose);
    this.recolour = () => this.surfer.setOptions({ ...colours(), progressColor: colours().waveColor });
    dark.addEventListener("change", this.recolour);
  }

  /** Show the loop, if it is not the whole, and nothing else that was drawn. */
  update() {
    const { loop, duration } = this.switcher;
    const whole = loop.start === 0 && loop.end === duration;
    const drawn = this.regions.getRegions();
    if (drawn.length === (whole ? 0 : 1) && drawn.every((region) => this.#isLoop(region))) return;
    for (const region of drawn) region.remove();
    if (!whole) this.regions.addRegion({ ...loop, color: colours().loopColor });
  }

  /** Move the playhead. @param {number} position - seconds */
  follow(position) {
    this.surfer.setTime(position);
  }

  destroy() {
    dark.removeEventListener("change", this.recolour);
    this.surfer.destroy();
  }

  #isLoop({ start, end }) {
    const { loop } = this.switcher;
    return start === loop.start && end === loop.end;
  }
}
