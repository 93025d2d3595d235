// Elements, never markup: whatever an event or a definition says, it stays text.

const PROPERTIES = new Set(["value", "checked", "disabled", "indeterminate", "hidden", "open", "selected", "min", "max", "step"]);
const SVG = "http://www.w3.org/2000/svg";

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name) && name in element) element[name] = value;
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  fill(element, children);
  return element;
}

/** An element with attributes, listeners (`onclick`) and children: elements, texts, nothing. */
export function h(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same for pictures. */
export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, children) {
  const wanted = children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false);
  element.append(...wanted.map((child) => (child instanceof Node ? child : String(child))));
}

/** Puts children in the place of those that are there. */
export function replace(element, ...children) {
  element.replaceChildren();
  fill(element, children);
}

/** Sets a text, if it is another: what does not change is not read out again. */
export function text(element, now) {
  if (element.textContent !== now) element.textContent = now;
}

/** A table with a caption, in a region that can be scrolled by keyboard. */
export function table(caption, heads, rows, attributes = {}) {
  const body = h("tbody", {}, rows);
  const whole = h("table", attributes, h("caption", {}, caption), h("thead", {}, h("tr", {}, heads.map((head) =>
    head instanceof Node ? head : h("th", { scope: "col" }, head)))), body);
  return h("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: 0 }, whole);
}

/** What is made when it is opened, and not before: bodies are large, and few are looked at. */
export function later(summary, make) {
  const details = h("details", { ontoggle: () => details.childElementCount === 1 && details.append(make()) }, h("summary", {}, summary));
  return details;
}

const nameOf = (element) => element.getAttribute("aria-label") ?? element.textContent;

/** Redraws a part, and leaves the focus where it was: on what has the same name, or else on `other`. */
export function redrawn(part, draw, other) {
  const held = part.contains(document.activeElement) ? nameOf(document.activeElement) : undefined;
  draw();
  if (held === undefined || (part.contains(document.activeElement) && !document.activeElement.disabled)) return;
  const again = [...part.querySelectorAll("a, button, input")].find((one) => nameOf(one) === held && !one.disabled);
  (again ?? other())?.focus();
}

/** A button. */
export function button(label, onclick, attributes = {}) {
  return h("button", { type: "button", onclick, ...attributes }, label);
}

const status = () => document.getElementById("status");

/** Says what was done, or what went wrong; read out by screen readers. */
export function say(message, isWrong = false) {
  const line = h("p", { class: isWrong ? "wrong" : "" }, message, button("×", () => {
    line.remove();
    document.getElementById("main").focus();
  }, { "aria-label": "Close this message" }));
  replace(status(), line);
}

/** Runs what may fail; a failure is said. */
export async function trying(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, true);
    return undefined;
  }
}

/** Asks before something is done that cannot be undone. */
export function confirmed(title, what, verb) {
  return new Promise((answer) => {
    const cancel = button("Cancel", () => dialog.close(), { autofocus: true });
    const go = button(verb, () => dialog.close("go"), { class: "grave" });
    const dialog = h("dialog", { "aria-labelledby": "asked" }, h("h2", { id: "asked" }, title), h("p", {}, what),
      h("div", { class: "row" }, cancel, go));
    // It asks about what is shown: who goes elsewhere has not said yes.
    const leave = () => dialog.close();
    addEventListener("hashchange", leave, { once: true });
    dialog.addEventListener("close", () => {
      removeEventListener("hashchange", leave);
      dialog.remove();
      answer(dialog.returnValue === "go");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** `1 event`, `2 events`. */
export function counted(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

/** Digits in groups. */
export function number(value) {
  return value.toLocaleString("en-GB");
}

/** Few digits, for what changes all the time. */
export function about(value) {
  if (value >= 100) return number(Math.round(value));
  return value.toLocaleString("en-GB", { maximumFractionDigits: value >= 10 ? 0 : 1 });
}

export function percent(part, whole) {
  if (whole === 0) return "–";
  const value = (part / whole) * 100;
  // 99.96 % is not all of it.
  const shown = value > 99 && value < 100 ? Math.floor(value * 100) / 100 : Math.round(value * 10) / 10;
  return `${shown.toLocaleString("en-GB")} %`;
}

export function bytes(value) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toLocaleString("en-GB", { maximumSignificantDigits: 3 })} ${units[unit]}`;
}

/** A length of time in its largest unit. */
export function span(ms) {
  const units = [["d", 86_400_000], ["h", 3_600_000], ["min", 60_000], ["s", 1_000]];
  const [name, length] = units.find(([, length]) => Math.abs(ms) >= length) ?? ["ms", 1];
  return `${(ms / length).toLocaleString("en-GB", { maximumFractionDigits: name === "ms" ? 0 : 1 })} ${name}`;
}

/** A moment in UTC; milliseconds only where there are any. */
export function moment(ms) {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return String(ms);
  return date.toISOString().replace("T", " ").replace(".000Z", "Z").replace("Z", " UTC");
}

/** A moment as an element; where a heading says so, without its zone. */
export function time(ms, isShort = false) {
  const date = new Date(ms);
  const shown = isShort ? moment(ms).replace(" UTC", "") : moment(ms);
  return h("time", { datetime: Number.isNaN(date.getTime()) ? null : date.toISOString() }, shown);
}
