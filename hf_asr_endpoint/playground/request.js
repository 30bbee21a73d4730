/** What people choose, as OpenAI's form fields. The examples of code are made from the same fields. */

export const DEFAULTS = { task: "transcribe", language: "", model: "", prompt: "", words: true, temperature: 0, beams: 1 };

/** Return the fields of `/v1/audio/…`, in order, as [name, value]. A repeated name is a list. */
export function formFields(options) {
  const fields = [
    ["model", options.model || "whisper-1"],
    ["response_format", "verbose_json"],
    ["timestamp_granularities[]", "segment"],
  ];
  if (options.words) fields.push(["timestamp_granularities[]", "word"]);
  if (options.language) fields.push(["language", options.language]);
  if (options.prompt) fields.push(["prompt", options.prompt]);
  if (options.temperature > 0) fields.push(["temperature", options.temperature]);
  if (usesBeams(options)) fields.push(["num_beams", options.beams]);
  return fields;
}

export const usesBeams = (options) => options.beams > 1 && !(options.temperature > 0);

export const pathOf = (task) => `v1/audio/${task === "translate" ? "translations" : "transcriptions"}`;
