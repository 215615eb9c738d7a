// Buttons that copy a text of the page, and say that they did.
import { $, within } from "./dom";

const SAID = 2000; // how long a button says it

export function startCopy(): void {
  document.addEventListener("click", (event) => {
    const button = within<HTMLButtonElement>(event, "button[data-copy]");
    const source = button && $(button.dataset.copy!);
    if (button && source) void copy(button, source);
  });
}

async function copy(button: HTMLButtonElement, source: HTMLElement): Promise<void> {
  const done = await write(source);
  const words = (button.dataset.words ??= button.innerText);
  button.style.minWidth = `${button.offsetWidth}px`;
  button.innerText = done ? "Copied" : "Press Ctrl+C";
  setTimeout(() => (button.innerText = words), SAID);
}

/** Over plain HTTP there is no clipboard to write to: the text is selected there, and copied the old way. */
async function write(source: HTMLElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(source.textContent ?? "");
    return true;
  } catch {
    getSelection()?.selectAllChildren(source);
    return document.execCommand("copy");
  }
}
