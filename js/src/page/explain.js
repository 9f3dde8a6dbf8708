/**
 * The panel "Explain in this page": methods that need no gradients, computed by the network in the page for the image and
 * the class of the brush.
 *
 * @typedef {import("./engine.js").Engine} Engine
 * @typedef {import("./live_scores.js").Model} Model
 * @typedef {{heatmap: string, curves: string, mean: number[], side: number, steps: number, masks: number, cells: number, cam: boolean}} Panel
 *   ids of models; the default settings; whether the network has class activation maps
 */
import { decode } from "../lib/arrays.js";
import { element, setText } from "../lib/dom.js";
import { clamp } from "../lib/numbers.js";
import { curve, occlusion, rise } from "./explanation.js";
import { message, probabilitiesOf } from "./live_scores.js";
import { cropped, eachPixel } from "./occlusion.js";
import { areaUnder, resizedMap } from "./replaced.js";

/** @typedef {"occlusion" | "rise" | "cam" | "mask"} Method */
/** @type {Record<Method, string>} */
const METHODS = { occlusion: "Occlusion", rise: "RISE", cam: "CAM", mask: "Painted mask" };
/** @type {import("./replaced.js").Mode[]} */
const MODES = ["deletion", "insertion"];
const HINTS = {
	occlusion:
		"Click on the image, or move the mark by the arrow keys, to put the patch there: the brush shows it.",
	rise: "The map is shown above its lowest value, which all pixels share.",
	cam: "The channels before the global average, weighted as in the score of the class.",
	mask: "Paint with the brush, then remove or add the pixels of the mask first.",
};

/**
 * A number that can be set.
 *
 * @param {string} label
 * @param {{value: number, min: number, max: number, step?: number}} range
 */
function numberField(label, { step = 1, ...range }) {
	const input = element("input", { type: "number", step, ...range });
	return { label, input, node: element("label", {}, [label, input]) };
}

/** The settings of the methods, of which those of one are shown. @param {Panel} panel @param {number} short  side of the image, pixels */
function createSettings(panel, short) {
	const side = numberField("Patch", { value: panel.side, min: 1, max: short });
	const stride = numberField("Stride", { value: Math.ceil(panel.side / 2), min: 1, max: panel.side });
	const masks = numberField("Masks", { value: panel.masks, min: 2, max: 20000 });
	const cells = numberField("Cells", { value: panel.cells, min: 1, max: short });
	const shown = numberField("Shown", { value: 0.5, min: 0.05, max: 0.95, step: 0.05 });
	const seed = numberField("Seed", { value: 0, min: 0, max: 2 ** 32 - 1 });
	// Patches have to cover each pixel.
	side.input.addEventListener("input", () => {
		stride.input.max = side.input.value;
		if (stride.input.valueAsNumber > side.input.valueAsNumber) stride.input.value = side.input.value;
	});
	/** @type {Record<Method, ReturnType<typeof numberField>[]>} */
	const fields = { occlusion: [side, stride], rise: [masks, cells, shown, seed], cam: [], mask: [] };
	const all = Object.values(fields).flat();
	const number = (/** @type {{input: HTMLInputElement}} */ { input }) => input.valueAsNumber;
	return {
		nodes: all.map(({ node }) => node),
		/** @param {Method} method */
		show(method) {
			for (const field of all) field.node.hidden = !fields[method].includes(field);
		},
		/** @param {Method} method */
		valid: (method) => fields[method].every(({ input }) => input.reportValidity()),
		/** @param {Method} method */
		words: (method) =>
			fields[method].map(({ label, input }) => `${label.toLowerCase()} ${input.value}`).join(", "),
		occlusion: () => ({ side: number(side), stride: number(stride) }),
		rise: () => ({ count: number(masks), cells: number(cells), p: number(shown), seed: number(seed) }),
	};
}

/**
 * @param {Engine} engine
 * @param {{brush: Model, scores: Model, heatmap: Model, curves: Model}} models
 * @param {Panel} panel
 * @param {import("./live_scores.js").Facts} facts
 */
