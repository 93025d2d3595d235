// Every screen and every action, as a user would, by mouse and by keyboard.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { accessible, browser, definitionFile, exampleData, folder, millpond, open, serve } from "./common.mjs";

const SHOTS = process.env.SHOTS;
const JOIN = "user-activity";
const EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>";
const SECOND = 1_000;

let chrome;
before(async () => {
  chrome = await browser();
});
after(() => chrome.close());

/** A server with the example, some evil texts, and more keys than a page has; and a page that looks at it. */
async function walked(options, walk) {
  const server = await serve("--data", exampleData(), "--try-it", JOIN);
  const now = Date.now();
  const many = Array.from({ length: 120 }, (_, index) => ({ id: `m-${index}`, type: "user-loggedIn", timestamp: now - index * SECOND, user: { id: `many-${String(index).padStart(3, "0")}` } }));
  await server.send(JOIN, [...many,
    { id: EVIL, type: "user-created", timestamp: now, user: { id: EVIL, name: EVIL } },
    { id: "late-1", type: "order-submitted", timestamp: 1760000360000, order: { userId: "user-1", note: EVIL } },
    { id: "late-2", type: "order-submitted", timestamp: 1760000360001, order: { userId: "user-1" } },
    { id: "poison-1", type: "order-submitted", timestamp: now, order: { userId: 17, note: EVIL } },
    { id: "poison-2", type: "order-submitted", timestamp: now, order: {} }]);
  const opened = await open(chrome, options);
  try {
    await walk({ ...opened, server, go: (hash) => opened.page.goto(`${server.url}/${hash}`) });
    await opened.close();
  } finally {
    await server.stop();
  }
}

async function shot(page, name) {
  if (!SHOTS) return;
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: `${SHOTS}/${name}.png`, fullPage: true });
}

const key = (name) => `#/join/${JOIN}/key/${encodeURIComponent(name)}`;
const heading = (page, name) => page.getByRole("heading", { level: 1, name }).waitFor();

for (const theme of ["light", "dark"]) {
  for (const width of [1280, 390]) {
    test(`every screen can be used by all: ${theme}, ${width} pixels`, () => walked({ theme, width, forgives: [/404/] }, async ({ page, go }) => {
      const look = async (hash, title, name) => {
        await go(hash);
        await heading(page, title);
        await accessible(page, `${name}, ${theme}, ${width}`);
        await shot(page, `${name}-${theme}-${width}`);
      };
      await look("", JOIN, "overview");
      await look(`#/join/${JOIN}/keys`, /^Keys/, "keys");
      await look(`${key("user-1")}?field=recentOrderCount`, /user-1/, "key");
      await look(`#/join/${JOIN}/late`, /^Late/, "late");
      await look(`#/join/${JOIN}/quarantine`, /^Quarantine/, "quarantine");
      await look(`#/join/${JOIN}/workbench`, /workbench/, "workbench");
      await look("#/join/nobody", /no join nobody/, "unknown");
      await go(key("nobody"));
      await page.getByRole("alert").getByText("no event of").waitFor();
    }));
  }
}

test("why a value is what it is: the field, the words, the events that light up", () => walked({}, async ({ page, go }) => {
  await go("");
  await heading(page, JOIN);
  await page.getByRole("navigation").getByRole("link", { name: "Keys" }).click();
  await page.getByLabel("Begins with").fill("user-1");
  await page.getByRole("link", { name: "user-1", exact: true }).click();
  await heading(page, /user-1/);
  await page.getByRole("button", { name: "recentOrderCount" }).click();
  const why = page.getByRole("region", { name: "Why" });
  await why.getByText("recentOrderCount is 4: how many order-submitted.").waitFor();
  await why.getByText("gives 4").waitFor();
  await go(key("many-003"));
  await page.getByRole("button", { name: "lastLogin" }).click();
  await why.getByText(/lastLogin is \d+: the greatest timestamp of user-loggedIn/).waitFor();
  await why.getByRole("button", { name: "Show m-3 in the history" }).click();
  await page.locator("tr.lit[data-position$='/m-3']:focus").waitFor();
  assert.equal(await page.locator(".timeline .event.lit").count(), 1);
}));

