// The portal: a launch that opens here is handed to the player at once.
import { $ } from "./dom";

export function startPortal(): void {
  const link = $<HTMLAnchorElement>("a[data-app-link]");
  if (!link) return;
  // Once only: coming back to this page must not launch again.
  const key = `opened:${link.href}`;
  if (sessionStorage.getItem(key)) return;
  sessionStorage.setItem(key, "yes");
  location.assign(link.href);
}
