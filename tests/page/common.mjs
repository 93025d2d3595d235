// A server with known data, and a browser that looks at it.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import axe from "axe-core";
import { chromium } from "playwright-core";

const MILLPOND = process.env.MILLPOND ?? "millpond";
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const EXAMPLE = process.env.EXAMPLE ?? "../../examples/user-activity";

/** A folder that is gone when the process ends. */
export function folder() {
  const made = mkdtempSync(join(tmpdir(), "millpond-page-"));
  process.on("exit", () => rmSync(made, { recursive: true, force: true }));
  return made;
}

export function millpond(...args) {
  return execFileSync(MILLPOND, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
}

/** A data folder with the example's events, closed as of a time: late events are late at once. */
export function exampleData() {
  const data = join(folder(), "data");
  millpond("run", `${EXAMPLE}/join.toml`, `${EXAMPLE}/events.ndjson`, "--data", data, "--now", "1760100000000");
  millpond("snapshot", "user-activity", "--data", data, "--now", "1760800000000");
  return data;
}

/** A data folder of a definition that nothing was given to yet. */
export function definitionFile(text) {
  const file = join(folder(), "join.toml");
  writeFileSync(file, text);
  return file;
}

/** `millpond serve`, on a port of its own. */
export async function serve(...args) {
  const server = spawn(MILLPOND, ["serve", ...args, "--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, MILLPOND_LOG: "warn" } });
  const ended = new Promise((done) => server.once("exit", done));
  const [line] = await Promise.race([
    new Promise((done) => createInterface(server.stdout).once("line", (line) => done([line]))),
    ended.then((code) => { throw new Error(`the server ended with ${code}`); }),
  ]);
  const url = line.split(" on ").at(-1).trim();
  const stop = async () => {
    server.kill("SIGTERM");
    await ended;
  };
  const send = async (join, events) => {
    const answer = await fetch(`${url}/v1/events/${join}`, { method: "POST", headers: { "content-type": "application/x-ndjson" }, body: events.map((event) => JSON.stringify(event)).join("\n") });
    assert.equal(answer.status, 200);
    return answer.json();
  };
  const get = async (path) => (await fetch(url + path)).json();
  return { url, stop, send, get };
}

export function browser() {
  return chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
}

/** A page that must not complain: neither of scripts nor of what the policy forbids. */
export async function open(browser, { width = 1280, theme = "light", forgives = [] } = {}) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: theme, reducedMotion: "reduce" });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("dialog", (dialog) => complaints.push(`a script said ${dialog.message()}`));
  const outside = [];
  page.on("request", (request) => {
    const { hostname } = new URL(request.url());
    if (hostname !== "127.0.0.1") outside.push(request.url());
  });
  const close = async () => {
    const bad = complaints.filter((text) => !forgives.some((pattern) => pattern.test(text)));
    assert.deepEqual(bad, [], "the browser complained");
    assert.deepEqual(outside, [], "the page asked somebody else");
    await context.close();
  };
  return { page, close };
}

/** Nothing that keeps anybody from using the screen: axe's word for it is serious, or critical. */
export async function accessible(page, where) {
  // Evaluated by the browser's own means, which no policy of the page binds.
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const told = grave.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join("; ")}`);
  assert.deepEqual(told, [], `axe finds fault with ${where}`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(wide <= 0, `${where} is ${wide} pixels wider than its window`);
}
