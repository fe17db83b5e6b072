// The loop as a waveform shows it: one region, or none.

import RegionsPlugin from "./vendor/regions.js";
import { colours } from "./wave.js";

export class LoopRegion {
  /**
   * @param {() => {start: number, end: number} | null} current - the loop there is
   * @param {(loop: {start: number, end: number}) => void} choose - takes what was drawn
   */
  constructor(current, choose) {
    this.current = current;
    this.choose = choose;
    this.plugin = RegionsPlugin.create();
  }

  /** Let loops be drawn; the plugin must be in a waveform. */
  begin() {
    this.plugin.enableDragSelection({ color: colours().loopColor });
    const choose = (region) => { if (!this.#isLoop(region)) this.choose({ start: region.start, end: region.end }); };
    this.plugin.on("region-created", choose); // also by update, with the loop
    this.plugin.on("region-updated", choose);
  }

  /** Show the loop, and nothing else that was drawn. */
  update() {
    const loop = this.current();
    const drawn = this.plugin.getRegions();
    if (drawn.length === (loop ? 1 : 0) && drawn.every((region) => this.#isLoop(region))) return;
    for (const region of drawn) region.remove();
    if (loop) this.plugin.addRegion({ ...loop, color: colours().loopColor });
  }

  #isLoop({ start, end }) {
    const loop = this.current();
    return start === loop?.start && end === loop?.end;
  }
}
