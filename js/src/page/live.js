/**
 * The network of a page: its engine, the line about its passes, and photographs of the user.
 *
 * @typedef {{
 *   name: string, size: number, half: boolean, preprocessing: string, photos: boolean, shows: boolean, tolerance: number,
 *   engine: import("./engine_worker.js").Facts,
 *   facts: import("./live_scores.js").Facts,
 *   panel: import("./explain.js").Panel,
 *   similarity: {view: string, outputs: string[]} | null,
 *   brushes: {brush: string, scores: string, picker: string, caption: string, expected: number[]}[],
 * }} Network  `brushes` are ids of models, `expected` the scores of torch for the image
 */
import { decode } from "../lib/arrays.js";
import { element, setText } from "../lib/dom.js";
import { Engine } from "./engine.js";
import { explainPanel } from "./explain.js";
import { liveBrush } from "./live_brush.js";
import { similarityPanel } from "./similarity.js";

/** Longest side of a photograph that is read in its own resolution, in pixels. */
const LONGEST = 8192;

/**
 * The pixels of an image file, upright, on white where it is transparent, and as they are stored: without the color
 * profile of the screen.
 *
 * @param {Blob} file
 * @returns {Promise<ImageData>}
 */
async function readPhoto(file) {
	const bitmap = await createImageBitmap(file, {
		colorSpaceConversion: "none",
		imageOrientation: "from-image",
	});
	const { width, height } = bitmap;
	if (Math.max(width, height) > LONGEST)
		throw new Error(`expected at most ${LONGEST} pixels a side, got ${width} x ${height}`);
	const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
	if (!context) throw new Error("this browser draws no image of that size");
	context.fillStyle = "white";
	context.fillRect(0, 0, width, height);
	context.drawImage(bitmap, 0, 0);
	bitmap.close();
	return context.getImageData(0, 0, width, height);
}

/**
 * @param {{get_model(id: string): Promise<any>, attach(model: any, parent: HTMLElement): Promise<void>, live: boolean}} manager
 * @param {Network} network
 * @param {(id: string) => Promise<Response>} unzip  the content of a compressed script of the page
 * @param {HTMLElement} parent  of the line
 */
export async function startNetwork(manager, network, unzip, parent) {
	const status = element("span", { role: "status" }, [`Starting the network, ${megabytes(network.size)}.`]);
	const bar = element("section", { class: "page-network", "aria-label": "Network", "aria-busy": "true" }, [
		status,
	]);
	parent.before(bar);
	const fail = (/** @type {unknown} */ error) => {
		const reason = error instanceof Error ? error.message : String(error);
		setText(status, `The network does not answer in this browser: ${reason.replace(/\.$/, "")}.`);
		bar.classList.add("page-failed");
	};
	try {
		const parts = await Promise.all(
			network.brushes.map(async ({ brush, scores, picker, caption }) => ({
				brush: await manager.get_model(brush),
				scores: await manager.get_model(scores),
				picker: picker ? await manager.get_model(picker) : null,
				caption: caption ? await manager.get_model(caption) : null,
			})),
		);
		const engine = await open(network, parts[0].brush, unzip);
		const { difference, time } = await check(engine, network, parts);
		const running = `The network runs in this page: ${network.name}, ${megabytes(network.size)}${
			network.half ? " in half precision" : ""
		}, ${Math.max(1, Math.round(time))} ms a pass, scores within ${difference.toExponential(0)} of those of torch.`;
		setText(status, running);
		const shown = new Map();
		const report = (/** @type {Error | null} */ error) => (error ? fail(error) : setText(status, running));
		const live = parts.map((each) => liveBrush(engine, each, network.facts, report, shown));
		connectCopies(parts.map(({ brush }) => brush));
		manager.live = true;
		for (const node of document.querySelectorAll(".page-awaits")) {
			/** @type {HTMLElement} */ (node).inert = false;
			node.classList.remove("page-awaits");
		}
		for (const each of live) each.score();
		const below = await addPanel(manager, network, engine, parts[0], parent);
		const subject = { name: "" };
		await addSimilarity(manager, network, engine, parts[0].brush, subject, below);
		const { picker } = parts[0];
		const caption = picker && createCaption(picker, network);
		if (caption && network.photos) bar.append(photoTools(engine, network, caption, live, subject));
	} catch (error) {
		fail(error);
	} finally {
		bar.removeAttribute("aria-busy");
	}
}

