// Warnings before the session ends by itself. What nobody uses can be kept; what has lasted
// as long as it may cannot, so that one is told early.
import { now } from "../times";
import { app, button, show, text, warning } from "./dom";
import type { State } from "./state";

const EARLY = 10 * 60_000; // before the longest duration is over
const LATE = 60_000; // and once more, also if the first one was dismissed

let state: State | null = null;
let dismissed = Infinity; // how much time was left when it was dismissed
let staying = 0; // until when the server may not yet know that somebody is there

const clock = (ms: number): string => {
  const s = Math.max(0, Math.ceil(ms / 1000));
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
};

function tell(words: string, stay: boolean): void {
  text("warning-text", words);
  show("stay", stay);
  show("dismiss", !stay);
  warning.hidden = false;
}

function tick(): void {
  const idle = state?.idle_at ? Date.parse(state.idle_at) - now() : NaN;
  const ends = state?.ends_at ? Date.parse(state.ends_at) - now() : NaN;
  const live = state?.phase === "live";
  if (live && idle >= -1000 && now() > staying) {
    return tell(`Still there? ${app} ends in ${clock(idle)}, because nobody uses it.`, true);
  }
  if (live && ends >= -1000 && ends <= EARLY && (dismissed > EARLY || (ends <= LATE && dismissed > LATE))) {
    return tell(`${app} ends in ${clock(ends)}: then it has lasted as long as it may. Save your work.`, false);
  }
  warning.hidden = true;
}

/** Takes what the server says. */
export function warn(s: State): void {
  state = s;
  tick();
}

/** Stay is input like any other, so that the host hears of it; input must make it. */
export function startWarnings(input: () => boolean, back: () => void): void {
  button("stay").addEventListener("click", () => {
    // The host says at its next check-in that it knows.
    if (input()) staying = now() + 25_000;
    tick();
    back();
  });
  button("dismiss").addEventListener("click", () => {
    dismissed = state?.ends_at ? Date.parse(state.ends_at) - now() : Infinity;
    tick();
    back();
  });
  setInterval(tick, 500);
}
