/** A recording's waveform with its regions of speech; a slider for the position. */

import { clock, svg } from "./dom.js";

const HEIGHT = 48;
const BAR_PX = 3;
const STEP_S = 5;

/** Above it, decoding in the browser takes too much memory: then there are only the regions. */
const MAX_DECODED_S = 90 * 60;
const MAX_DECODED_BYTES = 300 * 2 ** 20;
const SAMPLE_RATE = 8000; // Enough for a picture; browsers resample while they decode.

export class Waveform {
  #root;
  #onSeek;
  #loads = 0;
  #samples = null;
  #durationS = 0;
  #positionS = 0;
  #regions = [];
  #svg = svg("svg", { preserveAspectRatio: "none", "aria-hidden": "true" });
  #speech = svg("clipPath", { id: "speech" });
  #bands = svg("g", { class: "wave-bands" });
  #all = svg("path", { class: "wave-all" });
  #spoken = svg("path", { class: "wave-speech", "clip-path": "url(#speech)" });
  #head = svg("line", { class: "wave-head", y1: 0, y2: HEIGHT });

  constructor(root, onSeek) {
    this.#root = root;
    this.#onSeek = onSeek;
    this.#svg.append(svg("defs", {}, this.#speech), this.#bands, this.#all, this.#spoken, this.#head);
    root.append(this.#svg);
    new ResizeObserver(() => this.#draw()).observe(root);
    root.addEventListener("pointerdown", (event) => this.#drag(event));
    root.addEventListener("keydown", (event) => this.#press(event));
  }

  /** Show a recording. Returns its length in seconds, or null if the browser cannot decode it. */
  async load(file, durationS) {
    this.clear();
    const load = ++this.#loads;
    if (file.size > MAX_DECODED_BYTES || durationS > MAX_DECODED_S) return null;
    try {
      const context = new OfflineAudioContext(1, 1, SAMPLE_RATE);
      const buffer = await context.decodeAudioData(await file.arrayBuffer());
      if (load !== this.#loads) return null; // Another file has been chosen meanwhile.
      this.#samples = buffer.getChannelData(0);
      this.duration = buffer.duration;
      return buffer.duration;
    } catch {
      return null; // A format that the browser does not have: the server may still know it.
    }
  }

  clear() {
    this.#loads++;
    this.#samples = null;
    this.#regions = [];
    this.duration = 0;
    this.position = 0;
  }

  set duration(seconds) {
    this.#durationS = seconds;
    this.#root.setAttribute("aria-valuemax", Math.round(seconds));
    this.#draw();
  }

  set position(seconds) {
    this.#positionS = seconds;
    this.#root.setAttribute("aria-valuenow", Math.round(seconds));
    this.#root.setAttribute("aria-valuetext", `${clock(seconds)} of ${clock(this.#durationS)}`);
    const x = this.#x(seconds);
    this.#head.setAttribute("x1", x);
    this.#head.setAttribute("x2", x);
  }

  /** segments: whatever has `start` and `end`. */
  set regions(segments) {
    this.#regions = segments;
    this.#drawRegions();
  }

  #width = () => Math.max(1, this.#root.clientWidth);
  #x = (seconds) => (this.#durationS ? (Math.min(seconds, this.#durationS) / this.#durationS) * this.#width() : 0);

  #draw() {
    const width = this.#width();
    this.#svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const path = this.#samples ? bars(this.#samples, width) : `M0 ${HEIGHT / 2}H${width}`;
    this.#all.setAttribute("d", path);
    this.#spoken.setAttribute("d", path);
    this.#drawRegions();
    this.position = this.#positionS;
  }

  #drawRegions() {
    const rectangles = joinRegions(this.#regions).map(({ start, end }) => ({
      x: this.#x(start), y: 0, width: Math.max(1, this.#x(end) - this.#x(start)), height: HEIGHT, rx: 3,
    }));
    this.#speech.replaceChildren(...rectangles.map((rectangle) => svg("rect", rectangle)));
    this.#bands.replaceChildren(...rectangles.map((rectangle) => svg("rect", rectangle)));
  }

  #drag(event) {
    if (!this.#durationS) return;
    const move = ({ clientX }) => {
      const { left, width } = this.#root.getBoundingClientRect();
      this.#onSeek(Math.min(1, Math.max(0, (clientX - left) / width)) * this.#durationS);
    };
    move(event);
    this.#root.setPointerCapture(event.pointerId);
    this.#root.addEventListener("pointermove", move);
    const end = () => this.#root.removeEventListener("pointermove", move);
    this.#root.addEventListener("pointerup", end, { once: true });
    this.#root.addEventListener("pointercancel", end, { once: true });
  }

  #press(event) {
    const now = this.#positionS;
    const targets = {
      ArrowLeft: now - STEP_S, ArrowDown: now - STEP_S, ArrowRight: now + STEP_S, ArrowUp: now + STEP_S,
      PageDown: now - 6 * STEP_S, PageUp: now + 6 * STEP_S, Home: 0, End: this.#durationS,
    };
    if (!(event.key in targets) || !this.#durationS) return;
    event.preventDefault();
    this.#onSeek(Math.min(this.#durationS, Math.max(0, targets[event.key])));
  }
}

/** Return the bars as an SVG path: the loudest sample of each, on a scale on which quiet speech is visible. */
function bars(samples, width) {
  const n = Math.max(1, Math.floor(width / BAR_PX));
  const peaks = new Float32Array(n);
  for (let bar = 0; bar < n; bar++) {
    const end = Math.floor(((bar + 1) * samples.length) / n);
    let peak = 0;
    for (let at = Math.floor((bar * samples.length) / n); at < end; at++) peak = Math.max(peak, Math.abs(samples[at]));
    peaks[bar] = peak;
  }
  const loudest = peaks.reduce((left, right) => Math.max(left, right), 0.01);
  return [...peaks]
    .map((peak, bar) => {
      const half = Math.max(0.75, Math.sqrt(peak / loudest) * (HEIGHT / 2 - 3));
      return `M${((bar + 0.5) * width) / n} ${HEIGHT / 2 - half}v${2 * half}`;
    })
    .join("");
}

/** Join regions that touch. */
function joinRegions(segments) {
  const joined = [];
  for (const { start, end } of segments) {
    const last = joined.at(-1);
    if (last && start - last.end < 0.1) last.end = Math.max(last.end, end);
    else joined.push({ start, end });
  }
  return joined;
}
