// One key: its document, live; why each field is what it is; its history; and what it was at a time.

import { follow, get, path, post, remove } from "/page/api.js";
import { button, confirmed, counted, h, later, moment, number, redrawn, replace, say, span, table, text, time, trying } from "/page/dom.js";
import { rule } from "/page/definition.js";
import { legend, timeline } from "/page/timeline.js";
import { line, lines, shownValue, stamp } from "/page/value.js";

const EVENTS = 100;
const CAUSES = 100;
const CAUSES_SHOWN = 6;
/** Folds to which each event adds something. */
const ADDING = new Set(["count", "sum", "avg"]);
const STEPS = 200;
const SHOW_EVERY_MS = 250;
const LOOK_EVERY_MS = 1_500;

export async function show(content, { join, link, subject: key, params, signal, every }) {
  const place = { join, link, key, signal, view: path("views", join.name, key) };
  const state = { field: params.get("field") ?? undefined, after: undefined, before: [], asOf: undefined, isStale: false };
  const parts = { document: documentOf(join, choose), why: whyOf(place, goTo), history: historyOf(place, state, { turn, pick, newest }) };
  const heading = headingOf(place, load);
  let asked = Promise.resolve();
  let isTurning = false;
  await load();
  replace(content, heading.element, h("div", { class: "halves" }, parts.document.element, parts.why.element), parts.history.element);
  if (state.field !== undefined) choose(state.field);
  live();

  /** What is shown, of about one moment; one look after the other, so that none overwrites a later one. */
  function load(withHistory = true) {
    asked = asked.catch(() => {}).then(() => look(withHistory));
    return asked;
  }

  async function look(withHistory) {
    const explaining = get(place.view, { explain: true, limit: CAUSES }, signal);
    const history = withHistory ? [
      get(`${place.view}/events`, { order: "newest", after: state.after, limit: EVENTS }, signal),
      get(path("late", join.name), { key, limit: EVENTS }, signal),
      get(path("duplicates", join.name), { key, limit: EVENTS }, signal),
    ] : [];
    const [explained, page, late, repeats] = await Promise.all([explaining, ...history]);
    state.explained = explained;
    heading.update(explained);
    parts.why.update(explained, state.field);
    parts.document.learn(ofFields(explained), explained.version);
    if (!withHistory) return;
    Object.assign(state, { page, late, repeats: repeats.duplicates });
    parts.history.update(state);
  }

  function choose(field) {
    state.field = field;
    history.replaceState(null, "", link(join.name, "key", key, { field }));
    parts.document.choose(field);
    parts.why.update(state.explained, field);
    parts.history.update(state);
  }

  /** Another page of the history, of now: one at a time, however quick the clicks are. */
  async function turn(move) {
    if (isTurning) return;
    isTurning = true;
    const { after, before } = state;
    state.before = [...before];
    move(state);
    if (state.asOf !== undefined) pick(undefined);
    await trying(async () => {
      try {
        await load();
      } catch (error) {
        Object.assign(state, { after, before });
        throw error;
      }
    });
    isTurning = false;
  }

  /** The page of the history that ends with an event. */
  async function goTo(position) {
    // Positions are ordered by time first: a place just behind it.
    await turn((state) => { state.before = [undefined]; state.after = `${stamp(position) + 1}/`; });
    parts.history.point(position);
  }

  function newest() {
    return turn((state) => { state.before = []; state.after = undefined; });
  }

  /** The view as it was; without a time, as it is. */
  function pick(asOf) {
    state.asOf = asOf;
    if (asOf === undefined) parts.document.back();
    parts.history.mark(state);
    if (asOf !== undefined) was();
  }

  // One question at a time: while a time is dragged, those in between are left out.
  async function was() {
    if (state.isAsking) return;
    state.isAsking = true;
    try {
      while (state.asOf !== undefined && state.answered !== state.asOf) {
        const at = state.asOf;
        try {
          const document = await get(place.view, { at }, signal);
          if (state.asOf !== undefined) parts.document.then(document, at);
        } catch (error) {
          if (error.name === "AbortError") return;
          if (state.asOf !== undefined) parts.document.none(error.message, at);
        }
        state.answered = at;
      }
    } finally {
      state.isAsking = false;
      state.answered = undefined;
    }
  }

  function live() {
    let newest;
    let timer;
    let shownAt = 0;
    const showNewest = () => {
      timer = undefined;
      shownAt = performance.now();
      if (!signal.aborted) parts.document.learn(newest.document, newest.version);
    };
    const changed = (change) => {
      if (change.document === null) {
        say(`${key} was erased.`);
        location.hash = link(join.name, "keys");
        return;
      }
      newest = change;
      state.isStale = true;
      timer ??= setTimeout(showNewest, Math.max(0, SHOW_EVERY_MS - (performance.now() - shownAt)));
    };
    trying(() => follow(join.name, { key }, { change: changed, reset: () => { state.isStale = true; }, state: heading.live }, signal));
    every(LOOK_EVERY_MS, async () => {
      if (!state.isStale) return;
      state.isStale = false;
      const isHeld = state.asOf !== undefined || parts.history.isHeld();
      try {
        await load(!isHeld);
      } catch (error) {
        state.isStale = true;
        throw error;
      }
      if (isHeld) parts.history.offer();
    });
  }
}

