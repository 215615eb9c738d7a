// A confirmation is a page of its own; with the script it opens as a dialog over
// the list. Focus starts on Cancel and goes back where it was.
import { $, dialog, fetchHTML, parse, within } from "./dom";
import { opens, untick } from "./list";
import { refresh } from "./live";
import { complain, showToast } from "./toasts";

let opener: string | null = null; // id of the row that the dialog is about

function show(content: Element): void {
  const d = dialog();
  d.replaceChildren(document.importNode(content, true));
  if (!d.open) d.showModal();
  (d.querySelector<HTMLElement>("[aria-invalid=true]") ?? d.querySelector<HTMLElement>("[data-cancel]"))?.focus();
}

const bodyOf = (form: HTMLFormElement): URLSearchParams => new URLSearchParams(new FormData(form) as unknown as Record<string, string>);

/** Opens the confirmation that a link leads to, or that a form is answered with. */
export async function ask(url: string, row: Element | null, init?: RequestInit): Promise<void> {
  opener = row?.id ?? null;
  try {
    const response = await fetchHTML(url, init);
    const content = parse(await response.text()).querySelector("#confirm, #problem");
    if (!content || response.redirected) return location.assign(url);
    show(content);
  } catch {
    complain("The server did not answer. Nothing was changed.");
  }
}

async function post(form: HTMLFormElement): Promise<void> {
  const button = form.querySelector<HTMLButtonElement>("button[type=submit]");
  if (button) button.disabled = true;
  try {
    const url = form.getAttribute("action")!;
    const response = await fetchHTML(url, { method: "POST", body: bodyOf(form) });
    if (response.redirected && new URL(response.url).pathname === "/sign-in") {
      if (button) button.disabled = false;
      return complain("You are signed out, and nothing was done. Sign in in another tab, and try again here.");
    }
    // It has a page of its own, where it goes on.
    if (response.redirected) return location.assign(response.url);
    const page = parse(await response.text());
    const toast = page.querySelector<HTMLElement>("[data-toast]");
    if (response.ok && toast) {
      if (form.matches("[data-untick]")) untick();
      dialog().close();
      showToast(document.importNode(toast, true));
      await refresh(true);
      return;
    }
    const content = page.querySelector("#confirm, #problem");
    if (content) show(content);
    else location.assign(url);
  } catch {
    if (button) button.disabled = false;
    complain("The server did not answer. Look at the session before trying again: it may have been changed.");
  }
}

/** Lists the keys. */
export function showKeys(): void {
  const keys: [string, string][] = [
    ["/", "Search"], ["j", "Next row"], ["k", "Previous row"], ["x", "Tick the row"], ["Enter", "Open the row"],
    ["e", $("table.streams") ? "Kill" : "Evict or expire"], ["Esc", "Close, or go back"], ["?", "Show these keys"],
  ];
  const box = document.createElement("div");
  const head = document.createElement("h1");
  head.id = "dialog-title";
  head.textContent = "Keyboard";
  const list = document.createElement("dl");
  list.className = "keys";
  for (const [key, what] of keys) {
    const dt = document.createElement("dt");
    const kbd = document.createElement("kbd");
    kbd.textContent = key;
    dt.append(kbd);
    const dd = document.createElement("dd");
    dd.textContent = what;
    list.append(dt, dd);
  }
  const buttons = document.createElement("div");
  buttons.className = "buttons";
  const close = document.createElement("button");
  close.className = "button";
  close.dataset.cancel = "";
  close.textContent = "Close";
  buttons.append(close);
  box.append(head, list, buttons);
  show(box);
}

/** Shows a row's actions as a menu, where there is no room for them in the row. */
function showActions(row: HTMLElement): void {
  const box = document.createElement("div");
  const head = document.createElement("h1");
  head.id = "dialog-title";
  head.textContent = [".w-app", ".w-user", ".w-name .over", ".w-dev"].map((s) => $(s, row)?.textContent?.trim()).filter(Boolean).join(" · ");
  box.append(head);
  const add = (name: string, href: string, act: boolean) => {
    const a = document.createElement("a");
    a.className = "pop-item";
    a.href = href;
    a.textContent = name;
    if (act) a.dataset.dialog = "";
    box.append(a);
  };
  add("Open", opens(row), false);
  for (const a of row.querySelectorAll<HTMLAnchorElement>("a[data-act]")) add(a.textContent!.trim(), a.href, true);
  const buttons = document.createElement("div");
  buttons.className = "buttons";
  const close = document.createElement("button");
  close.className = "button";
  close.dataset.cancel = "";
  close.textContent = "Cancel";
  buttons.append(close);
  box.append(buttons);
  show(box);
  opener = row.id;
}

export function startDialogs(): void {
  document.addEventListener("click", (event) => {
    if (!(event instanceof MouseEvent) || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const more = within(event, "[data-more]");
    if (more) {
      event.preventDefault();
      return showActions(more.closest("tr")!);
    }
    const link = within<HTMLAnchorElement>(event, "a[data-dialog]");
    // From a confirmation that is a page of its own the next one is a page too.
    if (link && !link.closest("main #confirm")) {
      event.preventDefault();
      return void ask(link.href, link.closest("tr") ?? (opener ? document.getElementById(opener) : null));
    }
    if (within(event, "#dialog [data-cancel]")) {
      event.preventDefault();
      dialog().close();
    } else if (event.target === dialog()) {
      // A click beside the box, but not one that only ends a text selection.
      dialog().close();
    }
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement)) return;
    if (form.closest("#dialog") && form.matches("[data-confirm]")) {
      event.preventDefault();
      void post(form);
    } else if (event.submitter?.matches("[data-dialog]")) {
      event.preventDefault();
      // A field may be named action, and would hide the form's own.
      void ask(form.getAttribute("action")!, null, { method: "POST", body: bodyOf(form) });
    }
  });

  dialog()?.addEventListener("close", () => {
    // The event comes later than the closing: the next dialog may have opened since.
    if (dialog().open) return;
    dialog().replaceChildren();
    // The link that opened it may be gone: its row's action is another one now.
    const row = opener ? document.getElementById(opener) : null;
    if (row && document.activeElement === document.body) row.querySelector<HTMLElement>(".w-no a, a")?.focus({ preventScroll: true });
  });
}
