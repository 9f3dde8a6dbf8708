import "./lib/theme.css";
import "./flow_view.css";
import { element, setText } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { band, layout, ROW } from "./lib/flows.js";
import { readable } from "./lib/format.js";
import { floats } from "./lib/image.js";
import { clamp } from "./lib/numbers.js";
import { classColor, seriesColor } from "./lib/palette.js";

/** Edges of the columns, in units of the drawing. */
const GROUP = 8;
const NAME = 92;
const VALUE = 252;
const SHARE = 304;
const LEFT = 316;
const NODE = 440;
const WIDTH = 580;
/** Characters of a name that fit. */
const LONGEST = 17;

let views = 0;

export default view("xw-flow-view", ({ model, set, announce, message }) => {
	const id = `xw-flow-${++views}-${Math.random().toString(36).slice(2, 8)}`;
	const svg = draw("svg", { role: "listbox", tabindex: 0, viewBox: `0 0 ${WIDTH} ${ROW}` });
	// The message lies over the room of the rows, so that nothing moves when they come.
	const stage = element("div", { class: "xw-flow-stage" }, [svg, message]);

	/** @returns {import("./lib/flows.js").Row[]} */
	function rows() {
		const values = floats("values", model.get("values"), [null]);
		if (!values) return [];
		const groups = model.get("groups");
		/** @type {import("./lib/flows.js").Row[]} */
		const named = model.get("names").map((/** @type {string} */ name, /** @type {number} */ index) => ({
			name,
			group: groups[index] ?? "",
			value: values.data[index] ?? 0,
			fixed: false,
		}));
		return [
			...named,
			{ name: "no concept", group: "rest", value: model.get("residual"), fixed: false },
			{ name: model.get("remainder_label"), group: "rest", value: model.get("remainder"), fixed: true },
		];
	}

	/** The order in which the rows stand, without those that cannot be chosen. @type {number[]} */
	let order = [];

	/** @param {import("./lib/flows.js").Flow} flow @param {string} color */
	function row(flow, color) {
		const chosen = model.get("selected") === flow.index && !flow.fixed;
		const y = flow.top + 4;
		const kind = flow.fixed ? " xw-fixed" : "";
		const node = draw("g", {
			id: `${id}-${flow.index}`,
			class: `xw-flow-row${kind}${flow.against ? " xw-against" : ""}`,
			role: "option",
			"aria-selected": String(chosen),
			"aria-disabled": String(flow.fixed),
			style: `--xw-flow: ${color}`,
		});
		node.append(
			draw("rect", {
				class: "xw-flow-back",
				x: NAME - 6,
				y: flow.top - ROW / 2 + 1,
				width: LEFT - NAME + 4,
				height: ROW - 2,
				rx: 4,
			}),
			draw("path", { class: "xw-flow-band", d: band(LEFT + 4, NODE, flow) }),
			draw("rect", {
				class: "xw-flow-bar",
				x: LEFT,
				y: flow.top - flow.thickness / 2,
				width: 4,
				height: flow.thickness,
			}),
			label(NAME, y, shortened(flow.name, LONGEST), ""),
			label(VALUE, y, readable(flow.value), "", "end"),
			label(SHARE, y, flow.fixed ? "" : percent(flow.value), "xw-flow-muted", "end"),
		);
		if (flow.heads) node.append(label(GROUP, y, shortened(flow.group, 10), "xw-flow-muted xw-flow-small"));
		const texts = [...node.querySelectorAll("text")].map((text) => text.textContent?.trim());
		node.setAttribute("aria-label", texts.filter(Boolean).join(" "));
		if (flow.name.length > LONGEST) {
			const title = draw("title", {});
			title.textContent = flow.name;
			node.append(title);
		}
		if (!flow.fixed) node.addEventListener("click", () => set({ selected: flow.index }));
		return node;
	}

	/** A contribution as a share of the score without the remainder; empty unless that is positive. @param {number} value */
	function percent(value) {
		const whole = model.get("score") - model.get("remainder");
		return whole > 0 ? `${Math.round((100 * value) / whole)} %`.replace("-", "−") : "";
	}

	/** @param {KeyboardEvent} event */
	function onKey({ key }) {
		const by = /** @type {Record<string, number>} */ ({
			ArrowDown: 1,
			ArrowRight: 1,
			ArrowUp: -1,
			ArrowLeft: -1,
		})[key];
		if (!order.length) return null;
		if (key === "Home") return { selected: order[0] };
		if (key === "End") return { selected: order[order.length - 1] };
		if (!by) return null;
		return { selected: order[clamp(order.indexOf(model.get("selected")) + by, 0, order.length - 1)] };
	}

	return {
		content: [stage],
		label: "concepts of a prediction",
		stage: /** @type {any} */ (svg),
		traits: [
			...["names", "groups", "values", "residual", "remainder", "remainder_label"],
			...["target_label", "target", "score", "selected", "rows"],
		],
		refresh() {
			const found = rows();
			const { flows, height, node } = layout(found);
			svg.setAttribute("viewBox", `0 0 ${WIDTH} ${Math.max(height, model.get("rows") * ROW, ROW)}`);
			if (!found.length) {
				order = [];
				svg.replaceChildren();
				svg.removeAttribute("aria-activedescendant");
				announce("");
				return "not computed yet";
			}
			const kinds = [...new Set(found.filter(({ group }) => group !== "rest").map(({ group }) => group))];
			order = flows.filter(({ fixed }) => !fixed).map(({ index }) => index);
			svg.replaceChildren(
				...flows.map((flow) =>
					row(flow, flow.group === "rest" ? "var(--xw-muted)" : seriesColor(kinds.indexOf(flow.group))),
				),
				target(node),
			);
			const selected = model.get("selected");
			if (order.includes(selected)) svg.setAttribute("aria-activedescendant", `${id}-${selected}`);
			else svg.removeAttribute("aria-activedescendant");
			const chosen = found[selected];
			if (chosen) announce(`${chosen.name} ${readable(chosen.value)}`);
			return "";
		},
		keys: [
			["↑ ↓", "choose a concept"],
			["Home End", "first, last concept"],
		],
		onKey,
	};

	/** @param {{top: number, height: number}} node */
	function target(node) {
		const group = draw("g", { "aria-hidden": "true" });
		const index = model.get("target");
		const color = index < 0 ? "var(--xw-accent)" : classColor(index);
		const lines = broken(model.get("target_label"));
		const first = node.top + node.height / 2 + 4 - 8 * lines.length;
		group.append(
			draw("rect", {
				class: "xw-flow-bar",
				x: NODE,
				y: node.top,
				width: 8,
				height: node.height,
				rx: 2,
				style: `--xw-flow: ${color}`,
			}),
			...lines.map((line, at) => label(NODE + 14, first + 16 * at, line, "xw-flow-strong")),
			label(NODE + 14, first + 16 * lines.length, `score ${readable(model.get("score"))}`, "xw-flow-muted"),
		);
		return group;
	}
});

/** @param {string} tag @param {Record<string, string | number>} attributes @returns {SVGElement} */
function draw(tag, attributes) {
	const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
	for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
	return node;
}

/** @param {number} x @param {number} y @param {string} text @param {string} classes @param {string} [anchor] */
function label(x, y, text, classes, anchor = "start") {
	const node = draw("text", { x, y, class: classes, "text-anchor": anchor });
	// The space, which is not drawn, parts the texts of a row for screen readers.
	setText(/** @type {any} */ (node), `${text} `);
	return node;
}

/** @param {string} text @param {number} most */
function shortened(text, most) {
	return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** A label in at most two lines. @param {string} text */
function broken(text) {
	const at = text.lastIndexOf(" ", 16);
	if (text.length <= 16 || at < 1) return [shortened(text, 16)];
	return [text.slice(0, at), shortened(text.slice(at + 1), 16)];
}
