// How quick the page is, with much behind it: prints a Markdown table. Nothing here is asserted.

import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { browser, exampleData, folder, millpond, open, serve } from "./common.mjs";

const JOIN = "user-activity";
const LOADS = 9;
const KEYS = 1_000_000;
const HOT = 100_000;
const RATE = 1_000;
const LIVE_MS = 15_000;
const EXAMPLE = process.env.EXAMPLE ?? "../../examples/user-activity";

const rows = [];
const tell = (what, measured, target = "") => rows.push(`| ${what} | ${measured} | ${target} |`);
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const ms = (value) => `${value.toFixed(0)} ms`;
const timed = async (work) => {
  const began = performance.now();
  await work();
  return performance.now() - began;
};

/** A million keys, and one key with a hundred thousand events. */
async function much() {
  const [dir, now] = [folder(), Date.now()];
  const file = join(dir, "events.ndjson");
  const out = createWriteStream(file);
  const write = async (event) => {
    if (!out.write(`${JSON.stringify(event)}\n`)) await once(out, "drain");
  };
  for (let index = 0; index < KEYS; index += 1) {
    await write({ id: `k-${index}`, type: "user-loggedIn", timestamp: now - index, user: { id: `user-${String(index).padStart(7, "0")}` } });
  }
  for (let index = 0; index < HOT; index += 1) {
    await write({ id: `h-${index}`, type: index % 2 ? "user-loggedIn" : "order-submitted", timestamp: now - index * 1000, user: { id: "hot" }, order: { userId: "hot" } });
  }
  out.end();
  await once(out, "finish");
  millpond("run", `${EXAMPLE}/join.toml`, file, "--data", join(dir, "data"));
  return join(dir, "data");
}

/** The longest time without a picture, and the tasks over 50 ms, while something goes on. */
async function watched(page, work) {
  await page.evaluate(() => {
    const seen = { longest: 0, tasks: 0, taskMs: 0, last: performance.now() };
    globalThis.seen = seen;
    const frame = () => {
      const now = performance.now();
      seen.longest = Math.max(seen.longest, now - seen.last);
      seen.last = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    new PerformanceObserver((list) => list.getEntries().forEach(({ duration }) => {
      seen.tasks += 1;
      seen.taskMs = Math.max(seen.taskMs, duration);
    })).observe({ type: "longtask" });
  });
  await work();
  return page.evaluate(() => globalThis.seen);
}

async function firstPaint(chrome) {
  const server = await serve("--data", exampleData());
  const [paints, sizes, ready] = [[], [], []];
  for (let load = 0; load < LOADS; load += 1) {
    const { page, close } = await open(chrome);
    ready.push(await timed(async () => {
      await page.goto(server.url);
      await page.getByRole("heading", { level: 1, name: JOIN }).waitFor();
    }));
    paints.push(await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime));
    sizes.push(await page.evaluate(() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
      .filter(({ name }) => !new URL(name).pathname.startsWith("/v1/")).reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0)));
    await close();
  }
  await server.stop();
  tell(`first paint over loopback, median of ${LOADS} cold loads (slowest)`, `${ms(median(paints))} (${ms(Math.max(...paints))})`, "200 ms");
  tell("overview complete, median", ms(median(ready)));
  tell("all files of the page, as they are sent", `${(median(sizes) / 1000).toFixed(1)} KB`, "150 KB");
}

async function withMuch(chrome) {
  const server = await serve("--data", await much());
  const { page, close } = await open(chrome);
  const at = (hash) => page.goto(`${server.url}/${hash}`);
  const heading = (name) => page.getByRole("heading", { level: 1, name }).waitFor();
  tell("list of 1 M keys: first page", ms(await timed(async () => { await at(`#/join/${JOIN}/keys`); await heading(/^Keys/); })), "at once");
  const next = [];
  for (let turn = 2; turn < 9; turn += 1) {
    next.push(await timed(async () => {
      await page.getByRole("button", { name: "Next" }).click();
      await page.getByText(`page ${turn}`).waitFor();
    }));
  }
  tell("list of 1 M keys: next page, median of 7", ms(median(next)), "at once");
  tell("list of 1 M keys: a prefix typed (of which 200 ms are waited for the next letter)", ms(await timed(async () => {
    await page.getByLabel("Begins with").fill("user-07777");
    await page.getByRole("link", { name: "user-0777700" }).waitFor();
  })));
  tell("key with 100 k events: shown", ms(await timed(async () => { await at(`#/join/${JOIN}/key/hot`); await heading(/hot/); })), "usable");
  const older = [];
  for (let turn = 0; turn < 5; turn += 1) {
    const caption = await page.locator("table.events caption").textContent();
    older.push(await timed(async () => {
      await page.getByRole("button", { name: "Older" }).click();
      await page.waitForFunction((before) => document.querySelector("table.events caption").textContent !== before, caption);
    }));
  }
  tell("key with 100 k events: older 100, median of 5", ms(median(older)));
  tell("key with 100 k events: why a field is what it is", ms(await timed(async () => {
    await page.getByRole("button", { name: "recentOrderCount" }).click();
    await page.getByText("50,000 events add to it").waitFor();
  })));
  tell("key with 100 k events: as it was at a time", ms(await timed(async () => {
    await page.getByRole("slider").focus();
    await page.keyboard.press("Home");
    await page.getByText(/^As it was at \d/).waitFor();
  })));
  await page.getByRole("button", { name: "Back to now" }).click();
  await page.getByRole("button", { name: "Newest" }).click();
  for (const [where, hash, title] of [["overview", "#/", JOIN], ["a key that all events are of", `#/join/${JOIN}/key/hot`, /hot/]]) {
    await at(hash);
    await heading(title);
    const seen = await watched(page, () => stream(server));
    tell(`live at ${RATE} events/s for ${LIVE_MS / 1000} s, ${where}: longest time without a picture; tasks over 50 ms, longest`, `${ms(seen.longest)}; ${seen.tasks}, ${ms(seen.taskMs)}`, "no freeze");
  }
  await close();
  await server.stop();
}

async function stream(server) {
  const began = performance.now();
  let sent = 0;
  while (performance.now() - began < LIVE_MS) {
    const due = Math.floor(((performance.now() - began) / 1000) * RATE) - sent;
    const now = Date.now();
    const events = Array.from({ length: due }, (_, index) => ({ id: `l-${now}-${sent + index}`, type: "order-submitted", timestamp: now, order: { userId: "hot" } }));
    if (due > 0) await server.send(JOIN, events);
    sent += due;
    await new Promise((done) => setTimeout(done, 20));
  }
}

const chrome = await browser();
await firstPaint(chrome);
await withMuch(chrome);
await chrome.close();
console.log(["| what | measured | target |", "|---|--:|--:|", ...rows].join("\n"));
