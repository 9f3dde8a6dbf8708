/** Work begins when nothing has changed for this time, ms. */
const REST = 150;
/** It takes at most this time of a frame, ms. */
const SHARE = 6;

/**
 * Does work on items when the user rests, some of them in each frame; newer items replace those that wait.
 *
 * @param {AbortSignal} signal
 * @returns {<T>(items: T[], act: (item: T) => void) => void}
 */
export function whenAtRest(signal) {
	let timer = 0;
	let frame = 0;
	const stop = () => {
		clearTimeout(timer);
		cancelAnimationFrame(frame);
	};
	signal.addEventListener("abort", stop);
	return (items, act) => {
		stop();
		const waiting = [...items];
		const some = () => {
			const end = performance.now() + SHARE;
			do act(/** @type {(typeof items)[number]} */ (waiting.shift()));
			while (waiting.length > 0 && performance.now() < end);
			if (waiting.length > 0) frame = requestAnimationFrame(some);
		};
		if (waiting.length > 0 && !signal.aborted) {
			timer = setTimeout(() => {
				frame = requestAnimationFrame(some);
			}, REST);
		}
	};
}
