import { element, setText } from "./dom.js";
import { readable } from "./format.js";
import { swatch } from "./swatch.js";

/**
 * The curves of one name.
 *
 * @typedef {import("./curves.js").Curve} Curve
 * @typedef {{name: string, frame: number, curves: Curve[], byMode: Map<string, Curve>, warning: string, between: number}} Group
 */

/** The modes in which a low area is good; in every other one a high area is. */
const LOW_IS_GOOD = ["deletion", "deleted", "MoRF"];
/** The default name of the numbers of a table. */
const AREA = "AUC";

/**
 * The actions of a table of curves.
 *
 * @typedef {object} Actions
 * @property {(frame: number, mode?: string) => void} activate
 * @property {(rows: number[], hidden: boolean) => void} hide
 * @property {(frame: number | null) => void} highlight
 * @property {(order: string) => void} sort
 */

/**
 * The curves by name.
 *
 * @param {Curve[]} curves
 * @returns {Group[]}
 */
export function groupsOf(curves) {
	/** @type {Map<string, Group>} */
	const groups = new Map();
	for (const curve of curves) {
		if (curve.absent) continue;
		const { name, frame, between } = curve;
		/** @type {Group} */
		const group = groups.get(name) ?? { name, frame, curves: [], byMode: new Map(), warning: "", between };
		groups.set(name, group);
		group.curves.push(curve);
		if (curve.mode) group.byMode.set(curve.mode, curve);
		if (curve.warning && !group.warning.includes(curve.warning))
			group.warning = [group.warning, curve.warning].filter(Boolean).join("; ");
	}
	return [...groups.values()];
}

/** The modes of the curves, in their order. @param {Curve[]} curves */
export function modesOf(curves) {
	return [...new Set(curves.filter(({ absent }) => !absent).map(({ mode }) => mode))].filter(Boolean);
}

/**
 * The groups by the area under the curve of a mode, or else by the number about all of their curves; those without one
 * are last.
 *
 * @param {Group[]} groups
 * @param {string} order  a mode, after "-" for the highest first; empty for the order that is given
 * @returns {Group[]}
 */
export function sorted(groups, order) {
	const mode = order.replace(/^-/, "");
	if (!mode) return groups;
	const sign = order.startsWith("-") ? -1 : 1;
	/** @param {Group} group */
	const key = ({ byMode, between }) => {
		const auc = byMode.has(mode) ? (byMode.get(mode)?.auc ?? Number.NaN) : between;
		return Number.isNaN(auc) ? Number.POSITIVE_INFINITY : sign * auc;
	};
	return [...groups].sort((a, b) => {
		const [left, right] = [key(a), key(b)];
		return left === right ? 0 : left - right;
	});
}

/**
 * The order after a click on the head of a mode: the best first, the worst first, the given order.
 *
 * @param {string} order
 * @param {string} mode
 */
export function nextOrder(order, mode) {
	const best = LOW_IS_GOOD.includes(mode) ? mode : `-${mode}`;
	const worst = LOW_IS_GOOD.includes(mode) ? `-${mode}` : mode;
	if (order === best) return worst;
	return order === worst ? "" : best;
}

/**
 * A legend with one row for all curves of a name: a check box to hide them, the name to make them active, the area under
 * each, and the value of the active mode at the cursor. Rows are changed in place, so that the focus stays while curves
 * grow.
 */
