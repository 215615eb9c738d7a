// The keyboard: one letter each, never while somebody writes.
import { $, dialog, typing } from "./dom";
import { ask, showKeys } from "./dialog";
import { currentRow, opens, rows, setCurrent } from "./list";
import { closeMenus, openMenu } from "./menus";

function step(by: number): void {
  const all = rows();
  if (all.length === 0) return;
  const at = currentRow();
  const i = at ? all.indexOf(at) + by : by > 0 ? 0 : all.length - 1;
  setCurrent(all[Math.max(0, Math.min(i, all.length - 1))] ?? null);
}

function escape(): void {
  const menu = openMenu();
  if (menu) {
    closeMenus();
    menu.querySelector<HTMLElement>("summary")?.focus();
  } else if ($("#side.open")) {
    $("#side")!.classList.remove("open");
  } else if (document.activeElement instanceof HTMLInputElement && document.activeElement.type === "search") {
    document.activeElement.blur();
  } else if (currentRow()) {
    setCurrent(null);
  } else if (!typing()) {
    $<HTMLAnchorElement>(".crumb a[data-back]")?.click();
  }
}

export function startKeys(): void {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog().open) return;
    if (event.key === "Escape") return escape();
    if (event.key === "Enter" && document.activeElement === document.body && currentRow()) {
      return location.assign(opens(currentRow()!));
    }
    if (typing()) return;
    switch (event.key) {
      case "/": {
        const box = $<HTMLInputElement>('[data-key="/"]');
        if (!box) return;
        box.focus();
        box.select();
        break;
      }
      case "j":
        step(1);
        break;
      case "k":
        step(-1);
        break;
      case "x":
        currentRow()?.querySelector<HTMLInputElement>(".w-tick input:not(:disabled)")?.click();
        break;
      case "e": {
        const act = $<HTMLAnchorElement>("a[data-act]", currentRow() ?? $("#session") ?? document.createElement("div"));
        if (act) void ask(act.href, currentRow());
        break;
      }
      case "?":
        showKeys();
        break;
      default:
        return;
    }
    event.preventDefault();
  });
  // Keys move on from the row that has the focus.
  document.addEventListener("focusin", (event) => {
    const row = event.target instanceof Element ? event.target.closest<HTMLElement>("#list tr[data-open]") : null;
    if (row && currentRow()) setCurrent(row, false);
  });
}