/** A document's fields, as an explanation has them. */
function ofFields({ key, fields }) {
  return { id: key, ...Object.fromEntries(fields.map(({ field, value }) => [field, value])) };
}

function headingOf({ join, link, key, view }, load) {
  const about = h("p", { class: "muted" });
  const sign = h("span", { class: "live" }, "connecting");
  const act = (words, work) => button(words, () => trying(async () => {
    say(await work());
    await load();
  }));
  const erase = button("Erase …", async () => {
    const what = `This removes all that is stored of ${key}: view, snapshot, events, late events, down to the bytes on disk. It cannot be undone, and takes as long as writing the tables anew.`;
    if (!(await confirmed(`Erase ${key}?`, what, "Erase"))) return;
    await trying(async () => {
      const erased = await remove(view);
      say(`${key} is erased: ${counted(erased.events, "event")} removed${erased.also_at.length > 0 ? `; its events are also at ${erased.also_at.join(", ")}` : ""}.`);
      location.hash = link(join.name, "keys");
    });
  }, { class: "grave" });
  const element = h("div", { class: "heading" }, h("p", { class: "trail" }, h("a", { href: link(join.name, "keys") }, `Keys of ${join.name}`)), h("h1", {}, key, " ", sign), about,
    h("div", { class: "row" },
      act("Snapshot now", async () => {
        const { closed, events, tail } = await post(`${view}/snapshot`);
        return closed ? `The snapshot now holds ${counted(events, "event")}; ${number(tail)} come after it.` : `Nothing more can be closed yet: what is younger than ${span(join.lateness_ms)} stays open.`;
      }),
      act("Trim", async () => `${counted((await post(`${view}/trim`)).trimmed, "row")} trimmed: the snapshot holds them.`), erase));
  return {
    element,
    update: ({ version, events, tail, snapshot }) => text(about, `Version ${version}, made of ${counted(events, "event")}: ${snapshot ? `${number(snapshot.events)} in the snapshot of ${moment(snapshot.closed_at)}, ${number(tail)} after it` : "no snapshot yet"}.`),
    live: (isOn) => {
      text(sign, isOn ? "live" : "not connected");
      sign.classList.toggle("on", isOn);
    },
  };
}

