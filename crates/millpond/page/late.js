// The late queue: what came after its place was closed, and what to do about it.

import { get, path, post } from "/page/api.js";
import { button, counted, h, later, replace, span, time, trying } from "/page/dom.js";
import { queue } from "/page/queue.js";
import { lines, stamp } from "/page/value.js";

export async function show(content, { join, link, params, signal }) {
  const url = path("late", join.name);
  const key = params.get("key") ?? undefined;
  const choice = (all) => (key === undefined ? { all } : { key });
  const whose = (count) => (count === undefined ? `all late events${key === undefined ? "" : ` of ${key}`}, also those that came since this list was made,` : counted(count, "late event"));
  const waiting = queue({
    caption: key === undefined ? "Late events" : `Late events of ${key}`,
    empty: "No event waits here.",
    heads: ["Key", "Event", "Type", "Came", "Why it is late", "Event's body"],
    name: (entry) => entry.position,
    load: async (after, limit) => {
      const page = await get(url, { key, after, limit }, signal);
      return { entries: page.late, next: page.next };
    },
    row: (entry) => {
      const happened = stamp(entry.position);
      const closed = stamp(entry.closed_through);
      return [
        h("th", { scope: "row" }, h("a", { href: link(join.name, "key", entry.key) }, entry.key)),
        h("td", {}, time(happened)),
        h("td", {}, String(entry.event?.type ?? entry.event?.["detail-type"] ?? "")),
        h("td", {}, time(entry.received_at), h("br"), h("span", { class: "muted" }, `${span(entry.received_at - happened)} after it happened`)),
        h("td", {}, "the snapshot was closed through ", time(closed), ` before it came, ${span(Math.abs(closed - happened))} ${closed >= happened ? "past it" : "before it"}`),
        h("td", {}, later("Show", () => h("pre", {}, lines(entry.event)))),
      ];
    },
    decisions: [
      { verb: "Accept", did: "Folded into its view, for ever",
        ask: (count) => `This folds ${whose(count)} into snapshots and views, for ever. With it you vouch that none is a repeat of a trimmed event: nobody can tell any more.`,
        one: async (entry) => (await post(`${url}/accept`, { key: entry.key, position: entry.position })).done,
        all: async () => (await post(`${url}/accept`, choice(true))).done },
      { verb: "Drop", did: "Dropped", grave: true,
        ask: (count) => `This lets ${whose(count)} go. They are not counted anywhere then, and cannot be had back.`,
        one: async (entry) => (await post(`${url}/drop`, { key: entry.key, position: entry.position })).done,
        all: async () => (await post(`${url}/drop`, choice(true))).done },
    ],
  });
  await waiting.reload();
  const days = span(join.lateness_ms);
  replace(content, h("h1", {}, `Late events of ${join.name}`),
    h("p", {}, `An event may come up to ${days} after its timestamp. What comes later may find its place in a snapshot, which is never changed by itself: a late event and a late repeat look the same there. So it waits here. `,
      h("strong", {}, "Accept"), " what is no repeat; ", h("strong", {}, "drop"), " what is. If many are late, raise ", h("code", {}, "lateness"), " in the definition."),
    key !== undefined && h("p", {}, h("a", { href: link(join.name, "late") }, "Show those of all keys")),
    button("Look again", () => trying(waiting.reload)),
    waiting.element);
}
