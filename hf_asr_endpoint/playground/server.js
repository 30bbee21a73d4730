/** What the server says of itself: whether its model is ready, its limits, and whether it asks for a key. */

import { ask, hasKey, health, setKey, UNREACHABLE } from "./api.js";
import { $, mebibytes } from "./dom.js";

const POLL_MS = 1500;

export class Server {
  /** The server's /info, or null. */
  info = null;
  #onInfo;

  constructor({ onInfo }) {
    this.#onInfo = onInfo;
    $("key-open").addEventListener("click", () => this.askForKey(false));
    $("key-later").addEventListener("click", () => $("key-dialog").close());
    $("key-form").addEventListener("submit", (event) => this.#useKey(event));
  }

  async start() {
    await this.#read();
    await this.#waitUntilReady();
  }

  /** Ask for a key. wasWrong: whether there is one, which the server does not know. */
  askForKey(wasWrong) {
    $("key-open").hidden = false;
    $("key-wrong").textContent = wasWrong ? "The server does not know this key." : "";
    if (!$("key-dialog").open) $("key-dialog").showModal();
  }

  async #read() {
    try {
      this.info = await ask("info");
    } catch (error) {
      if (error.status === 401) this.askForKey(hasKey());
      else this.#notice(error.status ? error.message : UNREACHABLE);
      return;
    }
    if (hasKey()) $("key-open").hidden = false;
    $("key-dialog").close();
    this.#show();
    this.#onInfo(this.info);
  }

  async #waitUntilReady() {
    for (;;) {
      let state;
      try {
        state = await health();
      } catch {
        state = { status: "unreachable" };
      }
      if (state.status === "ready") break;
      if (state.status === "failed") return this.#notice(`The model cannot be used: ${state.error}`);
      this.#notice(state.status === "unreachable" ? UNREACHABLE : `The model is loading (${state.waiting_for ?? "a moment"}). You can choose a recording meanwhile.`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    const hadNotice = !$("notice").hidden;
    this.#notice("");
    if (hadNotice) await this.#read();
  }

  #show() {
    const { model_id: id, model, models, limits } = this.info;
    const name = models.length > 1 ? `${models.length} models` : id.split("/").at(-1);
    $("server").replaceChildren(name, model ? ` · ${model.dtype} on ${model.device}` : "");
    $("limits").textContent = `Audio or video in any format, up to ${mebibytes(limits.max_audio_bytes)}`;
  }

  #notice(text) {
    $("notice").textContent = text;
    $("notice").hidden = !text;
  }

  async #useKey(event) {
    event.preventDefault();
    setKey($("key").value);
    $("key").value = "";
    await this.#read();
    if (this.info) await this.#waitUntilReady();
  }
}
