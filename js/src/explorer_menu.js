import "./lib/theme.css";
import "./explorer_menu.css";
import { download, element } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { createMenu } from "./lib/menu.js";
import { fitting, imageIn } from "./lib/photograph.js";
import { background } from "./lib/snapshot.js";
import { copyPng, copyText, fullScreen, savePng } from "./lib/take_away.js";
import { reportVisibility } from "./lib/visibility.js";

/** A kernel must answer within this time, or make a file, ms. */
const PATIENCE = 10000;
const FILE_PATIENCE = 60000;
/** The element of an explorer, and of a page without a kernel. */
const EXPLORER = ".xw-explorer";
const PAGE = "[data-xw-page]";

/** The type of a file, by the end of its name. @param {string} name */
const typeOf = (name) => (/\.a?png$/.test(name) ? "image/png" : "text/plain;charset=utf-8");

export default view("xw-explorer-menu", ({ model, root, signal }) => {
	/** @type {Map<number, {done: (text: string) => void, fail: (error: Error) => void}>} */
	const asked = new Map();
	let count = 0;
	/** The explorer, once the menu is in the page. @type {HTMLElement | null} */
	let box = null;

	/**
	 * @param {string} action
	 * @param {{name?: string}} [facts]
	 * @param {ArrayBuffer[]} [buffers]
	 * @param {number} [patience]
	 * @returns {Promise<string>}
	 */
	function ask(action, facts = {}, buffers = [], patience = PATIENCE) {
		const id = ++count;
		model.send({ ...facts, action, id }, undefined, buffers);
		return new Promise((done, fail) => {
			asked.set(id, { done, fail });
			setTimeout(() => fail(new Error("no kernel answered; run the cell again")), patience);
		});
	}

	/** @param {{id: number, text: string, error: string, name?: string}} reply @param {DataView[]} [buffers] */
	function heard({ id, text, error, name }, buffers = []) {
		const waiting = asked.get(id);
		if (!waiting) return;
		asked.delete(id);
		if (error) return waiting.fail(new Error(error));
		// Only the view that asked saves it: others have the same menu.
		const [data] = buffers;
		if (name && data) download(new Blob([/** @type {any} */ (data)], { type: typeOf(name) }), name);
		waiting.done(text);
	}

	/** @param {File} file */
	async function open(file) {
		menu.report(`Opening ${file.name || "the image"}.`);
		try {
			const { name, data } = await fitting(file);
			await ask("image", { name }, [data]);
			menu.report("");
		} catch (error) {
			menu.report(/** @type {Error} */ (error).message, true);
		}
	}

	const field = element("input", { type: "file", accept: "image/*", hidden: true });
	field.addEventListener(
		"change",
		() => {
			const file = field.files?.[0];
			field.value = "";
			if (file) open(file);
		},
		{ signal },
	);

	function items() {
		const whole = explorer();
		const live = !document.querySelector(PAGE);
		const shown = whole
			? [
					{
						text: "Save PNG",
						tip: "The whole explorer, two pixels per pixel of the screen",
						act: () => savePng(whole, model.get("name")),
					},
					{ text: "Copy PNG", tip: "The whole explorer", act: () => copyPng(whole) },
				]
			: [];
		const choices = [
			{
				text: "Copy code",
				tip: "Python code that makes this explorer in this state",
				act: async () => {
					await copyText(await ask("code"));
					return "Copied.";
				},
			},
			{
				text: "Undo",
				tip: "Undo the last change of a control",
				disabled: model.get("undos") < 1,
				act: () => ask("undo"),
			},
			{ text: "Redo", tip: "Make it again", disabled: model.get("redos") < 1, act: () => ask("redo") },
			{ text: "Reset", tip: "Set all controls as they were at first", act: () => ask("reset") },
		];
		/** @type {{action: string, text: string, tip: string}[]} */
		const made = model.get("files") ?? [];
		const files = made.map(({ action, text, tip }) => ({
			text,
			tip,
			act: async () => {
				await ask(action, {}, [], FILE_PATIENCE);
				return "Saved.";
			},
		}));
		const image = {
			text: "Open image …",
			tip: "A photograph; you can also drop or paste one",
			act: () => field.click(),
		};
		const screen = {
			text: document.fullscreenElement ? "Leave full screen" : "Full screen",
			disabled: !document.fullscreenEnabled,
			act: () => showLarge(whole),
		};
		return [
			...shown,
			...(live ? [...files, ...choices] : []),
			...(live && model.get("opens") ? [image] : []),
			...(whole ? [screen] : []),
		];
	}

	/** @param {HTMLElement | null} whole */
	function showLarge(whole) {
		if (!whole) return;
		// The box is not a view: its styles are not in the sheet of one, such as in a shadow root.
		Object.assign(whole.style, { background: background(whole), overflow: "auto" });
		return fullScreen(whole);
	}

	/** @returns {HTMLElement | null} */
	function explorer() {
		box ??= find();
		return box;
	}

	/** The nearest box with the class of explorers; in marimo, which has no classes, the output around the menu. */
	function find() {
		/** @type {Node | null} */
		let node = root;
		while (node) {
			if (node instanceof HTMLElement && node.matches(`${EXPLORER}, marimo-output, .output-area, .output`))
				return node;
			node = node instanceof ShadowRoot ? node.host : node.parentNode;
		}
		return null;
	}

	/** @param {DragEvent} event */
	function drag(event) {
		const files = event.dataTransfer?.types.includes("Files") && takes();
		if (!files) return;
		// Before the notebook, which would upload the file.
		event.preventDefault();
		event.stopPropagation();
		box?.style.setProperty("outline", "3px dashed #0072b2");
	}

	/** @param {DragEvent} event */
	function drop(event) {
		box?.style.removeProperty("outline");
		const file = takes() && imageIn(event.dataTransfer);
		if (!file) return;
		event.preventDefault();
		event.stopPropagation();
		open(file);
	}

	/** @param {ClipboardEvent} event */
	function paste(event) {
		const file = takes() && imageIn(event.clipboardData);
		const whole = explorer();
		if (!file || !(whole?.matches(":hover") || whole?.contains(document.activeElement))) return;
		event.preventDefault();
		event.stopPropagation();
		open(file);
	}

	function takes() {
		return model.get("opens") && !document.querySelector(PAGE);
	}

	/** Listens to the box of the explorer as soon as it is in the page. */
	function listen() {
		const whole = explorer();
		if (!whole) return;
		watcher.disconnect();
		whole.addEventListener("dragenter", drag, { signal });
		whole.addEventListener("dragover", drag, { signal });
		whole.addEventListener("dragleave", () => whole.style.removeProperty("outline"), { signal });
		whole.addEventListener("drop", drop, { signal });
	}

	const menu = createMenu({ label: "Save, copy, undo", items, signal });
	const watcher = new IntersectionObserver(listen);
	watcher.observe(root);
	reportVisibility(model, root, signal);
	addEventListener("paste", paste, { signal, capture: true });
	model.on("msg:custom", heard);
	signal.addEventListener("abort", () => {
		watcher.disconnect();
		model.off("msg:custom", heard);
	});
	return {
		content: [menu.node, field],
		label: "Menu",
		traits: ["undos", "redos", "opens", "name", "files"],
		refresh() {},
	};
});
