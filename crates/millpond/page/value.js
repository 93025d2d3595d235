// Values of documents and events, as text.

import { h, moment } from "/page/dom.js";

const LONG = 120;
/** Years 2001 to 2100, in milliseconds: a number in there is looked at as a time, too. */
const [EARLY, LATE] = [978_307_200_000, 4_102_444_800_000];

/** JSON on one line. */
export function line(value) {
  return value === undefined ? "" : JSON.stringify(value);
}

/** JSON on many. */
export function lines(value) {
  return JSON.stringify(value, null, 2);
}

/** A value in a table: short, the whole of it in its title; a time with its date. */
export function shownValue(value) {
  const whole = line(value);
  const short = whole.length > LONG ? `${whole.slice(0, LONG)}…` : whole;
  const isTime = typeof value === "number" && value >= EARLY && value < LATE;
  return h("span", { class: "value", title: whole === short ? null : whole.slice(0, 10_000) }, short, isTime && h("span", { class: "muted" }, ` ${moment(value)}`));
}

/** The timestamp of a position, which is `timestamp/id`. */
export function stamp(position) {
  return Number(position.split("/")[0]);
}
