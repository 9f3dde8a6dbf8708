import "./lib/theme.css";
import "./lib/field.css";
import "./method_picker.css";
import { element, setText } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { keptUnlessAnswered } from "./lib/kernel.js";
import { search } from "./lib/labels.js";
import { lookOf } from "./lib/palette.js";
import { panelOf } from "./lib/popup.js";
import { observe, update } from "./lib/state.js";
import { swatch } from "./lib/swatch.js";

/**
 * @typedef {{
 *   name: string,
 *   label: string,
 *   look: number | undefined,
 *   family: string,
 *   sentence: string,
 *   cost: string,
 *   note: string,
 *   reason: string,
 *   card: Record<string, string>,
 * }} Method  `look` is the index of its look in the curves, `reason` is why it cannot be chosen, `note` a remark such as an error, `card` its facts by their names
 */

/** The heading of methods that cannot be chosen, at the end of the list. */
const UNAVAILABLE = "Not for this network";

let pickers = 0;

export default view("xw-method-picker", (figure) => {
	const { model, root, title, signal } = figure;
	const choose = keptUnlessAnswered(figure, "selected");
	const id = `xw-methods-${++pickers}-${Math.random().toString(36).slice(2, 8)}`;
	const count = element("span", { class: "xw-field-value" });
	const button = element(
		"button",
		{ type: "button", class: "xw-field xw-opens", "aria-haspopup": "dialog", "aria-controls": `${id}-panel` },
		[title, count],
	);
	const input = element("input", {
		type: "text",
		role: "combobox",
		autocomplete: "off",
		spellcheck: "false",
		placeholder: "type to search",
		title: "Type to search; arrows move, Enter or the space bar selects, → opens the card",
		"aria-label": "search",
		"aria-autocomplete": "list",
		"aria-expanded": "true",
		"aria-controls": `${id}-list`,
	});
	const list = element("div", {
		id: `${id}-list`,
		class: "xw-method-list",
		role: "listbox",
		"aria-label": "methods",
		"aria-multiselectable": "true",
	});
	const panel = element(
		"div",
		{ id: `${id}-panel`, class: "xw-popup xw-method-panel", role: "dialog", popover: "manual" },
		[input, list],
	);
	const card = createCard(figure, panel, () => {
		input.focus();
		mark(active);
	});
	/** @type {{method: Method, node: HTMLElement}[]} */
	let rows = [];
	let active = -1;
	/** Whether the option was marked by an arrow: then the space bar chooses it, otherwise it is typed. */
	let walked = false;
	let drawn = "";
	const { isOpen } = panelOf(panel, button, root, signal, {
		width: 460,
		height: 440,
		opened() {
			input.value = "";
			card.close();
			if (!model.get("_opened")) update(model, { _opened: true });
			fill();
			input.focus();
		},
	});

	/** @returns {Method[]} */
	function methods() {
		const of = (/** @type {string} */ trait, /** @type {string} */ name) => model.get(trait)?.[name] ?? "";
		return model.get("options").map((/** @type {string} */ name) => ({
			name,
			label: of("labels", name) || name,
			look: model.get("looks")?.[name],
			family: of("families", name),
			sentence: of("sentences", name),
			cost: of("costs", name),
			note: of("notes", name),
			reason: of("reasons", name),
			card: model.get("cards")?.[name] ?? {},
		}));
	}

	/** The methods that the search finds, in groups with a heading. @returns {[string, Method[]][]} */
	function groups() {
		const all = methods();
		const query = input.value.trim();
		const found = query
			? search(
					all.map(({ label }) => label),
					query,
					[],
				).map(({ index }) => all[index])
			: all;
		// In the order of the families, which may differ from that of the options.
		const made = new Map(
			query
				? []
				: Object.values(model.get("families") ?? {}).map((family) => [family, /** @type {Method[]} */ ([])]),
		);
		for (const method of found.filter(({ reason }) => !reason)) {
			const family = query ? "" : method.family;
			made.set(family, [...(made.get(family) ?? []), method]);
		}
		const without = found.filter(({ reason }) => reason);
		return [
			...[...made].filter(([, members]) => members.length),
			...(without.length ? [/** @type {[string, Method[]]} */ ([UNAVAILABLE, without])] : []),
		];
	}

	function fill() {
		rows = [];
		const parts = groups().map(([family, members], group) => {
			const nodes = members.map((method) => {
				const node = methodRow(method, `${id}-${rows.length}`);
				rows.push({ method, node });
				return node;
			});
			if (!family) return element("div", {}, nodes);
			const heading = element("div", { id: `${id}-group-${group}`, class: "xw-method-family" }, [family]);
			return element("div", { role: "group", "aria-labelledby": heading.id }, [heading, ...nodes]);
		});
		const none = model.get("options").length ? "no method matches" : "nothing to choose from";
		list.replaceChildren(
			...(rows.length ? parts : [element("div", { class: "xw-muted", role: "option" }, [none])]),
		);
		list.scrollTop = 0;
		check();
		walked = false;
		mark(input.value.trim() && rows.length ? 0 : -1);
	}

	/** Shows which methods are selected. */
	function check() {
		const selected = new Set(model.get("selected"));
		for (const { method, node } of rows)
			node.setAttribute("aria-selected", String(selected.has(method.name)));
	}

	/** @param {number} at  index among the rows, -1 for none */
	function mark(at) {
		rows[active]?.node.classList.remove("xw-active");
		active = at;
		const node = rows[at]?.node;
		if (!node) {
			input.removeAttribute("aria-activedescendant");
			return;
		}
		node.classList.add("xw-active");
		node.scrollIntoView({ block: "nearest" });
		input.setAttribute("aria-activedescendant", node.id);
	}

	/** @param {Method | undefined} method */
	function toggle(method) {
		const selected = new Set(model.get("selected"));
		// Python may have selected one that cannot be chosen here: it can be taken back.
		if (!method || (method.reason && !selected.has(method.name))) return;
		if (!selected.delete(method.name)) selected.add(method.name);
		const inOrder = model.get("options").filter((/** @type {string} */ name) => selected.has(name));
		choose(inOrder);
	}

	/** @param {KeyboardEvent} event */
	function onKey(event) {
		if (event.ctrlKey || event.metaKey || event.altKey) return;
		const last = rows.length - 1;
		if (event.key === "ArrowDown" || event.key === "ArrowUp") {
			if (event.key === "ArrowDown") mark(active >= last ? 0 : active + 1);
			else mark(active <= 0 ? last : active - 1);
			walked = true;
		} else if (event.key === "ArrowRight" && walked && rows[active]) {
			card.open(rows[active].method);
		} else if (event.key === "Enter" || (event.key === " " && (walked || !input.value))) {
			toggle(rows[active]?.method);
		} else return;
		event.preventDefault();
	}

	input.addEventListener("input", fill, { signal });
	input.addEventListener("keydown", onKey, { signal });
	for (const type of ["pointerdown", "mousedown"]) {
		list.addEventListener(type, (event) => event.preventDefault(), { signal });
	}
	list.addEventListener(
		"click",
		(event) => {
			const node = /** @type {Element} */ (event.target).closest("[role=option]");
			const at = rows.findIndex((row) => row.node === node);
			if (at < 0) return;
			mark(at);
			if (/** @type {Element} */ (event.target).matches(".xw-method-info")) card.open(rows[at].method);
			else toggle(rows[at].method);
			walked = true;
		},
		{ signal },
	);
	return {
		head: button,
		content: [panel],
		label: "methods",
		traits: [
			"options",
			"labels",
			"selected",
			"looks",
			"notes",
			"families",
			"sentences",
			"costs",
			"reasons",
			"help",
		],
		refresh() {
			const reasons = model.get("reasons") ?? {};
			const selected = new Set(model.get("selected"));
			// A method that was chosen by Python counts even if it cannot run.
			const offered = model
				.get("options")
				.filter((/** @type {string} */ name) => !reasons[name] || selected.has(name));
			setText(count, `${model.get("selected").length} of ${offered.length}`);
			panel.setAttribute("aria-label", model.get("title") || "methods");
			button.title = model.get("help") ?? "";
			const now = JSON.stringify(methods());
			if (now !== drawn && isOpen()) fill();
			else check();
			drawn = now;
		},
	};
});

