import { element } from "./dom.js";

/**
 * The actions of the buttons above a plot.
 *
 * @typedef {object} Actions
 * @property {() => void} zoom
 * @property {() => void} reset
 * @property {(scale: string) => void} stretch
 * @property {(range: string) => void} fit
 * @property {(mode: string) => void} mode
 * @property {(scope: string) => void} scope
 */

/** @type {Record<string, string>} */
const TIPS = {
	deletion: "Follow the curves of deletion: the most important pixels are deleted first",
	insertion: "Follow the curves of insertion: the most important pixels are inserted first",
	MoRF: "Follow the curves of MoRF: the most relevant pixels are replaced first",
	LeRF: "Follow the curves of LeRF: the least relevant pixels are replaced first",
};

/**
 * The buttons above a plot.
 *
 * @param {Actions} actions
 * @param {AbortSignal} signal
 */
export function createToolbar(actions, signal) {
	/** @param {string} text @param {string} tip @param {() => void} act */
	const button = (text, tip, act) => {
		const node = element("button", { type: "button", title: tip }, [text]);
		node.addEventListener("click", act, { signal });
		return node;
	};
	const pressed = (/** @type {HTMLElement} */ node) => node.getAttribute("aria-pressed") === "true";
	const stretch = button("√x", "Stretch small shares, where most curves change; off: equal steps", () =>
		actions.stretch(pressed(stretch) ? "linear" : "sqrt"),
	);
	stretch.setAttribute("aria-label", "√x: stretch small x");
	const unit = button("0–1", "Show y from 0 to 1; off: up to the highest curve", () =>
		actions.fit(pressed(unit) ? "fit" : "unit"),
	);
	unit.setAttribute("aria-label", "0–1: y from 0 to 1");
	const zoom = button(
		"Zoom",
		"Drag a box to zoom (also Shift and drag, or the wheel once the plot has the focus)",
		actions.zoom,
	);
	const reset = button("Reset", "Show everything (also a double click on the plot)", actions.reset);
	const tools = element("div", { class: "xw-bar", role: "toolbar", "aria-label": "plot" }, [
		...[stretch, unit, zoom, reset],
	]);
	const modes = element("div", { class: "xw-modes", role: "group", "aria-label": "Mode", hidden: true });
	const scopes = element("div", { class: "xw-modes", role: "group", "aria-label": "Curves", hidden: true });
	/**
	 * Buttons of which one is pressed.
	 *
	 * @param {HTMLElement} group
	 * @param {string[]} names
	 * @param {string} active
	 * @param {Record<string, string>} tips
	 * @param {(name: string) => void} act
	 */
	const drawChoice = (group, names, active, tips, act) => {
		group.hidden = names.length < 2;
		if (names.join() !== group.dataset.names) {
			group.dataset.names = names.join();
			group.replaceChildren(
				...names.map((name) =>
					button(`${name[0].toUpperCase()}${name.slice(1)}`, tips[name] || name, () => act(name)),
				),
			);
		}
		names.forEach((name, index) => {
			const node = /** @type {HTMLElement} */ (group.children[index]);
			node.title = tips[name] || name;
			node.setAttribute("aria-pressed", String(name === active));
		});
	};
	return {
		tools,
		modes,
		scopes,
		/**
		 * @param {object} state
		 * @param {boolean} state.controls
		 * @param {boolean} state.percent  whether x is a share
		 * @param {string} state.scale
		 * @param {boolean} state.shares  whether all values are within [0, 1]
		 * @param {string} state.range  "unit" or "fit"
		 */
		draw({ controls, percent, scale, shares, range }) {
			tools.hidden = !controls;
			stretch.hidden = !percent;
			stretch.setAttribute("aria-pressed", String(scale === "sqrt"));
			unit.hidden = !shares;
			unit.setAttribute("aria-pressed", String(range !== "fit"));
		},
		/** @param {boolean} on @param {boolean} zoomed */
		drawZoom(on, zoomed) {
			zoom.setAttribute("aria-pressed", String(on));
			reset.disabled = !zoomed;
		},
		/** @param {string[]} names @param {string} active */
		drawModes(names, active) {
			drawChoice(modes, names, active, TIPS, actions.mode);
		},
		/** @param {string[]} names @param {string} active @param {Record<string, string>} notes */
		drawScopes(names, active, notes) {
			drawChoice(scopes, names, active, notes, actions.scope);
		},
	};
}
