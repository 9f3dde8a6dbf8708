/** A network in a worker that is made from its own source, as a page from disk can load nothing. */
export class Engine {
	#worker;
	#last = 0;
	/** @type {Map<number, {resolve: (result: any) => void, reject: (error: Error) => void}>} */
	#waiting = new Map();

	/** @param {string} program  source of `engine_worker.js`, bundled */
	constructor(program) {
		const url = URL.createObjectURL(new Blob([program], { type: "text/javascript" }));
		this.#worker = new Worker(url);
		this.#worker.addEventListener("message", ({ data: { id, result, error } }) => {
			const waiting = this.#waiting.get(id);
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

	/** Stops at once, in the middle of a pass. */
	close() {
		this.#worker.terminate();
	}
}
