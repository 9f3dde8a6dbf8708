import "./lib/theme.css";
import "./network_view.css";
import { element, setText } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { createQuestions, SILENCE } from "./lib/kernel.js";
import { observe, update } from "./lib/state.js";
import { answer, noiseOf, startEngine } from "./page/notebook.js";

/**
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./page/notebook.js").Given} Given
 */

/** A network that nothing shows for this time, ms, ends: a host may close a notebook without its models. */
const GONE = 5000;

/** @param {number} bytes */
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

/**
 * The network of a model, which starts when it is first shown and ends with the model.
 *
 * @param {Model} model
 * @param {AbortSignal} signal
 */
function createNetwork(model, signal) {
	const changes = new EventTarget();
	let text = "";
	let started = false;
	let views = 0;
	let timer = 0;
	/** Ends the network that runs. */
	let current = new AbortController();
	/** @param {string} words */
	const say = (words) => {
		text = words;
		changes.dispatchEvent(new Event("change"));
	};
	/** @param {unknown} error */
	const fail = (error) => {
		const words = error instanceof Error ? error.message : String(error);
		const reason = words.replace(/\.$/, "");
		current.abort();
		say(`Scored by the kernel, as the network does not run in this browser: ${reason}.`);
		update(model, { status: "failed", reason });
	};
	const questions = createQuestions(model, signal, (state) => {
		if (state === "silent" && !text) say(SILENCE);
	});
	const ask = () => {
		current.abort();
		current = new AbortController();
		text = "";
		questions.ask("open");
	};

	function end() {
		current.abort();
		started = false;
	}

	/** @param {Given} given @param {DataView[]} arrays */
	async function start(given, arrays) {
		if (given.version !== model.get("_version")) return;
		current.abort();
		current = new AbortController();
		const own = current;
		const size = megabytes(given.size);
		say(`Scored by the kernel while this browser starts the network, ${size}.`);
		update(model, { status: "loading", reason: "" });
		try {
			const find = (/** @type {string} */ id) => model.widget_manager.get_model(id);
			const parts = await Promise.all(
				given.brushes.map(async ({ brush, scores }) => ({
					brush: await find(brush),
					scores: await find(scores),
				})),
			);
			const [picker, pair] = await Promise.all([given.picker, given.pair].map(find));
			const noise = noiseOf(parts[0].brush);
			const { engine, difference, time } = await startEngine(given, arrays, noise, own.signal);
			if (own.signal.aborted) return;
			answer(engine, parts, { picker, pair }, given.facts, fail, own.signal);
			const half = given.half ? " in half precision" : "";
			const pass = `${Math.max(1, Math.round(time))} ms a pass, within ${difference.toExponential(0)} of torch`;
			say(`Scored in this browser: ${given.name}, ${size}${half}, ${pass}.`);
			update(model, { status: "running", reason: "" });
		} catch (error) {
			if (!own.signal.aborted) fail(error);
		}
	}

	/** @param {any} content @param {DataView[]} buffers */
	const receive = (content, buffers) => content.type === "network" && start(content, buffers);
	model.on("msg:custom", receive);
	observe(model, ["_version"], () => started && ask(), signal);
	signal.addEventListener("abort", () => {
		model.off("msg:custom", receive);
		current.abort();
	});
	return {
		changes,
		text: () => text,
		/** Starts it, unless it was started; ends it some time after the last view is gone. @param {AbortSignal} view */
		start(view) {
			views += 1;
			clearTimeout(timer);
			view.addEventListener("abort", () => {
				views -= 1;
				if (views === 0) timer = setTimeout(end, GONE);
			});
			if (started) return;
			started = true;
			ask();
		},
	};
}

/** Called once for each model. */
export default function networkView() {
	/** @type {ReturnType<typeof createNetwork> | null} */
	let network = null;
	const shown = view("xw-network-view", ({ signal, title, refresh, announce }) => {
		const line = element("span", { class: "xw-network-line xw-muted" });
		network?.changes.addEventListener("change", refresh, { signal });
		network?.start(signal);
		return {
			head: element("div", {}, [title, line]),
			content: [],
			label: "network in the browser",
			traits: [],
			refresh() {
				setText(line, network?.text() ?? "");
				announce(line.textContent ?? "");
			},
		};
	});
	return {
		/** @type {import("@anywidget/types").Initialize} */
		initialize(given) {
			const controller = new AbortController();
			network = createNetwork(given.model, controller.signal);
			const end = /** @type {(() => void) | undefined} */ (/** @type {unknown} */ (shown.initialize(given)));
			return () => {
				controller.abort();
				end?.();
			};
		},
		render: shown.render,
	};
}
