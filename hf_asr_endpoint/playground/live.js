/** A session of the server's Realtime API (docs/live.md): samples go in, words come out. Knows nothing of the page. */

import { ask, openSocket, RequestFailed } from "./api.js";
import { RATE } from "./microphone.js";

const SECRETS = "v1/realtime/client_secrets";
const SOCKET = "v1/realtime?intent=transcription";
const ITEM = "input_audio_transcription";
const LAST = "last"; // the id of our commit
const SECRET_S = 60;
const MAX_LAST_S = 60; // from Stop to the last word, on a slow machine
const MAX_SENT = RATE; // samples in one event
const MAX_BEHIND_S = 10; // of audio that waits for the network, above what waited at best
const SENT_BYTES_PER_S = (2 * RATE * 4) / 3; // in base64

/** Return what a session is configured as. A turn ends with a sentence, or after two seconds of silence. */
function sessionOf({ model, language, prompt }) {
  const given = Object.entries({ model, language, prompt }).filter(([, value]) => value);
  const input = {
    format: { type: "audio/pcm", rate: RATE },
    transcription: Object.fromEntries(given),
    turn_detection: { type: "semantic_vad", eagerness: "high" },
  };
  return { type: "transcription", include: [`item.${ITEM}.words`, `item.${ITEM}.interim`], audio: { input } };
}

export class LiveSession {
  #socket = null;
  #waiting = []; // samples of before the session was open
  #isOpen = false;
  #isLast = false;
  #isCleared = false;
  #isOver = false;
  #over;
  #ended = new Promise((resolve) => (this.#over = resolve));
  #committed = new Set(); // items whose text has not come
  #starts = new Map();
  #turn = null;
  #leastBehindS = Infinity; // A session that is opened again begins with all that it has missed.
  #fromS;
  #handlers;

  /**
   * fromS: the time of its first sample in the recording.
   * onOpen: (). onText: ({startS, certain, uncertain}) of the turn that is spoken, or null between turns.
   * onTurn: a segment, with words. onLost: (error), once; nothing comes after it.
   */
  constructor(options, { fromS = 0, ...handlers }) {
    this.#fromS = fromS;
    this.#handlers = handlers;
    this.#open(options);
  }

