import "./field.css";
import { element, setText } from "./dom.js";
import { popup } from "./popup.js";

/** @typedef {{value: string, text: string, note?: string}} SelectOption  an option with a note is disabled */

/** Letters typed within this time, ms, are one word. */
const TYPING = 700;

let lists = 0;

/**
 * A button that shows one of several options and opens the list of them: arrows, Home and End move, letters search,
 * Enter and Space choose, Escape closes.
 *
 * @param {(value: string) => void} choose
 * @param {AbortSignal} signal
 */
export function createSelect(choose, signal) {
	const id = `xw-select-${++lists}-${Math.random().toString(36).slice(2, 8)}`;
	const text = element("span", { class: "xw-field-value" });
	const button = element(
		"button",
		{
			id,
			type: "button",
			class: "xw-field xw-opens",
			role: "combobox",
			"aria-haspopup": "listbox",
			"aria-expanded": "false",
			"aria-controls": `${id}-list`,
		},
		[text],
	);
	const list = element("ul", {
		id: `${id}-list`,
		class: "xw-popup xw-select",
		role: "listbox",
		popover: "manual",
	});
	/** @type {SelectOption[]} */
	let options = [];
	let value = "";
	let active = -1;
	let typed = "";
	let typedAt = 0;
	const { open: openList, close: closeList, isOpen } = popup(list, button, signal, { width: "content" });

	function fill() {
		list.replaceChildren(
			...options.map((option, at) =>
				element(
					"li",
					{
						id: `${id}-${at}`,
						role: "option",
						"aria-selected": String(option.value === value),
						"aria-disabled": option.note ? "true" : false,
					},
					[
						option.text,
						...(option.note ? [element("span", { class: "xw-option-remark" }, [option.note])] : []),
					],
				),
			),
		);
	}

	function open() {
		fill();
		openList();
		button.setAttribute("aria-expanded", "true");
		mark(options.findIndex((option) => option.value === value));
	}

	function close() {
		closeList();
		active = -1;
		button.setAttribute("aria-expanded", "false");
		button.removeAttribute("aria-activedescendant");
	}

	/** @param {number} at */
	function mark(at) {
		list.querySelector(".xw-active")?.classList.remove("xw-active");
		active = at;
		const row = list.children[at];
		if (!row) return;
		row.classList.add("xw-active");
		row.scrollIntoView({ block: "nearest" });
		button.setAttribute("aria-activedescendant", row.id);
	}

	/** The next option that is not disabled. @param {number} from @param {number} step */
	function step(from, step) {
		for (let at = from + step; at >= 0 && at < options.length; at += step) {
			if (!options[at].note) return at;
		}
		return active;
	}

	/** @param {number} at */
	function take(at) {
		const option = options[at];
		if (!option || option.note) return;
		close();
		if (option.value !== value) choose(option.value);
	}

	/** Marks the next option that begins with the letters typed. @param {string} letter */
	function search(letter) {
		const now = performance.now();
		typed = now - typedAt > TYPING ? letter : typed + letter;
		typedAt = now;
		// The same letter again goes on to the next option that begins with it.
		const word = [...typed].every((one) => one === typed[0]) ? typed[0] : typed;
		const from = word.length === 1 ? active + 1 : Math.max(active, 0);
		for (let at = 0; at < options.length; at++) {
			const index = (from + at) % options.length;
			if (!options[index].note && options[index].text.toLowerCase().startsWith(word)) return mark(index);
		}
	}

	/** @param {KeyboardEvent} event */
	function onKey(event) {
		const { key } = event;
		if (event.ctrlKey || event.metaKey || event.altKey) return;
		const letter = key.length === 1 && key !== " " ? key.toLowerCase() : "";
		if (!isOpen()) {
			if (!letter && !["ArrowDown", "ArrowUp", "Enter", " "].includes(key)) return;
			open();
			if (letter) search(letter);
		} else if (key === "ArrowDown") mark(step(active, 1));
		else if (key === "ArrowUp") mark(step(active, -1));
		else if (key === "Home") mark(step(-1, 1));
		else if (key === "End") mark(step(options.length, -1));
		else if (key === "Enter" || key === " ") take(active);
		else if (key === "Escape") close();
		else if (letter) search(letter);
		else return;
		event.preventDefault();
	}

	button.addEventListener("keydown", onKey, { signal });
	button.addEventListener("click", () => (isOpen() ? close() : open()), { signal });
	button.addEventListener("blur", close, { signal });
	// Keeps the focus on the button, so that leaving it closes the list.
	for (const type of ["pointerdown", "mousedown"]) {
		list.addEventListener(type, (event) => event.preventDefault(), { signal });
	}
	list.addEventListener(
		"click",
		(event) => {
			const row = /** @type {Element} */ (event.target).closest("[role=option]");
			if (row) take([...list.children].indexOf(row));
			// A label around the list would press the button.
			event.preventDefault();
		},
		{ signal },
	);
	return {
		button,
		list,
		/** @param {SelectOption[]} all @param {string} chosen */
		show(all, chosen) {
			options = all;
			value = chosen;
			setText(text, all.find((option) => option.value === chosen)?.text ?? chosen);
			if (isOpen()) {
				fill();
				mark(Math.min(active, options.length - 1));
			}
		},
	};
}
