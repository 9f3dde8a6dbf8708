// Functions of the accessibility tests; evaluated once, it leaves `checks` there.
globalThis.checks = (() => {
	const CONTROLS = "a[href], button, input, select, textarea, summary, [tabindex], [contenteditable]";
	const visible = (el) => el.checkVisibility({ visibilityProperty: true }) && !el.closest("[inert]");
	const reachable = (el) => visible(el) && !el.disabled && el.tabIndex >= 0;

	/** Two frames: what was changed is drawn. */
	const settled = () =>
		new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))));

	const slept = [];

	/** Parts that ask a kernel, as they are where there is one. */
	function wake() {
		for (const el of document.querySelectorAll("[inert], .page-disabled")) {
			slept.push([el, el.inert, el.className]);
			el.inert = false;
			el.classList.remove("page-disabled", "page-frozen");
		}
	}

	/** The same parts as they are where there is none. */
	function sleep() {
		for (const [el, inert, classes] of slept.splice(0)) {
			el.inert = inert;
			el.className = classes;
		}
	}

	/** Everything that Tab is to reach, numbered in the order of the page, with the accessible name. */
	function controls() {
		axe.setup(document.body);
		const found = [...document.querySelectorAll(CONTROLS)].filter(reachable).map((el, index) => {
			el.dataset.walk = String(index);
			return {
				name: axe.commons.text.accessibleText(el).trim(),
				html: el.outerHTML.slice(0, 160),
				kind: `${el.parentElement.className} ${el.tagName} ${el.className} ${el.type ?? ""}`,
			};
		});
		axe.teardown();
		return found;
	}

	/** The number of the control that has the focus, -1 where the page itself has it. */
	const focused = () => Number(document.activeElement?.dataset.walk ?? -1);

	/** Where the focus is, with room for a ring around it. */
	function around() {
		const active = document.activeElement;
		// The ring of what is drawn by a list of choices or a table is at its active part.
		const part = active.querySelector(".xw-active") ?? active.closest(".xw-chip, .xw-class-field") ?? active;
		part.scrollIntoView({ block: "center", inline: "nearest" });
		const { left, top, right, bottom } = part.getBoundingClientRect();
		const x = Math.max(left - 8, 0);
		const y = Math.max(top - 8, 0);
		return { x, y, width: Math.min(right + 8, innerWidth) - x, height: Math.min(bottom + 8, innerHeight) - y };
	}

	/** The text that a screen reader announces for the focused control: its value, or the text of the live regions of its view. */
	function said() {
		const el = document.activeElement;
		const value = el.getAttribute("aria-valuetext") ?? el.getAttribute("aria-activedescendant");
		const live = el.closest(".xw")?.querySelectorAll("[aria-live], [role=status], output") ?? [];
		return [value, ...[...live].map((node) => node.textContent)].join("|");
	}

	/** The box of a text as it is drawn, without what its ancestors clip. */
	function shown(node) {
		const range = document.createRange();
		range.selectNodeContents(node);
		const { left, top, right, bottom } = range.getBoundingClientRect();
		return { left, top, right, bottom };
	}

	/** The part of a box that lists which scroll leave in sight. */
	function inLists(box) {
		let { top, bottom } = box;
		for (let each = box.el.parentElement; each && each !== document.body; each = each.parentElement) {
			if (getComputedStyle(each).overflowY !== "auto") continue;
			const list = each.getBoundingClientRect();
			[top, bottom] = [Math.max(top, list.top), Math.min(bottom, list.bottom)];
		}
		return { ...box, top, bottom };
	}

	/** Texts that a box cuts off with no other way to read them. */
	function cut() {
		const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
		const found = [];
		for (let node = walker.nextNode(); node; node = walker.nextNode()) {
			const text = node.textContent.trim();
			const parent = node.parentElement;
			if (!text || !visible(parent) || parent.closest('option, .xw-spoken, [title]:not([title=""]), [aria-hidden=true], style')) {
				continue;
			}
			const box = shown(node);
			for (let el = parent; el !== document.body; el = el.parentElement) {
				const { overflowX, overflowY } = getComputedStyle(el);
				const [clipsX, clipsY] = [overflowX, overflowY].map((value) => value === "hidden" || value === "clip");
				// Text that scrolls is not lost.
				if (overflowX === "auto" || overflowX === "scroll") break;
				const rect = el.getBoundingClientRect();
				const beside = box.right > rect.right + 1 || box.left < rect.left - 1;
				if ((clipsX && beside) || (clipsY && box.bottom > rect.bottom + 2)) {
					found.push(`${text} in ${el.className}`);
					break;
				}
			}
		}
		return found;
	}

	/** Texts and controls that lie over each other, of those that no style has put over something on purpose. */
	function overlaps() {
		const laid = (el) => {
			for (let each = el; each && each !== document.body; each = each.parentElement) {
				const { position, overflowX } = getComputedStyle(each);
				if (position === "absolute" || position === "fixed" || overflowX === "auto") return false;
				if (each.matches(".xw-figure, .xw")) break;
			}
			return true;
		};
		const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
		const boxes = [];
		for (let node = texts.nextNode(); node; node = texts.nextNode()) {
			const el = node.parentElement;
			if (!node.textContent.trim() || el.closest(`script, style, noscript, ${CONTROLS}`)) continue;
			if (visible(el) && laid(el)) boxes.push({ el, ...shown(node), name: node.textContent.trim() });
		}
		for (const el of document.querySelectorAll(CONTROLS)) {
			if (!visible(el) || !laid(el) || el.parentElement.closest(CONTROLS)) continue;
			const { left, top, right, bottom } = el.getBoundingClientRect();
			boxes.push({ el, left, top, right, bottom, name: el.getAttribute("aria-label") ?? el.outerHTML.slice(0, 60) });
		}
		const found = [];
		const seen = boxes.map(inLists);
		for (const [index, a] of seen.entries()) {
			for (const b of seen.slice(index + 1)) {
				if (a.el.contains(b.el) || b.el.contains(a.el)) continue;
				const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
				const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
				if (wide > 1 && high > 4) found.push(`${a.name} / ${b.name}`);
			}
		}
		return found;
	}

	/** Words smaller than this many CSS px. */
	function small(least) {
		return [...document.querySelectorAll("main *")]
			.filter((el) => visible(el) && [...el.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
			.filter((el) => Number.parseFloat(getComputedStyle(el).fontSize) < least && !el.closest(".xw-spoken"))
			.map((el) => el.outerHTML.slice(0, 120));
	}

	/** Elements that move by themselves for longer than `seconds`. */
	function moves(seconds) {
		const long = (list) => list.split(",").some((time) => Number.parseFloat(time) > seconds);
		const found = [];
		for (const el of document.querySelectorAll("body, body *")) {
			for (const part of [null, "::before", "::after"]) {
				const { transitionDuration, animationDuration, animationName, scrollBehavior } = getComputedStyle(el, part);
				const animated = animationName !== "none" && long(animationDuration);
				if (animated || long(transitionDuration) || scrollBehavior === "smooth") {
					found.push(`${el.tagName} ${el.className} ${part ?? ""}`);
				}
			}
		}
		return found;
	}

	/** Colors of the theme of a view as sRGB bytes: names of variables to [r, g, b]. */
	function colors(...names) {
		const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
		const swatch = document.querySelector(".xw").appendChild(document.createElement("span"));
		const made = names.map((name) => {
			probe.fillStyle = "#000";
			for (const layer of ["--xw-bg", name]) {
				swatch.style.color = `var(${layer})`;
				probe.fillStyle = getComputedStyle(swatch).color;
				probe.fillRect(0, 0, 1, 1);
			}
			return [...probe.getImageData(0, 0, 1, 1).data].slice(0, 3);
		});
		swatch.remove();
		return made;
	}

	return { settled, wake, sleep, controls, focused, around, said, cut, overlaps, small, moves, colors };
})();
