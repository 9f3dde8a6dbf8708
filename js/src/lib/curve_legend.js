import { element, setText } from "./dom.js";
import { readable } from "./format.js";
import { swatch } from "./swatch.js";

/** @typedef {import("./curves.js").Curve} Curve */

/** Labels of fewer characters need narrow columns only. */
const SHORT = 10;

/**
 * The entries of a legend: a check box to hide the curve, its name to make it active, its note, its value at
 * the cursor. Entries are changed in place, so that the focus stays while curves grow.
 */
export class CurveLegend {
	element = element("ul", { class: "xw-legend", "aria-label": "curves" });
	/** @type {Entry[]} */
	#entries = [];
	#activate;
	#hide;

	/**
	 * @param {(row: number) => void} activate
	 * @param {(row: number, hidden: boolean) => void} hide
	 */
	constructor(activate, hide) {
		this.#activate = activate;
		this.#hide = hide;
	}

	/** @param {Curve[]} curves */
	draw(curves) {
		const listed = curves.filter(({ absent }) => !absent);
		for (const entry of this.#entries.splice(listed.length)) entry.element.remove();
		while (this.#entries.length < listed.length) {
			const entry = new Entry(this.#activate, this.#hide);
			this.#entries.push(entry);
			this.element.append(entry.element);
		}
		for (const [index, entry] of this.#entries.entries()) entry.draw(listed[index]);
		this.element.hidden = listed.length === 0;
		const short = listed.every(({ label, note }) => !note && label.length < SHORT);
		this.element.classList.toggle("xw-short", short);
	}

	/**
	 * @param {Curve[]} curves
	 * @param {number} step  index on x, -1 for none
	 */
	read(curves, step) {
		for (const entry of this.#entries) {
			entry.value.textContent = readable(curves[entry.row]?.values[step]);
		}
	}
}

class Entry {
	/** Index of its curve. */
	row = 0;
	value = element("span", { class: "xw-legend-value" });
	#box = element("input", { type: "checkbox", title: "Show or hide this curve" });
	#swatch = swatch();
	#label = element("span", { class: "xw-legend-label" });
	#note = element("span", { class: "xw-legend-note xw-muted" });
	#name = element("button", { type: "button", class: "xw-legend-name" }, [
		this.#swatch.element,
		element("span", { class: "xw-legend-text" }, [this.#label, this.#note]),
	]);
	element = element("li", {}, [this.#box, this.#name, this.value]);

	/**
	 * Its listeners live as long as its elements.
	 *
	 * @param {(row: number) => void} activate
	 * @param {(row: number, hidden: boolean) => void} hide
	 */
	constructor(activate, hide) {
		this.#name.addEventListener("click", () => activate(this.row));
		this.#box.addEventListener("change", () => hide(this.row, !this.#box.checked));
	}

	/** @param {Curve} curve */
	draw(curve) {
		this.row = curve.row;
		const name = curve.label;
		setText(this.#label, name);
		setText(this.#note, curve.note);
		this.#box.checked = !curve.hidden;
		this.#box.setAttribute("aria-label", `show ${name}`);
		this.#name.setAttribute("aria-pressed", String(curve.active));
		this.#name.title = curve.note ? `${name}, ${curve.note}` : name;
		this.element.classList.toggle("xw-hidden-curve", curve.hidden);
		this.#swatch.draw(curve);
	}
}
