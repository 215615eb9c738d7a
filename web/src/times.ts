// Times tick: how long ago, for how long, how long still. The words are those of
// format.go. Exact times are in the viewer's own zone: that of their account, else of the
// browser. The same time in UTC is in the title.

const exact: Intl.DateTimeFormatOptions = {
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "short",
};

function format(): Intl.DateTimeFormat {
  try {
    return new Intl.DateTimeFormat("en-GB", { ...exact, timeZone: document.documentElement.dataset.zone });
  } catch {
    return new Intl.DateTimeFormat("en-GB", exact); // the browser's tz database is older than the server's
  }
}

const parts = format();

/** The exact time with its zone, in the form that the server writes: nothing moves when the zone changes. */
function zoned(t: number): string {
  const p = Object.fromEntries(parts.formatToParts(t).map(({ type, value }) => [type, value]));
  return `${p.year}-${p.month}-${p.day} ${p.hour}:${p.minute}:${p.second} ${p.timeZoneName}`;
}

/** What hovering over a time says: exactly when, here and in UTC. */
function exactly(el: HTMLTimeElement): string {
  const t = Date.parse(el.dateTime);
  const utc = new Date(t).toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC");
  return el.className === "x" ? utc : `${zoned(t)}\n${utc}`;
}

let skew = 0; // the server's clock minus this one's, in milliseconds

/** Learns the server's time, so that a wrong clock here shows no wrong countdown. */
export function serverSays(now: string | null | undefined): void {
  const t = now ? Date.parse(now) : NaN;
  // A second is what rounding makes; only more than that is a different clock.
  if (!Number.isNaN(t)) skew = Math.abs(t - Date.now()) > 2000 ? t - Date.now() : 0;
}

export const now = (): number => Date.now() + skew;

/** The time of day in the viewer's zone, as 14:03. */
export const clock = (t: number): string => zoned(t).slice(11, 16);

function span(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.floor(s / 3600)} h`;
  if (s < 365 * 86400) return `${Math.floor(s / 86400)} d`;
  return `${Math.floor(s / (365 * 86400))} y`;
}

function countdown(ms: number): string {
  const left = Math.max(0, Math.round(ms / 1000));
  const h = Math.floor(left / 3600);
  const m = Math.floor(left / 60) % 60;
  const s = String(left % 60).padStart(2, "0");
  if (h >= 48) return `${Math.floor(h / 24)} d`;
  return h > 0 ? `${h}:${String(m).padStart(2, "0")}:${s}` : `${m}:${s}`;
}

function words(kind: string, t: number): string | null {
  switch (kind) {
    case "a":
      return now() - t < 5000 ? "just now" : `${span(now() - t)} ago`;
    case "d":
      return span(now() - t);
    case "c":
      return countdown(t - now());
    case "x":
      return zoned(t);
    case "t":
      return clock(t);
  }
  return null;
}

/** Writes every time anew; text that stays the same is not touched. */
export function tick(root: ParentNode = document): void {
  for (const el of root.querySelectorAll<HTMLTimeElement>("time[datetime]")) {
    const text = words(el.className, Date.parse(el.dateTime));
    if (text !== null && el.textContent !== text) el.textContent = text;
  }
  for (const el of root.querySelectorAll<HTMLElement>("[data-after]:not(.due)")) {
    if (now() - Date.parse(el.dataset.after!) >= 10_000) el.classList.add("due");
  }
}

/** Offers the zones that the browser knows where one is chosen. */
function offerZones(): void {
  document.querySelector("#zones")?.replaceChildren(...Intl.supportedValuesOf("timeZone").map((zone) => new Option(zone, zone)));
}

export function startTimes(): void {
  offerZones();
  serverSays(document.documentElement.dataset.now);
  tick();
  setInterval(() => document.hidden || tick(), 1000);
  document.addEventListener("leasehold:changed", () => tick());
  document.addEventListener("visibilitychange", () => document.hidden || tick());
  document.addEventListener("mouseover", (event) => {
    const el = event.target;
    if (el instanceof HTMLTimeElement && el.dateTime) el.title = exactly(el);
    // What is cut off is told in full.
    if (el instanceof HTMLTableCellElement && !el.title && el.scrollWidth > el.clientWidth) el.title = el.innerText;
  });
}
