import * as base from "@jupyter-widgets/base";
import { ManagerBase } from "@jupyter-widgets/base-manager";
import * as controls from "@jupyter-widgets/controls";
import { Widget } from "@lumino/widgets";
import { caught } from "./amd.js";
import "anywidget";
import { startNetwork } from "./live.js";
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
	/** Whether the network of the page answers. */
	live = false;

	/**
	 * @param {Set<string>} disabled  models whose controls ask a kernel
	 * @param {Set<string>} frozen  results
	 * @param {Set<string>} awaiting  models that the network of the page answers, once it runs
	 */
	constructor(disabled, frozen, awaiting) {
		super();
		this.disabled = disabled;
		this.frozen = frozen;
		this.awaiting = awaiting;
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
		if (this.disabled.has(model.model_id)) view.el.classList.add("page-disabled");
		if (this.frozen.has(model.model_id)) {
			view.el.inert = true;
			view.el.classList.add("page-frozen");
		}
		if (this.awaiting.has(model.model_id) && !this.live) {
			view.el.inert = true;
			view.el.classList.add("page-awaits");
		}
		return /** @type {any} */ (view);
	}

	/** Shows a model at the end of a part of the page. @param {any} model @param {HTMLElement} parent */
	async attach(model, parent) {
		const view = await this.create_view(model);
		Widget.attach(/** @type {any} */ (view).luminoWidget, parent);
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
 * @param {(id: string) => Promise<Response>} unzip  the content of a compressed script of the page
 */
export async function show(packed, parent, unzip) {
	/** @type {any} */ (globalThis).xaiWidgetsPage = true;
	const header = unpack(packed);
	const { models, shown, disabled, frozen, network } = header;
	const awaiting = (network?.brushes ?? []).flatMap(({ brush, scores, picker }) => [brush, scores, picker]);
	const manager = new PageManager(new Set(disabled), new Set(frozen), new Set(awaiting));
	await Promise.all(
		Object.entries(models).map(([model_id, { state, ...options }]) =>
			manager.new_model(/** @type {any} */ ({ ...options, model_id }), state),
		),
	);
	for (const id of shown) await manager.attach(await manager.get_model(id), parent);
	reportHeight();
	if (header.picker) await followPicker(manager, header);
	// Not awaited: the page can be used while the network starts.
	if (network) startNetwork(manager, network, unzip, parent);
}

/** Reports the height of the page to the document that shows it in a frame, now and after each change. */
function reportHeight() {
	if (window.parent === window) return;
	const { body } = document;
	const report = () =>
		window.parent.postMessage({ xaiWidgetsHeight: body.getBoundingClientRect().height }, "*");
	new ResizeObserver(report).observe(body);
}

/**
 * Sets the traits of the image that is chosen.
 *
 * @param {PageManager} manager
 * @param {import("./state.js").Header} header
 */
async function followPicker(manager, { picker = "", captions = [], variants = [] }) {
	const choice = await manager.get_model(picker);
	const caption = document.getElementById("caption");
	choice.on("change:frame", async () => {
		const image = choice.get("frame");
		for (const [id, traits] of Object.entries(variants[image] ?? {})) {
			if (id !== picker) (await manager.get_model(id)).set(traits);
		}
		if (caption && captions[image]) caption.textContent = captions[image];
	});
}
