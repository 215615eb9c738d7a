// What administrators tell the person who uses the app. A message is reported as shown once
// it is to be seen on a page that is in front of somebody, and stands until they close it,
// also over a reload.
import { byId, path } from "./dom";
import { clock } from "../times";
import type { Message, State } from "./state";

const key = `messages ${path}`;
const box = byId("messages");
const template = byId<HTMLTemplateElement>("message");

let standing: Message[] = [];
let seen = 0; // up to which number they were all to be seen
let reported = 0;

function keep(): void {
  try {
    if (standing.length > 0) sessionStorage.setItem(key, JSON.stringify(standing));
    else sessionStorage.removeItem(key);
  } catch {
    // Without storage they stand until the page is loaded anew.
  }
}

function report(): void {
  if (document.hidden || seen <= reported) return;
  const n = (reported = seen);
  void fetch(`${path}/shown`, {
    method: "POST", credentials: "same-origin", body: new URLSearchParams({ n: String(n) }), redirect: "error",
    headers: { "HX-Request": "true" }, signal: AbortSignal.timeout(15_000),
  }).then((r) => { if (!r.ok) throw new Error(); }).catch(() => { reported = 0; }); // the next answer has them again
}

// They stand oldest first, so that what is below the fold was not seen yet.
const watcher = new IntersectionObserver((list) => {
  for (const e of list) {
    if (e.isIntersecting) seen = Math.max(seen, Number((e.target as HTMLElement).dataset.n));
  }
  report();
}, { root: box, threshold: 0.6 });

function add(m: Message, back: () => void): void {
  const el = (template.content.cloneNode(true) as DocumentFragment).firstElementChild as HTMLElement;
  el.dataset.n = String(m.n);
  el.querySelector(".v-from")!.textContent = `${m.from}, ${clock(Date.parse(m.at))}`;
  el.querySelector(".v-text")!.textContent = m.text;
  el.querySelector("button")!.addEventListener("click", () => {
    standing = standing.filter((x) => x.n !== m.n);
    keep();
    watcher.unobserve(el);
    el.remove();
    back();
  });
  box.append(el);
  watcher.observe(el);
}

/** Shows what the server has to say. */
export function tellMessages(state: State, back: () => void): void {
  if (document.hidden) return; // it waits until somebody looks
  for (const m of state.messages) {
    if (m.n <= reported || standing.some((x) => x.n === m.n)) continue;
    standing.push(m);
    add(m, back);
  }
  keep();
  if (state.messages.some((m) => m.n <= seen)) report();
}

/** Puts up what stood here before the page was loaded. */
export function startMessages(back: () => void): void {
  try {
    standing = JSON.parse(sessionStorage.getItem(key) ?? "[]") as Message[];
  } catch {
    standing = [];
  }
  for (const m of standing) add(m, back);
}

/** Takes them away: whoever looks now is not whom they were for, or the app has ended. */
export function forgetMessages(): void {
  for (const el of box.children) watcher.unobserve(el);
  box.replaceChildren();
  standing = [];
  keep();
}
