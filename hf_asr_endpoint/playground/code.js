/** The same request as code, for the clients that people have. True to the options, and free of the key. */

import { formFields, pathOf, usesBeams } from "./request.js";

const KEY_VARIABLE = "ASR_API_KEY";

/** By the name on its tab: (options, context) → code. context: `root` (URL), `file` (name), `needsKey`. */
export const EXAMPLES = {
  curl,
  "openai-python": openaiPython,
  "openai-node": openaiNode,
  huggingface_hub: huggingfaceHub,
  "deepinfra (requests)": deepinfra,
};

const base = (context) => context.root.href.replace(/\/$/, "");

/** A text, list, number or boolean as Python writes it. */
function python(value) {
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (value !== null && typeof value === "object")
    return `{${Object.entries(value).map(([name, item]) => `${python(name)}: ${python(item)}`).join(", ")}}`;
  return JSON.stringify(value);
}

const javascript = (value) =>
  Array.isArray(value) ? `[${value.map(javascript).join(", ")}]` : JSON.stringify(value);

const shell = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** Return the form's fields as an object, with lists. */
function parameters(options) {
  const found = {};
  for (const [field, value] of formFields(options)) {
    const name = field.replace("[]", "");
    found[name] = field.endsWith("[]") ? [...(found[name] ?? []), value] : value;
  }
  return found;
}

function curl(options, context) {
  const parts = [`curl ${shell(new URL(pathOf(options.task), context.root).href)}`];
  if (context.needsKey) parts.push(`-H "Authorization: Bearer $${KEY_VARIABLE}"`);
  // Quotes for curl: in a bare name, commas and semicolons have a meaning.
  parts.push(`-F ${shell(/[,;"]/.test(context.file) ? `file=@"${context.file.replace(/["\\]/g, "\\$&")}"` : `file=@${context.file}`)}`);
  for (const [name, value] of formFields(options)) {
    const flag = name === "prompt" ? "--form-string" : "-F"; // A prompt may begin with @ or <.
    parts.push(`${flag} ${shell(`${name}=${value}`)}`);
  }
  return parts.join(" \\\n  ");
}

function openaiPython(options, context) {
  const { num_beams, ...given } = parameters(options);
  const own = { ...given };
  const extra = num_beams ? { num_beams } : {};
  if (options.task === "translate")
    for (const name of ["language", "timestamp_granularities"]) {
      // The client's translations lack these two.
      if (name in own) extra[name] = own[name];
      delete own[name];
    }
  const last = Object.keys(extra).length ? [`extra_body=${python(extra)},`] : [];
  const lines = ["file=audio,", ...Object.entries(own).map(([name, value]) => `${name}=${python(value)},`), ...last];
  const key = context.needsKey ? `os.environ["${KEY_VARIABLE}"]` : '"any"';
  return `${context.needsKey ? "import os\n\n" : ""}from openai import OpenAI

client = OpenAI(base_url="${base(context)}/v1", api_key=${key})
with open(${python(context.file)}, "rb") as audio:
    result = client.audio.${options.task === "translate" ? "translations" : "transcriptions"}.create(
${lines.map((line) => `        ${line}`).join("\n")}
    )
print(result.text)`;
}

function openaiNode(options, context) {
  const lines = [
    `file: fs.createReadStream(${javascript(context.file)}),`,
    ...Object.entries(parameters(options)).map(([name, value]) => `${name}: ${javascript(value)},`),
  ];
  const key = context.needsKey ? `process.env.${KEY_VARIABLE}` : '"any"';
  return `import fs from "node:fs";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${base(context)}/v1", apiKey: ${key} });
const result = await client.audio.${options.task === "translate" ? "translations" : "transcriptions"}.create({
${lines.map((line) => `  ${line}`).join("\n")}
});
console.log(result.text);`;
}

function huggingfaceHub(options, context) {
  const generation = {};
  if (options.prompt) generation.prompt = options.prompt;
  if (options.temperature > 0) generation.temperature = options.temperature;
  if (usesBeams(options)) generation.num_beams = options.beams;
  const body = { return_timestamps: options.words ? "word" : true };
  if (options.language) body.language = options.language;
  if (options.task !== "transcribe") body.task = options.task;
  if (Object.keys(generation).length) body.generation_parameters = generation;
  const address = options.model ? `${base(context)}/models/${options.model}` : base(context);
  const token = context.needsKey ? `, token=os.environ["${KEY_VARIABLE}"]` : "";
  return `${context.needsKey ? "import os\n\n" : ""}from huggingface_hub import InferenceClient

client = InferenceClient(model=${python(address)}${token})
output = client.automatic_speech_recognition(
    ${python(context.file)},
    extra_body=${python(body)},
)
print(output.text)`;
}

function deepinfra(options, context) {
  // Without previous text as a prompt, which is what this page asks for; and at a temperature without the fallback.
  const data = { task: options.task, condition_on_previous_text: "false" };
  if (options.language) data.language = options.language;
  if (options.prompt) data.initial_prompt = options.prompt;
  if (options.words) data.chunk_level = "word";
  if (options.temperature > 0) Object.assign(data, { temperature: options.temperature, temperature_increment_on_fallback: 0 });
  if (usesBeams(options)) data.num_beams = options.beams;
  const key = context.needsKey ? `\n        headers={"Authorization": "Bearer " + os.environ["${KEY_VARIABLE}"]},` : "";
  return `${context.needsKey ? "import os\n\n" : ""}import requests

with open(${python(context.file)}, "rb") as audio:
    response = requests.post(
        ${python(`${base(context)}/v1/inference/${options.model || "whisper-1"}`)},${key}
        files={"audio": audio},
        data=${python(data)},
    )
print(response.json()["text"])`;
}