/**
 * @param {Method} method
 * @param {string} id
 */
function methodRow({ label, look, sentence, cost, note, reason, card }, id) {
	const remark = reason || note || sentence;
	const sample = look === undefined ? null : swatch();
	if (look !== undefined) sample?.draw({ ...lookOf(look), active: true, dashed: false });
	const row = element(
		"div",
		{ id, role: "option", class: "xw-method", "aria-disabled": reason ? "true" : false },
		[
			element("span", { class: "xw-method-check" }),
			element("span", { class: "xw-method-label" }, sample ? [label, sample.element] : [label]),
			element("span", { class: "xw-method-cost xw-muted", title: cost }, [cost]),
			// For the pointer; the right arrow key opens the card, too.
			...(Object.keys(card).length
				? [
						element("span", { class: "xw-method-info", title: "About this method", "aria-hidden": "true" }, [
							"i",
						]),
					]
				: []),
			element("span", { class: "xw-method-remark xw-muted", title: remark }, [remark]),
		],
	);
	row.classList.toggle("xw-method-noted", Boolean(note && !reason));
	return row;
}

/**
 * The card of a method, in place of the list.
 *
 * @param {import("./lib/figure.js").Figure} figure
 * @param {HTMLElement} panel
 * @param {() => void} closed
 */
