// A live transcription of Vercel's AI SDK, 7. Usage: node ai_live.mjs URL PCM_AUDIO (16 bit, mono, 24 kHz)

import { readFileSync } from "node:fs";
import { createOpenAI } from "@ai-sdk/openai";
import { experimental_streamTranscribe as streamTranscribe } from "ai";
import { Outcomes } from "./outcomes.mjs";

const [url, path] = process.argv.slice(2);
const samples = readFileSync(path);
const openai = createOpenAI({ baseURL: `${url}/v1`, apiKey: "any" });
const outcomes = new Outcomes();

function pieces() {
  return new ReadableStream({
    start(controller) {
      for (let begin = 0; begin < samples.length; begin += 4800) controller.enqueue(samples.subarray(begin, begin + 4800));
      controller.close();
    },
  });
}

async function listen(name, options = {}) {
  const result = await streamTranscribe({
    model: openai.transcription(name),
    audio: pieces(),
    inputAudioFormat: { type: "audio/pcm", rate: 24000 },
    ...options,
  });
  return await result.text;
}

await outcomes.call("default", () => listen("gpt-realtime-whisper"));
await outcomes.call("options", () =>
  listen("gpt-realtime-whisper", { providerOptions: { openai: { language: "en", streaming: { delay: "low" } } } }),
);
outcomes.print();
process.exit(0);