export class CurveTable {
	#modes = /** @type {string[]} */ ([]);
	#heads = element("tr");
	#body = element("tbody");
	#rows = /** @type {Map<string, Row>} */ (new Map());
	#groups = /** @type {Group[]} */ ([]);
	#between = "";
	#actions;
	element = element("div", { class: "xw-curve-table", hidden: true }, [
		element("table", { "aria-label": "curves" }, [element("thead", {}, [this.#heads]), this.#body]),
	]);

	/** @param {Actions} actions */
	constructor(actions) {
		this.#actions = actions;
	}

	/**
	 * @param {Curve[]} curves
	 * @param {string} order  see `sorted`
	 * @param {string} mode  the active one
	 * @param {{area?: string, between?: string}} [words]  the names of the numbers
	 */
	draw(curves, order, mode, { area = AREA, between = "" } = {}) {
		this.#groups = groupsOf(curves);
		this.#between = this.#groups.some((group) => !Number.isNaN(group.between)) ? between : "";
		this.#drawHeads(modesOf(curves), order, mode, area || AREA);
		const names = new Set(this.#groups.map(({ name }) => name));
		for (const [name, row] of this.#rows) {
			if (names.has(name)) continue;
			row.element.remove();
			this.#rows.delete(name);
		}
		for (const [index, group] of sorted(this.#groups, order).entries()) {
			let row = this.#rows.get(group.name);
			if (!row) {
				row = new Row(this.#actions);
				this.#rows.set(group.name, row);
			}
			if (this.#body.children[index] !== row.element) this.#put(row.element, index);
			row.draw(group, this.#modes, mode, this.#between, area || AREA);
		}
		this.element.hidden = this.#groups.length === 0;
	}

	/** The values at the cursor. @param {Curve[]} _curves @param {number} step  index on x, -1 for none */
	read(_curves, step) {
		for (const group of this.#groups) this.#rows.get(group.name)?.read(group, step);
	}

	/** Marks the row of a frame. @param {number | null} frame */
	highlight(frame) {
		for (const group of this.#groups) {
			this.#rows.get(group.name)?.element.classList.toggle("xw-highlighted", group.frame === frame);
		}
	}

	/** Moves a row; the focus within it stays. @param {HTMLElement} row @param {number} index */
	#put(row, index) {
		const root = /** @type {Document | ShadowRoot} */ (row.getRootNode());
		const focused = row.contains(root.activeElement ?? null) ? root.activeElement : null;
		this.#body.insertBefore(row, this.#body.children[index] ?? null);
		if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
	}

	/** @param {string[]} modes @param {string} order @param {string} active @param {string} area */
	#drawHeads(modes, order, active, area) {
		const columns = [...modes, ...(this.#between ? [this.#between] : [])];
		const drawn = String([area, ...columns]);
		if (drawn !== this.#heads.dataset.columns) {
			this.#heads.dataset.columns = drawn;
			this.#modes = modes;
			const heads = columns.map((mode) => this.#head(mode, area, modes.includes(mode)));
			this.#heads.replaceChildren(
				element("th", { scope: "col", class: "xw-name-head" }, [
					element("span", {}, ["Method"]),
					element("span", area === AREA ? { title: "area under the curve" } : {}, [`${area}:`]),
				]),
				...heads,
				element("th", { scope: "col", class: "xw-value-head", title: "the score at the cursor" }, [
					"at cursor",
				]),
			);
		}
		for (const [index, mode] of columns.entries()) {
			const head = /** @type {HTMLElement} */ (this.#heads.children[index + 1]);
			const sort = order === mode ? "ascending" : order === `-${mode}` ? "descending" : "none";
			head.setAttribute("aria-sort", sort);
			head.classList.toggle("xw-active-mode", mode === active);
			head.classList.toggle(
				"xw-idle-mode",
				mode !== active && modes.includes(mode) && modes.includes(active),
			);
		}
	}

	/** @param {string} mode @param {string} area @param {boolean} drawn  whether it is a curve */
	#head(mode, area, drawn) {
		const good = LOW_IS_GOOD.includes(mode) ? "low" : "high";
		const sample = swatch();
		sample.draw({ color: "currentColor", dashed: LOW_IS_GOOD.includes(mode), active: false, marker: "" });
		const about = area === AREA ? `Area under the ${mode} curve` : `${area}, ${mode}`;
		const button = element(
			"button",
			{
				type: "button",
				title: `${drawn ? about : mode}: ${good} is good. Click to sort.`,
				"aria-label": drawn ? `${area} ${mode}` : mode,
			},
			[
				...(drawn ? [sample.element] : []),
				element("span", {}, [mode]),
				element("span", { class: "xw-sort" }),
			],
		);
		button.addEventListener("click", () => this.#actions.sort(mode));
		return element("th", { scope: "col" }, [button]);
	}
}

class Row {
	#box = element("input", { type: "checkbox" });
	#swatch = swatch();
	#label = element("span", { class: "xw-legend-label" });
	#name = element("button", { type: "button", class: "xw-legend-name" }, [this.#swatch.element, this.#label]);
	#warning = element("span", { class: "xw-legend-warning", role: "img", tabindex: 0, hidden: true });
	#areas = /** @type {Map<string, HTMLButtonElement>} */ (new Map());
	#between = element("td", { class: "xw-legend-between" });
	#value = element("td", { class: "xw-legend-value" });
	#group = /** @type {Group | null} */ (null);
	#mode = "";
	#actions;
	element = element("tr", {}, [
		element("th", { scope: "row" }, [
			element("span", { class: "xw-legend-cell" }, [this.#box, this.#name, this.#warning]),
		]),
		this.#value,
	]);

	/** Its listeners live as long as its elements. @param {Actions} actions */
	constructor(actions) {
		this.#actions = actions;
		this.#name.addEventListener("click", () => this.#group && actions.activate(this.#group.frame));
		this.#box.addEventListener("change", () => {
			if (this.#group) {
				actions.hide(
					this.#group.curves.map(({ row }) => row),
					!this.#box.checked,
				);
			}
		});
		this.element.addEventListener("pointerenter", () => actions.highlight(this.#group?.frame ?? null));
		this.element.addEventListener("pointerleave", () => actions.highlight(null));
	}

	/**
	 * @param {Group} group
	 * @param {string[]} modes
	 * @param {string} mode  the active one
	 * @param {string} between  the name of the number about all curves; empty without one
	 * @param {string} area  the name of the numbers about each curve
	 */
	draw(group, modes, mode, between, area) {
		this.#group = group;
		this.#mode = mode;
		const { name, curves, byMode, warning } = group;
		const active = curves.some((curve) => curve.active);
		const hidden = curves.every((curve) => curve.hidden);
		const drawn = byMode.size > 0;
		setText(this.#label, name);
		this.#box.checked = !hidden;
		this.#box.disabled = !drawn;
		this.#box.setAttribute("aria-label", `show ${name}`);
		this.#box.title = `Show or hide the curves of ${name}`;
		this.#name.setAttribute("aria-pressed", String(active));
		this.#name.disabled = !drawn;
		this.#name.title = name;
		this.#warning.hidden = !warning;
		this.#warning.title = warning;
		this.#warning.setAttribute("aria-label", warning);
		this.element.classList.toggle("xw-hidden-curve", hidden || !drawn);
		this.element.classList.toggle("xw-active-curve", active);
		this.#swatch.draw({ ...curves[0], dashed: false, active });
		this.#drawAreas(modes, area);
		if (!between) this.#between.remove();
		else if (!this.#between.isConnected) this.#value.before(this.#between);
		setText(this.#between, Number.isNaN(group.between) ? "—" : readable(group.between));
	}

	/** @param {Group} group @param {number} step */
	read(group, step) {
		setText(this.#value, readable(group.byMode.get(this.#mode)?.values[step]));
	}

	/** @param {string[]} modes @param {string} area */
	#drawAreas(modes, area) {
		for (const [mode, button] of this.#areas) {
			if (modes.includes(mode)) continue;
			button.parentElement?.remove();
			this.#areas.delete(mode);
		}
		for (const mode of modes) {
			const curve = this.#group?.byMode.get(mode);
			let button = this.#areas.get(mode);
			if (!button) {
				button = element("button", { type: "button", class: "xw-legend-area" });
				button.addEventListener("click", () => {
					if (this.#group) this.#actions.activate(this.#group.frame, mode);
				});
				this.#areas.set(mode, button);
				(this.#between.isConnected ? this.#between : this.#value).before(element("td", {}, [button]));
			}
			const known = curve && !Number.isNaN(curve.auc);
			setText(button, known ? readable(curve.auc) : curve?.computed ? "…" : "—");
			button.parentElement?.classList.toggle(
				"xw-idle-mode",
				mode !== this.#mode && modes.includes(this.#mode),
			);
			button.disabled = !curve;
			button.setAttribute("aria-pressed", String(Boolean(curve?.active)));
			button.setAttribute("aria-label", `${this.#group?.name}, ${mode}: ${area} ${button.textContent}`);
			button.title = [curve?.note, `Make the ${mode} curve of ${this.#group?.name} the active one`]
				.filter(Boolean)
				.join(". ");
		}
	}
}
