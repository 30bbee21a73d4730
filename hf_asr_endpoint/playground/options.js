/** The form with the options, and what the server says of its models. */

import { $, element } from "./dom.js";
import { languages } from "./languages.js";
import { DEFAULTS } from "./request.js";

const form = $("options");

export class Options {
  #languages = new Map(languages());
  #models = [];

  /** onChange: called after each change. */
  constructor(onChange) {
    form.elements.language.append(...[...this.#languages].map(([code, name]) => element("option", { value: code, text: name })));
    const changed = () => {
      this.#show();
      onChange();
    };
    form.addEventListener("input", changed);
    form.addEventListener("reset", () => setTimeout(changed));
    form.addEventListener("submit", (event) => event.preventDefault());
    if (matchMedia("(max-width: 999px)").matches) $("options-box").open = false;
    this.#show();
  }

  get values() {
    const { task, language, model, prompt, words, temperature, beams } = form.elements;
    return {
      ...DEFAULTS,
      task: task.value,
      language: language.value,
      model: model.value,
      prompt: prompt.value.trim(),
      words: words.checked,
      temperature: Number(temperature.value),
      beams: Math.max(1, Math.round(Number(beams.value)) || 1),
    };
  }

  /** info: the server's /info. */
  set server(info) {
    this.#models = info.models;
    const several = info.models.length > 1;
    $("model-field").hidden = !several;
    if (several && form.elements.model.options.length !== info.models.length)
      form.elements.model.replaceChildren(...info.models.map(({ id }) => element("option", { value: id, text: id })));
    this.#show();
  }

  #show() {
    const { elements } = form;
    const { task, language, words, temperature, beams } = this.values;
    const chosen = this.#models.find(({ id }) => id === elements.model.value) ?? this.#models[0];
    const isEnglishOnly = chosen?.model?.is_multilingual === false;
    const translate = form.querySelector("[value=translate]");
    translate.disabled = isEnglishOnly;
    elements.language.disabled = isEnglishOnly;
    if (isEnglishOnly) {
      form.querySelector("[value=transcribe]").checked = true;
      elements.language.value = "";
    }
    elements.language.options[0].textContent = isEnglishOnly ? "English (the model has no other)" : "Detect";
    $("temperature-shown").textContent = temperature > 0 ? temperature.toFixed(1) : "automatic";
    elements.beams.disabled = temperature > 0;
    $("beams-hint").textContent = temperature > 0 ? "need an automatic temperature" : "1 is greedy";
    $("options-summary").textContent = [
      task === "translate" ? "Into English" : isEnglishOnly ? "English" : this.#languages.get(language) ?? "Detect language",
      words ? "word times" : "",
      temperature > 0 ? `temperature ${temperature.toFixed(1)}` : beams > 1 ? `${beams} beams` : "",
    ].filter(Boolean).join(" · ");
  }
}
