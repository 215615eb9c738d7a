// Small helpers that the other modules share.
import htmx from "htmx.org";

export const $ = <E extends Element = HTMLElement>(selector: string, root: ParentNode = document): E | null =>
  root.querySelector<E>(selector);

export const $$ = <E extends Element = HTMLElement>(selector: string, root: ParentNode = document): E[] => [
  ...root.querySelectorAll<E>(selector),
];

/** The element that an event's target is in, if it matches. */
export function within<E extends Element = HTMLElement>(event: Event, selector: string): E | null {
  return event.target instanceof Element ? event.target.closest<E>(selector) : null;
}

/** Fetches a page's content for a swap. A redirect elsewhere (to sign in) is followed by the browser. */
export async function fetchHTML(url: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set("HX-Request", "true");
  headers.set("Accept", "text/html");
  return fetch(url, { credentials: "same-origin", ...init, headers });
}

export const parse = (html: string): Document => new DOMParser().parseFromString(html, "text/html");

/** Changes target into the element that html has under the same selector; what is the same stays, with its focus. */
export async function morph(target: Element, html: string, select?: string): Promise<void> {
  await htmx.swap({ text: html, target, select, swap: "outerMorph ignoreTitle:true", sourceElement: document.body });
  document.dispatchEvent(new Event("leasehold:changed"));
}

/** True while the person writes, so that a letter is a letter. */
export function typing(): boolean {
  const el = document.activeElement;
  return el instanceof HTMLElement && (el.isContentEditable || el.matches("input:not([type=checkbox],[type=radio]), textarea, select"));
}

export const dialog = (): HTMLDialogElement => $<HTMLDialogElement>("#dialog")!;
