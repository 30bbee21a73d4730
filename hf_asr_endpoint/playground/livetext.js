/** What is being said, as the last row of the transcript and in the captions. */

import { Captions } from "./captions.js";
import { $, clock, oncePerFrame } from "./dom.js";

export class LiveText {
  #row = $("speaking");
  #captions = new Captions();
  #turn = null;
  #draw = oncePerFrame(() => this.#follow(() => this.#show()));

  /** Begin with nothing. */
  open() {
    this.#captions.clear();
    this.#row.hidden = $("listening").hidden = false;
    this.#turn = null;
    this.#show();
  }

  close() {
    this.#row.hidden = true;
    this.#captions.close();
  }

  /** state: what the recording does. hint: before the first words. isLive: whether words are to come. */
  tell(state, { hint = "", isLive = false } = {}) {
    $("live-state").textContent = state;
    $("listening").textContent = hint;
    this.#captions.state = state;
    document.body.classList.toggle("is-live", isLive);
  }

  /** Show the turn that is spoken; null: none. */
  show(turn) {
    this.#turn = turn;
    this.#draw();
  }

  /** Add a turn that is complete. addRow: adds its row to the transcript. */
  add(segment, addRow) {
    $("listening").hidden = true;
    this.#captions.add(segment.text);
    this.#follow(() => {
      addRow();
      this.#show();
    });
  }

  #show() {
    if (this.#turn) $("listening").hidden = true;
    $("speaking-at").textContent = this.#turn ? clock(this.#turn.startS) : "";
    $("speaking-certain").textContent = this.#turn?.certain ?? "";
    $("speaking-uncertain").textContent = this.#turn?.uncertain ?? "";
    this.#captions.show(this.#turn);
  }

  /** Make a change, and keep the last row in view if it was: people may be reading further up. */
  #follow(change) {
    const wasSeen = this.#row.getBoundingClientRect().top < innerHeight;
    change();
    if (wasSeen && !this.#row.hidden) this.#row.scrollIntoView({ block: "nearest" });
  }
}
