/** The tabs with the request as code. */

import { EXAMPLES } from "./code.js";
import { $, copy, element } from "./dom.js";

export class CodePanel {
  #tabs;
  #chosen = Object.keys(EXAMPLES)[0];
  #options;
  #context;

  constructor() {
    this.#tabs = Object.keys(EXAMPLES).map((name, index) =>
      element("button", { type: "button", role: "tab", id: `tab-${index}`, "aria-controls": "code-panel", text: name, onclick: () => this.#choose(name) }),
    );
    $("tabs").append(...this.#tabs);
    $("tabs").addEventListener("keydown", (event) => this.#press(event));
    $("copy-code").addEventListener("click", ({ currentTarget }) => copy($("code-text").textContent, currentTarget));
  }

  show(options, context) {
    this.#options = options;
    this.#context = context;
    this.#draw();
  }

  #choose(name) {
    this.#chosen = name;
    this.#draw();
  }

  #draw() {
    for (const tab of this.#tabs) {
      const isChosen = tab.textContent === this.#chosen;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
      if (isChosen) $("code-panel").setAttribute("aria-labelledby", tab.id);
    }
    $("code-text").textContent = EXAMPLES[this.#chosen](this.#options, this.#context);
  }

  #press(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = this.#tabs.findIndex((tab) => tab.textContent === this.#chosen);
    const next = this.#tabs[(at + step + this.#tabs.length) % this.#tabs.length];
    this.#choose(next.textContent);
    next.focus();
  }
}
