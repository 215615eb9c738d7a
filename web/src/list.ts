// Lists: searching, filtering, sorting and paging change the list in place and the
// URL with it; ticks and the row under the keyboard stay where they are.
import { $, $$, fetchHTML, morph, parse, within } from "./dom";
import { closeMenus } from "./menus";
import { complain } from "./toasts";

let current: string | null = null; // id of the row under the keyboard
let running: AbortController | null = null;

/** True while another list is on its way. */
export const loading = (): boolean => running !== null;

export const rows = (): HTMLElement[] => $$("#list tbody tr[data-open]");
/** The address that a row opens: its first link. */
export const opens = (row: Element): string => row.querySelector<HTMLAnchorElement>("a[href]")!.href;

export const currentRow = (): HTMLElement | null => (current ? document.getElementById(current) : null);

export function setCurrent(row: HTMLElement | null, scroll = true): void {
  currentRow()?.classList.remove("at");
  current = row?.id ?? null;
  row?.classList.add("at");
  if (row && scroll) row.scrollIntoView({ block: "nearest" });
}

export const ticked = (): HTMLInputElement[] => $$<HTMLInputElement>("#list tbody .w-tick input:checked:not(:disabled)");

function countTicks(): void {
  const out = $("[data-ticked]");
  const n = ticked().length;
  if (out) out.textContent = n === 0 ? "No ticked rows" : n === 1 ? "1 ticked row" : `${n} ticked rows`;
}

/** Takes every tick off, after what they were for is done. */
export function untick(): void {
  for (const box of ticked()) box.checked = false;
  const of = $<HTMLSelectElement>("#ticked select[name=of]");
  if (of) of.selectedIndex = 0;
  countTicks();
}

/** Loads a list's address into the page. */
export async function go(url: string, history: "push" | "replace" | "none"): Promise<void> {
  const list = $("#list");
  if (!list) return location.assign(url);
  running?.abort();
  const mine = (running = new AbortController());
  document.body.classList.add("waiting");
  try {
    const response = await fetchHTML(url, { signal: mine.signal });
    const text = await response.text();
    const page = parse(text);
    if (!page.querySelector("#list") || response.redirected) return location.assign(url);
    if (history === "push") window.history.pushState({}, "", url);
    if (history === "replace") window.history.replaceState({}, "", url);
    const title = page.title;
    await morph(list, text, "#list");
    if (title) document.title = title;
    if (history !== "replace") {
      syncSearch();
      setCurrent(null);
      window.scrollTo({ top: 0 });
    }
  } catch (error) {
    if ((error as Error).name !== "AbortError") complain("The list could not be loaded. It shows what was known before.");
  } finally {
    if (running === mine) {
      running = null;
      document.body.classList.remove("waiting");
    }
  }
}

/** Puts the URL's search into the box, after the URL was changed by something else. */
function syncSearch(): void {
  const box = $<HTMLInputElement>("[data-search] input[name=q]");
  if (box) box.value = new URLSearchParams(location.search).get("q") ?? "";
}

function searchURL(box: HTMLInputElement): string {
  const url = new URL(location.href);
  url.searchParams.delete("page_token");
  if (box.value.trim()) url.searchParams.set("q", box.value.trim());
  else url.searchParams.delete("q");
  return url.pathname + url.search;
}

export function startList(): void {
  let timer = 0;
  let burst = 0; // when the person last typed: one burst of typing is one step back
  const search = (box: HTMLInputElement, wait: number) => {
    clearTimeout(timer);
    timer = window.setTimeout(() => {
      const url = searchURL(box);
      if (url === location.pathname + location.search) return;
      const fresh = Date.now() - burst > 3000;
      burst = Date.now();
      void go(url, fresh ? "push" : "replace");
    }, wait);
  };
  document.addEventListener("input", (event) => {
    const box = within<HTMLInputElement>(event, "[data-search] input[name=q]");
    if (box) search(box, 180);
  });
  document.addEventListener("submit", (event) => {
    const form = within<HTMLFormElement>(event, "form[data-search]");
    if (!form) return;
    event.preventDefault();
    search($<HTMLInputElement>("input[name=q]", form)!, 0);
  });

  // A filter's own form leads to the list, as its links do; what is empty says nothing.
  document.addEventListener("submit", (event) => {
    const form = within<HTMLFormElement>(event, "form[data-list-form]");
    if (!form || !$("#list")) return;
    event.preventDefault();
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value) query.append(name, String(value));
    closeMenus();
    void go(`${form.getAttribute("action")}?${query}`, "push");
  });

  document.addEventListener("click", (event) => {
    if (!(event instanceof MouseEvent) || event.defaultPrevented) return;
    const other = event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0;
    const link = within<HTMLAnchorElement>(event, "a[data-list]");
    if (link && !other) {
      event.preventDefault();
      closeMenus();
      return void go(link.href, "push");
    }
    // Back to the list as it was left: its search, page and scroll are in the history.
    const back = within<HTMLAnchorElement>(event, "a[data-back]");
    if (back && !other && document.referrer && window.history.length > 1) {
      const from = new URL(document.referrer);
      if (from.origin === location.origin && from.pathname === back.pathname) {
        event.preventDefault();
        return window.history.back();
      }
    }
    const tick = within(event, "[data-tick]");
    if (tick) {
      for (const box of $$<HTMLInputElement>("#list tbody .w-tick input:not(:disabled)")) box.checked = tick.dataset.tick === "all";
      return countTicks();
    }
    // The whole row opens, but for what in it is something to press or to copy.
    const row = within(event, "tr[data-open]");
    if (row && !other && !within(event, "a, button, input, label, .w-tick") && getSelection()?.isCollapsed !== false) {
      location.assign(opens(row));
    }
  });

  // Shift-click ticks everything between two boxes.
  let last: HTMLInputElement | null = null;
  document.addEventListener("click", (event) => {
    const box = within<HTMLInputElement>(event, ".w-tick input");
    if (!box) return;
    if (event.shiftKey && last?.isConnected) {
      const all = $$<HTMLInputElement>("#list tbody .w-tick input:not(:disabled)");
      const [from, to] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b) as [number, number];
      for (const b of all.slice(from, to + 1)) b.checked = box.checked;
    }
    last = box;
    countTicks();
  });

  window.addEventListener("popstate", () => ($("#list") ? void go(location.href, "none") : location.reload()));
  document.addEventListener("leasehold:changed", () => {
    currentRow()?.classList.add("at");
    countTicks();
  });
  countTicks();
}
