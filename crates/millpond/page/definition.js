// A definition, as one would say it.

import { counted, h, number, span, table } from "/page/dom.js";

const SAYS = {
  latest: "the newest", first: "the oldest", count: "how many", sum: "the sum of", min: "the least", max: "the greatest", avg: "the mean of",
  list: "the last values of", set: "the distinct values of", exists: "whether there is any",
};

/** A field's rule as a sentence's part: `the newest user.name of user-created`. */
export function rule(field) {
  const bound = field.bound == null ? "" : `, at most ${number(field.bound)}`;
  const condition = field.where ? `, where ${field.where}` : "";
  const value = field.value ? ` ${field.value} of` : "";
  return `${SAYS[field.fold] ?? field.fold}${value} ${field.of.join(", ")}${bound}${condition}`;
}

export function definition(info) {
  const keys = info.keys.map(({ type, paths }) => h("tr", {}, h("th", { scope: "row" }, type), h("td", {}, h("code", {}, paths.join(", ")))));
  const fields = info.fields.map((field) => h("tr", {}, h("th", { scope: "row" }, field.name), h("td", {}, field.fold), h("td", {}, rule(field)),
    h("td", {}, field.default === undefined ? "" : h("code", {}, JSON.stringify(field.default)))));
  return h("section", { "aria-label": "Definition" }, h("h2", {}, "Definition"),
    h("p", {}, `An event may come up to ${span(info.lateness_ms)} after its timestamp; later, it may find its place closed, and waits in the late queue. A snapshot is asked for after ${counted(info.snapshot_every, "event")} in a tail.`),
    table("Events, and the key they carry", ["Type", "Key"], keys),
    table("Fields of the view", ["Field", "Fold", "Is", "Else"], fields),
    h("details", {}, h("summary", {}, "As TOML"), h("pre", { tabindex: 0, role: "region", "aria-label": "Definition as TOML" }, info.definition)));
}
