// Calls of @huggingface/inference.
// Usage: node huggingface_calls.mjs URL ENGLISH_AUDIO NO_AUDIO

import { readFileSync } from "node:fs";
import { InferenceClient } from "@huggingface/inference";
import { Outcomes } from "./outcomes.mjs";

const [url, english, noAudio] = process.argv.slice(2);
const client = new InferenceClient("any", { endpointUrl: url });
const outcomes = new Outcomes();
const ask = (path, type) =>
  client.automaticSpeechRecognition({ data: new Blob([readFileSync(path)], type && { type }) });

await outcomes.call("default", () => ask(english));
await outcomes.call("typed", () => ask(english, "audio/mpeg"));
await outcomes.call("model", () =>
  client.automaticSpeechRecognition({ model: "openai/whisper-base", data: readFileSync(english) }),
);
await outcomes.call("no_audio", () => ask(noAudio));
outcomes.print();
