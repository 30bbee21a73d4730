/** An operation: what it takes, what it returns, its errors, and a command. */

import { copy, element, icon } from "./dom.js";
import { fieldList, folded, kindsOf, prose, typeOf } from "./schema.js";

const EXAMPLE_ADDRESS = "http://localhost:8000"; // of the document's commands

export function showOperation(spec, operation, root) {
  const id = operation.operationId;
  return element(
    "article",
    { class: "operation", id, "aria-labelledby": `${id}-title` },
    element("h3", { id: `${id}-title`, text: operation.summary }),
    element("p", { class: "address" }, element("span", { class: "verb", text: operation.method }), element("code", { text: operation.path })),
    operation.description ? prose(operation.description) : "",
    aliases(operation["x-aliases"] ?? []),
    ...(operation["x-codeSamples"] ?? []).map(({ source }) => block(source.replaceAll(EXAMPLE_ADDRESS, root.href.replace(/\/$/, "")), "Command")),
    ...parameters(spec, operation.parameters ?? []),
    ...Object.entries(operation.requestBody?.content ?? {}).map(([type, content]) => body(spec, `Body: ${type}`, content)),
    ...answers(spec, operation.responses),
    errors(operation.responses),
  );
}

function aliases(paths) {
  if (!paths.length) return "";
  const list = () => element("ul", { class: "paths" }, ...paths.map((path) => element("li", {}, element("code", { text: path }))));
  return folded(`Also at ${paths.length} other ${paths.length === 1 ? "path" : "paths"}`, () => [list()]);
}

function block(text, label) {
  const button = element("button", { class: "plain small", type: "button", onclick: () => copy(text, button) }, icon("copy"), element("span", { class: "label", text: "Copy" }));
  return element("div", { class: "code sample" }, element("pre", { tabindex: "0", role: "group", "aria-label": label }, element("code", { text })), button);
}

function parameters(spec, all) {
  const places = [
    ["path", "In the path"],
    ["query", "In the query string"],
  ];
  return places.flatMap(([place, title]) => {
    const own = all.filter((parameter) => parameter.in === place);
    if (!own.length) return [];
    const named = own.filter((parameter) => !parameter.explode);
    const whole = own.filter((parameter) => parameter.explode);
    const properties = Object.fromEntries(named.map(({ name, schema, description, ...marks }) => [name, { ...schema, ...marks, description }]));
    const required = named.filter((parameter) => parameter.required).map(({ name }) => name);
    return [
      element("h4", { text: title }),
      ...(named.length ? [fieldList(spec, { properties, required })] : []),
      ...[...new Set(whole.map(({ description }) => description))].map(prose),
    ];
  });
}

/** Return a body's fields, and its examples. */
function body(spec, title, content) {
  return element(
    "div",
    { class: "body" },
    element("h4", { text: title }),
    ...kindsOf(spec, content.schema).map((kind) =>
      kind.properties ? fieldList(spec, kind) : element("p", { class: "hint", text: typeOf(spec, kind) }),
    ),
    events(spec, content["x-events"]),
    ...examples(content.examples ?? {}),
  );
}

function events(spec, schema) {
  if (!schema) return "";
  return folded("The data of its events", () => kindsOf(spec, schema).map((kind) => fieldList(spec, kind)));
}

function examples(all) {
  return Object.entries(all).map(([name, { value }]) => {
    const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
    return folded(`Example: ${name}`, () => [block(text, `Example ${name}`)]);
  });
}

const isError = (status, response) => Number(status) >= 400 && Boolean(Object.values(response.content ?? {})[0]?.examples) && response.headers !== undefined;

function answers(spec, responses) {
  return Object.entries(responses)
    .filter(([status, response]) => !isError(status, response))
    .flatMap(([status, { content = {} }]) => Object.entries(content).map(([type, found]) => body(spec, `Answer ${status}: ${type}`, found)));
}

function errors(responses) {
  const found = Object.entries(responses).filter(([status, response]) => isError(status, response));
  if (!found.length) return "";
  const row = ([status, { description, content }]) => [
    element("dt", {}, element("code", { text: status })),
    element("dd", {}, element("p", { text: description }), ...examples(Object.values(content)[0].examples)),
  ];
  return folded(`${found.length} errors`, () => [element("dl", {}, ...found.flatMap(row))], { class: "errors" });
}