test("the document follows what comes, without a word from whoever looks", () => walked({}, async ({ page, go, server }) => {
  await go(`${key("many-003")}?field=recentOrderCount`);
  await page.getByText("live", { exact: true }).waitFor();
  const row = page.getByRole("row").filter({ has: page.getByRole("button", { name: "recentOrderCount" }) });
  await row.getByRole("cell", { name: "0", exact: true }).waitFor();
  const now = Date.now();
  const order = { id: "live-1", type: "order-submitted", timestamp: now, order: { userId: "many-003" } };
  await server.send(JOIN, [order]);
  await row.getByRole("cell", { name: "1", exact: true }).waitFor();
  await page.getByText("1 event adds to it.").waitFor();
  await page.locator("tr[data-position$='/live-1']").waitFor();
  // Again, and one that is older than what is there.
  await server.send(JOIN, [order, { id: "live-2", type: "order-submitted", timestamp: now - 3_000_000, order: { userId: "many-003" } }]);
  await page.getByText("came again, 1 ×").waitFor();
  await page.locator("tr[data-position$='/live-2']").getByText("came after younger ones").waitFor();
}));

test("a time is dragged, and the view is what it was", () => walked({}, async ({ page, go }) => {
  await go(`${key("user-1")}`);
  const slider = page.getByRole("slider", { name: "The view as it was at" });
  await slider.focus();
  await page.keyboard.press("Home");
  await page.getByText(/^As it was at 2025-10-09/).waitFor();
  await page.getByText("now 4", { exact: true }).waitFor();
  const before = await slider.inputValue();
  await page.keyboard.press("ArrowRight");
  assert.ok(Number(await slider.inputValue()) - Number(before) > SECOND, "an arrow moves by more than nobody sees");
  await page.keyboard.press("End");
  await page.getByText(/^As it was at 2025-10-09 09:24:20/).waitFor();
  const row = page.getByRole("row").filter({ has: page.getByRole("button", { name: "recentOrderCount" }) });
  await row.getByRole("cell", { name: "4", exact: true }).waitFor();
  await page.getByRole("button", { name: "Back to now" }).click();
  await page.getByText(/^As it was at 2025-10-09/).waitFor({ state: "detached" });
}));

