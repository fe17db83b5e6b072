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
    const choose = (region) => switcher.setLoop({ start: region.start, end: region.end });
    this.regions.on("region-created", (region) => { if (region !== this.region) choose(region); });
    this.regions.on("region-updated", choose);
    this.recolour = () => this.surfer.setOptions({ ...colours(), progressColor: colours().waveColor });
    dark.addEventListener("change", this.recolour);
  }

  /** Show the loop, if it is not the whole. */
  update() {
    const { loop, duration } = this.switcher;
    if (this.region?.start === loop.start && this.region?.end === loop.end) return;
    for (const region of this.regions.getRegions()) region.remove();
    this.region = null;
    if (loop.start === 0 && loop.end === duration) return;
    this.region = { ...loop }; // before addRegion, which says that one was created
    this.region = this.regions.addRegion({ ...loop, color: colours().loopColor });
  }

  /** Move the playhead. @param {number} position - seconds */
  follow(position) {
    this.surfer.setTime(position);
  }

  destroy() {
    dark.removeEventListener("change", this.recolour);
    this.surfer.destroy();
  }
}
