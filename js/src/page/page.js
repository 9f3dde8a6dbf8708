import * as base from "@jupyter-widgets/base";
import { ManagerBase } from "@jupyter-widgets/base-manager";
import * as controls from "@jupyter-widgets/controls";
import { Widget } from "@lumino/widgets";
import { caught } from "./amd.js";
import "anywidget";
import { unpack } from "./state.js";
import "@lumino/widgets/style/index.css";
import "@jupyter-widgets/base/css/index.css";
import "@jupyter-widgets/controls/css/widgets.css";
import "./page.css";

/** @type {Record<string, Record<string, any>>} */
const MODULES = {
	"@jupyter-widgets/base": base,
	"@jupyter-widgets/controls": controls,
	anywidget: caught.factory?.(base) ?? {},
};

/** Makes the widgets of a page from their states alone: nothing is loaded, and there is no kernel. */
class PageManager extends ManagerBase {
	/** @param {Set<string>} disabled  models whose controls ask a kernel */
	constructor(disabled) {
		super();
		this.disabled = disabled;
	}

	/** @param {string} className @param {string} moduleName */
	async loadClass(className, moduleName) {
		const found = MODULES[moduleName]?.[className];
		if (!found) throw new Error(`${moduleName}.${className} cannot be shown in an exported page`);
		return found;
	}

	/** @param {any} model @param {any} [options] */
	async create_view(model, options) {
		const view = await super.create_view(model, options);
		if (this.disabled.has(model.model_id)) {
			view.el.inert = true;
			view.el.classList.add("page-disabled");
		}
		return /** @type {any} */ (view);
	}

	/** @returns {Promise<any>} */
	async _create_comm() {
		throw new Error("an exported page has no kernel");
	}

	/** @returns {Promise<any>} */
	async _get_comm_info() {
		return {};
	}
}

/**
 * Shows the widgets of a page.
 *
 * @param {ArrayBuffer} packed  what `xai_widgets.export` packed
 * @param {HTMLElement} parent
 */
export async function show(packed, parent) {
	/** @type {any} */ (globalThis).xaiWidgetsPage = true;
	const { models, shown, disabled } = unpack(packed);
	const manager = new PageManager(new Set(disabled));
	await Promise.all(
		Object.entries(models).map(([model_id, { state, ...options }]) =>
			manager.new_model(/** @type {any} */ ({ ...options, model_id }), state),
		),
	);
	for (const id of shown) {
		const view = await manager.create_view(await manager.get_model(id));
		Widget.attach(/** @type {any} */ (view).luminoWidget, parent);
	}
}
