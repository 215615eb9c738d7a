// The clipboard, both ways. What is copied in the app goes to this device's clipboard where
// the browser allows it; what was copied here goes to the app with Ctrl+V, and when the
// window is come back to where the browser gives it unasked. The dialog does both by hand.
import { app, box, button, byId, dialogOf, note, open } from "./dom";

/** How a text gets into the app's clipboard; null while there is no app. */
export type Send = (text: string) => boolean;

const field = (): HTMLTextAreaElement => byId<HTMLTextAreaElement>("clip-text");

let allowed = false;
let last = ""; // what both sides have

export function allowClipboard(on: boolean): void {
  allowed = on;
  button("clipboard").hidden = !on;
}

/** Takes a text to the app, if that may be. */
export function give(text: string, send: Send): boolean {
  if (!allowed) return false;
  if (text === last) return true;
  if (!send(text)) return false;
  last = text;
  field().value = text;
  return true;
}

/** Takes what was copied in the app. */
export async function take(text: string): Promise<void> {
  if (!allowed || text === last) return;
  last = text;
  field().value = text;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    note(`Copied in ${app}. The clipboard button has it.`);
  }
}

/** Looks at this device's clipboard, where that asks the person nothing. */
async function look(send: Send): Promise<void> {
  if (!allowed || !document.hasFocus()) return;
  try {
    const may = await navigator.permissions.query({ name: "clipboard-read" as PermissionName });
    if (may.state === "granted") give(await navigator.clipboard.readText(), send);
  } catch {
    // This browser does not know of it.
  }
}

export function startClipboard(send: Send): void {
  const dialog = dialogOf("clip-dialog");
  button("clipboard").addEventListener("click", () => {
    open(dialog);
    field().select();
  });
  button("clip-copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(field().value);
    } catch {
      // Without a secure connection there is only the old way.
      field().select();
      document.execCommand("copy");
    }
    dialog.close();
    note("Copied to this device");
  });
  button("clip-send").addEventListener("click", () => {
    last = "";
    const sent = give(field().value, send);
    dialog.close();
    note(sent ? `Sent to ${app}: paste it there with Ctrl+V, in a terminal with Ctrl+Shift+V` : `${app} is not connected`);
  });
  window.addEventListener("focus", () => void look(send));
  box.addEventListener("focus", () => void look(send));
}
