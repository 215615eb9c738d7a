// Menus are <details>; here they learn to close, and to fetch what they offer.
import { $, $$, fetchHTML, parse, within } from "./dom";

export const openMenu = (): HTMLDetailsElement | null => $<HTMLDetailsElement>("details[data-menu][open]");

export function closeMenus(but?: Element | null): void {
  for (const menu of $$<HTMLDetailsElement>("details[data-menu][open]")) {
    if (menu !== but) menu.open = false;
  }
}

/** Puts the choices that a filter's page offers into its menu. */
async function load(pop: HTMLElement, url: string): Promise<void> {
  const response = await fetchHTML(url);
  const options = response.ok ? parse(await response.text()).querySelector("#options") : null;
  if (!options) return;
  const had = pop.querySelector<HTMLInputElement>("input[type=search]");
  if (had) {
    // Only the choices change under the person's typing.
    pop.querySelector("#choices")?.replaceWith(options.querySelector("#choices")!);
  } else {
    pop.replaceChildren(options);
    pop.querySelector<HTMLElement>("input[type=search], a")?.focus();
  }
}

function setTheme(button: HTMLButtonElement): void {
  const theme = button.value;
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  document.cookie = `leasehold_theme=${theme}; path=/; max-age=${theme ? 31536000 : 0}; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;
  for (const b of $$("button", button.form!)) b.setAttribute("aria-pressed", String(b === button));
}

export function startMenus(): void {
  document.addEventListener("toggle", (event) => {
    const menu = event.target;
    if (!(menu instanceof HTMLDetailsElement) || !menu.open || !("menu" in menu.dataset)) return;
    closeMenus(menu);
    const pop = $("[data-load]", menu);
    if (pop) void load(pop, pop.dataset.load!);
  }, true);

  document.addEventListener("click", (event) => {
    closeMenus(within(event, "details[data-menu]"));
    const side = within(event, "[data-side]");
    if (side) {
      event.preventDefault();
      $("#side")?.classList.toggle("open");
    } else if (!within(event, "#side")) {
      $("#side")?.classList.remove("open");
    }
    const theme = within<HTMLButtonElement>(event, "[data-theme-form] button");
    if (theme) {
      event.preventDefault();
      setTheme(theme);
      closeMenus();
    }
  });

  let timer = 0;
  document.addEventListener("input", (event) => {
    const form = within<HTMLFormElement>(event, "form[data-options]");
    const pop = form?.closest<HTMLElement>("[data-load]");
    if (!form || !pop) return;
    clearTimeout(timer);
    timer = window.setTimeout(() => {
      const query = new URLSearchParams(new FormData(form) as unknown as Record<string, string>);
      void load(pop, `${form.action.split("?")[0]}?${query}`);
    }, 150);
  });
  document.addEventListener("submit", (event) => {
    const form = within<HTMLFormElement>(event, "form[data-options]");
    if (!form?.closest("[data-load]")) return;
    event.preventDefault();
    form.parentElement?.querySelector<HTMLElement>("#choices a")?.click();
  });
}
