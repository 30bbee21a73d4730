/** Server-sent events from pieces of text (https://html.spec.whatwg.org/multipage/server-sent-events.html). */

export class EventParser {
  #rest = "";

  /** Return the events that a further piece completes, each `{name, data}` with its JSON parsed. */
  push(text) {
    const blocks = (this.#rest + text).split("\n\n");
    this.#rest = blocks.pop();
    return blocks.map(parseBlock).filter((event) => event !== null);
  }
}

function parseBlock(block) {
  let name = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
  }
  return data.length ? { name, data: JSON.parse(data.join("\n")) } : null; // Pings are comments.
}