function createCard({ model, signal }, panel, closed) {
	const back = element("button", { type: "button", title: "Back to the list (Esc)" }, ["‹ All methods"]);
	const content = element("div", { class: "xw-card-content", tabindex: 0, role: "region" });
	const node = element("div", { class: "xw-card", hidden: true }, [back, content]);
	const image = element("img", { class: "xw-card-image", alt: "A scene and its map", hidden: true });
	let url = "";
	panel.append(node);

	const showImage = () => {
		URL.revokeObjectURL(url);
		const bytes = model.get("_image");
		url = bytes?.byteLength ? URL.createObjectURL(new Blob([bytes], { type: "image/webp" })) : "";
		image.hidden = !url;
		if (url) image.src = url;
	};
	const close = () => {
		if (node.hidden) return;
		node.hidden = true;
		panel.classList.remove("xw-has-card");
		closed();
	};
	back.addEventListener("click", close, { signal });
	node.addEventListener(
		"keydown",
		(event) => {
			if (event.key !== "Escape" && event.key !== "ArrowLeft") return;
			event.preventDefault();
			close();
		},
		{ signal },
	);
	observe(model, ["_image"], showImage, signal);
	signal.addEventListener("abort", () => URL.revokeObjectURL(url));
	return {
		close,
		/** @param {Method} method */
		open({ name, label, sentence, reason, note, card }) {
			image.hidden = true;
			// The example comes from Python; without a kernel there is none.
			if (model.get("_card") === name) showImage();
			else update(model, { _card: name });
			const facts = Object.entries(card).flatMap(([fact, text]) => [
				element("dt", {}, [fact]),
				element("dd", {}, [fact === "Formula" ? element("code", {}, [text]) : text]),
			]);
			content.replaceChildren(
				element("div", { class: "xw-card-title" }, [label]),
				element("p", {}, [sentence]),
				image,
				...(reason || note ? [element("p", { class: "xw-card-reason" }, [reason || note])] : []),
				element("dl", {}, facts),
			);
			content.setAttribute("aria-label", label);
			content.scrollTop = 0;
			node.hidden = false;
			panel.classList.add("xw-has-card");
			content.focus();
		},
	};
}
