// The viewer of a streamed app. The server says how the session stands, and that decides
// what the page shows; the web socket brings the picture. A socket that is lost is opened
// again, ever more slowly, for as long as the server says that there is something to see.
import RFB from "@novnc/novnc";
import { startTimes, tick } from "./times";
import { enterBar, showBar, startBar } from "./viewer/bar";
import { allowClipboard, give, startClipboard, take } from "./viewer/clipboard";
import { app, bar, box, button, byId, dialogOf, note, open, path, root, screen, show, still, text } from "./viewer/dom";
import { startKeys } from "./viewer/keys";
import { forgetMessages, startMessages, tellMessages } from "./viewer/messages";
import { ask, Gone, SignedOut, type State } from "./viewer/state";
import { startWarnings, warn } from "./viewer/warn";

// The codes of a close that are final; see docs/protocol.md.
const ENDED = 4001;
const UNREACHABLE = 4002;
const REFUSED = 4003;
const RESTART = 1012;

const SHIFT = 0xffe1;

let state = JSON.parse(root.dataset.state!) as State;
let rfb: RFB | null = null;
let open_ = false; // the picture is there
let stopped = false; // this page does not come back by itself
let tries = 0; // since the picture was last there
let nextTry = 0; // when; 0: now or never
let tryTimer = 0;
let pollTimer = 0;
let heard = 0; // when the socket last brought anything
let unanswered = 0; // when the server was last asked in vain; 0: it has answered since

/** Shows what the page is at: "shown" is the app, all else lies over it. */
function phase(name: "starting" | "live" | "shown" | "away" | "ended" | "stopped", title = "", words = ""): void {
  root.dataset.phase = name;
  if (title) text("cover-title", title);
  text("cover-text", words);
  show("retry", name === "away" || name === "stopped");
  byId("cover").toggleAttribute("inert", name === "shown");
  if (name === "shown") return;
  show("sign-in", false);
  showBar();
}

/** What the person last saw stays, dimmed, until the picture is there again. */
function keepPicture(): void {
  const canvas = screen.querySelector("canvas");
  if (!canvas || !open_ || canvas.width === 0) return;
  still.width = canvas.width;
  still.height = canvas.height;
  still.getContext("2d")?.drawImage(canvas, 0, 0);
  still.hidden = false;
}

function closePicture(): void {
  clearTimeout(tryTimer);
  nextTry = 0;
  const old = rfb;
  rfb = null;
  open_ = false;
  old?.disconnect();
}

