// The flow of a join's events, as it is now, and over the last hour.

import { get, path } from "/page/api.js";
import { charts } from "/page/charts.js";
import { definition } from "/page/definition.js";
import { about, bytes, counted, h, number, percent, replace, span, svg, text, trying } from "/page/dom.js";
import { tryIt } from "/page/try.js";

const STATS_EVERY_MS = 1_000;
const TAILS_EVERY_MS = 3_000;
/** Rates are over so many looks. */
const LOOKS = 5;
/** What moves fastest in the picture: so many events a second. */
const QUICK = 1_000;

export async function show(content, { join, link, signal, every }) {
  const url = path("joins", join.name);
  const [stats, samples] = await Promise.all([get(`${url}/stats`, {}, signal), get(`${url}/samples`, {}, signal)]);
  const flow = picture(join, link);
  const figures = figuresOf();
  const tails = tailsOf(link, join);
  const hour = charts(samples, signal);
  const looks = [stats];
  const look = () => {
    const rates = ratesOf(looks);
    flow.update(looks.at(-1), rates);
    figures.update(looks.at(-1), rates);
  };
  look();
  replace(content,
    h("h1", {}, join.name),
    flow.element,
    tryIt(join, link),
    figures.element,
    h("section", { "aria-label": "The last hour" }, h("h2", {}, "The last hour"), hour.element),
    tails.element,
    definition(join));
  every(STATS_EVERY_MS, async () => {
    looks.push(await get(`${url}/stats`, {}, signal));
    if (looks.length > LOOKS) looks.shift();
    look();
  });
  every(samples.every_ms, async () => hour.add(await get(`${url}/samples`, { after: hour.last() }, signal)));
  // The rest is shown before all keys are looked at.
  trying(() => tails.step(url, signal));
  every(TAILS_EVERY_MS, () => tails.step(url, signal));
}

/** Per second, over the looks there are. */
function ratesOf(looks) {
  const [first, last] = [looks[0], looks.at(-1)];
  const seconds = (last.at - first.at) / 1000;
  return (name) => (seconds > 0 ? Math.max(0, last[name] - first[name]) / seconds : 0);
}

function box(id, title, ...lines) {
  return h("section", { class: `box ${id}`, "aria-labelledby": `box-${id}` }, h("h2", { id: `box-${id}` }, title), lines);
}

function arrow(id) {
  return svg("svg", { class: `arrow ${id}`, viewBox: "0 0 48 16", "aria-hidden": "true" },
    svg("path", { class: "line", d: "M2 8H40" }), svg("path", { class: "drops", d: "M2 8H40" }), svg("path", { class: "tip", d: "M38 2l8 6-8 6" }));
}

/** A figure with its words; `set` changes it. */
function figure(words) {
  const value = h("strong", {}, "0");
  return { element: h("p", {}, value, " ", words), set: (now) => text(value, now) };
}

function picture(join, link) {
  const at = (screen, words) => h("a", { href: link(join.name, screen) }, words);
  const f = {
    received: figure("events/s"), types: h("p", { class: "muted" }, join.types.join(", ")),
    accepted: figure("accepted/s"), duplicate: figure("duplicates"), late: figure(at("late", "came late")),
    quarantined: figure(at("quarantine", "quarantined")), ignored: figure("ignored"),
    rows: figure("accepted, not trimmed"), keys: figure(at("keys", "views")), fast: figure("fast updates"),
    snapshots: figure("snapshots"), trimmed: figure("rows trimmed"),
  };
  const arrows = Object.fromEntries(["in", "put", "fold", "close", "cut", "back", "aside"].map((id) => [id, arrow(id)]));
  const element = h("section", { class: "flow", "aria-label": "The flow of events" },
    box("sources", "Sources", f.received.element, f.types), arrows.in,
    box("consumer", "Consumer", f.accepted.element, h("p", { class: "muted" }, "checks each event, finds its key, writes it once")), arrows.aside,
    box("aside", "Not joined", f.duplicate.element, f.late.element, f.quarantined.element, f.ignored.element), arrows.put,
    box("events", "Events", f.rows.element, h("p", { class: "muted" }, "all that is not trimmed, in the order of time")), arrows.fold,
    box("views", "Views", f.keys.element, f.fast.element), arrows.close,
    box("snapshots", "Snapshots", f.snapshots.element, h("p", { class: "muted" }, `of what is older than ${span(join.lateness_ms)}`)), arrows.cut,
    box("trims", "Trims", f.trimmed.element, h("p", { class: "muted" }, "delete what snapshots hold")), arrows.back);
  const move = (arrow, rate) => {
    arrow.classList.toggle("moving", rate > 0);
    // From a drop in four seconds to five a second.
    const beat = rate > 0 ? Math.max(0.2, 4 - 3.8 * (Math.log10(1 + rate) / Math.log10(1 + QUICK))) : 0;
    arrow.style.setProperty("--beat", `${beat.toFixed(1)}s`);
  };
  const update = (stats, rate) => {
    f.received.set(about(rate("received")));
    f.accepted.set(about(rate("accepted")));
    for (const name of ["duplicate", "late", "quarantined", "ignored", "snapshots", "trimmed", "keys"]) f[name].set(number(stats[name]));
    f.rows.set(number(Math.max(0, stats.accepted - stats.trimmed)));
    f.fast.set(percent(stats.fast, stats.fast + stats.looked_up));
    move(arrows.in, rate("received"));
    for (const id of ["put", "fold"]) move(arrows[id], rate("accepted"));
    move(arrows.close, rate("snapshots"));
    for (const id of ["cut", "back"]) move(arrows[id], rate("trimmed"));
    move(arrows.aside, rate("duplicate") + rate("late") + rate("quarantined") + rate("ignored"));
  };
  return { element, update };
}

