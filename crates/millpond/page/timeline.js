// A key's history as a picture: when events happened above, when they came below, and a line from one to
// the other. Lines that cross are disorder. Whatever it shows, the table beneath it says in words.

import { h, moment, svg } from "/page/dom.js";

const HEIGHT = 190;
const [HAPPENED, CAME] = [64, 138];
const MARGIN = 16;
const TICKS_APART = 170;
const HUES = 6;

/**
 * `rows` are `{at, putAt, type, position, inSnapshot}`, `late` `{at, putAt, type, position}`, `repeats` `{at, putAt, position}`;
 * `through` is the snapshot's boundary, `lit` positions, `asOf` a time or undefined.
 */
export function timeline({ rows, late, repeats, through, lit, asOf, types, width }) {
  // Repeats of events that are trimmed stand at the left edge: they are no reason to squeeze all others.
  const shown = rows.length + late.length > 0 ? [...rows, ...late] : repeats;
  const [events, arrivals] = [shown.map(({ at }) => at), shown.map(({ putAt }) => putAt)];
  // Where events come as they happen both have one scale: what came at once stands upright.
  const isOne = Math.min(...arrivals) <= Math.max(...events);
  const happened = scale(isOne ? [...events, ...arrivals] : events, width);
  const came = scale(isOne ? [...events, ...arrivals] : arrivals, width);
  const picture = svg("svg", { class: "timeline", viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": told({ rows, late, repeats, through }) });
  if (through !== undefined) {
    const edge = Math.min(width, Math.max(0, happened(through)));
    picture.append(svg("rect", { class: "closed", x: 0, y: HAPPENED - 34, width: edge, height: 46 }), svg("line", { class: "boundary", x1: edge, x2: edge, y1: HAPPENED - 34, y2: HAPPENED + 12 }),
      svg("text", { x: Math.max(4, edge - 6), y: HAPPENED - 40, "text-anchor": edge > 160 ? "end" : "start" }, "snapshot ends"));
  }
  picture.append(axis(HAPPENED, happened, width, "happened", -16), axis(CAME, came, width, "came", 24));
  const mark = (event, kind, shape) => {
    const isDim = asOf !== undefined && event.at > asOf;
    const classes = ["event", kind, `hue-${types.indexOf(event.type) % HUES}`, event.inSnapshot && "inside", lit?.has(event.position) && "lit", isDim && "dim"].filter(Boolean).join(" ");
    const [x, y] = [happened(event.at), came(event.putAt)];
    return svg("g", { class: classes }, svg("title", {}, `${event.type ?? "repeat"} ${event.position}\nhappened ${moment(event.at)}\ncame ${moment(event.putAt)}`),
      svg("line", { x1: x, y1: HAPPENED, x2: y, y2: CAME }), shape(x, HAPPENED, 5.5), shape(y, CAME, 3.5));
  };
  picture.append(...rows.map((row) => mark(row, "row", dot)), ...repeats.map((repeat) => mark(repeat, "repeat", ring)), ...late.map((event) => mark(event, "late", diamond)));
  if (asOf !== undefined) {
    const x = happened(asOf);
    picture.append(svg("line", { class: "as-of", x1: x, x2: x, y1: HAPPENED - 44, y2: HAPPENED + 16 }));
  }
  return picture;
}

const dot = (x, y, size) => svg("circle", { cx: x, cy: y, r: size });
const ring = (x, y, size) => svg("circle", { class: "ring", cx: x, cy: y, r: size + 2 });
const diamond = (x, y, size) => svg("rect", { x: x - size, y: y - size, width: 2 * size, height: 2 * size, transform: `rotate(45 ${x} ${y})` });

/** From a time to a place; `range` is what it spans. */
function scale(times, width) {
  const [least, most] = times.length > 0 ? [times.reduce((a, b) => Math.min(a, b)), times.reduce((a, b) => Math.max(a, b))] : [0, 1];
  const pad = most > least ? 0 : 500;
  const [from, to] = [least - pad, most + pad];
  const place = (time) => Math.min(width - MARGIN / 2, Math.max(MARGIN / 2, MARGIN + ((time - from) / (to - from)) * (width - 2 * MARGIN)));
  place.range = [from, to];
  return place;
}

function axis(y, place, width, words, below) {
  const [from, to] = place.range;
  const count = Math.max(1, Math.floor(width / TICKS_APART));
  const ticks = Array.from({ length: count + 1 }, (_, index) => from + ((to - from) * index) / count);
  const isShort = to - from < 86_400_000;
  const label = (time, index) => {
    const whole = moment(Math.round(time)).replace(" UTC", "");
    // The day once, where it is the same for all.
    return isShort && index > 0 ? whole.slice(11) : whole.replace(/\.\d+$/, "");
  };
  // The first and the last are long: their neighbours would be written over.
  const isShown = (index) => index === 0 || index === count || (index > 1 && index < count - 1);
  const anchor = (index) => (index === 0 ? "start" : index === count ? "end" : "middle");
  return svg("g", { class: "axis" }, svg("line", { x1: 0, x2: width, y1: y, y2: y }),
    ticks.map((time, index) => isShown(index) && svg("text", { x: place(time), y: y + below, "text-anchor": anchor(index) }, index === 0 ? `${words} ${label(time, index)}` : label(time, index))));
}

function told({ rows, late, repeats, through }) {
  const snapshot = through === undefined ? "no snapshot" : `a snapshot through ${moment(through)}`;
  return `History of the key: ${rows.length} events shown, ${late.length} late, ${repeats.length} repeats, ${snapshot}. The table below says the same.`;
}

/** What the marks mean. */
export function legend(types) {
  const sign = (shape, kind, words) => h("li", {}, svg("svg", { viewBox: "0 0 20 20", width: 16, height: 16, "aria-hidden": "true" }, svg("g", { class: `event ${kind}` }, shape(10, 10, 5))), words);
  return h("ul", { class: "legend", "aria-label": "What the marks mean" }, types.map((type, index) => sign(dot, `row hue-${index % HUES}`, type)),
    sign(dot, "row inside", "in the snapshot"), sign(ring, "repeat", "came again: a duplicate"), sign(diamond, "late", "late: waits"), sign(dot, "row lit", "made the chosen field"));
}
