// Finding a key: by how it begins, page by page, however many there are.

import { get, path } from "/page/api.js";
import { button, h, redrawn, replace, table, trying } from "/page/dom.js";
import { shownValue } from "/page/value.js";

const PAGE = 50;
const TYPED_MS = 200;

export async function show(content, { join, link, params, signal }) {
  const field = h("input", { type: "search", id: "prefix", value: params.get("prefix") ?? "", autocomplete: "off", spellcheck: "false", "aria-describedby": "prefix-help" });
  const list = h("div", {});
  const pages = h("div", { class: "row" });
  // Where each page before this one began.
  let before = [];
  let after;
  let next;
  let asked = 0;
  const load = async () => {
    asked += 1;
    const mine = asked;
    const page = await get(path("views", join.name), { prefix: field.value, after, limit: PAGE }, signal);
    if (mine !== asked) return; // somebody typed on meanwhile
    next = page.next;
    const rows = page.views.map(({ key, document }) => h("tr", {}, h("th", { scope: "row" }, h("a", { href: link(join.name, "key", key) }, key)),
      join.fields.map(({ name }) => h("td", {}, shownValue(document[name])))));
    const caption = rows.length === 0 ? "No keys" : `Keys${field.value ? ` that begin with ${field.value}` : ""}, page ${before.length + 1}`;
    replace(list, table(caption, ["Key", ...join.fields.map(({ name }) => name)], rows));
    // Who comes back from a key finds the list as it was.
    history.replaceState(null, "", link(join.name, "keys", undefined, field.value ? { prefix: field.value } : undefined));
    redrawn(pages, () => replace(pages, button("First", () => turn(() => { before = []; after = undefined; }), { disabled: before.length === 0 }),
      button("Back", () => turn(() => { after = before.pop(); }), { disabled: before.length === 0 }),
      button("Next", () => turn(() => { before.push(after); after = next; }), { disabled: next === undefined })), () => list.firstElementChild);
  };
  let isTurning = false;
  // One page at a time, however quick the clicks are; what is typed wins over it.
  const turn = async (move, isTyped = false) => {
    if (isTurning && !isTyped) return;
    isTurning = true;
    const [wasAfter, wasBefore] = [after, before];
    before = [...before];
    move();
    const isDone = await trying(async () => {
      await load();
      return true;
    });
    if (!isDone) [after, before] = [wasAfter, wasBefore];
    isTurning = false;
  };
  let typing;
  field.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => turn(() => { before = []; after = undefined; }, true), TYPED_MS);
  });
  const open = (event) => {
    event.preventDefault();
    if (field.value) location.hash = link(join.name, "key", field.value);
  };
  await load();
  replace(content, h("h1", {}, `Keys of ${join.name}`),
    h("form", { class: "row", role: "search", onsubmit: open }, h("label", { for: "prefix" }, "Begins with"), field, h("button", { type: "submit" }, "Open this key")),
    h("p", { class: "muted", id: "prefix-help" }, "The list follows what is typed; Enter opens the key that is written out."),
    list, pages);
}
