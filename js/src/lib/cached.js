/**
 * The function, remembering its last result as long as the very same arguments come again.
 *
 * @template {unknown[]} A
 * @template R
 * @param {(...args: A) => R} compute
 * @returns {(...args: A) => R}
 */
export function cached(compute) {
	/** @type {A | undefined} */
	let last;
	/** @type {R} */
	let result;
	return (...args) => {
		if (!last || args.some((value, index) => !Object.is(value, last?.[index]))) {
			// Forgotten first: a call that throws must throw again.
			last = undefined;
			result = compute(...args);
			last = args;
		}
		return result;
	};
}
