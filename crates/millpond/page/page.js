// Where one is, and what is shown there.

import { get, hasToken, path, useToken, whenUnauthorized } from "/page/api.js";
import { button, h, replace, say, text } from "/page/dom.js";
import * as key from "/page/key.js";
import * as keys from "/page/keys.js";
import * as late from "/page/late.js";
import * as overview from "/page/overview.js";
import * as quarantine from "/page/quarantine.js";
import * as workbench from "/page/workbench.js";

const SCREENS = [
  ["overview", "Overview", overview],
  ["keys", "Keys", keys],
  ["late", "Late", late],
  ["quarantine", "Quarantine", quarantine],
  ["workbench", "Workbench", workbench],
];
const THEMES = ["auto", "light", "dark"];
const AFTER_FAILURE_MS = 3_000;

const main = document.getElementById("main");
const chooser = document.getElementById("join");
let joins = [];
let leave = new AbortController();
let shown = "";
/** Whether a token was asked for on this screen already: it is not asked for twice. */
let isTokenRefused = false;

/** `#/join/NAME/SCREEN/KEY?field=…` taken apart. */
function place() {
  const [parts, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [first, join, screen = "overview", ...rest] = parts.split("/").map(decoded);
  const subject = rest.join("/");
  const params = new URLSearchParams(query);
  // A key screen without a key is the way to one.
  return { join: first === "join" ? join : undefined, screen: screen === "key" && subject === "" ? "keys" : screen, subject, params };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** A link to a screen of a join. */
export function link(join, screen = "overview", subject, query) {
  const parts = ["join", join, screen, subject].filter((part) => part !== undefined).map(encodeURIComponent);
  const search = query ? `?${new URLSearchParams(query)}` : "";
  return `#/${parts.join("/")}${search}`;
}

async function go() {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  isTokenRefused = false;
  const at = place();
  const here = `${at.join}/${at.screen}/${at.subject}`;
  // Who moved here is to read on from here; who just opened the page, or chooses a join, is left where they are.
  const arrive = () => {
    if (shown && shown !== here && document.activeElement !== chooser) main.focus({ preventScroll: true });
    if (shown !== here) scrollTo(0, 0);
    shown = here;
  };
  try {
    await learnJoins(signal);
    const join = joins.find(({ name }) => name === at.join) ?? (at.join === undefined ? joins[0] : undefined);
    const [id, title, screen] = at.screen === "key" ? ["keys", at.subject, key] : SCREENS.find(([id]) => id === at.screen) ?? [at.screen, "Unknown"];
    mark(join, id);
    document.title = `${title} – ${join?.name ?? "Millpond"}`;
    const content = h("div", { class: `screen ${at.screen}` });
    if (join === undefined) nothing(content, at.join);
    else if (screen === undefined) replace(content, h("h1", {}, `There is no screen ${at.screen}`), h("p", {}, h("a", { href: link(join.name) }, "To the overview")));
    else if (join.state !== "serving" && screen !== workbench) silent(content, join);
    else {
      const stay = { join, link, signal, params: at.params, subject: at.subject, every: every(signal) };
      await screen.show(content, stay);
    }
    if (signal.aborted) return;
    replace(main, content);
    arrive();
  } catch (error) {
    if (signal.aborted || error.name === "AbortError") return;
    // Whatever the screen had begun ends with it.
    leave.abort();
    leave = new AbortController();
    replace(main, h("h1", {}, "This cannot be shown"), h("p", { class: "wrong", role: "alert" }, error.message), button("Try again", go));
    arrive();
    if (error.status === undefined) retry(leave.signal);
  }
}

/** When nobody answered: somebody may, soon. */
function retry(signal) {
  setTimeout(() => !signal.aborted && go(), AFTER_FAILURE_MS);
}

/** Does something now and then, while the screen is shown and looked at; never twice at the same time. */
function every(signal) {
  let hasFailed = false;
  return (ms, work) => {
    const beat = async () => {
      if (signal.aborted) return;
      let wait = ms;
      if (!document.hidden) {
        const began = performance.now();
        try {
          await work();
          if (hasFailed) say("The server answers again.");
          hasFailed = false;
        } catch (error) {
          if (signal.aborted || error.status === 401) return; // the token is asked for
          if (!hasFailed) say(error.message, true);
          hasFailed = true;
          wait = Math.max(ms, AFTER_FAILURE_MS);
        }
        // What takes the server long is asked for less often.
        wait = Math.max(wait, (performance.now() - began) * 5);
      }
      setTimeout(beat, wait);
    };
    setTimeout(beat, ms);
  };
}

async function learnJoins(signal) {
  const before = joins.map(({ name }) => name).join();
  ({ joins } = await get(path("joins"), {}, signal));
  // Those who choose are left in peace.
  if (joins.length === 0 || before !== joins.map(({ name }) => name).join()) replace(chooser, joins.map(({ name }) => h("option", { value: name }, name)));
  chooser.disabled = joins.length === 0;
}

function mark(join, current) {
  if (join) chooser.value = join.name;
  replace(document.getElementById("screens"), join && SCREENS.map(([id, title]) =>
    h("a", { href: link(join.name, id), "aria-current": id === current ? "page" : null }, title)));
}

function nothing(content, name) {
  const said = name === undefined ? "No join is served yet." : `There is no join ${name}.`;
  replace(content, h("h1", {}, said), h("p", {}, "Add one with ", h("code", {}, "millpond join add join.toml --server URL"),
    joins.length > 0 && [", or look at ", h("a", { href: link(joins[0].name) }, joins[0].name)], "."), button("Look again", go));
}

function silent(content, join) {
  const why = join.state === "rebuilding"
    ? "Its views are being made anew under a changed definition; it answers again when that is done."
    : "A failure stopped it: the server's log says which. What was acknowledged is safe; start the server again.";
  replace(content, h("h1", {}, `${join.name} does not answer now`), h("p", {}, why), button("Look again", go));
}

function askForToken() {
  if (document.querySelector("dialog[open]")) return;
  isTokenRefused = true;
  const field = h("input", { type: "password", id: "token-text", autocomplete: "off", spellcheck: "false" });
  const dialog = h("dialog", { "aria-labelledby": "token-title" },
    h("form", { method: "dialog", onsubmit: () => useToken(field.value) },
      h("h2", { id: "token-title" }, "Token"),
      h("p", {}, "Looking needs the scope ", h("code", {}, "read"), ", deciding ", h("code", {}, "admin"), ", sending events ",
        h("code", {}, "ingest"), ". It is kept until this tab is closed."),
      h("label", { for: "token-text" }, "Token"), field,
      h("div", { class: "row" }, button("Cancel", () => dialog.close("cancel")),
        hasToken() && button("Forget it", () => { useToken(""); dialog.close("forget"); }),
        h("button", { type: "submit", value: "use" }, "Use it"))));
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (dialog.returnValue !== "cancel" && dialog.returnValue !== "") go();
  });
  document.body.append(dialog);
  dialog.showModal();
}

function theme() {
  const button = document.getElementById("theme");
  const now = () => document.documentElement.dataset.theme ?? "auto";
  const show = () => text(button, `Theme: ${now()}`);
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(now()) + 1) % THEMES.length];
    if (next === "auto") {
      delete document.documentElement.dataset.theme;
      localStorage.removeItem("millpond-theme");
    } else {
      document.documentElement.dataset.theme = next;
      localStorage.setItem("millpond-theme", next);
    }
    show();
    dispatchEvent(new Event("themed"));
  });
  show();
}

theme();
whenUnauthorized(() => !isTokenRefused && askForToken());
document.getElementById("token").addEventListener("click", askForToken);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
chooser.addEventListener("change", () => {
  location.hash = link(chooser.value, place().screen === "key" ? "keys" : place().screen);
});
addEventListener("hashchange", go);
go();