/** The document, a row a field; each can be asked why. */
function documentOf(join, choose) {
  const cells = new Map();
  const note = h("p", { class: "muted", "aria-live": "polite" });
  const raw = h("pre", { tabindex: 0, role: "region", "aria-label": "The document as JSON" });
  const rows = join.fields.map((field) => {
    const value = h("td", {});
    const why = button(field.name, () => choose(field.name), { class: "field", "aria-pressed": "false", title: `Why is ${field.name} what it is?` });
    cells.set(field.name, { value, why });
    return h("tr", {}, h("th", { scope: "row" }, why), value, h("td", { class: "muted" }, rule(field)));
  });
  const element = h("section", { "aria-label": "View" }, h("h2", {}, "View"), note, table("Choose a field to see why it is what it is", ["Field", "Value", "Is"], rows, { class: "fields" }),
    h("details", {}, h("summary", {}, "As JSON"), raw));
  let present;
  let version = -1;
  let isThen = false;
  const draw = (document, compared) => {
    for (const [name, { value }] of cells) {
      const isOther = compared !== undefined && line(document?.[name]) !== line(compared[name]);
      const shown = document === undefined ? "–" : shownValue(document[name]);
      replace(value, shown, isOther && h("span", { class: "mark other" }, `now ${line(compared[name])}`));
    }
    text(raw, document === undefined ? "" : lines(document));
  };
  return {
    element,
    /** A document of a version; older ones than the one that is known are nothing new. */
    learn: (document, itsVersion) => {
      if (itsVersion < version) return;
      // Redrawn only where it is another: who reads or marks a text is left in peace.
      const isOther = line(document) !== line(present);
      [present, version] = [document, itsVersion];
      if (isOther && !isThen) draw(document);
    },
    then: (document, at) => {
      isThen = true;
      draw(document, present);
      text(note, `As it was at ${moment(at)}.`);
    },
    none: (message, at) => {
      isThen = true;
      draw(undefined);
      text(note, `At ${moment(at)}: ${message}`);
    },
    back: () => {
      isThen = false;
      draw(present);
      text(note, "");
    },
    choose: (field) => cells.forEach(({ why }, name) => why.setAttribute("aria-pressed", String(name === field))),
  };
}

/** Why a field is what it is, in words, with the events that made it. */
function whyOf({ join }, goTo) {
  const body = h("div");
  const element = h("section", { class: "why", "aria-label": "Why" }, h("h2", {}, "Why"), body);
  let drawn = "";
  const update = ({ fields }, name) => {
    const told = fields.find(({ field }) => field === name);
    const now = line(told);
    if (now === drawn && drawn !== "") return;
    drawn = now;
    if (told === undefined) replace(body, h("p", { class: "muted" }, "Choose a field of the view: here stands which events made it."));
    else redrawn(body, () => replace(body, why(told, join.fields.find(({ name: known }) => known === name), goTo)), () => body.querySelector(".scroll"));
  };
  return { element, update };
}

function why(told, field, goTo) {
  const { value, snapshot, events, shows, tail_values: values } = told;
  const newest = events.slice(-CAUSES_SHOWN).reverse();
  const held = snapshot && h("li", {}, "The snapshot, which holds ", counted(snapshot.events, "event"), " through ", time(stamp(snapshot.through)), ", gives ", h("strong", {}, line(snapshot.value)), ".");
  const adds = ADDING.has(told.fold);
  const after = snapshot ? " after it" : "";
  const sum = told.fold === "count" && snapshot && shows > 0 && h("li", {}, "So it is ", h("strong", {}, `${line(snapshot.value)} + ${number(shows)}`), ".");
  const tail = values === 0 ? `No event${after} gives it a value.`
    : adds ? `${counted(shows, "event")}${after} ${shows === 1 ? "adds" : "add"} to it.`
    : `Of ${counted(values, "event")}${after} that gave a value, ${number(shows)} ${shows === 1 ? "shows" : "show"} in it.`;
  const nothing = !snapshot && values === 0 && h("li", {}, "So it is what the definition says for want of events: ", h("code", {}, line(value)), ".");
  const causes = newest.map((cause) => h("tr", {}, h("td", {}, time(cause.timestamp, true)), h("td", { class: "whole" }, cause.type), h("td", {}, shownValue(cause.gives)),
    h("td", {}, button(cause.id, () => goTo(`${cause.timestamp}/${cause.id}`), { class: "link", "aria-label": `Show ${cause.id} in the history` }))));
  const rest = shows - newest.length;
  return [
    h("p", { class: "answer", "aria-live": "polite" }, h("strong", {}, field.name), " is ", h("strong", {}, line(value)), `: ${rule(field)}.`),
    h("ul", {}, held, h("li", {}, tail), sum, nothing),
    causes.length > 0 && table(rest > 0 ? `The newest ${newest.length} of these ${number(shows)}` : "These events", ["Happened (UTC)", "Type", "Gives", "Id"], causes),
  ];
}