test("late events: one is accepted, one dropped, and nothing without a question", () => walked({}, async ({ page, go, server }) => {
  await go(`#/join/${JOIN}/late`);
  const box = page.getByRole("checkbox", { name: "Choose 1760000360000/late-1" });
  await box.check();
  await page.getByRole("button", { name: "Accept chosen (1)" }).click();
  await page.getByRole("dialog").getByText("for ever").waitFor();
  const posted = [];
  page.on("request", (request) => request.method() === "POST" && posted.push(request.url()));
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.deepEqual(posted, []);
  await page.getByRole("button", { name: "Accept chosen (1)" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Accept" }).click();
  await page.getByRole("status").getByText("for ever: 1 entry").waitFor();
  await page.waitForFunction(() => document.activeElement.matches(".scroll"));
  assert.equal((await server.get(`/v1/views/${JOIN}/user-1`)).recentOrderCount, 5);
  await page.getByRole("button", { name: "Drop all" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Drop" }).click();
  await page.getByText("No event waits here.").waitFor();
  assert.equal((await server.get(`/v1/late/${JOIN}`)).late.length, 0);
}));

test("quarantine: retried, and dropped, one and all", () => walked({}, async ({ page, go, server }) => {
  await go(`#/join/${JOIN}/quarantine`);
  await page.getByRole("checkbox", { name: "Choose all of this page" }).check();
  await page.getByRole("button", { name: "Retry chosen (2)" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Retry" }).click();
  await page.getByRole("status").getByText("Left the quarantine: 0 entries").waitFor();
  await page.getByRole("checkbox", { name: /^Choose [0-9a-f]{32}/ }).first().check();
  await page.getByRole("button", { name: "Drop chosen (1)" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Drop" }).click();
  await page.getByRole("status").getByText("Dropped: 1 entry").waitFor();
  assert.equal((await server.get(`/v1/quarantine/${JOIN}`)).quarantine.length, 1);
  await page.getByRole("button", { name: "Retry all" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Retry" }).click();
  await page.getByRole("status").getByText("1 stay").waitFor();
  await page.getByRole("button", { name: "Drop all" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Drop" }).click();
  await page.getByText("Nothing is in quarantine.").waitFor();
}));

test("the workbench: faults while one types, views when there are none, and nothing is stored", () => walked({ forgives: [/422/] }, async ({ page, go, server }) => {
  const before = await server.get(`/v1/joins/${JOIN}/stats`);
  await go(`#/join/${JOIN}/workbench`);
  const toml = page.getByLabel("Definition (TOML)");
  const right = await toml.inputValue();
  await toml.fill(right.replace("{ count =", "{ cuont ="));
  await page.getByText("did you mean `count`?").waitFor();
  await accessible(page, "the workbench with a fault");
  await page.getByRole("button", { name: /^Line 14, column/ }).click();
  assert.equal(await page.evaluate(() => document.activeElement.value.slice(0, document.activeElement.selectionStart).split("\n").length), 14);
  await toml.fill(right);
  await page.getByText("The definition has no fault.").waitFor();
  await page.getByRole("textbox", { name: "Events" }).fill(`{"id":"w-1","type":"order-submitted","timestamp":1760000000000,"order":{"userId":"w"}}\nno event`);
  const views = page.getByRole("region", { name: "Views", exact: true });
  await views.getByRole("rowheader", { name: "w" }).waitFor();
  await page.getByRole("region", { name: "Events", exact: true }).getByText("invalid-json").waitFor();
  const after = await server.get(`/v1/joins/${JOIN}/stats`);
  assert.deepEqual([after.received, after.keys], [before.received, before.keys]);
  // What was typed is there when one comes back.
  await go(`#/join/${JOIN}/late`);
  await heading(page, /^Late/);
  await page.goBack();
  await views.getByRole("rowheader", { name: "w" }).waitFor();
}));

test("try it: each button sends an event, and says what became of it", () => walked({}, async ({ page, go }) => {
  await go("");
  const told = page.getByRole("list", { name: "What became of it" });
  const press = async (name, expected) => {
    await page.getByRole("button", { name, exact: true }).click();
    await told.getByRole("listitem").first().getByText(expected).waitFor();
  };
  await press("A login", "accepted");
  await press("An order", "recentOrderCount");
  await press("A duplicate", "It was known: nothing changed.");
  await press("A late event", "Its place is closed");
  await press("A poison event", "expected a string");
  assert.equal(await told.getByRole("listitem").count(), 5);
  await told.getByRole("link", { name: "recentOrderCount" }).click();
  await page.getByRole("region", { name: "Why" }).getByText("recentOrderCount is 5").waitFor();
}));

test("keys are found by how they begin, and listed page by page", () => walked({}, async ({ page, go }) => {
  await go(`#/join/${JOIN}/keys`);
  await page.getByLabel("Begins with").fill("many-");
  await page.getByText("Keys that begin with many-, page 1").waitFor();
  const next = page.getByRole("button", { name: "Next" });
  await next.click();
  await page.getByRole("link", { name: "many-050" }).waitFor();
  await page.keyboard.press("Enter"); // it is still in hand
  await page.getByRole("link", { name: "many-119" }).waitFor();
  assert.ok(await next.isDisabled());
  await page.getByRole("button", { name: "Back" }).click();
  await page.getByRole("link", { name: "many-050" }).waitFor();
  await page.getByLabel("Begins with").fill("many-007");
  await page.getByRole("link", { name: "many-007" }).waitFor();
  await page.keyboard.press("Enter");
  await heading(page, /many-007/);
}));

test("a key's snapshot, trim and erasure by hand", () => walked({ forgives: [/404/] }, async ({ page, go, server }) => {
  await go(key("many-001"));
  await page.getByRole("button", { name: "Snapshot now" }).click();
  await page.getByRole("status").getByText("Nothing more can be closed yet").waitFor();
  await go(key("user-2"));
  await heading(page, /user-2/);
  await page.getByRole("button", { name: "Trim" }).click();
  await page.getByRole("status").getByText("3 rows trimmed").waitFor();
  await page.getByText("3 earlier events are trimmed").waitFor();
  await page.getByRole("button", { name: "Erase …" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Erase" }).click();
  await heading(page, /^Keys/);
  assert.equal((await server.get(`/v1/views/${JOIN}/user-2`)).status, 404);
}));

test("texts of others are shown as texts", () => walked({}, async ({ page, go }) => {
  const calm = async () => assert.equal(await page.evaluate(() => document.querySelectorAll("main img, main script").length), 0);
  await go(`#/join/${JOIN}/keys`);
  await page.getByRole("link", { name: EVIL }).waitFor();
  await calm();
  for (const hash of [key(EVIL), `#/join/${JOIN}/late`, `#/join/${JOIN}/quarantine`]) {
    await go(hash);
    await page.locator("main summary").first().waitFor();
    for (const summary of await page.locator("main summary").all()) await summary.click();
    await page.getByText("<img src=x").first().waitFor();
    await calm();
  }
  await go(`#/join/${JOIN}/workbench`);
  await page.getByRole("textbox", { name: "Events" }).fill(JSON.stringify({ id: "e", type: "user-created", timestamp: 1, user: { id: EVIL, name: EVIL } }));
  await page.getByRole("rowheader", { name: EVIL }).waitFor();
  await calm();
}));

test("by keyboard alone: past the menu, through the screens, and into a key", () => walked({}, async ({ page, go }) => {
  await go("");
  await heading(page, JOIN);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  await page.getByRole("link", { name: "Keys", exact: true }).focus();
  await page.keyboard.press("Enter");
  await heading(page, /^Keys/);
  await page.waitForFunction(() => document.activeElement.id === "main");
  await page.getByLabel("Begins with").focus();
  await page.keyboard.type("user-1");
  await page.keyboard.press("Enter");
  await heading(page, /user-1/);
  await page.getByRole("button", { name: "recentOrderCount" }).press("Space");
  await page.getByText("recentOrderCount is 4").waitFor();
}));

test("the chosen theme stays", () => walked({ theme: "light" }, async ({ page, go }) => {
  await go("");
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await paper();
  await page.getByRole("button", { name: "Theme: auto" }).click();
  await page.getByRole("button", { name: "Theme: light" }).click();
  await page.getByRole("button", { name: "Theme: dark" }).waitFor();
  const dark = await paper();
  assert.notEqual(dark, light);
  await page.reload();
  await page.getByRole("button", { name: "Theme: dark" }).waitFor();
  assert.equal(await paper(), dark);
}));

test("with tokens on, each action needs its scope", async () => {
  const data = exampleData();
  const token = (name, ...scopes) => millpond("token", "add", name, ...scopes.flatMap((scope) => ["--scope", scope]), "--data", data).trim();
  const [reader, admin] = [token("reader", "read"), token("boss", "read", "admin")];
  const server = await serve("--data", data);
  const { page, close } = await open(chrome, { forgives: [/401/, /403/] });
  const use = async (text) => {
    await page.getByRole("dialog").getByLabel("Token").fill(text);
    await page.getByRole("button", { name: "Use it" }).click();
  };
  try {
    await page.goto(server.url);
    await page.getByRole("dialog").getByText("Looking needs the scope").waitFor();
    await accessible(page, "the question for a token");
    await use("no-such-token");
    await page.getByRole("dialog").getByText("Looking needs the scope").waitFor();
    await use(reader);
    await heading(page, JOIN);
    await page.goto(`${server.url}/${key("user-1")}`);
    await page.getByRole("button", { name: "Trim" }).click();
    await page.getByRole("status").getByText("scope `admin`").waitFor();
    await page.getByRole("button", { name: "Token" }).click();
    await use(admin);
    await heading(page, /user-1/);
    await page.getByRole("button", { name: "Trim" }).click();
    await page.getByRole("status").getByText("rows trimmed").waitFor();
    // Kept in this tab alone, and nowhere in an address.
    assert.ok(!page.url().includes(admin));
    assert.equal(await page.evaluate(() => Object.values(localStorage).join()), "");
    await close();
  } finally {
    await server.stop();
  }
});

test("without a join, and without events, the page says what to do", async () => {
  const server = await serve(definitionFile('name = "empty"\n[key]\n"seen" = "who"\n[view]\nseen = { count = "seen" }\n'), "--data", `${folder()}/data`);
  const { page, close } = await open(chrome);
  try {
    await page.goto(server.url);
    await heading(page, "empty");
    await page.getByText("no event yet").waitFor();
    await page.goto(`${server.url}/#/join/empty/keys`);
    await page.getByText("No keys").waitFor();
    await fetch(`${server.url}/v1/joins/empty`, { method: "DELETE" });
    await page.goto(server.url);
    await page.reload();
    await heading(page, "No join is served yet.");
    await close();
  } finally {
    await server.stop();
  }
});

/** A key with more events than a page of its history. */
async function long(server) {
  const now = Date.now();
  await server.send(JOIN, Array.from({ length: 250 }, (_, index) => ({ id: `l-${String(index).padStart(3, "0")}`, type: "order-submitted", timestamp: now - index * SECOND, order: { userId: "long" } })));
}

test("a long history is read page by page, however quick the clicks are, and all of it lights up", () => walked({}, async ({ page, go, server }) => {
  await long(server);
  await go(`${key("long")}?field=recentOrderCount`);
  await page.getByText("250 events add to it.").waitFor();
  const [newer, older] = ["Newer", "Older"].map((name) => page.getByRole("button", { name, exact: true }));
  const first = page.locator("table.events tbody tr").first();
  await first.getByText("l-000").waitFor();
  await older.focus();
  await page.keyboard.press("Enter");
  await first.getByText("l-100").waitFor();
  assert.equal(await page.locator("tr.lit").count(), 100);
  assert.ok(await older.evaluate((button) => button === document.activeElement), "the button stays in hand");
  await page.evaluate(() => {
    const press = [...document.querySelectorAll("button")].find((button) => button.textContent === "Older");
    for (let time = 0; time < 3; time += 1) press.click();
  });
  await first.getByText("l-200").waitFor();
  assert.ok(await older.isDisabled());
  for (const id of ["l-100", "l-000"]) {
    await newer.click();
    await first.getByText(id).waitFor();
  }
  assert.ok(await newer.isDisabled());
}));

test("what is held still is the table, and not the value and its reasons", () => walked({}, async ({ page, go, server }) => {
  await long(server);
  await go(`${key("long")}?field=recentOrderCount`);
  await page.getByText("250 events add to it.").waitFor();
  await page.locator("table.events summary").first().click();
  await server.send(JOIN, [{ id: "more", type: "order-submitted", timestamp: Date.now(), order: { userId: "long" } }]);
  await page.getByText("251 events add to it.").waitFor();
  await page.getByRole("button", { name: "Show the newest" }).click();
  await page.locator("tr[data-position$='/more']").waitFor();
}));

test("a tab that nobody looks at leaves its connection to others, and comes back", () => walked({}, async ({ page, go, server }) => {
  await go(`${key("many-003")}`);
  const sign = page.locator(".live");
  await sign.getByText("live", { exact: true }).waitFor();
  const look = (isHidden) => page.evaluate((isHidden) => {
    Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, isHidden);
  await look(true);
  await sign.getByText("not connected").waitFor();
  await server.send(JOIN, [{ id: "away-1", type: "order-submitted", timestamp: Date.now(), order: { userId: "many-003" } }]);
  await look(false);
  await sign.getByText("live", { exact: true }).waitFor();
  const row = page.getByRole("row").filter({ has: page.getByRole("button", { name: "recentOrderCount" }) });
  await row.getByRole("cell", { name: "1", exact: true }).waitFor();
}));

test("a question is gone when one goes elsewhere", () => walked({}, async ({ page, go }) => {
  await go(`#/join/${JOIN}/keys`);
  await heading(page, /^Keys/);
  await go(`#/join/${JOIN}/late`);
  await page.getByRole("button", { name: "Accept all" }).click();
  await page.getByRole("dialog").waitFor();
  await page.goBack();
  await heading(page, /^Keys/);
  await page.getByRole("dialog").waitFor({ state: "detached" });
}));

test("odd addresses are answered", () => walked({ forgives: [/404/] }, async ({ page, go, server }) => {
  const odd = ["a/b", "a?b#c d", "100 %", "üñ💥"];
  await server.send(JOIN, odd.map((id, index) => ({ id: `odd-${index}`, type: "user-loggedIn", timestamp: Date.now(), user: { id } })));
  for (const name of odd) {
    await go(key(name));
    await page.getByRole("heading", { level: 1, name }).waitFor();
  }
  await go(`#/join/${JOIN}/key/a/b`);
  await page.getByRole("heading", { level: 1, name: "a/b" }).waitFor();
  await go(`#/join/${JOIN}/key`);
  await heading(page, /^Keys/);
  await go(`#/join/${JOIN}/nothing`);
  await heading(page, "There is no screen nothing");
  await go(key(".."));
  await page.getByRole("alert").getByText("cannot be part of an address").waitFor();
  await go("#/join/%E0%A4%A/key/%E0%A4%A");
  await heading(page, /There is no join/);
}));
