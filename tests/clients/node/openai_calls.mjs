// Makes every call of OpenAI's Node client and prints what came of each as one JSON object, by the call's name.
// Usage: node openai_calls.mjs BASE_URL ENGLISH_AUDIO GERMAN_AUDIO

import { createReadStream, readFileSync } from "node:fs";
import OpenAI, { AzureOpenAI, toFile } from "openai";

const TIMEOUT_MS = 60_000;
const TOO_MANY_BYTES = 3_000_000;

const [baseURL, english, german] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "any", timeout: TIMEOUT_MS, maxRetries: 0 });

const transcribe = (parameters) =>
  client.audio.transcriptions.create({ model: "whisper-1", file: createReadStream(english), ...parameters });
// Azure's client wants the server's address alone, and names a deployment in the path.
const azure = new AzureOpenAI({
  endpoint: new URL(baseURL).origin,
  apiKey: "any",
  apiVersion: "2024-10-21",
  timeout: TIMEOUT_MS,
  maxRetries: 0,
});
const wrong = new OpenAI({ baseURL: `${new URL(baseURL).origin}/v2`, apiKey: "any", maxRetries: 0 });
const translate = (parameters) =>
  client.audio.translations.create({ model: "whisper-1", file: createReadStream(german), ...parameters });

async function collect(items) {
  const collected = [];
  for await (const item of items) collected.push(item);
  return collected;
}

async function caught(promise) {
  try {
    return { result: await promise };
  } catch (error) {
    const { status, code, param, type, message, requestID } = error;
    return { class: error.constructor.name, status, code, param, type, message, request_id: requestID };
  }
}

const answers = {
  json: await transcribe({}),
  bytes_without_a_name: await transcribe({ file: await toFile(readFileSync(english)) }),
  text: await transcribe({ response_format: "text" }),
  srt: await transcribe({ response_format: "srt" }),
  vtt: await transcribe({ response_format: "vtt" }),
  verbose_json: await transcribe({
    response_format: "verbose_json",
    timestamp_granularities: ["word", "segment"],
    chunking_strategy: { type: "server_vad", silence_duration_ms: 300 },
  }),
  stream: await collect(await transcribe({ stream: true, include: ["logprobs"] })),
  languages: await caught(transcribe({ languages: ["en", "de"] })),
  azure: await azure.audio.transcriptions.create({ model: "whisper-1", file: createReadStream(english) }),
  translation: await translate({}),
  verbose_translation: await translate({ response_format: "verbose_json" }),
  models: await collect(await client.models.list()),
  models_by_name: [
    await client.models.retrieve("whisper-1"),
    await client.models.retrieve("openai/whisper-base"),
  ],
  bad_temperature: await caught(transcribe({ temperature: 1.5 })),
  unknown_model: await caught(transcribe({ model: "whisper-9" })),
  unknown_model_by_name: await caught(client.models.retrieve("whisper-9")),
  wrong_path: await caught(
    wrong.audio.transcriptions.create({ model: "whisper-1", file: createReadStream(english) }),
  ),
  no_audio: await caught(transcribe({ file: await toFile(Buffer.from("no audio"), "speech.wav"), stream: true })),
  too_large: await caught(transcribe({ file: await toFile(Buffer.alloc(TOO_MANY_BYTES), "speech.wav") })),
};
console.log(JSON.stringify(answers));