function figuresOf() {
  const cards = {};
  const card = (id, title, explained) => {
    const value = h("dd", {}, "–");
    cards[id] = value;
    return h("div", { class: "card" }, h("dt", {}, title), value, h("dd", { class: "muted" }, explained));
  };
  const element = h("dl", { class: "cards" },
    card("lag", "Lag", "time from the newest event in the views to now"),
    card("duplicate", "Duplicates", "of all that was received; they change nothing"),
    card("fast", "Fast updates", "rows and repeats that needed no look at history; a row is never refolded on one machine"),
    card("divergence", "Divergence", "snapshots that were not what the views had; must stay 0"),
    card("disk", "Disk", "log and tables"));
  const update = (stats, rate) => {
    const { lag, duplicate, fast, divergence, disk } = cards;
    text(lag, stats.newest_at == null ? "no event yet" : span(Math.max(0, stats.at - stats.newest_at)));
    text(duplicate, `${percent(stats.duplicate, stats.received)} · ${about(rate("duplicate"))}/s`);
    text(fast, percent(stats.fast, stats.fast + stats.looked_up));
    text(divergence, number(stats.divergence));
    divergence.classList.toggle("wrong", stats.divergence > 0);
    text(disk, bytes(stats.disk_bytes));
  };
  return { element, update };
}

/** Lengths of tails: some keys a step, until all were looked at; then anew. */
function tailsOf(link, join) {
  const rows = h("tbody");
  const words = h("p", { class: "muted" });
  const element = h("section", { "aria-label": "Tails" }, h("h2", {}, "Tails"),
    h("p", { class: "muted" }, `Events after a key's snapshot. More than ${number(join.snapshot_every)} ask for the next one, once the oldest is older than ${span(join.lateness_ms)}.`),
    h("table", { class: "tails" }, h("caption", { class: "hidden" }, "Keys by the length of their tail"),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Events in the tail"), h("th", { scope: "col" }, "Keys"), h("th", { scope: "col" }, "Share"))), rows),
    words);
  let walk = { keys: 0, events: 0, buckets: new Map(), longest: undefined, next: undefined };
  const show = ({ keys, events, buckets, longest, next }) => {
    const most = Math.max(1, ...buckets.values());
    const shown = [...buckets].sort(([a], [b]) => a - b).map(([upTo, count]) => {
      const from = (upTo + 1) / 2;
      const bar = svg("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
        svg("rect", { width: (100 * count) / most, height: 10 }));
      return h("tr", {}, h("th", { scope: "row" }, upTo <= 1 ? number(upTo) : `${number(from)} – ${number(upTo)}`), h("td", {}, number(count)), h("td", {}, bar, percent(count, keys)));
    });
    replace(rows, shown);
    replace(words, `${counted(keys, "key")} looked at${next === undefined ? "" : ", and more to come"}; on average ${counted(Math.round(keys ? events / keys : 0), "event")}`,
      longest && ["; the longest, ", number(longest.events), ", is of ", h("a", { href: link(join.name, "key", longest.key) }, longest.key)], ".");
  };
  const step = async (url, signal) => {
    const page = await get(`${url}/tails`, { after: walk.next }, signal);
    if (walk.next === undefined) walk = { keys: 0, events: 0, buckets: new Map(), longest: undefined, next: undefined };
    walk.keys += page.keys;
    walk.events += page.events;
    for (const { up_to, keys } of page.buckets) walk.buckets.set(up_to, (walk.buckets.get(up_to) ?? 0) + keys);
    if (page.longest && page.longest.events > (walk.longest?.events ?? -1)) walk.longest = page.longest;
    walk.next = page.next ?? undefined;
    show(walk);
  };
  return { element, step };
}
