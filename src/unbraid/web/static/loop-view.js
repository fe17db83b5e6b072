// The reference's waveform, on which the loop is drawn.

import { LoopRegion } from "./loop-region.js";
import { nonce } from "./page.js";
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
    this.loop = new LoopRegion(() => this.#part(), (loop) => switcher.setLoop(loop));
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
      plugins: [this.loop.plugin],
    });
    this.surfer.on("interaction", (time) => switcher.seek(time));
    this.loop.begin();
    this.recolour = () => this.surfer.setOptions({ ...colours(), progressColor: colours().waveColor });
    dark.addEventListener("change", this.recolour);
  }

  /** Show the loop, if it is not the whole. */
  update() {
    this.loop.update();
  }

  /** Move the playhead. @param {number} position - seconds */
  follow(position) {
    this.surfer.setTime(position);
  }

  destroy() {
    dark.removeEventListener("change", this.recolour);
    this.surfer.destroy();
  }

  /** The loop, or null if it is the whole. */
  #part() {
    const { loop, duration } = this.switcher;
    return loop.start === 0 && loop.end === duration ? null : loop;
  }
}
