// Pickers: a search that adds things to a form as one types. Without the script the
// search is a button that sends the form back.
import { $, $$, fetchHTML, parse, within } from "./dom";

async function find(picker: HTMLElement, text: string): Promise<void> {
  const found = $("[data-found]", picker)!;
  if (!text.trim()) return found.replaceChildren();
  const query = new URLSearchParams({ find: text, name: picker.dataset.name! });
  const response = await fetchHTML(`${picker.dataset.picker}?${query}`);
  if (!response.ok || response.redirected) return;
  const list = parse(await response.text()).querySelector(".found");
  if (!list || $<HTMLInputElement>("[data-pick]", picker)?.value !== text) return;
  // What is there already is not offered again.
  const have = new Set($$<HTMLInputElement>(".checks:not(.found) input[type=checkbox]", picker).map((el) => el.value));
  for (const box of $$<HTMLInputElement>("input[type=checkbox]", list)) {
    if (have.has(box.value)) box.closest("label")!.remove();
  }
  if (list.childElementCount === 0) {
    const note = document.createElement("p");
    note.className = "pop-note";
    note.textContent = "Added already.";
    list.append(note);
  }
  found.replaceChildren(document.importNode(list, true));
}

export function startPickers(): void {
  let timer = 0;
  document.addEventListener("input", (event) => {
    const box = within<HTMLInputElement>(event, "[data-pick]");
    if (!box) return;
    clearTimeout(timer);
    timer = window.setTimeout(() => void find(box.closest<HTMLElement>("[data-picker]")!, box.value), 150);
  });
  // A tick moves what was found to what is chosen.
  document.addEventListener("change", (event) => {
    const label = within(event, ".picker .found label");
    if (!label) return;
    const picker = label.closest<HTMLElement>("[data-picker]")!;
    $("[data-none]", picker)?.remove();
    $(".checks:not(.found)", picker)!.append(label);
    label.querySelector("input")!.focus();
  });
  // Enter in the search adds the first that was found, and never saves the form.
  document.addEventListener("keydown", (event) => {
    const box = within<HTMLInputElement>(event, "[data-pick]");
    if (!box || event.key !== "Enter") return;
    event.preventDefault();
    const first = $<HTMLInputElement>(".found input[type=checkbox]", box.closest(".picker")!);
    if (!first) return;
    first.click();
    box.value = "";
    $("[data-found]", box.closest(".picker")!)!.replaceChildren();
    box.focus();
  });
}
