import "./lib/theme.css";
import "./lib/field.css";
import "./class_picker.css";
import { element, setText } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { readable } from "./lib/format.js";
import { keptUnlessAnswered } from "./lib/kernel.js";
import { closest, search } from "./lib/labels.js";
import { popup } from "./lib/popup.js";

/** @typedef {import("./lib/labels.js").Option} Option */

/** More options than this are not listed: nobody reads them, and typing narrows them. */
const LISTED = 100;
/** Most probable classes that stand apart at the top of an empty search. */
const TOP = 5;

let pickers = 0;

export default view("xw-class-picker", (figure) => {
	const { model, title, refresh, signal } = figure;
	const take = keptUnlessAnswered(figure, "target", refresh);
	const id = `xw-class-${++pickers}-${Math.random().toString(36).slice(2, 8)}`;
	const input = element("input", {
		id: `${id}-input`,
		type: "text",
		role: "combobox",
		autocomplete: "off",
		spellcheck: "false",
		"aria-autocomplete": "list",
		"aria-expanded": "false",
		"aria-controls": `${id}-list`,
		placeholder: "type to search",
	});
	const [number, share] = [element("span", { class: "xw-class-number" }), element("span")];
	const chosen = element("span", { class: "xw-class-chosen xw-muted" }, [number, share]);
	const list = element("ul", {
		id: `${id}-list`,
		class: "xw-popup xw-options",
		role: "listbox",
		popover: "manual",
	});
	const hint = element("div", { class: "xw-class-hint", role: "status" });
	const field = element("div", { class: "xw-field xw-class-field" }, [input, chosen]);
	/** @type {Option[]} */
	let options = [];
	let active = -1;
	/** Whether the text is a search, not the name of the chosen class. */
	let typed = false;
	const { isOpen, open: openList, close: closeList } = popup(list, field, signal);

	function startSearch() {
		typed = true;
		say("");
		open();
	}

	function open() {
		active = -1;
		openList();
		input.setAttribute("aria-expanded", "true");
		fill();
	}

	function close() {
		closeList();
		active = -1;
		input.setAttribute("aria-expanded", "false");
		input.removeAttribute("aria-activedescendant");
	}

	function fill() {
		const query = typed ? input.value : "";
		const target = model.get("target");
		options = search(model.get("labels"), query, model.get("probabilities"));
		const shown = options.slice(0, LISTED);
		const apart = !query.trim() && shown.length > TOP && shown[0].hint !== null;
		list.replaceChildren(
			...shown.map((option, at) => optionRow(option, `${id}-${at}`, option.index === target)),
		);
		if (apart) list.children[TOP - 1].classList.add("xw-option-last");
		const more = options.length - shown.length;
		const note = more > 0 ? `and ${more} more: type to narrow` : "no class matches";
		if (more > 0 || shown.length === 0) {
			list.append(element("li", { class: "xw-muted xw-option-note", role: "presentation" }, [note]));
		}
		options = shown;
		// The option that Enter would take is always marked.
		mark(query.trim() && shown.length > 0 ? 0 : Math.min(active, shown.length - 1));
	}

	/** @param {number} at  index among the options, -1 for none */
	function mark(at) {
		list.querySelector(".xw-active")?.classList.remove("xw-active");
		active = at;
		if (at < 0) {
			input.removeAttribute("aria-activedescendant");
			return;
		}
		const row = list.children[at];
		row.classList.add("xw-active");
		row.scrollIntoView({ block: "nearest" });
		input.setAttribute("aria-activedescendant", row.id);
	}

	/** @param {KeyboardEvent} event */
	function onKey(event) {
		if (event.ctrlKey || event.metaKey || event.altKey) return;
		const last = options.length - 1;
		if (event.key === "ArrowDown" || event.key === "ArrowUp") {
			if (!isOpen()) open();
			else if (event.key === "ArrowDown") mark(active >= last ? 0 : active + 1);
			else mark(active <= 0 ? last : active - 1);
		} else if (event.key === "Enter") {
			const option = isOpen() ? options[active] : undefined;
			if (option) choose(option.index);
			else leave();
		} else if (event.key === "Escape" && (isOpen() || typed)) {
			typed = false;
			close();
			refresh();
		} else return;
		event.preventDefault();
	}

	/** @param {MouseEvent} event */
	function pick(event) {
		const row = /** @type {Element} */ (event.target).closest("[role=option]");
		if (row) choose(options[[...list.children].indexOf(row)].index);
	}

	/** @param {number} index */
	function choose(index) {
		typed = false;
		say("");
		close();
		take(index);
		refresh();
	}

	/** The text in the field counts if it names a class; otherwise the old one stays. */
	function leave() {
		const text = input.value.trim();
		const labels = model.get("labels");
		if (typed && text) {
			const exact = labels.findIndex((/** @type {string} */ one) => one.toLowerCase() === text.toLowerCase());
			if (exact >= 0) {
				choose(exact);
				return;
			}
			say(`No class is named “${text}”.`, closest(labels, text));
		}
		typed = false;
		close();
		refresh();
	}

	/** @param {string} text @param {number} [nearest]  a class to offer instead, -1 for none */
	function say(text, nearest = -1) {
		hint.textContent = text;
		if (nearest < 0) return;
		const offer = element("button", { type: "button" }, [model.get("labels")[nearest]]);
		offer.addEventListener("click", () => choose(nearest));
		hint.append(" Did you mean ", offer, "?");
	}

	input.addEventListener("input", startSearch, { signal });
	input.addEventListener("keydown", onKey, { signal });
	input.addEventListener("click", open, { signal });
	input.addEventListener("focus", () => input.select(), { signal });
	input.addEventListener("blur", leave, { signal });
	// Keeps the focus in the field, so that leaving it means leaving.
	for (const type of ["pointerdown", "mousedown"]) {
		list.addEventListener(type, (event) => event.preventDefault(), { signal });
	}
	list.addEventListener("click", pick, { signal });
	return {
		head: element("label", { for: `${id}-input` }, [title]),
		content: [element("div", { class: "xw-class-main" }, [field, list, hint])],
		label: "class",
		traits: ["labels", "target", "probabilities", "help"],
		refresh() {
			const target = model.get("target");
			const own = model.get("probabilities")[target];
			input.setAttribute("aria-label", model.get("title") || "class");
			input.title = model.get("help") ?? "";
			const known = own !== undefined && own !== null;
			setText(number, `#${target}${known ? " · " : ""}`);
			setText(share, known ? readable(own) : "");
			chosen.title = `class ${target}${known ? `: ${readable(own)}` : ""}`;
			if (!typed) input.value = model.get("labels")[target] ?? `class ${target}`;
			if (isOpen()) fill();
		},
	};
});

/**
 * @param {Option} option
 * @param {string} id
 * @param {boolean} selected
 */
function optionRow({ index, label, hint }, id, selected) {
	const row = element("li", { id, role: "option", "aria-selected": String(selected) }, [
		element("span", { class: "xw-option-index xw-muted" }, [String(index)]),
		element("span", { class: "xw-option-label" }, [label]),
	]);
	if (hint !== null) row.append(element("span", { class: "xw-option-hint" }, [readable(hint)]));
	return row;
}