/**
 * Shows the panel in which the network explains the image of a brush.
 *
 * @param {Parameters<typeof startNetwork>[0]} manager
 * @param {Network} network
 * @param {Engine} engine
 * @param {{brush: any, scores: any}} parts
 * @param {HTMLElement} parent  of the explorer
 */
async function addPanel(manager, { panel, facts }, engine, { brush, scores }, parent) {
	const heatmap = await manager.get_model(panel.heatmap);
	const curves = await manager.get_model(panel.curves);
	const views = element("div", { class: "page-views" });
	const tools = explainPanel(engine, { brush, scores, heatmap, curves }, panel, facts);
	const section = element("section", { class: "page-explain", "aria-label": "Explain in this page" }, [
		element("h2", {}, ["Explain in this page"]),
		...tools,
		views,
	]);
	parent.after(section);
	for (const model of [heatmap, curves]) await manager.attach(model, views);
	return section;
}

/**
 * Shows the similarity of the positions of the image of a brush, if the network of the page has the activations.
 *
 * @param {Parameters<typeof startNetwork>[0]} manager
 * @param {Network} network
 * @param {Engine} engine
 * @param {import("./live_scores.js").Model} brush
 * @param {{name: string}} subject  the name of the photograph of the brush, "" for the image of the page
 * @param {HTMLElement} above
 */
async function addSimilarity(manager, { similarity, photos }, engine, brush, subject, above) {
	if (!similarity) return;
	const view = await manager.get_model(similarity.view);
	const tools = similarityPanel(engine, { brush, view }, similarity.outputs, subject, photos);
	const section = element("section", { class: "page-explain", "aria-label": "Similarity in this page" }, [
		element("h2", {}, ["Similarity of positions"]),
		...tools,
	]);
	above.after(section);
	await manager.attach(view, section);
}

/**
 * The line below the title, which names the image and the class.
 *
 * @param {any} picker  of the class
 * @param {Network} network
 */
function createCaption(picker, { name, facts, shows }) {
	const line = document.getElementById("caption");
	const given = (line?.textContent ?? "").split(" · ");
	const at = given.findIndex((part) => part.startsWith("class "));
	/** Name of the photograph in place of the image of the page. @type {string | null} */
	let photo = null;
	const show = () => {
		const target = picker.get("target");
		const own = picker.get("probabilities")[target];
		const value = facts.probabilities ? `${Number((100 * own).toPrecision(3))} %` : own.toPrecision(3);
		const shown = photo === null ? given.slice(0, at) : [name, photo];
		shown.push(`class ${picker.get("labels")[target]} (${value})`);
		if (line && shows && at >= 0) setText(line, [...shown, ...given.slice(at + 1)].join(" · "));
	};
	picker.on("change:target", show);
	return {
		/** @param {string | null} photograph  its name, null for the image of the page */
		subject(photograph) {
			photo = photograph;
			show();
		},
	};
}

/** The button of an edit copies its mask to the other one. @param {any[]} brushes */
function connectCopies(brushes) {
	if (brushes.length !== 2 || !brushes.every((brush) => brush.get("copy_label"))) return;
	for (const [from, to] of [brushes, [...brushes].reverse()]) {
		from.on("change:_copied", () => to.set("mask", from.get("mask")));
	}
}

/** @param {number} bytes */
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

