// The parts of the viewer's page.
const byId = <E extends HTMLElement = HTMLElement>(id: string): E => document.getElementById(id) as E;

export const root = byId("viewer");
export const path = root.dataset.path!;
export const app = root.dataset.app!;

export const bar = byId("bar");
export const handle = byId<HTMLButtonElement>("handle");
export const screen = byId("screen");
export const still = byId<HTMLCanvasElement>("still");
export const box = byId<HTMLTextAreaElement>("keys");
export const warning = byId("warning");
export const button = (id: string): HTMLButtonElement => byId<HTMLButtonElement>(id);
export const dialogOf = (id: string): HTMLDialogElement => byId<HTMLDialogElement>(id);
export const text = (id: string, words: string): void => {
  const el = byId(id);
  if (el.textContent !== words) el.textContent = words;
};
export const show = (id: string, on: boolean): void => {
  byId(id).hidden = !on;
};
export { byId };

/** Opens a dialog; the keyboard goes back to the app afterwards. */
export function open(dialog: HTMLDialogElement): void {
  if (!dialog.open) dialog.showModal();
}

let noteTimer = 0;

/** Says something short in the bar. */
export function note(words: string): void {
  text("note", words);
  clearTimeout(noteTimer);
  noteTimer = window.setTimeout(() => text("note", ""), 4000);
}
