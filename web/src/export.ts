// The export of a list: its dialog's calendars, the download, the confirmation.
import { $, dialog, fetchHTML, parse, within } from "./dom";
import { complain } from "./toasts";

async function begin(form: HTMLFormElement): Promise<void> {
  const url = `${form.getAttribute("action")}?${new URLSearchParams(new FormData(form) as unknown as Record<string, string>)}`;
  try {
    const response = await fetchHTML(url);
    const page = parse(await response.text());
    const told = page.querySelector<HTMLElement>("[data-told]");
    const again = page.querySelector("#confirm, #problem");
    if (response.ok && told?.dataset.file) {
      dialog().close();
      $("#told")?.replaceChildren(document.importNode(told, true));
      window.scrollTo({ top: 0 });
      // A file that the browser keeps, so the page stays; what is no file is shown.
      location.assign(told.dataset.file);
    } else if (again && form.isConnected) {
      form.replaceWith(document.importNode(again, true));
      $<HTMLElement>("#dialog [aria-invalid=true]")?.focus();
    } else {
      location.assign(url);
    }
  } catch {
    complain("The server did not answer. Nothing was exported.");
  }
}

export function startExport(): void {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || !form.matches("#dialog [data-export]")) return;
    event.preventDefault();
    void begin(form);
  });
  // The calendar opens where the cursor is put. Not for the Tab key: an open calendar takes
  // the keys, and a date could not be typed; the keyboard opens it with Space.
  document.addEventListener("click", (event) => {
    const box = within<HTMLInputElement>(event, "input[data-calendar]");
    try {
      box?.showPicker?.();
    } catch {
      // A browser that has it, but not here: the date is typed.
    }
    if (within(event, "[data-untell]")) $("#told")?.replaceChildren();
  });
}
