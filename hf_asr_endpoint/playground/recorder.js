/** A recording of the microphone, kept in the browser; how loud it is and how long it has been. */

import { CompressedRecording } from "./compressed.js";
import { $, clock, element } from "./dom.js";
import { openMicrophone, RATE } from "./microphone.js";
import { wavFile } from "./wav.js";

const N_BARS = 40;
const LOUDNESS = 5; // Speech is far below the loudest that there is.

export class Recorder {
  #parts = [];
  #n = 0;
  #levels = new Array(N_BARS).fill(0);
  #bars = this.#levels.map(() => element("i"));
  #onSamples;
  #stop;
  #file = null; // compressed by the browser, once it has stopped

  /** Settled when somebody has pressed Stop, or unplugged the microphone, and the last samples have come. */
  stopped = new Promise((resolve) => (this.#stop = resolve));

  /** onSamples: called with each piece as it comes. */
  constructor(onSamples) {
    this.#onSamples = onSamples;
  }

  get durationS() {
    return this.#n / RATE;
  }

  /** Begin. Raises MicrophoneFailed. */
  async open() {
    $("level").replaceChildren(...this.#bars);
    $("recorded").textContent = clock(0);
    const { stream, close } = await openMicrophone({ onSamples: (samples) => this.#take(samples), onEnd: this.#stop });
    const compressed = compress(stream);
    $("stop").addEventListener("click", this.#stop, { once: true });
    this.stopped = this.stopped.then(async () => {
      [this.#file] = await Promise.all([compressed?.finish(fileName()), close()]);
    });
  }

  /** Return the samples from a time in seconds on. */
  since(seconds) {
    const found = new Int16Array(Math.max(0, this.#n - Math.round(seconds * RATE)));
    let left = found.length; // It is filled from its end: hours may be before it.
    for (let index = this.#parts.length - 1; left > 0; index--) {
      const part = this.#parts[index].subarray(-left);
      left -= part.length;
      found.set(part, left);
    }
    return found;
  }

  /** Return it as a small file, or as a wav where the browser cannot make one. */
  toFile() {
    return this.#file ?? wavFile(this.#parts, RATE, `${fileName()}.wav`);
  }

  #take(samples) {
    this.#parts.push(samples);
    this.#n += samples.length;
    this.#onSamples(samples);
    const power = samples.reduce((sum, sample) => sum + (sample / 32_768) ** 2, 0) / samples.length;
    this.#levels.push(Math.min(1, LOUDNESS * Math.sqrt(power)));
    this.#levels.shift();
    this.#bars.forEach((bar, index) => bar.style.setProperty("--level", this.#levels[index].toFixed(2)));
    $("recorded").textContent = clock(this.durationS);
  }
}

function compress(stream) {
  try {
    return new CompressedRecording(stream);
  } catch {
    return null; // There is the wav.
  }
}

function fileName() {
  const time = new Date().toLocaleString("sv").slice(0, 16).replace(" ", "-").replace(":", ""); // As in ISO 8601, but local.
  return `speech-${time}`;
}
