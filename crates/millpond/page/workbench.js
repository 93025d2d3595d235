// A definition and some events, and what would come of them: nothing is stored.

import { get, path, post } from "/page/api.js";
import { button, counted, h, number, replace, table, trying } from "/page/dom.js";
import { definition } from "/page/definition.js";
import { line, shownValue } from "/page/value.js";

const TYPED_MS = 250;
const SAMPLE = 20;
const RIGHT = "The definition has no fault.";
/** What was typed for each join, while the page is open. */
const typed = new Map();

export async function show(content, { join, signal }) {
  const toml = h("textarea", { id: "toml", spellcheck: "false", autocomplete: "off", rows: 22, "aria-describedby": "faults" });
  const events = h("textarea", { id: "events", spellcheck: "false", autocomplete: "off", rows: 22, wrap: "off" });
  const begin = async () => {
    toml.value = join.definition;
    events.value = await sample(join, signal);
  };
  if (typed.has(join.name)) [toml.value, events.value] = typed.get(join.name);
  else await begin();
  const faults = h("div", { id: "faults", "aria-live": "polite" });
  const result = h("div", {});
  const old = h("p", { class: "wrong", hidden: true }, "What follows is of what was typed before, which had no fault.");
  let asked = new AbortController();
  const ask = async () => {
    asked.abort();
    asked = new AbortController();
    const mine = AbortSignal.any([asked.signal, signal]);
    try {
      const preview = await post("/v1/preview", { definition: toml.value, events: events.value }, { signal: mine });
      if (faults.textContent !== RIGHT) replace(faults, h("p", { class: "right" }, RIGHT));
      toml.removeAttribute("aria-invalid");
      replace(result, outcome(preview));
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.faults?.length > 0) toml.setAttribute("aria-invalid", "true");
      replace(faults, error.faults?.length > 0 ? found(error.faults, toml) : h("p", { class: "wrong" }, error.message));
      old.hidden = result.childElementCount === 0;
      return;
    }
    old.hidden = true;
  };
  let typing;
  for (const field of [toml, events]) {
    field.addEventListener("input", () => {
      typed.set(join.name, [toml.value, events.value]);
      clearTimeout(typing);
      typing = setTimeout(ask, TYPED_MS);
    });
  }
  await ask();
  replace(content, h("h1", {}, "Definition workbench"),
    h("p", {}, "What is typed here is tried at once, and stored nowhere. Events are one a line, or a JSON array; native, CloudEvents or EventBridge."),
    h("div", { class: "halves" },
      h("div", {}, h("label", { for: "toml" }, "Definition (TOML)"), toml, faults),
      h("div", {}, h("label", { for: "events" }, "Events"), events)),
    button("Begin anew", async () => {
      typed.delete(join.name);
      await trying(begin);
      await ask();
    }), old, result);
}

/** Some stored events of the join's first key, to begin with. */
async function sample(join, signal) {
  const { views: [first] } = await get(path("views", join.name), { limit: 1 }, signal);
  if (first === undefined) return "";
  const { events } = await get(`${path("views", join.name, first.key)}/events`, { order: "newest", limit: SAMPLE }, signal);
  return events.reverse().map(({ event }) => line(event)).join("\n");
}

function found(faults, toml) {
  const jump = ({ line, column }) => {
    const texts = toml.value.split("\n");
    const before = texts.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
    // A column counts characters; the field counts halves of some.
    const at = before + [...(texts[line - 1] ?? "")].slice(0, column - 1).join("").length;
    toml.focus();
    toml.setSelectionRange(at, at);
  };
  return [h("p", { class: "wrong" }, `The definition has ${counted(faults.length, "fault")}.`),
    h("ul", { class: "faults" }, faults.map((fault) => h("li", {}, button(`Line ${fault.line}, column ${fault.column}`, () => jump(fault), { class: "link" }), `: ${fault.message}`)))];
}

function outcome(preview) {
  const names = preview.join.fields.map(({ name }) => name);
  const views = preview.views.map(({ key, document }) => h("tr", {}, h("th", { scope: "row" }, key), names.map((name) => h("td", {}, shownValue(document[name])))));
  const events = preview.events.map(({ status, reason, detail, keys }, index) => h("tr", {}, h("th", { scope: "row" }, number(index + 1)),
    h("td", {}, h("span", { class: `mark ${status}` }, status)), h("td", {}, (keys ?? []).join(", ")), h("td", {}, reason === undefined ? "" : `${reason}: ${detail}`)));
  return [h("section", { "aria-label": "Views" }, h("h2", {}, "The views they would make"),
    views.length > 0 ? table(counted(views.length, "view"), ["Key", ...names], views) : h("p", { class: "empty" }, "No event joins: there is no view.")),
  h("section", { "aria-label": "Events" }, h("h2", {}, "What would become of each event"),
    events.length > 0 ? table(`${counted(preview.received, "placement")}: ${preview.accepted} accepted, ${preview.duplicate} duplicate, ${preview.late} late, ${preview.quarantined} quarantined, ${preview.ignored} ignored`, ["Event", "Status", "Keys", "Why"], events) : h("p", { class: "empty" }, "There are no events.")),
  definition(preview.join)];
}