export function explainPanel(engine, { brush, scores, heatmap, curves }, panel, facts) {
	const image = () => {
		const { shape, data } = /** @type {import("../lib/arrays.js").NDArray<Float32Array>} */ (
			decode(brush.get("_pixels"))
		);
		return { channels: shape[0], height: shape[1], width: shape[2], data };
	};
	const { height, width } = image();
	const settings = createSettings(panel, Math.min(height, width));
	const select = element("select", {}, [
		...Object.entries(METHODS)
			.filter(([value]) => panel.cam || value !== "cam")
			.map(([value, text]) => element("option", { value }, [text])),
	]);
	const run = element("button", { type: "button" }, ["Run"]);
	const stop = element("button", { type: "button", hidden: true }, ["Stop"]);
	const steps = numberField("Steps", { value: panel.steps, min: 1, max: height * width });
	const along = { deletion: button("Delete along the map"), insertion: button("Insert along the map") };
	const progress = element("progress", { max: 1, value: 0, hidden: true, "aria-label": "Progress" });
	const status = element("span", { role: "status" });
	const hint = element("p", { class: "page-hint" });
	/** Ends the job that runs. */
	let job = new AbortController();
	/** The mask of the patch that was moved last. @type {ReturnType<typeof message> | null} */
	let patch = null;
	/** The map that is shown. @type {Float32Array | null} */
	let map = null;
	/** @type {Record<import("./replaced.js").Mode, Float32Array | null>} */
	const found = { deletion: null, insertion: null };

	const method = () => /** @type {Method} */ (select.value);
	const target = () => scores.get("target");

	/** @param {Float32Array | null} values @param {string} [name] @param {[number, number]} [shape] */
	function showMap(values, name = "", shape = [height, width]) {
		map = values && resizedMap({ shape, data: values }, [height, width]);
		heatmap.set({
			maps: values && message("float32", [1, ...shape], values),
			labels: values ? [name] : [],
			signs: [["occlusion", "cam"].includes(method()) ? "both" : "auto"],
		});
		for (const each of Object.values(along)) each.disabled = !values;
	}

	/** Shows the curves that were computed along the map. */
	function showCurves() {
		const known = MODES.filter((mode) => found[mode]);
		const count = known.length ? /** @type {Float32Array} */ (found[known[0]]).length : 0;
		const x = Float32Array.from({ length: count }, (_, k) => k / (count - 1));
		const y = new Float32Array(known.length * count);
		const series = known.map((mode, row) => {
			const values = /** @type {Float32Array} */ (found[mode]);
			y.set(values, row * count);
			const complete = values.every(Number.isFinite);
			return {
				label: mode,
				frame: MODES.indexOf(mode),
				note: complete ? `AUC ${areaUnder(x, values).toFixed(3)}` : "",
			};
		});
		curves.set({
			x: count ? message("float32", [count], x) : null,
			y: count ? message("float32", [known.length, count], y) : null,
			series,
		});
	}

	function clearCurves() {
		for (const mode of MODES) found[mode] = null;
		showCurves();
	}

	/** Stops the job; what it found so far stays. */
	function cancel() {
		job.abort();
		stop.hidden = progress.hidden = true;
		run.hidden = method() === "mask";
		setText(status, "");
	}

	/** Removes what belongs to another image, class or method. */
	function clear() {
		cancel();
		clearCurves();
		showMap(null);
		if (method() === "mask") showMask();
	}

	function showMask() {
		const mask = /** @type {import("../lib/arrays.js").NDArray<Uint8Array> | null} */ (
			decode(brush.get("mask"))
		);
		const painted = mask?.data.some((value) => value > 0);
		showMap(painted && mask ? Float32Array.from(mask.data, (value) => value / 255) : null, METHODS.mask);
	}

	/**
	 * Starts a job in place of the one that runs.
	 *
	 * @param {string} name
	 * @param {(signal: AbortSignal, report: (done: number) => void) => Promise<unknown>} compute
	 */
	async function start(name, compute) {
		cancel();
		const own = new AbortController();
		job = own;
		run.hidden = true;
		stop.hidden = progress.hidden = false;
		progress.value = 0;
		setText(status, name);
		try {
			await compute(own.signal, (done) => {
				progress.value = done;
			});
			if (own.signal.aborted) return;
			cancel();
			setText(status, `${name}: done.`);
		} catch (error) {
			if (own.signal.aborted) return;
			cancel();
			setText(status, `${name} failed: ${/** @type {Error} */ (error).message.replace(/\.$/, "")}.`);
		}
	}

	/** The probability of the class, or its score where there are none. @returns {import("./explanation.js").Value} */
	function probability() {
		const index = target();
		return (values) => probabilitiesOf(values, facts.activation)[index];
	}

	function runMethod() {
		const chosen = method();
		if (chosen === "mask" || !settings.valid(chosen)) return;
		clear();
		if (chosen === "cam") {
			start(METHODS.cam, async (signal) => {
				const answer = await engine.ask("cam", { data: image().data, target: target() });
				if (!signal.aborted) showMap(answer.map, METHODS.cam, [answer.height, answer.width]);
			});
			return;
		}
		const name = `${METHODS[chosen]}, ${settings.words(chosen)}`;
		start(METHODS[chosen], (signal, report) => {
			const onMap = (/** @type {Float32Array} */ values, /** @type {number} */ done) => {
				showMap(values, name);
				report(done);
			};
			if (chosen === "rise") {
				// The probability that all pixels share would fill the scale of colors.
				const aboveLeast = (/** @type {Float32Array} */ values, /** @type {number} */ done) => {
					const least = values.reduce((a, b) => Math.min(a, b));
					onMap(
						values.map((value) => value - least),
						done,
					);
				};
				return rise(engine, image(), settings.rise(), probability(), { signal, onMap: aboveLeast });
			}
			return occlusion(engine, image(), settings.occlusion(), target(), { signal, onMap });
		});
	}

	/** @param {import("./replaced.js").Mode} mode */
	function runCurve(mode) {
		if (!map || !steps.input.reportValidity()) return;
		const given = { mode, map, steps: steps.input.valueAsNumber, mean: panel.mean };
		// Curves of one plot have the same steps.
		for (const other of MODES) if (found[other]?.length !== given.steps + 1) found[other] = null;
		const name = mode === "deletion" ? "Deletion" : "Insertion";
		start(name, (signal, report) =>
			curve(engine, image(), given, probability(), {
				signal,
				onCurve(values, done) {
					found[mode] = values;
					showCurves();
					report(done);
				},
			}),
		);
	}

	/** Paints the patch where the mark is. */
	function movePatch() {
		const position = heatmap.get("position");
		if (!position || method() !== "occlusion" || !settings.valid("occlusion")) return;
		const { side } = settings.occlusion();
		const [left, top] = [width, height].map((extent, axis) =>
			clamp(Math.floor(position[axis] * extent - (side - 1) / 2), 0, extent - side),
		);
		const mask = new Uint8Array(height * width);
		eachPixel(cropped(height, width, { top, left, side }), width, (i) => {
			mask[i] = 255;
		});
		// Moves in a row are one step to undo.
		if (brush.get("mask") !== patch) brush.set("_step", brush.get("_step") + 1);
		patch = message("uint8", [height, width], mask);
		brush.set({ fill: facts.fills.indexOf("gray"), mask: patch });
	}

	/** Names the scores under the patch, once they are known. */
	function readPatch() {
		if (!patch || brush.get("mask") !== patch) return;
		const value = decode(scores.get("target_values"))?.data[0];
		const before = decode(scores.get("reference"))?.data[target()];
		if (value === undefined || before === undefined) return;
		const kind = facts.probabilities ? "probability" : "score";
		setText(hint, `Under the patch: ${kind} ${before.toFixed(3)} → ${value.toFixed(3)}.`);
	}

	function choose() {
		settings.show(method());
		setText(hint, HINTS[method()]);
		clear();
	}

	select.addEventListener("change", choose);
	run.addEventListener("click", runMethod);
	stop.addEventListener("click", () => {
		cancel();
		run.focus();
	});
	for (const mode of MODES) along[mode].addEventListener("click", () => runCurve(mode));
	scores.on("change:target", clear);
	brush.on("change:_pixels", () => {
		heatmap.set({ image: brush.get("image"), position: null });
		clear();
	});
	brush.on("change:mask", () => {
		if (method() === "mask") clear();
	});
	heatmap.on("change:position", movePatch);
	scores.on("change:target_values", readPatch);
	heatmap.set("image", brush.get("image"));
	choose();
	return [
		element("div", { class: "page-tools" }, [
			element("label", {}, ["Method", select]),
			...settings.nodes,
			...[run, stop, progress, status],
		]),
		hint,
		element("div", { class: "page-tools" }, [steps.node, along.deletion, along.insertion]),
	];
}

/** @param {string} text */
const button = (text) => element("button", { type: "button", disabled: true }, [text]);
