/** The transcript on the page: follows the player, seeks on a click, and lets people correct it. */

import { $, announce, clock, element, icon, percent } from "./dom.js";
import { correct, isUncertain, partsOf } from "./transcript.js";

const SCROLL_PAUSE_MS = 4000;

export class Editor {
  #list = $("segments");
  #transcript = null;
  #onSeek;
  #onChange;
  #current = -1;
  #word = null;
  #scrolledAt = 0;

  /** onSeek: (seconds), from a click. onChange: after a correction, and while somebody writes one. */
  constructor({ onSeek, onChange }) {
    this.#onSeek = onSeek;
    this.#onChange = onChange;
    this.#list.addEventListener("click", (event) => this.#click(event));
    this.#list.addEventListener("dblclick", (event) => this.#edit(this.#rowOf(event.target)));
    this.#list.addEventListener("keydown", (event) => this.#press(event));
    for (const name of ["wheel", "touchmove"])
      addEventListener(name, () => (this.#scrolledAt = performance.now()), { passive: true });
  }

  show(transcript) {
    this.#transcript = transcript;
    this.#current = -1;
    this.#word = null;
    this.#list.replaceChildren();
    transcript?.segments.forEach((_, index) => this.add(index));
  }

  /** Add the row of a segment that the transcript has got. */
  add(index) {
    const segment = this.#transcript.segments[index];
    const time = element("button", {
      class: "at number", type: "button", text: clock(segment.start), tabindex: index ? -1 : 0,
      "aria-label": `Play from ${clock(segment.start)}`,
    });
    const edit = element(
      "button",
      { class: "edit quiet square", type: "button", tabindex: index ? -1 : 0, "aria-label": `Correct the text at ${clock(segment.start)}`, title: "Correct (double-click)" },
      icon("edit"),
    );
    const row = element("li", { data: { index } }, time, element("p", { class: "text", dir: "auto" }), edit);
    this.#list.append(row);
    this.#fill(row);
  }

  /** Mark what is spoken at a time. */
  follow(seconds, isPlaying) {
    if (!this.#transcript) return;
    let index = this.#transcript.indexAt(seconds);
    if (index >= 0 && seconds > this.#transcript.segments[index].end + 0.5) index = -1;
    if (index !== this.#current) {
      this.#list.children[this.#current]?.removeAttribute("aria-current");
      this.#current = index;
      const row = this.#list.children[index];
      row?.setAttribute("aria-current", "true");
      if (row && isPlaying && performance.now() - this.#scrolledAt > SCROLL_PAUSE_MS)
        row.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    }
    const words = index < 0 ? [] : this.#list.children[index].querySelectorAll(".word");
    const word = [...words].findLast((item) => Number(item.dataset.start) <= seconds + 0.01) ?? null;
    if (word === this.#word) return;
    this.#word?.classList.remove("spoken");
    this.#word = word;
    word?.classList.add("spoken");
  }

  /** Go to the next word that the model was not sure of. */
  showNextUncertain() {
    const marked = [...this.#list.querySelectorAll(".uncertain")];
    if (!marked.length) return;
    const last = marked.findIndex((word) => word.classList.contains("sought"));
    marked[last]?.classList.remove("sought");
    const word = marked[(last + 1) % marked.length];
    word.classList.add("sought");
    word.scrollIntoView({ block: "center" });
    this.#onSeek(Number(word.dataset.start));
    this.#focus(this.#rowOf(word));
    announce(`${word.textContent}, ${word.title}`);
  }

  #fill(row) {
    const segment = this.#transcript.segments[row.dataset.index];
    row.classList.toggle("edited", segment.isEdited);
    row.querySelector(".text").replaceChildren(
      ...partsOf(segment).map(({ text, word }) => {
        if (!word) return document.createTextNode(text);
        const uncertain = isUncertain(word);
        return element("span", {
          class: uncertain ? "word uncertain" : "word", text, data: { start: word.start },
          title: uncertain ? `${percent(word.probability)} sure` : null,
        });
      }),
    );
  }

  #rowOf = (target) => target.closest("li");
  #segmentOf = (row) => this.#transcript.segments[row.dataset.index];

  #click(event) {
    const row = this.#rowOf(event.target);
    if (!row || event.target.closest("textarea") || getSelection().toString()) return;
    if (event.target.closest(".edit")) this.#edit(row);
    else if (event.target.closest(".at, .text")) {
      this.#onSeek(Number(event.target.dataset.start ?? this.#segmentOf(row).start));
      this.#focus(row);
    }
  }

  /** One row is in the order of the tabulator; arrows go from row to row. */
  #press(event) {
    const row = this.#rowOf(event.target);
    if (!row || event.target.matches("textarea")) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const next = step && this.#list.children[Number(row.dataset.index) + step];
    if (!next) return;
    event.preventDefault();
    this.#focus(next);
    next.querySelector(event.target.matches(".edit") ? ".edit" : ".at").focus();
  }

  #focus(row) {
    for (const item of this.#list.querySelectorAll("button[tabindex='0']")) item.tabIndex = -1;
    for (const item of row.querySelectorAll("button")) item.tabIndex = 0;
  }

  #edit(row) {
    if (!row || row.querySelector("textarea")) return;
    getSelection().removeAllRanges();
    this.#focus(row);
    const edited = this.#transcript;
    const segment = this.#segmentOf(row);
    const before = segment.text;
    const text = row.querySelector(".text");
    const field = element("textarea", { class: "text", rows: 1, dir: "auto", "aria-label": `Text at ${clock(segment.start)}. Enter keeps it, Escape restores it.` });
    field.value = before;
    const { words, isEdited } = segment;
    const original = { words: words.map((word) => ({ ...word })), isEdited };
    const write = (value) => {
      Object.assign(segment, original, { text: before, words: original.words.map((word) => ({ ...word })) });
      if (value.trim() !== before) correct(segment, value);
      this.#onChange();
    };
    let hasEnded = false;
    const end = (value, refocus) => {
      if (hasEnded || this.#transcript !== edited) return; // Taking the field away blurs it.
      hasEnded = true;
      write(value);
      field.replaceWith(text);
      this.#fill(row);
      if (refocus) row.querySelector(".edit").focus();
    };
    field.addEventListener("input", () => {
      grow(field);
      write(field.value);
    });
    field.addEventListener("blur", () => end(field.value, false));
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.isComposing) event.preventDefault();
      if (event.key === "Enter" && !event.isComposing) end(field.value, true);
      if (event.key === "Escape") end(before, true);
    });
    text.replaceWith(field);
    grow(field);
    field.focus();
  }
}

/** For browsers whose style sheets cannot say it. */
function grow(field) {
  if (CSS.supports("field-sizing", "content")) return;
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight + 2}px`;
}
