// The bar hides itself, comes when the pointer is at the top, by its handle and by
// Ctrl+Alt+Shift, and stays while something in it is used.
import { bar, box, button, handle, root } from "./dom";

let timer = 0;

const used = (): boolean => bar.matches(":hover, :focus-within") || document.querySelector("dialog[open]") !== null;

function hide(): void {
  if (used()) return later(1500);
  root.classList.remove("barred");
  bar.inert = true;
  handle.setAttribute("aria-expanded", "false");
}

function later(ms: number): void {
  clearTimeout(timer);
  timer = window.setTimeout(hide, ms);
}

/** Shows the bar for a while. */
export function showBar(ms = 4000): void {
  root.classList.add("barred");
  bar.inert = false;
  handle.setAttribute("aria-expanded", "true");
  if (root.dataset.phase === "shown") later(ms);
  else clearTimeout(timer); // with nothing to look at it is in nobody's way
}

/** Shows the bar and goes to its first button. */
export function enterBar(): void {
  showBar();
  bar.querySelector<HTMLElement>("button:not([hidden])")?.focus();
}

function fullScreen(): void {
  if (document.fullscreenElement) void document.exitFullscreen();
  else void document.documentElement.requestFullscreen().catch(() => undefined);
}

export function startBar(): void {
  // The ring around the app is for who got there by the keyboard.
  document.addEventListener("keydown", (e) => e.key === "Tab" && e.target !== box && root.classList.add("by-keyboard"), { capture: true });
  document.addEventListener("pointerdown", () => root.classList.remove("by-keyboard"), { capture: true, passive: true });

  handle.addEventListener("click", enterBar);
  document.addEventListener("pointermove", (e) => {
    if (e.pointerType === "mouse" && e.clientY < 4) showBar(1500);
  }, { capture: true, passive: true });
  bar.addEventListener("keydown", (e) => {
    if (e.key !== "Escape") return;
    box.focus();
    hide();
  });
  const full = button("full");
  full.hidden = !document.fullscreenEnabled;
  full.addEventListener("click", () => {
    fullScreen();
    box.focus();
  });
  document.addEventListener("fullscreenchange", () => {
    const on = document.fullscreenElement !== null;
    full.setAttribute("aria-pressed", String(on));
    full.title = on ? "Leave full screen" : "Full screen";
    // Then even Ctrl+W and Esc go to the app; holding Esc leaves.
    const keys = (navigator as { keyboard?: { lock?(): Promise<void>; unlock?(): void } }).keyboard;
    if (on) void keys?.lock?.().catch(() => undefined);
    else keys?.unlock?.();
  });
}