/** @param {Network} network @param {any} brush @param {(id: string) => Promise<Response>} unzip @returns {Promise<Engine>} */
async function open(network, brush, unzip) {
	const [program, wasm, data] = await Promise.all(["engine", "engine-wasm", "network"].map(unzip));
	const engine = new Engine(await program.text());
	const given = {
		wasm: await wasm.arrayBuffer(),
		network: new Uint8Array(await data.arrayBuffer()),
		noise: decode(brush.get("_noise"))?.data,
		facts: network.engine,
	};
	// The text of both takes as much memory again.
	for (const id of ["engine-wasm", "network"]) document.getElementById(id)?.remove();
	await engine.ask("open", given, [given.wasm, given.network.buffer]);
	return engine;
}

/**
 * Compares the scores of the images of the page with those that torch computed, and throws if they are others.
 *
 * @param {Engine} engine
 * @param {Network} network
 * @param {{brush: any}[]} parts
 */
async function check(engine, { brushes, tolerance }, parts) {
	let [difference, time] = [0, 0];
	for (const [number, { brush }] of parts.entries()) {
		const { expected } = brushes[number];
		const answer = await engine.ask("scores", {
			data: /** @type {any} */ (decode(brush.get("_pixels"))).data,
		});
		time = answer.time;
		const scale = expected.reduce((most, score) => Math.max(most, Math.abs(score)), 1);
		for (const [index, score] of expected.entries()) {
			difference = Math.max(difference, Math.abs(answer.scores[index] - score));
		}
		if (!(difference <= tolerance * scale)) {
			throw new Error(`its scores differ by ${difference.toPrecision(2)} from those of torch`);
		}
	}
	return { difference, time };
}

/**
 * The buttons that open a photograph of the user, which may also be dropped on the page.
 *
 * @param {Engine} engine
 * @param {Network} network
 * @param {ReturnType<typeof createCaption>} caption
 * @param {ReturnType<typeof liveBrush>[]} brushes
 * @param {{name: string}} subject  gets the name of the photograph
 */
function photoTools(engine, { facts, preprocessing }, caption, brushes, subject) {
	const input = element("input", { type: "file", accept: "image/*", hidden: true });
	const choose = element("button", { type: "button" }, ["Open a photo of your own"]);
	const back = element("button", { type: "button", hidden: true }, ["Back to the first image"]);
	const hint = element("span", { class: "page-hint" }, ["or drop one here; it stays on this computer."]);
	/** The number of the last file: one that is read slowly must not replace a later one. */
	let last = 0;

	/** @param {File} file */
	async function take(file) {
		const number = ++last;
		try {
			const photo = await readPhoto(file);
			const answer = await engine.ask("photo", { photo, fills: facts.fills }, [photo.data.buffer]);
			if (number !== last) return;
			const given = { ...answer, name: file.name, width: photo.width, height: photo.height };
			subject.name = file.name;
			for (const brush of brushes) brush.open(given, preprocessing);
			caption.subject(file.name);
			back.hidden = false;
			setText(hint, "or drop one here; it stays on this computer.");
		} catch (error) {
			const reason = error instanceof Error ? error.message : String(error);
			if (number === last) setText(hint, `${file.name} cannot be opened: ${reason.replace(/\.$/, "")}.`);
		}
	}

	choose.addEventListener("click", () => input.click());
	input.addEventListener("change", () => {
		if (input.files?.[0]) take(input.files[0]);
		input.value = "";
	});
	back.addEventListener("click", () => {
		last++;
		subject.name = "";
		for (const brush of brushes) brush.restore();
		caption.subject(null);
		back.hidden = true;
		choose.focus();
	});
	document.addEventListener("dragover", (event) => {
		if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
	});
	document.addEventListener("drop", (event) => {
		const file = event.dataTransfer?.files[0];
		if (!file) return;
		event.preventDefault();
		take(file);
	});
	return element("span", { class: "page-photo" }, [choose, hint, back, input]);
}
