// Waiting, and trying again.

import { ConnectionError } from "./errors.js";

const WAITS = [0.5, 1, 2]; // seconds between tries

/** Wait. @param {number} seconds @param {AbortSignal} [signal] - ends it with an AbortError */
export function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/** Do what may be done twice, and again if the connection breaks. */
export async function patiently(action) {
  for (const wait of WAITS) {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      await sleep(wait);
    }
  }
  return action();
}
