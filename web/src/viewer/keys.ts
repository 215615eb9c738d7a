// The keyboard. Keys are read in a text box that is out of sight, because only where text
// can be written do browsers put a dead key and a letter together, offer an input method,
// show a phone's keyboard and give what is pasted. What is a plain key goes on to noVNC, as
// if it had been pressed on the picture; what the box has made of keys goes as characters.

const BACKSPACE = 0xff08;
const RETURN = 0xff0d;

/** What keys lead to. */
export interface KeySink {
  /** The picture that noVNC listens on; null while there is none. */
  canvas(): HTMLElement | null;
  /** Presses and releases the key of an X symbol. */
  press(keysym: number): void;
  /** Takes a text to the app's clipboard; false if that may not be. */
  paste(text: string): boolean;
  /** Ctrl, Alt and Shift were pressed together: the person wants out. */
  leave(): void;
}

/** The X symbol of a character. */
export function keysymOf(character: string): number {
  const point = character.codePointAt(0)!;
  if (character === "\n") return RETURN;
  return point < 0x100 ? point : 0x01000000 | point;
}

function isPaste(e: KeyboardEvent): boolean {
  if (e.altKey) return false;
  return (e.ctrlKey || e.metaKey) ? e.code === "KeyV" || e.key.toLowerCase() === "v" : e.shiftKey && e.key === "Insert";
}

/** Composing: the box is at work, and what it makes of the key comes later. */
function isComposing(e: KeyboardEvent): boolean {
  return e.isComposing || e.key === "Dead" || e.key === "Process" || e.key === "Compose" || e.keyCode === 229;
}

export function startKeys(box: HTMLTextAreaElement, sink: KeySink): void {
  let held: KeyboardEvent | null = null; // Ctrl+V, until the browser has said what is pasted

  const pass = (e: KeyboardEvent): void => {
    const canvas = sink.canvas();
    if (!canvas) return;
    canvas.dispatchEvent(new KeyboardEvent(e.type, {
      key: e.key, code: e.code, location: e.location, repeat: e.repeat, keyCode: e.keyCode, cancelable: true, bubbles: false,
      ctrlKey: e.ctrlKey, shiftKey: e.shiftKey, altKey: e.altKey, metaKey: e.metaKey,
      modifierAltGraph: e.getModifierState("AltGraph"), modifierCapsLock: e.getModifierState("CapsLock"), modifierNumLock: e.getModifierState("NumLock"),
    }));
  };
  const release = (): void => {
    if (held) pass(held);
    held = null;
  };
  const write = (text: string): void => {
    for (const character of text) sink.press(keysymOf(character));
  };
  // Something to delete: a phone says nothing of a backspace in an empty box.
  const clear = (): void => {
    box.value = " ";
    box.setSelectionRange(1, 1);
  };

  box.addEventListener("keydown", (e) => {
    if (isComposing(e)) return;
    if (["Control", "Alt", "Shift"].includes(e.key) && e.ctrlKey && e.altKey && e.shiftKey) {
      e.preventDefault();
      sink.leave();
      return;
    }
    release();
    if (isPaste(e) && !e.repeat) {
      held = e;
      // Where pasting is not allowed no word comes, and the app gets its own key.
      setTimeout(release, 100);
      return;
    }
    e.preventDefault();
    pass(e);
  });
  box.addEventListener("keyup", (e) => {
    release();
    e.preventDefault();
    pass(e);
  });
  box.addEventListener("paste", (e) => {
    e.preventDefault();
    const text = e.clipboardData?.getData("text/plain") ?? "";
    if (text) sink.paste(text);
    release();
  });
  box.addEventListener("input", (event) => {
    const e = event as InputEvent;
    if (e.isComposing || e.inputType === "insertCompositionText") return;
    if (e.inputType.startsWith("delete")) sink.press(BACKSPACE);
    else if (e.inputType === "insertLineBreak") sink.press(RETURN);
    else if (e.data) write(e.data);
    clear();
  });
  box.addEventListener("compositionend", (e) => {
    write(e.data);
    clear();
  });
  box.addEventListener("blur", () => {
    // noVNC lets go of all keys when the window is left; leaving the app is as much.
    release();
    window.dispatchEvent(new Event("blur"));
  });
  clear();
}