function connect(): void {
  clearTimeout(tryTimer);
  nextTry = 0;
  if (rfb || stopped || state.phase !== "live") return;
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}/socket`, ["binary"]);
  socket.addEventListener("message", () => (heard = Date.now()));
  // Before noVNC hears of it, which takes its picture away.
  socket.addEventListener("close", (e) => {
    if (rfb !== mine) return;
    keepPicture();
    rfb = null;
    open_ = false;
    mine.disconnect(); // or it takes this for a fault
    void lost(e.code, e.reason);
  });
  const mine = (rfb = new RFB(screen, socket, { shared: true }));
  mine.background = "transparent";
  mine.clipViewport = true;
  mine.focusOnClick = false;
  mine.resizeSession = true;
  mine.addEventListener("connect", () => {
    if (rfb !== mine) return;
    open_ = true;
    still.hidden = true;
    phase("shown");
    showBar();
    if (!document.querySelector("dialog[open]") && !matchMedia("(pointer: coarse)").matches) box.focus({ preventScroll: true });
    // One that is lost at once again is not a success.
    setTimeout(() => rfb === mine && (tries = 0), 5000);
  });
  mine.addEventListener("clipboard", (e) => void take((e as CustomEvent<{ text: string }>).detail.text));
}

/** Decides what becomes of a socket that was closed. */
async function lost(code: number, reason: string): Promise<void> {
  const words = reason ? `${reason[0]!.toUpperCase()}${reason.slice(1).replace(/\.$/, "")}.` : "";
  if (code === REFUSED) {
    stopped = true;
    phase("stopped", `${app} is not shown here`, words);
    return refresh(); // if it is over, that is said instead
  }
  // Of an app whose host or display is lost nobody knows here whether it goes on.
  if (code === ENDED) state = { ...state, phase: "ended", title: `${app} has ended`, text: words };
  else again(code === RESTART ? "The server is restarting." : words, code !== UNREACHABLE);
  await refresh();
}

/** Comes back after a while: at once, then ever more slowly, not all pages together. */
function again(words: string, goesOn = true): void {
  const wait = tries === 0 ? 0 : Math.min(30_000, 500 * 2 ** tries) * (0.75 + Math.random() / 2);
  tries++;
  nextTry = Date.now() + wait;
  why = words;
  certain = goesOn;
  countDown();
}

let why = "";
let certain = true; // the app goes on, whatever was lost

function countDown(): void {
  clearTimeout(tryTimer);
  if (nextTry === 0 || rfb || state.phase !== "live") return;
  const left = nextTry - Date.now();
  const app_ = state.text || (certain ? `${app} goes on meanwhile.` : "");
  phase("away", "Reconnecting…", `${why} ${app_}${left > 1500 ? ` Next try in ${Math.ceil(left / 1000)} s.` : ""}`.trim());
  if (left <= 0) return connect();
  tryTimer = window.setTimeout(countDown, Math.min(left, 1000));
}

/** Shows what the server said last. */
function apply(): void {
  allowClipboard(state.clipboard);
  const left = byId("left");
  left.hidden = !state.ends_at || state.phase === "ended";
  const time = left.querySelector("time")!;
  time.dateTime = state.ends_at ?? "";
  tick(left);
  warn(state);
  tellMessages(state, backToApp);
  if (state.phase === "ended") {
    closePicture();
    still.hidden = true;
    dialogOf("end-dialog").close();
    unlisten();
    forgetMessages();
    phase("ended", state.title, state.text);
    if (document.activeElement === box || document.activeElement === document.body) byId("cover").querySelector<HTMLElement>(".v-again button")?.focus();
  } else if (state.phase === "starting") {
    phase("starting", state.title, state.text);
  } else if (!rfb && nextTry === 0 && !stopped) {
    phase("live", state.title, state.text);
    connect();
  }
}

/** Asks the server how the session stands. */
async function refresh(): Promise<void> {
  clearTimeout(pollTimer);
  const began = Date.now();
  try {
    const fresh = await ask();
    unanswered = 0;
    // The end may be known here before it is written down there.
    if (state.phase !== "ended" || fresh.phase === "ended") state = fresh;
    apply();
  } catch (e) {
    if (e instanceof SignedOut || e instanceof Gone) {
      stopped = true;
      closePicture();
      phase("stopped", e instanceof Gone ? "There is no such session" : "You are signed out", e instanceof Gone ? "It may be another person’s, or be over for long." : state.waits ? `${app} waits ${state.waits} for you. Sign in to come back to it.` : `${app} does not wait. Sign in to see what became of it.`);
      show("sign-in", e instanceof SignedOut);
      show("retry", false);
      show("end-form", false); // it is nobody's to end now
      show("left", false);
      unlisten();
      forgetMessages();
      return;
    }
    noAnswer(e, began);
  }
  if (state.phase !== "ended") schedule();
}

/**
 * The server does not answer. A network that drops everything tells the socket nothing, and
 * its picture would stand still for ever: it is given up when the server has not answered
 * twice in a row and nothing came meanwhile.
 */
function noAnswer(e: unknown, began: number): void {
  if (!(e instanceof TypeError || e instanceof DOMException)) return; // it did, with an error
  const before = unanswered;
  unanswered = began;
  if (before !== 0 && open_ && heard < before) {
    keepPicture();
    closePicture();
    again("The server does not answer.");
  }
}

function schedule(): void {
  if (unanswered !== 0) {
    pollTimer = window.setTimeout(() => void refresh(), 3000);
    return;
  }
  const often = state.phase === "starting" ? 1000 : state.idle_at ? 5000 : document.hidden ? 60_000 : 12_000;
  pollTimer = window.setTimeout(() => void refresh(), often);
}

function send(text: string): boolean {
  if (!open_ || !rfb) return false;
  rfb.clipboardPasteFrom(text);
  return true;
}

function backToApp(): void {
  box.focus({ preventScroll: true });
}

async function end(): Promise<void> {
  const sure = button("end-sure");
  sure.disabled = true;
  try {
    state = await ask("POST");
    apply();
  } catch {
    note("The server did not answer. Try again.");
  } finally {
    sure.disabled = false;
    dialogOf("end-dialog").close();
  }
}

// A hint that something has changed; what is asked now and then finds it out as well.
let hints: EventSource | null = null;
function listen(): void {
  if (hints || state.phase === "ended") return;
  hints = new EventSource(`${path}/events`);
  hints.addEventListener("change", () => void refresh());
}
function unlisten(): void {
  hints?.close();
  hints = null;
}

startTimes();
startMessages(backToApp);
startBar();
startKeys(box, {
  canvas: () => (open_ ? screen.querySelector("canvas") : null),
  press: (keysym) => rfb?.sendKey(keysym, null),
  paste: (text) => give(text, send),
  leave: enterBar,
});
startClipboard(send);
startWarnings(() => {
  // A key that types nothing: the host counts it as it counts any.
  if (!open_ || !rfb) return false;
  rfb.sendKey(SHIFT, null);
  return true;
}, backToApp);

screen.addEventListener("pointerdown", (e) => {
  if (e.pointerType !== "touch") backToApp();
}, { capture: true });
if (matchMedia("(pointer: coarse)").matches) {
  // A phone's keyboard comes when it is asked for, not with every touch.
  show("keyboard", true);
  button("keyboard").addEventListener("click", backToApp);
}
byId<HTMLFormElement>("end-form").addEventListener("submit", (e) => {
  e.preventDefault();
  open(dialogOf("end-dialog"));
});
button("end-sure").addEventListener("click", () => void end());
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", (e) => {
    if (e.target === dialog || (e.target as Element).closest("[data-close]")) dialog.close();
  });
  dialog.addEventListener("close", () => {
    if (dialog.open) return; // opened again before the event came
    if (root.dataset.phase === "shown") backToApp();
    else bar.querySelector<HTMLElement>("#end")?.focus();
  });
}
function tryNow(): void {
  if (root.dataset.phase !== "away" && root.dataset.phase !== "stopped") return;
  stopped = false;
  tries = Math.min(tries, 1);
  nextTry = 0;
  connect();
  void refresh();
}
button("retry").addEventListener("click", tryNow);
window.addEventListener("online", tryNow);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  if (root.dataset.phase === "away") tryNow();
  else void refresh();
});
// A page that the browser keeps for Back would keep its socket too, and count as a viewer.
window.addEventListener("pagehide", () => {
  closePicture();
  unlisten();
});
window.addEventListener("pageshow", (e) => e.persisted && location.reload());
apply();
if (state.phase !== "ended") {
  schedule();
  listen();
}
