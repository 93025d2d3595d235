// The public HTTP API, and nothing else: whatever the page does can be done with curl.

const TOKEN = "millpond-token";
const RETRY_MS = 1000;

/** An answer that says no: the problem's text says what to do. */
class Problem extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `the server answered ${status}`);
    this.status = status;
    this.faults = problem.faults ?? [];
  }
}

let token = sessionStorage.getItem(TOKEN) ?? "";
let onUnauthorized = () => {};

/** What to do when the server wants another token. */
export function whenUnauthorized(act) {
  onUnauthorized = act;
}

/** Keeps a token until this tab is closed. */
export function useToken(text) {
  token = text.trim();
  if (token) sessionStorage.setItem(TOKEN, token);
  else sessionStorage.removeItem(TOKEN);
}

export function hasToken() {
  return token !== "";
}

/** A path of the API; each part is escaped. */
export function path(...parts) {
  const dots = parts.find((part) => part === "." || part === "..");
  if (dots !== undefined) throw new Error(`the key ${dots} cannot be part of an address, since browsers fold it; use millpond view`);
  return `/v1/${parts.map(encodeURIComponent).join("/")}`;
}

/** Numbers that a computer's would round stay as they were written. */
class Exact {
  constructor(source) {
    this.source = source;
  }
  toString() {
    return this.source;
  }
  toJSON() {
    return JSON.rawJSON ? JSON.rawJSON(this.source) : this.source;
  }
}

/** JSON whose numbers lose no digit. */
function parse(source) {
  return JSON.parse(source, (name, value, context) =>
    typeof value === "number" && context?.source !== undefined && String(value) !== context.source ? new Exact(context.source) : value);
}

async function send(method, url, { query, body, type, signal } = {}) {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const search = new URLSearchParams(given).toString();
  const headers = {};
  if (token) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = type ?? "application/json";
  const sent = typeof body === "string" || body === undefined ? body : JSON.stringify(body);
  let answer;
  try {
    answer = await fetch(search ? `${url}?${search}` : url, { method, headers, body: sent, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server does not answer; is `millpond serve` running?");
  }
  if (answer.ok) return answer;
  const said = await answer.text();
  let problem = {};
  try {
    problem = JSON.parse(said);
  } catch {
    // What stands in front of the server may answer something else.
  }
  if (answer.status === 401) onUnauthorized();
  throw new Problem(answer.status, problem);
}

async function read(answer) {
  return parse(await answer.text());
}

export async function get(url, query, signal) {
  return read(await send("GET", url, { query, signal }));
}

export async function post(url, body, options = {}) {
  return read(await send("POST", url, { body, ...options }));
}

export async function remove(url) {
  return read(await send("DELETE", url));
}

/** The text of an answer. */
export async function getText(url) {
  return (await send("GET", url)).text();
}

/**
 * Follows changes until the signal says so: `change({key, version, document})`, and `reset()` when all that is
 * known must be forgotten. An `EventSource` cannot send a token, so the stream is read by hand.
 */
export async function follow(join, query, { change, reset, state }, signal) {
  let last;
  while (!signal.aborted) {
    await looked(signal);
    // A browser has few connections to a server, for all its tabs: those that nobody looks at need none.
    const hidden = new AbortController();
    const hide = () => document.hidden && hidden.abort();
    document.addEventListener("visibilitychange", hide);
    try {
      const answer = await send("GET", path("changes", join), { query: { ...query, "last-event-id": last }, signal: AbortSignal.any([signal, hidden.signal]) });
      state(true);
      for await (const event of events(answer.body)) {
        last = event.id ?? last;
        if (event.event === "change") change(parse(event.data));
        if (event.event === "reset") reset();
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && error.status < 500) {
        state(false);
        throw error;
      }
    } finally {
      document.removeEventListener("visibilitychange", hide);
    }
    state(false);
    if (!hidden.signal.aborted) await new Promise((done) => setTimeout(done, RETRY_MS));
  }
}

/** Waits until somebody looks at the page, or has left it. */
async function looked(signal) {
  while (document.hidden && !signal.aborted) {
    await new Promise((done) => {
      document.addEventListener("visibilitychange", done, { once: true });
      signal.addEventListener("abort", done, { once: true });
    });
  }
}

/** The events of a stream, as the standard for server-sent events has them. */
async function* events(body) {
  let rest = "";
  for await (const piece of decoded(body)) {
    const blocks = (rest + piece).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = { data: "" };
      for (const line of block.split("\n")) {
        const colon = line.indexOf(":");
        if (colon > 0) event[line.slice(0, colon)] = line.slice(colon + 1).replace(/^ /, "");
      }
      yield event;
    }
  }
}

async function* decoded(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
