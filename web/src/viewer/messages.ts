// What administrators tell the person who uses the app. A message is reported as shown once
// the page is in front of somebody, and stands until they close it, also over a reload.
import { byId, path } from "./dom";
import type { Message, State } from "./state";

const key = `messages ${path}`;
const box = byId("messages");
const template = byId<HTMLTemplateElement>("message");

let standing: Message[] = [];
let reported = 0;

function keep(): void {
  try {
    sessionStorage.setItem(key, JSON.stringify(standing));
  } catch {
    // Without storage they stand until the page is loaded anew.
  }
}

function add(m: Message, back: () => void): void {
  const el = (template.content.cloneNode(true) as DocumentFragment).firstElementChild as HTMLElement;
  const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" }).format(new Date(m.at));
  el.querySelector(".v-from")!.textContent = `${m.from}, ${time}`;
  el.querySelector(".v-text")!.textContent = m.text;
  el.querySelector("button")!.addEventListener("click", () => {
    standing = standing.filter((x) => x.n !== m.n);
    keep();
    el.remove();
    back();
  });
  box.append(el);
}

/** Shows what the server has to say, and reports it. */
export function tellMessages(state: State, back: () => void): void {
  if (document.hidden) return; // it waits until somebody looks
  for (const m of state.messages) {
    if (m.n <= reported || standing.some((x) => x.n === m.n)) continue;
    standing.push(m);
    add(m, back);
  }
  const last = state.messages.at(-1)?.n ?? 0;
  if (last <= reported) return;
  keep();
  reported = last;
  void fetch(`${path}/shown`, {
    method: "POST", credentials: "same-origin", body: new URLSearchParams({ n: String(last) }), redirect: "error",
    headers: { "HX-Request": "true" }, signal: AbortSignal.timeout(15_000),
  }).then((r) => { if (!r.ok) throw new Error(); }).catch(() => { reported = 0; }); // the next answer brings them again
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
