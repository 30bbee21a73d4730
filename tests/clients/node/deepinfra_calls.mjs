// Makes calls of DeepInfra's Node client and prints what came of each as one JSON object, by the call's name.
// Usage: node deepinfra_calls.mjs URL ENGLISH_AUDIO GERMAN_AUDIO WEBHOOK

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { AutomaticSpeechRecognition } from "deepinfra";

const LONG_S = 34; // more than a megabyte of samples, which form parsers do not expect without a filename
const SAMPLE_RATE = 16_000;

const [url, english, german, webhook] = process.argv.slice(2);

// By default the client tries five times more, whatever the error, with seconds in between.
const ask = (body, model = "openai/whisper-base") =>
  new AutomaticSpeechRecognition(`${url}/v1/inference/${model}`, "any", { maxRetries: 0 }).generate(body);

async function caught(promise) {
  try {
    return { result: await promise };
  } catch (error) {
    return { status: error.response?.status, body: error.response?.data, message: error.message };
  }
}

// A WAV file of silence, RIFF header and all.
function silence(seconds) {
  const wav = Buffer.alloc(44 + 2 * SAMPLE_RATE * seconds);
  wav.write("RIFF", 0);
  wav.writeUInt32LE(wav.length - 8, 4);
  wav.write("WAVEfmt ", 8);
  wav.writeUInt32LE(16, 16);
  wav.writeUInt16LE(1, 20);
  wav.writeUInt16LE(1, 22);
  wav.writeUInt32LE(SAMPLE_RATE, 24);
  wav.writeUInt32LE(2 * SAMPLE_RATE, 28);
  wav.writeUInt16LE(2, 32);
  wav.writeUInt16LE(16, 34);
  wav.write("data", 36);
  wav.writeUInt32LE(wav.length - 44, 40);
  return wav;
}

const bytes = readFileSync(english);
// The client downloads what has a URL, and passes on the stream as it comes, of a length that nobody knows.
const files = createServer((_, answer) => answer.end(bytes)).listen(0, "127.0.0.1");
await once(files, "listening");
const answers = {
  path: await ask({ audio: english }),
  buffer: await ask({ audio: bytes }),
  url: await ask({ audio: `http://127.0.0.1:${files.address().port}/speech` }),
  data_uri: await ask({ audio: `data:audio/mpeg;base64,${bytes.toString("base64")}` }),
  large_buffer: await ask({ audio: silence(LONG_S) }),
  translation: await ask({ audio: german, task: "translate", language: "de" }),
  everything: await ask({
    audio: bytes,
    task: "transcribe",
    language: "en",
    temperature: 0,
    patience: 1,
    suppress_tokens: "-1",
    initial_prompt: "A speech by John F. Kennedy.",
    condition_on_previous_text: true,
    temperature_increment_on_fallback: 0.2,
    compression_ratio_threshold: 2.4,
    logprob_threshold: -1,
    no_speech_threshold: 0.6,
    chunk_level: "word",
    chunk_length_s: 5,
  }),
  deployment: await ask({ audio: bytes }, "deploy/whisper-base"),
  bad_temperature: await caught(ask({ audio: bytes, temperature: 1.5 })),
  hostile_webhook: await caught(ask({ audio: bytes, webhook: "http://169.254.169.254/hook" })),
  webhook: await ask({ audio: bytes, webhook }),
  unknown_model: await caught(ask({ audio: bytes }, "openai/whisper-large")),
  no_audio: await caught(ask({ audio: Buffer.from([0, 1, 2, 3, 255]) })),
};
files.close();
console.log(JSON.stringify(answers));
