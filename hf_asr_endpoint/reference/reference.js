/** The page: asks for the document, and shows each API with its operations. */

import { $, element } from "./dom.js";
import { showOperation } from "./operation.js";
import { prose } from "./schema.js";

const ROOT = new URL("../", import.meta.url);
const WIDE = matchMedia("(min-width: 1000px)");

/** Return the operations of a document with their methods and paths. An operation belongs to its first tag. */
function operationsOf(spec) {
  return Object.entries(spec.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ ...operation, method, path })),
  );
}

function showApi(spec, tag, operations) {
  const own = operations.filter((operation) => operation.tags[0] === tag.name);
  const elsewhere = operations.filter((operation) => operation.tags.slice(1).includes(tag.name));
  const hooks = Object.entries(spec.webhooks).flatMap(([name, { post }]) =>
    post.tags[0] === tag.name ? [{ ...post, operationId: `webhook_${name}`, method: "post", path: "your webhook" }] : [],
  );
  const id = `api-${tag.name.toLowerCase().replace(/[^a-z0-9]+/g, "-")}`;
  $("list").append(
    element("h2", { text: tag.name }),
    element("ul", {}, ...[...own, ...hooks, ...elsewhere].map((operation) => element("li", {}, link(operation)))),
  );
  $("apis").append(
    element(
      "section",
      { class: "api", "aria-labelledby": id },
      element("h2", { id, text: tag.name }),
      prose(tag.description),
      ...elsewhere.map((operation) => element("p", {}, "See ", link(operation))),
      ...[...own, ...hooks].map((operation) => showOperation(spec, operation, ROOT)),
    ),
  );
}

const link = (operation) =>
  element("a", { href: `#${operation.operationId}` }, element("span", { class: "verb", text: operation.method }), operation.path);

async function start() {
  $("contents").open = WIDE.matches;
  WIDE.addEventListener("change", () => ($("contents").open = WIDE.matches));
  $("document").href = new URL("openapi.json", ROOT);
  let spec;
  try {
    const response = await fetch(new URL("openapi.json", ROOT), { cache: "no-cache" });
    if (!response.ok) throw new Error(`The server answered with status ${response.status}.`);
    spec = await response.json();
  } catch (error) {
    $("notice").textContent = `The document cannot be read. ${error.message}`;
    $("notice").hidden = false;
    return;
  }
  $("version").textContent = `${spec.info.title} ${spec.info.version}`;
  $("about").append(...prose(spec.info.description).childNodes);
  const operations = operationsOf(spec);
  for (const tag of spec.tags) showApi(spec, tag, operations);
  document.body.dataset.phase = "shown";
  // The address may name an operation, which was not there when the page was loaded.
  if (location.hash) $(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

start();
