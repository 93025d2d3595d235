// In the demo: events that one sends by a button, and what becomes of each.

import { get, path, post } from "/page/api.js";
import { button, h, replace, span, trying } from "/page/dom.js";
import { line, stamp } from "/page/value.js";

const TOLD = 8;
const LONG_AGO_MS = 3_600_000;
/** In this document's life, so that ids differ. */
const started = Date.now();
let sent = 0;
let user = "user-1";
/** The last event of each user. */
const last = new Map();
const told = [];

/** The panel, in the join that the server offers for it. */
export function tryIt(join, link) {
  if (document.querySelector('meta[name="try-it"]').content !== join.name) return null;
  const who = h("input", { id: "try-user", value: user, size: 12, spellcheck: "false", autocomplete: "off", onchange: () => { user = who.value || "user-1"; } });
  const log = h("ol", { class: "told", "aria-live": "polite", "aria-label": "What became of it" });
  const item = (entry) => h("li", {}, entry(link));
  const act = (words, make) => button(words, () => trying(async () => {
    user = who.value || "user-1";
    told.unshift(await became(join, words, await make(join)));
    told.length = Math.min(told.length, TOLD);
    // Only what is new is read out.
    log.prepend(item(told[0]));
    while (log.childElementCount > told.length) log.lastElementChild.remove();
  }));
  replace(log, told.map(item));
  return h("section", { class: "try", "aria-label": "Try it" }, h("h2", {}, "Try it"),
    h("div", { class: "row" }, h("label", { for: "try-user" }, "User"), who,
      act("A login", login), act("An order", order), act("A duplicate", duplicate), act("A late event", late), act("A poison event", poison)),
    log);
}

function id() {
  sent += 1;
  return `try-${started}-${sent}`;
}

const now = async (join) => (await get(`${path("joins", join.name)}/stats`)).at;

function remembered(event) {
  last.set(user, event);
  return event;
}

async function login(join) {
  return remembered({ id: id(), type: "user-loggedIn", timestamp: await now(join), user: { id: user } });
}

async function order(join) {
  const own = id();
  return remembered({ id: own, type: "order-submitted", timestamp: await now(join), order: { id: own, userId: user } });
}

/** The last one again, or a first one, which is sent before. */
async function duplicate(join) {
  if (!last.has(user)) await post(path("events", join.name), await order(join));
  return last.get(user);
}

/** Below the snapshot, if there is one; closing what can be closed comes first. */
async function late(join) {
  let through = await boundary(join);
  if (through === undefined && (await view(join)) !== undefined) {
    await post(`${path("views", join.name, user)}/snapshot`);
    through = await boundary(join);
  }
  const own = id();
  const timestamp = (through ?? (await now(join)) - LONG_AGO_MS) - 1;
  return { id: own, type: "order-submitted", timestamp, order: { id: own, userId: user } };
}

async function poison(join) {
  return { id: id(), type: "order-submitted", timestamp: await now(join), order: { userId: 17 } };
}

async function boundary(join) {
  const explained = await orNothing(get(path("views", join.name, user), { explain: true, limit: 1 }));
  return explained?.snapshot && stamp(explained.snapshot.through);
}

function view(join) {
  return orNothing(get(path("views", join.name, user)));
}

async function orNothing(asked) {
  try {
    return await asked;
  } catch (error) {
    if (error.status === 404) return undefined;
    throw error;
  }
}

/** Sends an event, and says what became of it. */
async function became(join, words, event) {
  const who = user;
  const before = await view(join);
  const { events: [answer] } = await post(path("events", join.name), event);
  const after = await view(join);
  const changed = join.fields.map(({ name }) => name).filter((name) => line(before?.[name]) !== line(after?.[name]));
  return (link) => [h("strong", {}, words), " for ", h("a", { href: link(join.name, "key", who) }, who), ": ", h("strong", { class: `mark ${answer.status}` }, answer.status), ". ",
    ...changed.flatMap((name) => [h("a", { href: link(join.name, "key", who, { field: name }) }, name), ` ${line(before?.[name]) || "–"} → ${line(after?.[name])}. `]),
    said(join, words, answer, link, who)];
}

function said(join, words, answer, link, who) {
  switch (answer.status) {
    case "duplicate": return "It was known: nothing changed.";
    case "late": return ["Its place is closed: it waits in ", h("a", { href: link(join.name, "late", undefined, { key: who }) }, "the late queue"), "."];
    case "quarantined": return [`${answer.detail}: it is kept in `, h("a", { href: link(join.name, "quarantine") }, "quarantine"), "."];
    case "accepted": return words === "A late event" ? `Nothing of ${who} that is as old is closed yet, so it was not too late: closing begins with a snapshot, of what is older than ${span(join.lateness_ms)}.` : "";
    default: return "";
  }
}
