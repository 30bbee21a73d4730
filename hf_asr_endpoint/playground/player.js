/** Plays the recording, and shows the subtitles over it. */

import { cuesOf } from "./cues.js";
import { $, clock } from "./dom.js";
import { Waveform } from "./waveform.js";

export class Player {
  #media = $("media");
  #wave = new Waveform($("wave"), (seconds) => this.seek(seconds));
  #onTime;
  #cues = [];
  #isGrowing = false;
  #url = "";
  #loads = 0;

  /** onTime: called with the position in seconds whenever it changes. */
  constructor(onTime) {
    this.#onTime = onTime;
    const media = this.#media;
    $("play").addEventListener("click", () => this.toggle());
    media.addEventListener("click", () => this.toggle());
    $("rate").addEventListener("change", ({ target }) => (media.playbackRate = Number(target.value)));
    for (const name of ["play", "pause", "ended"]) media.addEventListener(name, () => this.#showState());
    for (const name of ["seeked", "timeupdate"]) media.addEventListener(name, () => this.#show());
    media.addEventListener("loadedmetadata", () => this.#learn());
    media.addEventListener("error", () => this.#showState());
  }

  get isPlaying() {
    return !this.#media.paused;
  }

  /** Load a file, or null for a transcript without its recording. Returns its length in seconds, or null. */
  async load(file) {
    const load = ++this.#loads;
    this.clear();
    $("player").hidden = false;
    if (!file) return null;
    this.#url = URL.createObjectURL(file);
    this.#media.src = this.#url;
    const known = await new Promise((resolve) => {
      this.#media.addEventListener("loadedmetadata", () => resolve(this.#media.duration), { once: true });
      this.#media.addEventListener("error", () => resolve(null), { once: true });
    });
    if (load !== this.#loads) return null;
    const decoded = await this.#wave.load(file, Number.isFinite(known) ? known : 0);
    const duration = decoded ?? (Number.isFinite(known) ? known : null);
    if (load === this.#loads && duration) this.duration = duration;
    return duration;
  }

  clear() {
    this.#media.pause();
    this.#media.removeAttribute("src");
    this.#media.load();
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = "";
    this.#cues = [];
    this.#wave.clear();
    $("stage").classList.remove("has-picture");
    $("total").textContent = "–";
    $("player").hidden = true;
    this.#showState();
    this.#show();
  }

  set duration(seconds) {
    $("total").textContent = clock(seconds);
    this.#wave.duration = seconds;
  }

  /** Show segments as speech and as subtitles. isGrowing: until somebody plays it, the newest one is shown. */
  show(segments, { isGrowing = false } = {}) {
    this.#wave.regions = segments;
    this.#cues = cuesOf(segments);
    this.#isGrowing = isGrowing;
    this.#showCaption();
  }

  seek(seconds) {
    if (!this.#url) return;
    this.#media.currentTime = seconds;
    this.#show();
  }

  toggle() {
    if (this.#media.paused) this.#media.play().catch(() => {});
    else this.#media.pause();
  }

  #learn() {
    const media = this.#media;
    this.#showState();
    $("stage").classList.toggle("has-picture", media.videoWidth > 0);
    if (media.duration !== Infinity) return;
    // A browser's own recording does not say how long it is, until one has been at its end.
    media.addEventListener("durationchange", () => (media.currentTime = 0), { once: true });
    media.currentTime = 1e7;
  }

  #showState() {
    const isPlaying = this.isPlaying;
    const button = $("play");
    button.disabled = !this.#url || this.#media.error !== null;
    button.setAttribute("aria-pressed", String(isPlaying));
    button.querySelector("use").setAttribute("href", isPlaying ? "#i-pause" : "#i-play");
    if (isPlaying) requestAnimationFrame(() => this.#follow());
  }

  /** Events come four times a second; words are shorter. */
  #follow() {
    this.#show();
    if (this.isPlaying) requestAnimationFrame(() => this.#follow());
  }

  #show() {
    const now = this.#media.currentTime;
    $("now").textContent = clock(now);
    this.#wave.position = now;
    this.#showCaption();
    this.#onTime(now);
  }

  #showCaption() {
    const now = this.#media.currentTime;
    const isUntouched = this.#isGrowing && !this.isPlaying && now === 0;
    const cue = isUntouched ? this.#cues.at(-1) : this.#cues.findLast(({ start, end }) => start <= now + 0.01 && now < end + 0.01);
    const text = cue?.text ?? "";
    if ($("caption").textContent !== text) $("caption").textContent = text;
  }
}
