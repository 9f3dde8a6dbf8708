/** Two messages are at least so far apart, ms: each costs the page about as much as a frame. */
const INTERVAL = 50;
/** A kernel that has not acknowledged the last message after this time is busy or gone, ms. */
const PATIENCE = 500;

/**
 * Sends what is newest, one message at a time: the next one goes when the kernel has seen the last, or when it has
 * been silent for long. So nothing queues up, and the last state always arrives.
 *
 * @param {() => number} send  sends the newest state and returns the number of the message
 * @param {AbortSignal} signal
 */
export function createSender(send, signal) {
	let waiting = false;
	/** The number of the message that the kernel has not seen yet. @type {number | null} */
	let flight = null;
	let sent = Number.NEGATIVE_INFINITY;
	let timer = 0;

	const go = () => {
		waiting = false;
		sent = performance.now();
		flight = send();
		wait(PATIENCE, () => {
			flight = null;
			next();
		});
	};
	/** @param {number} time @param {() => void} then */
	const wait = (time, then) => {
		clearTimeout(timer);
		timer = setTimeout(then, time);
	};
	const next = () => {
		if (!waiting || flight !== null) return;
		const rest = sent + INTERVAL - performance.now();
		if (rest <= 0) go();
		else wait(rest, next);
	};
	signal.addEventListener("abort", () => {
		clearTimeout(timer);
		if (waiting) send();
	});
	return {
		/** There is something newer. */
		push() {
			waiting = true;
			next();
		},
		/** The kernel has taken up a message. @param {number} number */
		seen(number) {
			if (flight === null || number < flight) return;
			clearTimeout(timer);
			flight = null;
			next();
		},
	};
}
