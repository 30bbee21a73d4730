// Calls of Vercel's AI SDK, 6 and 7, through the providers openai and groq.
// Usage: node ai_calls.mjs URL ENGLISH_AUDIO NO_AUDIO

import { readFileSync } from "node:fs";
import { createGroq } from "@ai-sdk/groq";
import { createOpenAI } from "@ai-sdk/openai";
import * as ai from "ai";
import { Outcomes } from "./outcomes.mjs";

const [url, english, noAudio] = process.argv.slice(2);
// The function lost its prefix in version 7.
const transcribe = ai.transcribe ?? ai.experimental_transcribe;
const audio = readFileSync(english);
const openai = createOpenAI({ baseURL: `${url}/v1`, apiKey: "any" });
const groq = createGroq({ baseURL: `${url}/openai/v1`, apiKey: "any" });
const outcomes = new Outcomes();

async function ask(model, options = {}) {
  const { text, segments, language, durationInSeconds } = await transcribe({ model, audio, maxRetries: 0, ...options });
  return { text, segments, language, durationInSeconds };
}

await outcomes.call("openai", () => ask(openai.transcription("whisper-1")));
await outcomes.call("openai_gpt", () => ask(openai.transcription("gpt-4o-transcribe")));
await outcomes.call("openai_words", () =>
  ask(openai.transcription("whisper-1"), { providerOptions: { openai: { timestampGranularities: ["word"] } } }),
);
await outcomes.call("openai_options", () =>
  ask(openai.transcription("whisper-1"), {
    providerOptions: { openai: { language: "en", prompt: "A speech.", temperature: 0, include: ["logprobs"] } },
  }),
);
await outcomes.call("openai_unknown_model", () => ask(openai.transcription("whisper-9")));
await outcomes.call("openai_no_audio", () =>
  ask(openai.transcription("whisper-1"), { audio: readFileSync(noAudio) }),
);
await outcomes.call("groq", () => ask(groq.transcription("whisper-large-v3-turbo")));
await outcomes.call("groq_verbose_json", () =>
  ask(groq.transcription("whisper-large-v3"), {
    providerOptions: { groq: { responseFormat: "verbose_json", timestampGranularities: ["segment"], language: "en" } },
  }),
);
await outcomes.call("groq_unknown_model", () => ask(groq.transcription("whisper-9")));
outcomes.print();
