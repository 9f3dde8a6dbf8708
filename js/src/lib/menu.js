import { element, setText } from "./dom.js";

/**
 * One line of a menu.
 *
 * @typedef {object} Item
 * @property {string} text
 * @property {() => unknown} act  may return a promise, whose text is shown when it is done
 * @property {string} [tip]
 * @property {boolean} [disabled]
 */

/** The result of an action stays for this time, ms. */
const NOTICE = 2500;

/**
 * A small button "⋯" with a menu in the top layer, which no output cell can clip.
 *
 * @param {object} options
 * @param {string} options.label  accessible name of the button
 * @param {() => Item[]} options.items  asked for whenever the menu opens
 * @param {AbortSignal} options.signal
 * @param {string} [options.text]  of the button
 * @returns {{node: HTMLElement, report: (text: string, failed?: boolean) => void}}
 */
export function createMenu({ label, items, signal, text = "⋯" }) {
	const button = element(
		"button",
		{ type: "button", class: "xw-menu-button", "aria-label": label, title: label, "aria-haspopup": "menu" },
		[text],
	);
	const list = element("div", { class: "xw-menu-list", role: "menu", "aria-label": label, popover: "auto" });
	const notice = element("div", { class: "xw-menu-notice", role: "status", hidden: true });
	const node = element("div", { class: "xw-menu" }, [button, list, notice]);
	let timer = 0;
	signal.addEventListener("abort", () => clearTimeout(timer));

	/** @param {string} words @param {boolean} [failed] */
	const report = (words, failed = false) => {
		setText(notice, words);
		notice.classList.toggle("xw-error", failed);
		notice.hidden = !words;
		clearTimeout(timer);
		timer = setTimeout(() => report(""), failed ? 3 * NOTICE : NOTICE);
		if (!words) clearTimeout(timer);
	};
	/** @param {Item} item */
	const run = async (item) => {
		list.hidePopover();
		button.focus();
		try {
			const words = await item.act();
			if (typeof words === "string") report(words);
		} catch (error) {
			report(`${item.text} failed: ${/** @type {Error} */ (error).message}`, true);
		}
	};
	const entries = () => /** @type {HTMLButtonElement[]} */ ([...list.children]);
	const place = () => {
		const rect = button.getBoundingClientRect();
		const size = list.getBoundingClientRect();
		const up = rect.bottom + size.height + 4 > innerHeight && rect.top > size.height;
		list.style.left = `${Math.max(4, Math.min(rect.right - size.width, innerWidth - size.width - 4))}px`;
		list.style.top = `${up ? rect.top - size.height - 2 : rect.bottom + 2}px`;
	};
	list.addEventListener(
		"toggle",
		(event) => {
			const open = /** @type {ToggleEvent} */ (event).newState === "open";
			button.setAttribute("aria-expanded", String(open));
			node.classList.toggle("xw-open", open);
		},
		{ signal },
	);
	const open = () => {
		list.replaceChildren(
			...items().map((item) => {
				const { disabled = false, tip = "" } = item;
				const entry = element(
					"button",
					{ type: "button", role: "menuitem", tabindex: -1, title: tip, disabled },
					[item.text],
				);
				entry.addEventListener("click", () => run(item));
				return entry;
			}),
		);
		list.showPopover();
		place();
		entries()
			.find(({ disabled }) => !disabled)
			?.focus();
	};
	let wasOpen = false;
	// The press closes an open menu before the click opens it again.
	button.addEventListener(
		"pointerdown",
		() => {
			wasOpen = list.matches(":popover-open");
		},
		{ signal },
	);
	button.addEventListener(
		"click",
		() => {
			if (!wasOpen) open();
			wasOpen = false;
		},
		{ signal },
	);
	button.addEventListener(
		"keydown",
		(event) => {
			if (event.key !== "ArrowDown") return;
			event.preventDefault();
			open();
		},
		{ signal },
	);
	list.addEventListener(
		"keydown",
		(event) => {
			const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
			if (event.key === "Tab" || event.key === "Escape") {
				list.hidePopover();
				button.focus();
				if (event.key === "Escape") event.preventDefault();
				return;
			}
			if (!step) return;
			event.preventDefault();
			const free = entries().filter(({ disabled }) => !disabled);
			const root = /** @type {Document | ShadowRoot} */ (list.getRootNode());
			const at = free.indexOf(/** @type {HTMLButtonElement} */ (root.activeElement));
			free[(at + step + free.length) % free.length]?.focus();
		},
		{ signal },
	);
	addEventListener("scroll", () => list.matches(":popover-open") && place(), {
		signal,
		capture: true,
		passive: true,
	});
	return { node, report };
}
