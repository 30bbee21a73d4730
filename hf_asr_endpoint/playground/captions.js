/** The last lines of what is said, large, on the whole screen. */

import { $, element } from "./dom.js";

const MAX_TURNS = 6; // More lines than the screen shows.
const SIZES = [0.6, 0.8, 1, 1.25, 1.5];
const BEHIND = ["header.top", "main", "#notice"];

export class Captions {
  #section = $("captions");
  #now = $("captions-now");
  #size = SIZES.indexOf(1);
  #opener = null;

  constructor() {
    $("captions-open").addEventListener("click", ({ currentTarget }) => this.#open(currentTarget));
    $("captions-leave").addEventListener("click", () => this.close());
    $("captions-theme").addEventListener("click", () => $("theme").click());
    $("captions-smaller").addEventListener("click", () => this.#resize(-1));
    $("captions-larger").addEventListener("click", () => this.#resize(1));
    this.#section.addEventListener("keydown", (event) => this.#press(event));
    // The browser takes Escape for itself on a full screen.
    this.#section.addEventListener("fullscreenchange", () => document.fullscreenElement || this.close());
  }

  /** state: what the recording does. */
  set state(text) {
    $("captions-state").textContent = text;
  }

  clear() {
    this.#now.replaceChildren();
    for (const turn of this.#turns) turn.remove();
  }

  /** Add a turn that is complete. */
  add(text) {
    this.#now.before(element("p", { text, dir: "auto" }));
    for (const turn of this.#turns.slice(0, -MAX_TURNS)) turn.remove();
  }

  /** Show the turn that is spoken; null: none. */
  show(turn) {
    this.#now.replaceChildren(...(turn ? [turn.certain, element("span", { class: "uncertain-yet", text: turn.uncertain })] : []));
  }

  async close() {
    if (this.#section.hidden) return;
    this.#section.hidden = true;
    for (const part of BEHIND) document.querySelector(part).inert = false;
    if (document.fullscreenElement) await document.exitFullscreen(); // It takes the focus away.
    this.#opener.focus();
  }

  get #turns() {
    return [...this.#section.querySelectorAll("#captions-text p:not(#captions-now)")];
  }

  async #open(opener) {
    this.#opener = opener;
    this.#section.hidden = false;
    for (const part of BEHIND) document.querySelector(part).inert = true;
    $("captions-leave").focus();
    try {
      await this.#section.requestFullscreen?.();
      if (this.#section.hidden) document.exitFullscreen(); // Somebody was faster.
    } catch {
      // Not allowed here: then they fill the window.
    }
  }

  #press(event) {
    const acts = { Escape: () => this.close(), "+": () => this.#resize(1), "-": () => this.#resize(-1) };
    if (!(event.key in acts)) return;
    event.preventDefault();
    acts[event.key]();
  }

  #resize(step) {
    this.#size = Math.min(SIZES.length - 1, Math.max(0, this.#size + step));
    this.#section.style.setProperty("--size", SIZES[this.#size]);
    $("captions-smaller").disabled = this.#size === 0;
    $("captions-larger").disabled = this.#size === SIZES.length - 1;
  }
}
