/** Schemas in words. */

import { element } from "./dom.js";

/** Return a part that is made when it is opened for the first time: most are not. */
export function folded(title, make, attributes = {}) {
  const part = element("details", attributes, element("summary", { text: title }));
  part.addEventListener("toggle", () => part.append(...make()), { once: true });
  return part;
}

const MAX_DEPTH = 5;

/** Return a paragraph in which what stands between backticks is code. */
export function prose(text) {
  const parts = text.split("`").map((part, index) => (index % 2 ? element("code", { text: part }) : part));
  return element("p", {}, ...parts);
}

export function resolve(spec, schema) {
  return schema.$ref ? spec.components.schemas[schema.$ref.split("/").at(-1)] : schema;
}

/** Return what a schema may be: the parts of an "any of", or itself. */
export function kindsOf(spec, schema) {
  const found = resolve(spec, schema);
  return found.anyOf && !found.properties ? found.anyOf.flatMap((kind) => kindsOf(spec, kind)) : [found];
}

/** Return the type in words: "whole number", "list of text". That null means an absent field need not be said. */
export function typeOf(spec, schema) {
  const found = resolve(spec, schema);
  if (found.const !== undefined) return JSON.stringify(found.const);
  if (found.enum) return found.enum.join(", ");
  if (found.anyOf) return [...new Set(found.anyOf.map((kind) => typeOf(spec, kind)))].filter((name) => name !== "null").join(" or ");
  if (found.format === "binary") return "file";
  if (found.contentEncoding) return found.contentEncoding;
  if (found.type === "array") return found.items ? `list of ${typeOf(spec, found.items)}` : "list";
  const names = { integer: "whole number", string: "text", boolean: "true or false" };
  return [found.type ?? "any"].flat().map((type) => names[type] ?? type).join(" or ");
}

/** Return the fields of an object. Those that leave no choice are folded away. */
export function fieldList(spec, schema, depth = 0) {
  const all = Object.entries(schema.properties ?? {});
  const required = new Set(schema.required ?? []);
  const show = (fields) => element("dl", { class: "fields" }, ...fields.flatMap(([name, field]) => row(spec, name, field, required.has(name), depth)));
  const choice = all.filter(([, field]) => !field["x-one-value"]);
  const none = all.filter(([, field]) => field["x-one-value"]);
  return element(
    "div",
    { class: "object" },
    schema.title ? element("p", { class: "name", text: schema.title }) : "",
    schema.description ? prose(schema.description) : "",
    choice.length ? show(choice) : "",
    none.length ? folded(`${none.length} fields that leave no choice`, () => [show(none)]) : "",
  );
}

function row(spec, name, field, isRequired, depth) {
  const type = field["x-one-value"] ? "" : typeOf(spec, field);
  const marks = [
    type ? element("span", { class: "type", text: type }) : "",
    isRequired ? element("strong", { text: "required" }) : "",
    field.default !== undefined ? element("span", {}, "default ", element("code", { text: JSON.stringify(field.default) })) : "",
  ];
  const inner = depth < MAX_DEPTH ? objectsIn(spec, field) : [];
  return [
    element("dt", {}, element("code", { text: name })),
    element(
      "dd",
      {},
      element("p", { class: "marks" }, ...marks),
      field.description ? prose(field.description) : "",
      inner.length ? folded("Its fields", () => inner.map((kind) => fieldList(spec, kind, depth + 1))) : "",
    ),
  ];
}

function objectsIn(spec, schema) {
  return kindsOf(spec, schema).flatMap((kind) => (kind.properties ? [kind] : kind.items ? objectsIn(spec, kind.items) : []));
}
