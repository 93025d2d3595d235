// The last hour as charts.

import { about, bytes, h, replace, span, text } from "/page/dom.js";

const HEIGHT = 140;
const HOUR_MS = 3_600_000;

// The first picture does not wait for how charts look.
document.head.append(h("link", { rel: "stylesheet", href: "/page/uplot.css" }));

/** What is drawn: a title, how a value is written, and a line for each name. */
const CHARTS = [
  { title: "Events a second", shown: about, lines: [["accepted", "accepted"], ["duplicate", "duplicates"], ["late", "late"], ["quarantined", "quarantined"]] },
  { title: "Lag", shown: (ms) => span(Math.round(ms)), value: (samples) => [samples.at.map((at, index) => (samples.newest_at[index] == null ? null : Math.max(0, at - samples.newest_at[index])))], lines: [["lag", "behind now"]] },
  { title: "Snapshots and trims a second", shown: about, lines: [["snapshots", "snapshots"], ["trimmed", "rows trimmed"]] },
  { title: "Updates with a look at history", shown: (value) => `${about(value)} %`, value: (samples) => [share(samples)], lines: [["looked_up", "of all"]] },
  { title: "Views", shown: about, value: (samples) => [samples.keys], lines: [["keys", "keys"]] },
  { title: "Disk", shown: bytes, value: (samples) => [samples.disk_bytes], lines: [["disk_bytes", "bytes"]] },
];

function steps(samples, name) {
  const values = samples[name];
  return values.map((value, index) => (index === 0 ? null : Math.max(0, value - values[index - 1]) / ((samples.at[index] - samples.at[index - 1]) / 1000)));
}

function share(samples) {
  const [fast, looked] = [steps(samples, "fast"), steps(samples, "looked_up")];
  return fast.map((value, index) => (value === null || value + looked[index] === 0 ? null : (100 * looked[index]) / (value + looked[index])));
}

/** All charts of the samples; `add` takes those that came since. */
export function charts(samples, signal) {
  const drawn = CHARTS.map((chart) => one(chart, signal));
  const columns = Object.keys(samples).filter((name) => Array.isArray(samples[name]));
  const kept = Math.ceil(HOUR_MS / samples.every_ms) + 1;
  const draw = () => drawn.forEach(({ update }) => update(samples));
  const redraw = () => {
    drawn.forEach(({ forget }) => forget());
    draw();
  };
  const add = (more) => {
    for (const name of columns) samples[name] = samples[name].concat(more[name] ?? []).slice(-kept);
    if (more.at.length > 0) draw();
  };
  // Colours are drawn, not styled: another theme draws them anew.
  addEventListener("themed", redraw, { signal });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw, { signal });
  // The width is known once it is on the page.
  const element = h("div", { class: "charts" }, drawn.map(({ element }) => element));
  const resized = new ResizeObserver(redraw);
  resized.observe(element);
  signal.addEventListener("abort", () => resized.disconnect());
  return { element, add, last: () => samples.at.at(-1) };
}

function one({ title, shown, value, lines }, signal) {
  const place = h("div", { class: "plot", "aria-hidden": "true" });
  const words = h("span", { class: "muted" });
  const element = h("figure", {}, h("figcaption", {}, h("strong", {}, title), " ", words), place);
  let plot;
  signal.addEventListener("abort", () => plot?.destroy());
  const update = (samples) => {
    const rows = value ? value(samples) : lines.map(([name]) => steps(samples, name));
    text(words, lines.map(([, name], index) => told(name, rows[index], shown)).join("; "));
    const drawn = [samples.at.map((at) => at / 1000), ...rows];
    if (place.clientWidth === 0) return;
    if (plot) plot.setData(drawn);
    else plot = new window.uPlot(options(place, lines, shown), drawn, place);
  };
  const forget = () => {
    plot?.destroy();
    plot = undefined;
    replace(place);
  };
  return { element, update, forget };
}

function told(name, values, shown) {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return `${name}: nothing yet`;
  return `${name}: now ${shown(known.at(-1))}, at most ${shown(Math.max(...known))}`;
}

function options(place, lines, shown) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "12px system-ui" };
  return {
    width: place.clientWidth,
    height: HEIGHT,
    cursor: { drag: { x: false, y: false } },
    legend: { live: true },
    scales: { x: { range: (plot, first, last) => [last - HOUR_MS / 1000, last] }, y: { range: (plot, least, most) => [0, Math.max(most, 1) * 1.05] } },
    // As all times of the page: in UTC, by 24 hours.
    tzDate: (seconds) => window.uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    axes: [{ ...axis, values: (plot, marks) => marks.map((mark) => new Date(mark * 1000).toISOString().slice(11, 16)) }, { ...axis, size: 64, values: (plot, marks) => marks.map((mark) => shown(mark)) }],
    series: [{ label: "at", value: "{HH}:{mm}:{ss}" }, ...lines.map(([, label], index) => ({
      label, stroke: colour(`--hue-${index}`), width: 1.5, points: { show: false }, value: (plot, value) => (value === null || value === undefined ? "–" : shown(value)),
    }))],
  };
}
