// A toast says what was done and goes by itself, unless it is bad news or being read.
import { $, $$, within } from "./dom";

function arm(toast: HTMLElement): void {
  if (toast.dataset.armed || toast.classList.contains("toast-bad")) return;
  toast.dataset.armed = "yes";
  let timer = setTimeout(() => toast.remove(), 8000);
  toast.addEventListener("mouseenter", () => clearTimeout(timer));
  toast.addEventListener("mouseleave", () => (timer = setTimeout(() => toast.remove(), 3000)));
}

export function showToast(toast: HTMLElement): void {
  $("#toasts")?.append(toast);
  arm(toast);
}

/** Says that something failed, in words. */
export function complain(text: string): void {
  const box = document.createElement("div");
  box.className = "toast toast-bad";
  box.dataset.toast = "";
  const p = document.createElement("p");
  p.textContent = text;
  const close = document.createElement("button");
  close.className = "icon-button";
  close.dataset.dismiss = "";
  close.setAttribute("aria-label", "Dismiss");
  close.textContent = "×";
  box.append(p, close);
  showToast(box);
}

export function startToasts(): void {
  $$("[data-toast]").forEach(arm);
  document.addEventListener("click", (event) => within(event, "[data-dismiss]")?.closest("[data-toast]")?.remove());
}
