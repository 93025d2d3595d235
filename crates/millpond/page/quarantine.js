// The quarantine: what could not be joined, why, and what to do about it.

import { get, getText, path, post, remove } from "/page/api.js";
import { button, bytes, counted, h, later, replace, time, trying } from "/page/dom.js";
import { queue } from "/page/queue.js";

const TODO = {
  "invalid-utf8": "Send it again as UTF-8; drop this.",
  "invalid-json": "Often a line that was cut off: send the event again, whole; drop this.",
  "not-an-object": "Send the event again, as an object; drop this.",
  "too-deep": "Make the source send flatter events; drop this.",
  "duplicate-member": "Mend the source: readers would disagree about it; drop this.",
  "too-large": "Keep the large part elsewhere and send a reference; drop this.",
  "invalid-id": "Mend the source, send the event again; drop this.",
  "invalid-type": "Mend the source, send the event again; drop this.",
  "invalid-timestamp": "Mend the source, send the event again; drop this.",
  future: "Set the clocks right; retry when the time has come.",
  "invalid-key": "If the path is wrong, mend [key], rebuild and retry. If the event is wrong, mend the source, send it again, and drop this.",
  conflict: "Give each event its own id; send this one under a new id; drop this.",
  "broken-input": "Mend what the particulars name, send it again; drop this.",
};

export async function show(content, { join, signal }) {
  const url = path("quarantine", join.name);
  const one = (entry) => path("quarantine", join.name, entry.id);
  const which = (count) => (count === undefined ? "the whole quarantine, also what came since this list was made," : counted(count, "entry", "entries"));
  const kept = queue({
    caption: "Quarantine",
    empty: "Nothing is in quarantine.",
    heads: ["Reason", "Particulars", "Came", "What to do", "Bytes"],
    name: (entry) => entry.id,
    load: async (after, limit) => {
      const page = await get(url, { after, limit }, signal);
      return { entries: page.quarantine, next: page.next };
    },
    row: (entry) => [
      h("th", { scope: "row" }, entry.reason),
      h("td", {}, entry.detail),
      h("td", {}, time(entry.received_at)),
      h("td", {}, TODO[entry.reason] ?? ""),
      h("td", {}, bytesOf(entry, one(entry))),
    ],
    decisions: [
      { verb: "Retry", did: "Left the quarantine",
        ask: (count) => `This tries to join ${which(count)} again. What can be joined now leaves the quarantine and is counted as what it becomes; the rest stays.`,
        one: async (entry) => (await post(`${one(entry)}/retry`)).left,
        all: async () => {
          const { left, stay } = await post(`${url}/retry`);
          return `${counted(left, "entry has", "entries have")} left the quarantine, ${stay} stay.`;
        } },
      { verb: "Drop", did: "Dropped", grave: true,
        ask: (count) => `This removes ${which(count)} for good: the bytes cannot be had back.`,
        one: async (entry) => (await remove(one(entry))).done,
        all: async () => (await remove(url)).done },
    ],
  });
  await kept.reload();
  replace(content, h("h1", {}, `Quarantine of ${join.name}`),
    h("p", {}, "What cannot be joined is kept whole, with its reason, and stops nothing else."),
    button("Look again", () => trying(kept.reload)), kept.element);
}

function bytesOf(entry, url) {
  return later(bytes(entry.bytes), () => {
    const shown = h("pre", {}, entry.text);
    const all = entry.truncated && button("Show all of it", () => trying(async () => replace(shown, await getText(url))));
    return h("div", {}, shown, all);
  });
}