  /** Take samples of any number. */
  push(samples) {
    if (this.#isOpen) {
      this.#sendAudio(samples);
      this.#checkPace();
    } else if (!this.#isOver) this.#waiting.push(samples);
  }

  /** End the turn. Settled when all text has come, or the session is lost. */
  finish() {
    this.#isLast = true;
    if (this.#isOpen) this.#sendLast();
    const late = new RequestFailed(`The last words did not come within ${MAX_LAST_S} s.`);
    const timer = setTimeout(() => this.#end(late), MAX_LAST_S * 1000);
    return this.#ended.then(() => clearTimeout(timer));
  }

  async #open(options) {
    const expires_after = { anchor: "created_at", seconds: SECRET_S };
    try {
      // Its errors can be read, those of a socket cannot; and a key may have signs that a subprotocol may not.
      const { value } = await ask(SECRETS, { method: "POST", body: JSON.stringify({ session: sessionOf(options), expires_after }) });
      if (this.#isOver) return;
      this.#socket = openSocket(SOCKET, value);
    } catch (error) {
      this.#end(error);
      return;
    }
    this.#socket.onmessage = ({ data }) => this.#isOver || this.#take(JSON.parse(data));
    this.#socket.onclose = async ({ code }) => this.#end(this.#isOpen ? lost(code) : await refusal());
  }

  #begin() {
    this.#isOpen = true;
    this.#handlers.onOpen();
    for (const samples of this.#waiting.splice(0)) this.#sendAudio(samples);
    if (this.#isLast) this.#sendLast();
  }

  #take(event) {
    switch (event.type) {
      case "session.created":
        return this.#begin();
      case "input_audio_buffer.speech_started":
        return this.#starts.set(event.item_id, event.audio_start_ms / 1000);
      case "input_audio_buffer.committed":
        return this.#committed.add(event.item_id);
      case "input_audio_buffer.cleared":
        this.#isCleared = true;
        return this.#endIfDone();
      case `conversation.item.${ITEM}.delta`:
        return this.#show(event, { certain: (this.#turn?.certain ?? "") + event.delta, uncertain: "" });
      case `conversation.item.${ITEM}.interim`:
        return this.#show(event, { certain: this.#turn?.certain ?? "", uncertain: event.text });
      case `conversation.item.${ITEM}.completed`:
        return this.#complete(event);
      case `conversation.item.${ITEM}.failed`:
        return this.#end(new RequestFailed(event.error.message, { status: 500 }));
      case "error":
        // Behind the last turn there may be no audio to commit. After any other error there is no text, though the server
        // may leave the session open: a model that turns out to have no live sessions is refused with every piece of audio.
        if (event.error.event_id !== LAST) this.#end(new RequestFailed(event.error.message, { title: "The live text has ended" }));
    }
  }

  #show({ item_id: item, words }, text) {
    const startS = this.#turn?.startS ?? this.#fromS + (words?.[0]?.start ?? this.#starts.get(item) ?? 0);
    this.#turn = { startS, ...text };
    this.#handlers.onText(this.#turn);
  }

  #complete({ item_id: item, transcript, words = [], languages = [], usage }) {
    this.#turn = null;
    const start = words[0]?.start ?? this.#starts.get(item) ?? 0;
    const end = words.at(-1)?.end ?? start + usage.seconds;
    const moved = words.map((word) => ({ ...word, start: word.start + this.#fromS, end: word.end + this.#fromS }));
    this.#handlers.onText(null);
    if (transcript)
      this.#handlers.onTurn({ start: start + this.#fromS, end: end + this.#fromS, text: transcript, words: moved, language: languages[0]?.code ?? "" });
    this.#starts.delete(item);
    this.#committed.delete(item);
    this.#endIfDone();
  }

  #endIfDone() {
    if (this.#isCleared && !this.#committed.size) this.#end(null);
  }

  #end(error) {
    if (this.#isOver) return;
    [this.#isOver, this.#isOpen] = [true, false];
    this.#socket?.close();
    if (error) this.#handlers.onLost(error);
    this.#over();
  }

  #sendAudio(samples) {
    for (let from = 0; from < samples.length; from += MAX_SENT) {
      const { buffer, byteOffset, byteLength } = samples.subarray(from, from + MAX_SENT);
      this.#send("append", { audio: btoa(String.fromCharCode(...new Uint8Array(buffer, byteOffset, byteLength))) });
    }
  }

  /** End where the network takes less than is spoken: words would come later and later. */
  #checkPace() {
    const behindS = this.#socket.bufferedAmount / SENT_BYTES_PER_S;
    this.#leastBehindS = Math.min(this.#leastBehindS, behindS);
    if (behindS <= this.#leastBehindS + MAX_BEHIND_S) return;
    const message = `The network is slower than speech: ${Math.round(behindS)} s of audio wait to be sent.`;
    this.#end(new RequestFailed(message, { title: "The live text has ended" }));
  }

  /** What is committed gets its text, and the answer to `clear` says that all of it is committed. */
  #sendLast() {
    this.#send("commit", { event_id: LAST });
    this.#send("clear");
  }

  #send(kind, fields = {}) {
    this.#socket.send(JSON.stringify({ type: `input_audio_buffer.${kind}`, ...fields }));
  }
}

function lost(code) {
  const message = code === 1001 ? "The server is shutting down." : "The connection to the server is lost.";
  return new RequestFailed(message, { title: "The live text broke off" });
}

/** Return why there is no session. Browsers do not tell it; the server does, at the same address. */
async function refusal() {
  try {
    await ask(SOCKET);
  } catch (error) {
    if (error.status !== 400) return error;
  }
  const message = "The server opened no live session. Perhaps a proxy does not let WebSockets through, or others use the same key.";
  return new RequestFailed(message, { title: "There is no live text" });
}
