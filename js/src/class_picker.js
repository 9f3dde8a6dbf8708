import { widget } from "./lib/widget.js";
import "./lib/theme.css";
import "./class_picker.css";
import { element } from "./lib/dom.js";
import { readable } from "./lib/format.js";
import { keepKeys } from "./lib/keys.js";
import { closest, search } from "./lib/labels.js";
import { popup } from "./lib/popup.js";
import { observe, onFrame, update } from "./lib/state.js";

/** @typedef {import("@anywidget/types").AnyModel} AnyModel */
/** @typedef {import("./lib/labels.js").Option} Option */

/** More options than this are not listed: nobody reads them, and typing narrows them. */
const LISTED = 100;

let pickers = 0;

class View {
	#id = `xw-class-${++pickers}-${Math.random().toString(36).slice(2, 8)}`;
	#title = element("label", { class: "xw-title", for: `${this.#id}-input` });
	#input = element("input", {
		id: `${this.#id}-input`,
		type: "text",
		role: "combobox",
		autocomplete: "off",
		spellcheck: "false",
		"aria-autocomplete": "list",
		"aria-expanded": "false",
		"aria-controls": `${this.#id}-list`,
		placeholder: "type to search",
	});
	#chosen = element("span", { class: "xw-class-chosen xw-muted" });
	#list = element("ul", { id: `${this.#id}-list`, class: "xw-options", role: "listbox", popover: "manual" });
	#hint = element("div", { class: "xw-class-hint", role: "status" });
	#field = element("div", { class: "xw-class-field" }, [this.#input, this.#chosen]);
	root = element("div", { class: "xw xw-class-picker", role: "group" }, [
		this.#title,
		element("div", { class: "xw-class-main" }, [this.#field, this.#list, this.#hint]),
	]);
	/** @type {Option[]} */
	#options = [];
	#active = -1;
	/** Whether the text is a search, not the name of the chosen class. */
	#typed = false;
	#model;
	#popup;

	/** @param {AnyModel} model @param {AbortSignal} signal */
	constructor(model, signal) {
		this.#model = model;
		this.#popup = popup(this.#list, this.#field, signal);
		this.draw = onFrame(() => this.#draw(), signal);
		this.#input.addEventListener("input", () => this.#search(), { signal });
		this.#input.addEventListener("keydown", (event) => this.#key(event), { signal });
		this.#input.addEventListener("click", () => this.#open(), { signal });
		this.#input.addEventListener("focus", () => this.#input.select(), { signal });
		this.#input.addEventListener("blur", () => this.#leave(), { signal });
		// Keeps the focus in the field, so that leaving it means leaving.
		this.#list.addEventListener("pointerdown", (event) => event.preventDefault(), { signal });
		this.#list.addEventListener("mousedown", (event) => event.preventDefault(), { signal });
		this.#list.addEventListener("click", (event) => this.#pick(event), { signal });
		signal.addEventListener("abort", () => this.#popup.close());
	}

	/** @returns {string} */
	get #current() {
		const target = this.#model.get("target");
		return this.#model.get("labels")[target] ?? `class ${target}`;
	}

	#draw() {
		const model = this.#model;
		const title = model.get("title");
		const width = model.get("width");
		const target = model.get("target");
		const hint = model.get("hints")[target];
		this.#title.textContent = title;
		this.#title.hidden = !title;
		this.root.setAttribute("aria-label", title || "class");
		this.#input.setAttribute("aria-label", title || "class");
		this.root.style.maxWidth = width ? `${width}px` : "";
		this.#chosen.textContent = `#${target}${hint === undefined || hint === null ? "" : ` · ${readable(hint)}`}`;
		if (!this.#typed) this.#input.value = this.#current;
		if (this.#popup.isOpen) this.#fill();
	}

	#search() {
		this.#typed = true;
		this.#say("");
		this.#open();
	}

	#open() {
		this.#active = -1;
		this.#popup.open();
		this.#input.setAttribute("aria-expanded", "true");
		this.#fill();
	}

	#close() {
		this.#popup.close();
		this.#active = -1;
		this.#input.setAttribute("aria-expanded", "false");
		this.#input.removeAttribute("aria-activedescendant");
	}

	#fill() {
		const query = this.#typed ? this.#input.value : "";
		const target = this.#model.get("target");
		this.#options = search(this.#model.get("labels"), query, this.#model.get("hints"));
		const shown = this.#options.slice(0, LISTED);
		this.#list.replaceChildren(
			...shown.map((option, at) => optionRow(option, `${this.#id}-${at}`, option.index === target)),
		);
		const more = this.#options.length - shown.length;
		const note = more > 0 ? `and ${more} more: type to narrow` : "no class has this in its name";
		if (more > 0 || shown.length === 0) {
			this.#list.append(element("li", { class: "xw-muted xw-option-note", role: "presentation" }, [note]));
		}
		this.#options = shown;
		// What Enter would take is always marked.
		this.#mark(query.trim() && shown.length > 0 ? 0 : Math.min(this.#active, shown.length - 1));
	}

	/** @param {number} at  index among the options, -1 for none */
	#mark(at) {
		this.#list.querySelector(".xw-active")?.classList.remove("xw-active");
		this.#active = at;
		if (at < 0) {
			this.#input.removeAttribute("aria-activedescendant");
			return;
		}
		const row = this.#list.children[at];
		row.classList.add("xw-active");
		row.scrollIntoView({ block: "nearest" });
		this.#input.setAttribute("aria-activedescendant", row.id);
	}

	/** @param {KeyboardEvent} event */
	#key(event) {
		if (event.ctrlKey || event.metaKey || event.altKey) return;
		const last = this.#options.length - 1;
		if (event.key === "ArrowDown" || event.key === "ArrowUp") {
			if (!this.#popup.isOpen) this.#open();
			else if (event.key === "ArrowDown") this.#mark(this.#active >= last ? 0 : this.#active + 1);
			else this.#mark(this.#active <= 0 ? last : this.#active - 1);
		} else if (event.key === "Enter") {
			const option = this.#popup.isOpen ? this.#options[this.#active] : undefined;
			if (option) this.#choose(option.index);
			else this.#leave();
		} else if (event.key === "Escape" && (this.#popup.isOpen || this.#typed)) {
			this.#typed = false;
			this.#close();
			this.draw();
		} else return;
		event.preventDefault();
	}

	/** @param {MouseEvent} event */
	#pick(event) {
		const row = /** @type {Element} */ (event.target).closest("[role=option]");
		if (row) this.#choose(this.#options[[...this.#list.children].indexOf(row)].index);
	}

	/** @param {number} index */
	#choose(index) {
		this.#typed = false;
		this.#say("");
		this.#close();
		update(this.#model, { target: index });
		this.draw();
	}

	/** What stands in the field counts if it names a class; otherwise the old one stays. */
	#leave() {
		const text = this.#input.value.trim();
		const labels = this.#model.get("labels");
		if (this.#typed && text) {
			const exact = labels.findIndex((/** @type {string} */ one) => one.toLowerCase() === text.toLowerCase());
			if (exact >= 0) {
				this.#choose(exact);
				return;
			}
			this.#say(`No class is named “${text}”.`, closest(labels, text));
		}
		this.#typed = false;
		this.#close();
		this.draw();
	}

	/** @param {string} text @param {number} [nearest]  a class to offer instead, -1 for none */
	#say(text, nearest = -1) {
		this.#hint.textContent = text;
		if (nearest < 0) return;
		const take = element("button", { type: "button" }, [this.#model.get("labels")[nearest]]);
		take.addEventListener("click", () => this.#choose(nearest));
		this.#hint.append(" Did you mean ", take, "?");
	}
}

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

/** @param {{model: AnyModel, el: HTMLElement}} context @returns {() => void} */
function render({ model, el }) {
	const controller = new AbortController();
	const { signal } = controller;
	const view = new View(model, signal);
	el.append(view.root);
	observe(model, ["labels", "target", "hints", "title", "width"], view.draw, signal);
	keepKeys(view.root, signal);
	view.draw();
	return () => {
		controller.abort();
		view.root.remove();
	};
}

export default widget(render);
