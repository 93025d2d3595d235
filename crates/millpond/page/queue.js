// A queue of what waits for a decision: choose one, many or all, and decide, after a question.

import { button, confirmed, counted, h, redrawn, replace, say, table, trying } from "/page/dom.js";

const PAGE = 50;

/**
 * `load(after)` gives `{entries, next}`; `row(entry)` the cells of one; `decisions` are `{verb, did, grave, ask(count), one(entry), all()}`,
 * whose functions give how many were done.
 */
export function queue({ caption, empty, heads, load, row, name, decisions }) {
  const list = h("div", {});
  const tools = h("div", { class: "row tools", role: "group", "aria-label": "Decide" });
  const pages = h("div", { class: "row" });
  const element = h("div", {}, tools, list, pages);
  let entries = [];
  let chosen = new Set();
  let before = [];
  let after;
  let next;

  const reload = async () => {
    const page = await load(after, PAGE);
    if (page.entries.length === 0 && before.length > 0) {
      after = before.pop();
      return reload();
    }
    ({ entries, next } = page);
    chosen = new Set();
    return draw();
  };

  let isTurning = false;
  const turn = async (move) => {
    if (isTurning) return;
    isTurning = true;
    move();
    await trying(reload);
    isTurning = false;
  };

  const draw = () => {
    const all = h("input", { type: "checkbox", "aria-label": "Choose all of this page", onchange: () => {
      chosen = new Set(all.checked ? entries : []);
      boxes.forEach((box) => { box.checked = all.checked; });
      drawTools();
    } });
    const boxes = entries.map((entry) => h("input", { type: "checkbox", "aria-label": `Choose ${name(entry)}`, onchange: (event) => {
      if (event.target.checked) chosen.add(entry);
      else chosen.delete(entry);
      all.checked = chosen.size === entries.length;
      drawTools();
    } }));
    const rows = entries.map((entry, index) => h("tr", {}, h("td", {}, boxes[index]), row(entry)));
    if (rows.length === 0) replace(list, h("p", { class: "empty", tabindex: -1 }, empty));
    else replace(list, table(`${caption}${before.length > 0 ? `, page ${before.length + 1}` : ""}`, [h("th", { scope: "col" }, all), ...heads], rows));
    redrawn(pages, () => replace(pages, before.length > 0 && button("Back", () => turn(() => { after = before.pop(); })),
      next !== undefined && button("Next", () => turn(() => { before.push(after); after = next; }))), () => list.firstElementChild);
    drawTools();
  };

  const drawTools = () => replace(tools, decisions.flatMap(({ verb, did, grave, ask, one, all }) => {
    const kind = { class: grave ? "grave" : "", disabled: chosen.size === 0 };
    const some = button(`${verb} chosen (${chosen.size})`, () => decide(verb, did, ask(chosen.size), async () => {
      let [done, gone] = [0, 0];
      for (const entry of chosen) {
        try {
          done += await one(entry);
        } catch (error) {
          if (error.status !== 404) throw error;
          gone += 1;
        }
      }
      return gone === 0 ? done : `${did}: ${counted(done, "entry", "entries")}; of ${gone} somebody else has decided.`;
    }), kind);
    const every = button(`${verb} all`, () => decide(verb, did, ask(undefined), all), { class: kind.class, disabled: entries.length === 0 });
    return [some, every];
  }));

  const decide = async (verb, did, question, work) => {
    if (!(await confirmed(`${verb}?`, question, verb))) return;
    await trying(async () => {
      try {
        const done = await work();
        say(typeof done === "number" ? `${did}: ${counted(done, "entry", "entries")}.` : done);
      } finally {
        before = [];
        after = undefined;
        await reload();
        list.firstElementChild?.focus();
      }
    });
  };

  return { element, reload };
}