/** The picture, the table under it, and the time that one looks at. */
function historyOf({ join, link, key, signal }, state, { turn, pick, newest }) {
  const picture = h("div", { class: "picture" });
  const slider = h("input", { type: "range", id: "as-of", step: 1 });
  // The slider says it itself.
  const output = h("output", { for: "as-of", "aria-live": "off" }, "now");
  const back = button("Back to now", () => pick(undefined), { disabled: true });
  const pages = h("div", { class: "row" }, button("Newest", newest),
    button("Newer", () => turn((state) => { state.after = state.before.pop(); })),
    button("Older", () => turn((state) => { state.before.push(state.after); state.after = state.page.next; })));
  const list = h("div", {});
  const notes = h("p", { class: "muted" });
  const offered = h("p", { class: "offered", role: "status" });
  const types = join.types;
  const element = h("section", { class: "history", "aria-label": "History" }, h("h2", {}, "History"), notes, picture,
    h("div", { class: "row as-of-row" }, h("label", { for: "as-of" }, "The view as it was at"), slider, output, back), legend(types), pages, offered, list);
  slider.addEventListener("input", () => pick(Number(slider.value)));
  const resized = new ResizeObserver(() => state.page && draw());
  resized.observe(picture);
  signal.addEventListener("abort", () => resized.disconnect());
  let rows = [];
  let repeats = [];
  let late = [];
  let gives = new Map();
  let isLit = () => false;

  function update(now) {
    const { page, explained, field } = now;
    const through = explained.snapshot?.through;
    gives = new Map((explained.fields.find((told) => told.field === field)?.events ?? []).map((cause) => [`${cause.timestamp}/${cause.id}`, cause.gives]));
    const folded = join.fields.find(({ name }) => name === field);
    // The server names the newest; of a plain count, each event of its types is one.
    const isCount = folded !== undefined && folded.fold === "count" && !folded.where;
    isLit = (row) => gives.has(row.position) || (isCount && !row.isLate && folded.of.includes(row.type));
    const { shows, events } = explained.fields.find((told) => told.field === field) ?? { shows: 0, events: [] };
    const unmarked = !isCount && shows > events.length ? ` Of the ${number(shows)} events that made ${field}, the newest ${events.length} are marked.` : "";
    rows = page.events.map((row) => ({ at: row.timestamp, putAt: row.put_at, type: row.event?.type ?? row.event?.["detail-type"], id: row.id, position: `${row.timestamp}/${row.id}`, inSnapshot: row.in_snapshot, event: row.event })).reverse();
    disordered(rows);
    // Of this page's time: the newest page goes on to the right.
    const [from, to] = [page.next === undefined ? -Infinity : rows[0]?.at ?? -Infinity, now.after === undefined ? Infinity : rows.at(-1)?.at ?? Infinity];
    const within = ({ at }) => at >= from && at <= to;
    repeats = now.repeats.map(({ position, received_at: putAt }) => ({ at: stamp(position), putAt, position })).filter(within);
    late = now.late.late.map(({ position, received_at: putAt, event }) => ({ at: stamp(position), putAt, position, id: position.slice(position.indexOf("/") + 1), type: event?.type, event, isLate: true })).filter(within);
    const trimmed = page.trimmed > 0 ? ` ${counted(page.trimmed, "earlier event")} ${page.trimmed === 1 ? "is" : "are"} trimmed: the snapshot holds ${page.trimmed === 1 ? "it" : "them"}.` : "";
    text(notes, `${through ? `The snapshot ends at ${moment(stamp(through))}; what comes later and is older waits in the late queue.` : `There is no snapshot yet: nothing is closed, and all of history is open.`}${trimmed}${now.late.next === undefined ? "" : ` Only the first ${EVENTS} late events are shown here.`}${unmarked}`);
    const [least, most] = [Math.min(...all().map(({ at }) => at)), Math.max(...all().map(({ at }) => at))];
    if (all().length > 0) {
      const low = page.trimmed > 0 && through ? Math.min(most, Math.max(least, stamp(through))) : least;
      const step = Math.max(1, Math.floor((most - low) / STEPS));
      // Counted from the end, so that the newest is among the places.
      Object.assign(slider, { step: String(step), min: String(most - Math.floor((most - low) / step) * step), max: String(most) });
      if (now.asOf === undefined) slider.value = slider.max;
    }
    slider.disabled = all().length === 0;
    replace(offered);
    draw();
    mark(now);
    const heads = ["Happened (UTC)", "Marks", "Came (UTC)", "Type", "Id", ...(field === undefined ? [] : [`Gives ${field}`]), "Body"];
    redrawn(list, () => replace(list, table(captionOf(), heads, [...rows, ...late].sort((a, b) => b.at - a.at).map((row) => rowOf(row, field)), { class: "events" })), () => list.firstElementChild);
    redrawn(pages, () => {
      pages.children[0].disabled = now.after === undefined;
      pages.children[1].disabled = now.before.length === 0;
      pages.children[2].disabled = page.next === undefined;
    }, () => list.firstElementChild);
  }

  const all = () => [...rows, ...late];
  const captionOf = () => (rows.length === 0 ? "No stored events" : `${counted(rows.length, "event")}, the newest first, from ${moment(rows.at(-1).at)} back to ${moment(rows[0].at)}`);

  function rowOf(row, field) {
    const again = repeats.filter(({ position }) => position === row.position);
    const marks = [
      row.isLate && h("a", { class: "mark late", href: link(join.name, "late", undefined, { key }) }, "late: waits"),
      row.inSnapshot && h("span", { class: "mark inside" }, "in the snapshot"),
      row.isDisordered && h("span", { class: "mark disorder" }, "came after younger ones"),
      again.length > 0 && h("span", { class: "mark duplicate", title: again.map(({ putAt }) => moment(putAt)).join(", ") }, `came again, ${again.length} ×`),
    ];
    return h("tr", { "data-position": row.position, class: isLit(row) ? "lit" : "", tabindex: -1 }, h("td", {}, time(row.at, true)), h("td", {}, marks), h("td", {}, time(row.putAt, true), h("span", { class: "muted" }, ` +${span(row.putAt - row.at)}`)),
      h("td", {}, row.type ?? ""), h("td", {}, row.id), field !== undefined && h("td", {}, gives.has(row.position) ? shownValue(gives.get(row.position)) : ""), h("td", {}, later("Show", () => h("pre", {}, lines(row.event)))));
  }

  function draw() {
    const width = Math.floor(picture.clientWidth);
    if (width < 50) return;
    const through = state.explained.snapshot?.through;
    replace(picture, timeline({ rows, late, repeats, through: through && stamp(through), lit: new Set(rows.filter(isLit).map(({ position }) => position)), asOf: state.asOf, types, width }));
  }

  function mark({ asOf }) {
    text(output, asOf === undefined ? "now" : moment(asOf));
    slider.setAttribute("aria-valuetext", output.textContent);
    back.disabled = asOf === undefined;
    if (asOf === undefined) slider.value = slider.max;
    draw();
  }

  return {
    element,
    update,
    mark,
    /** Whether somebody is at it: then nothing moves under their hands. */
    isHeld: () => state.after !== undefined || [list, pages].some((part) => part.contains(document.activeElement)) || list.matches(":hover")
      || list.querySelector("details[open]") !== null || list.contains(getSelection().anchorNode),
    offer: () => {
      if (offered.childNodes.length === 0) replace(offered, "There is more since. ", button("Show the newest", newest));
    },
    point: (position) => {
      const row = [...list.querySelectorAll("tr[data-position]")].find((one) => one.dataset.position === position);
      row?.focus();
      row?.scrollIntoView({ block: "center" });
    },
  };
}

/** Marks rows that came when a younger one was there already; `rows` are in the order of positions. */
function disordered(rows) {
  let earliest = Infinity;
  for (let index = rows.length - 1; index >= 0; index -= 1) {
    rows[index].isDisordered = rows[index].putAt > earliest;
    earliest = Math.min(earliest, rows[index].putAt);
  }
}
