// Stretches beside the page, which stays quick.
import { stretch } from "./stretch.js";

onmessage = ({ data: { channels, speed, rate } }) => {
  const stretched = stretch(channels, speed, rate);
  postMessage(stretched, stretched.map((channel) => channel.buffer));
};
