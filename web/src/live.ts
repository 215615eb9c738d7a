// Live pages. The server announces that something has changed; the page then asks
// for itself again, so that a lost announcement costs time, never truth.
import { $, $$, dialog, fetchHTML, morph, parse, typing, within } from "./dom";
import { loading, rows, ticked } from "./list";
import { openMenu } from "./menus";
import { clock, serverSays, tick } from "./times";

let source: EventSource | null = null;
let sourceURL = "";
let lostAt = 0;
let lostTimer = 0;
let pending = false;
let busyRefreshing = false;
let lastRefresh = 0;

/** What a page asks for by itself does not count as somebody's using it. */
const byItself: RequestInit = { headers: { "Leasehold-Refresh": "1" } };

const root = (): HTMLElement | null => $("[data-live]");

/** True when rows coming or going would take something from under the person. */
function engaged(): boolean {
  return window.scrollY > 40 || ticked().length > 0 || dialog().open || openMenu() !== null || $("tr.at") !== null ||
    (typing() && document.activeElement?.matches("[data-search] input") === true);
}

function revisions(): Map<string, string> {
  return new Map($$("[data-rev][id]").map((el) => [el.id, el.dataset.rev!]));
}

function tintChanged(before: Map<string, string>, fresh: boolean): void {
  for (const row of $$("tr[data-rev][id]")) {
    const was = before.get(row.id);
    if (was === row.dataset.rev || (was === undefined && !fresh)) continue;
    row.classList.add("tint");
    row.addEventListener("animationend", () => row.classList.remove("tint"), { once: true });
  }
}

/** Brings the page up to date. With "hold" the rows stay where they are, whatever the person does. */
export async function refresh(hold = false): Promise<void> {
  if (busyRefreshing) {
    pending = true;
    return;
  }
  busyRefreshing = true;
  lastRefresh = Date.now();
  try {
    const live = root();
    if (live) await (live.id === "list" && rows().length > 0 && (hold || engaged()) ? refreshRows(live) : refreshAll(live));
  } catch {
    // The announcements' own connection says so when the server is away.
  } finally {
    busyRefreshing = false;
    if (pending) {
      pending = false;
      void refresh();
    }
  }
}

async function refreshAll(live: HTMLElement, asked = false): Promise<void> {
  const href = location.href;
  const response = await fetchHTML(href, asked ? {} : byItself);
  if (!response.ok || response.redirected) return;
  const text = await response.text();
  // Meanwhile the person may have gone on to another list, or taken something in hand.
  if (location.href !== href || loading() || (!asked && live.id === "list" && rows().length > 0 && engaged())) {
    pending = true;
    return;
  }
  const selector = `#${live.id}`;
  if (!parse(text).querySelector(selector) || !live.isConnected) return;
  const before = revisions();
  await morph(live, text, selector);
  tintChanged(before, true);
  showState(source?.readyState === EventSource.OPEN);
}

/** Updates the rows that are shown, in place, and says how many wait above them. */
async function refreshRows(live: HTMLElement): Promise<void> {
  const url = new URL(location.href);
  url.searchParams.set("rows", rows().map((r) => r.id.slice(1)).join(","));
  url.searchParams.set("newest", live.dataset.newest ?? "0");
  const response = await fetchHTML(url.href, byItself);
  if (!response.ok || response.redirected) return;
  const page = parse(await response.text());
  const before = revisions();
  for (const fresh of page.querySelectorAll<HTMLElement>("tr[data-rev]")) {
    const row = document.getElementById(fresh.id);
    if (row && row.dataset.rev !== fresh.dataset.rev) await morph(row, fresh.outerHTML);
  }
  tintChanged(before, false);
  const waiting = page.querySelector<HTMLElement>("[data-waiting]")?.dataset.waiting ?? "";
  const button = $("[data-newer]");
  if (button) {
    button.hidden = waiting === "";
    button.textContent = waiting;
  }
  tick();
}

function showState(on: boolean): void {
  for (const el of $$("[data-live-state]")) {
    el.classList.remove("wait");
    el.classList.toggle("off", !on);
    el.textContent = on ? "live" : "not live";
  }
}

function lost(): void {
  showState(false);
  if (lostAt) return;
  lostAt = Date.now();
  // A short gap is nobody's business.
  lostTimer = window.setTimeout(() => {
    const bar = $("#stale");
    if (!bar) return;
    bar.textContent = `No connection since ${clock(lostAt)}. This page shows what was known then.`;
    bar.hidden = false;
  }, 4000);
}

/** Says so if there are no announcements because the sign-in has ended. */
async function saySignedOut(url: string): Promise<void> {
  const abort = new AbortController();
  const response = await fetch(url, { ...byItself, signal: abort.signal }).catch(() => null);
  const out = response?.status === 401;
  abort.abort();
  const bar = $("#stale");
  if (!out || !bar) return;
  clearTimeout(lostTimer);
  const link = document.createElement("a");
  link.href = `/sign-in?return=${encodeURIComponent(location.pathname + location.search)}`;
  link.textContent = "Sign in";
  bar.replaceChildren("You are signed out. This page shows what was known then. ", link);
  bar.hidden = false;
}

function found(): void {
  clearTimeout(lostTimer);
  const bar = $("#stale");
  if (bar) bar.hidden = true;
  showState(true);
  if (lostAt) void refresh();
  lostAt = 0;
}

function connect(): void {
  const url = root()?.dataset.live ?? "";
  if (url === sourceURL && source && source.readyState !== EventSource.CLOSED) return;
  source?.close();
  source = null;
  sourceURL = url;
  if (!url || document.hidden) return;
  const es = (source = new EventSource(url));
  es.onopen = found;
  es.onerror = () => {
    lost();
    // The browser tries again by itself unless the answer was an error.
    if (es.readyState !== EventSource.CLOSED) return;
    setTimeout(() => source === es && connect(), 5000);
    void saySignedOut(url);
  };
  es.addEventListener("now", (event) => serverSays((event as MessageEvent<string>).data));
  es.addEventListener("change", () => void refresh());
}

export function startLive(): void {
  connect();
  document.addEventListener("leasehold:changed", () => {
    connect();
    showState(source?.readyState === EventSource.OPEN);
  });
  // A hidden page holds no connection: a browser has few for one origin.
  let hide = 0;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hide);
    if (document.hidden) {
      hide = window.setTimeout(() => {
        source?.close();
        source = null;
      }, 20_000);
    } else if (!source && root()) {
      connect();
      void refresh();
    }
  });
  // A page that was left and is kept for Back must not hold one either: no timer runs there.
  window.addEventListener("pagehide", () => {
    source?.close();
    source = null;
  });
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted || source || !root()) return;
    connect();
    void refresh();
  });
  // The announcements are hints; once a minute the page looks by itself.
  setInterval(() => !document.hidden && root() && Date.now() - lastRefresh > 55_000 && void refresh(), 60_000);
  document.addEventListener("click", (event) => {
    if (!within(event, "[data-newer]")) return;
    $("tr.at")?.classList.remove("at");
    window.scrollTo({ top: 0 });
    const live = root();
    if (live) void refreshAll(live, true);
  });
  // When the person is back at the top with nothing in hand, what waited comes in.
  let settle = 0;
  window.addEventListener("scroll", () => {
    clearTimeout(settle);
    settle = window.setTimeout(() => {
      if ($("[data-newer]:not([hidden])") && !engaged()) void refresh();
    }, 400);
  }, { passive: true });
}
