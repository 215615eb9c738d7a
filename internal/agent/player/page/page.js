// Keeps the page true: what changed is fetched every other second, and times tick.
const live = document.getElementById("live");
const lost = document.getElementById("lost");
const say = document.getElementById("say");
let last = "";
let failures = 0;

function left(ms) {
	const s = Math.max(0, Math.round(ms / 1000));
	const two = (n) => String(n).padStart(2, "0");
	if (s >= 172800) return Math.floor(s / 86400) + " days";
	if (s >= 3600) return Math.floor(s / 3600) + " h " + two(Math.floor((s % 3600) / 60)) + " min";
	return Math.floor(s / 60) + ":" + two(s % 60);
}

function tick() {
	for (const t of document.querySelectorAll("time[data-until]")) {
		const text = left(t.dataset.until - Date.now());
		if (t.textContent !== text) t.textContent = text;
	}
}

function announce() {
	const text = [...live.querySelectorAll("[data-say]")].map((w) => w.dataset.say).join(" ");
	if (say.textContent !== text) say.textContent = text;
}

async function look() {
	if (!document.hidden) {
		try {
			const r = await fetch(live.dataset.from, { signal: AbortSignal.timeout(5000) });
			if (!r.ok) throw new Error(r.status);
			const html = await r.text();
			failures = 0;
			// Times tick by themselves; only what else changed is news.
			const news = html.replace(/<time[^>]*>[^<]*<\/time>/g, "");
			if (news !== last) {
				const focus = document.activeElement?.id;
				live.innerHTML = html;
				if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
				last = news;
				announce();
			} else {
				const fresh = [...new DOMParser().parseFromString(html, "text/html").querySelectorAll("time[data-until]")];
				[...live.querySelectorAll("time[data-until]")].forEach((t, i) => {
					// A second more or less is the clocks' rounding.
					if (fresh[i] && Math.abs(t.dataset.until - fresh[i].dataset.until) > 1500) t.dataset.until = fresh[i].dataset.until;
				});
			}
			tick();
		} catch {
			failures++;
		}
		lost.hidden = failures < 3;
	}
	setTimeout(look, 2000);
}

// The address keeps no word of what was done: a reload says it no second time.
if (location.search) history.replaceState(null, "", location.pathname);
setInterval(tick, 1000);
document.addEventListener("visibilitychange", tick);
tick();
announce();
look();
