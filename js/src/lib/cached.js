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

/**
 * A function of an object, remembering its results as long as the objects live.
 *
 * @template {object} A
 * @template R
 * @param {(of: A) => R} compute
 * @returns {(of: A) => R}
 */
export function remembered(compute) {
	/** @type {WeakMap<A, {made: R}>} */
	const known = new WeakMap();
	return (of) => {
		const entry = known.get(of) ?? { made: compute(of) };
		known.set(of, entry);
		return entry.made;
	};
}
