/**
 * Scores of some images of a job: `numbers` of the images, `scores` of all classes of each, and the part that is `done`.
 *
 * @typedef {{numbers: number[], scores: Float32Array, done: number}} Progress
 */

/** A network in a worker that is made from its own source, as a page from disk can load nothing. */
export class Engine {
	#worker;
	#last = 0;
	/** @type {Map<number, {resolve: (result: any) => void, reject: (error: Error) => void, progress?: (progress: Progress) => void}>} */
	#waiting = new Map();

	/** @param {string} program  source of `engine_worker.js`, bundled */
	constructor(program) {
		const url = URL.createObjectURL(new Blob([program], { type: "text/javascript" }));
		this.#worker = new Worker(url);
		this.#worker.addEventListener("message", ({ data: { id, result, error, progress } }) => {
			const waiting = this.#waiting.get(id);
			if (progress) {
				waiting?.progress?.(progress);
				return;
			}
			this.#waiting.delete(id);
			if (error === undefined) waiting?.resolve(result);
			else waiting?.reject(new Error(error));
		});
		this.#worker.addEventListener("error", (event) => {
			event.preventDefault();
			const error = new Error(event.message || "this browser starts no worker in a page from disk");
			for (const waiting of this.#waiting.values()) waiting.reject(error);
			this.#waiting.clear();
		});
	}

	/**
	 * Asks the worker for one of its answers; questions are answered in their order.
	 *
	 * @param {string} name
	 * @param {unknown} given
	 * @param {Transferable[]} [transfer]  what the page need not keep
	 * @returns {Promise<any>}
	 */
	ask(name, given, transfer = []) {
		const id = ++this.#last;
		return new Promise((resolve, reject) => {
			this.#waiting.set(id, { resolve, reject });
			this.#worker.postMessage({ id, name, given }, transfer);
		});
	}

	/**
	 * Scores the images of a job in batches; the worker answers other questions in between.
	 *
	 * @param {import("./engine_worker.js").Given} given
	 * @param {{onProgress: (progress: Progress) => void, signal: AbortSignal}} options  nothing is reported after an abort
	 * @returns {Promise<boolean>}  whether it came to its end
	 */
	run(given, { onProgress, signal }) {
		const id = ++this.#last;
		return new Promise((resolve, reject) => {
			if (signal.aborted) return resolve(false);
			this.#waiting.set(id, { resolve, reject, progress: onProgress });
			this.#worker.postMessage({ id, name: "run", given });
			signal.addEventListener("abort", () => {
				if (!this.#waiting.delete(id)) return;
				this.#worker.postMessage({ name: "cancel", given: id });
				resolve(false);
			});
		});
	}

	/** Stops at once, in the middle of a pass. */
	close() {
		this.#worker.terminate();
	}
}
