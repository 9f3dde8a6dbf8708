/**
 * Saves and copies a view, and makes its menu.
 */
import { download } from "./dom.js";
import { slug } from "./format.js";
import { createMenu } from "./menu.js";
import { npz } from "./npz.js";
import { png } from "./snapshot.js";

/**
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./arrays.js").ArrayMessage} ArrayMessage
 */

/** @param {HTMLElement} root @param {string} name */
export async function savePng(root, name) {
	download(await png(root), `${name}.png`);
}

/** @param {HTMLElement} root */
export async function copyPng(root) {
	if (!navigator.clipboard || typeof ClipboardItem === "undefined") {
		throw new Error("this page has no access to the clipboard; save it instead");
	}
	// The item takes the promise: a browser asks for the action of the user in the same turn.
	await navigator.clipboard.write([new ClipboardItem({ "image/png": png(root) })]);
	return "Copied.";
}

/** @param {string} text */
export async function copyText(text) {
	if (!navigator.clipboard) throw new Error("this page has no access to the clipboard");
	await navigator.clipboard.writeText(text);
}

/** Shows an element on the whole screen, or ends that. @param {HTMLElement} root */
export async function fullScreen(root) {
	if (document.fullscreenElement) await document.exitFullscreen();
	else await root.requestFullscreen();
}

/**
 * The arrays of a model by their names; those in a list are numbered.
 *
 * @param {Model} model
 * @param {string[]} names
 * @returns {Record<string, ArrayMessage>}
 */
export function arraysOf(model, names) {
	/** @type {Record<string, ArrayMessage>} */
	const found = {};
	/** @param {string} name @param {any} value */
	const take = (name, value) => {
		if (value?.data instanceof DataView && Array.isArray(value.shape)) found[name] = value;
		else if (Array.isArray(value)) value.forEach((one, index) => void take(`${name}_${index}`, one));
	};
	for (const name of names) take(name.replace(/^_+/, ""), model.get(name));
	return found;
}

/**
 * The menu of a view.
 *
 * @param {object} view
 * @param {Model} view.model
 * @param {HTMLElement} view.root
 * @param {AbortSignal} view.signal
 * @param {() => string} view.label
 * @param {() => string[]} view.arrays  names of traits that may hold arrays
 * @param {() => string} [view.svg]  the view as a vector image
 * @param {() => import("./menu.js").Item[]} [view.more]  further lines
 */
export function viewMenu({ model, root, signal, label, arrays, svg, more }) {
	const name = () => slug(model.get("title") || label(), "view");
	return createMenu({
		label: "Save or copy this view",
		signal,
		items: () => [
			{ text: "Save PNG", tip: "Two pixels per pixel of the screen", act: () => savePng(root, name()) },
			{ text: "Copy PNG", tip: "To paste it into a document", act: () => copyPng(root) },
			...(svg
				? [
						{
							text: "Save SVG",
							tip: "A vector image",
							act: () => download(new Blob([svg()], { type: "image/svg+xml" }), `${name()}.svg`),
						},
					]
				: []),
			...(Object.keys(arraysOf(model, arrays())).length
				? [
						{
							text: "Save arrays",
							tip: "The values as .npz, for numpy.load",
							act: () => download(npz(arraysOf(model, arrays())), `${name()}.npz`),
						},
					]
				: []),
			...(more?.() ?? []),
			{
				text: document.fullscreenElement ? "Leave full screen" : "Full screen",
				disabled: !document.fullscreenEnabled,
				act: () => fullScreen(root),
			},
		],
	});
}
