/** Which numbers of a decade have a tick, from many to few. */
const DECADES = [[1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 5], [1, 3], [1]];
/** Within so small a factor equal steps are easier to read than those of a decade. */
const NARROW = 3;

/**
 * Where a logarithmic axis has its ticks: as many as there is room for.
 *
 * @param {number} low  above 0
 * @param {number} high
 * @param {number} width  of the axis, CSS px
 * @param {number} space  at least between two ticks, CSS px
 * @returns {number[]}
 */
export function logTicks(low, high, width, space) {
	const apart = (high / low) ** (space / width);
	/** @param {number[]} ticks */
	const fits = (ticks) => ticks.every((tick, i) => i === 0 || tick / ticks[i - 1] >= apart);
	if (high / low < NARROW) return evenTicks(low, high, high - high / apart);
	const first = Math.floor(Math.log10(low));
	const count = Math.ceil(Math.log10(high)) - first + 1;
	/** @param {number[]} numbers @param {number} every */
	const ticksOf = (numbers, every) =>
		Array.from({ length: count }, (_, i) => first + i)
			.filter((exponent) => exponent % every === 0)
			.flatMap((exponent) => numbers.map((number) => Number(`${number}e${exponent}`)))
			// A limit may be rounded, as float32 are.
			.filter((tick) => tick >= low * (1 - 1e-6) && tick <= high * (1 + 1e-6));
	for (const numbers of DECADES) {
		const ticks = ticksOf(numbers, 1);
		if (fits(ticks)) return ticks;
	}
	for (let every = 2; every < count; every++) {
		const ticks = ticksOf([1], every);
		if (fits(ticks)) return ticks;
	}
	return ticksOf([1], 1).slice(0, 1);
}

/**
 * Where a square-root axis has its ticks: round numbers, each at least `space` from the one before.
 *
 * @param {number} low  at least 0
 * @param {number} high
 * @param {number} width  of the axis, CSS px
 * @param {number} space  at least between two ticks, CSS px
 * @returns {number[]}
 */
export function sqrtTicks(low, high, width, space) {
	if (low > 0 && high / low < NARROW) {
		const [first, last] = [Math.sqrt(low), Math.sqrt(high)];
		// Equal steps are closest at the end.
		return evenTicks(low, high, high - (last - (space / width) * (last - first)) ** 2);
	}
	const apart = (space / width) * (Math.sqrt(high) - Math.sqrt(low));
	const ticks = low === 0 ? [0] : [];
	const decades = Math.ceil(Math.log10(high));
	for (let exponent = decades - 8; exponent <= decades; exponent++) {
		for (const number of [1, 2, 5]) {
			const tick = Number(`${number}e${exponent}`);
			if (tick < low || tick > high * (1 + 1e-6)) continue;
			const before = ticks.at(-1);
			if (before === undefined || Math.sqrt(tick) - Math.sqrt(before) >= apart) ticks.push(tick);
		}
	}
	return ticks;
}

/** @param {number} low @param {number} high @param {number} step  at least */
function evenTicks(low, high, step) {
	const unit = 10 ** Math.floor(Math.log10(step));
	const nice = unit * ([1, 2, 5].find((number) => number * unit >= step) ?? 10);
	const first = Math.ceil(low / nice - 1e-6);
	const count = Math.floor(high / nice + 1e-6) - first + 1;
	return Array.from({ length: Math.max(count, 0) }, (_, i) => Number(((first + i) * nice).toPrecision(12)));
}

/**
 * A tick of a logarithmic axis in words: 0.02, 500, 10⁻⁵, 2·10⁶.
 *
 * @param {number} value  above 0
 */
export function logText(value) {
	if (value >= 0.99e-4 && value < 1e5) return String(Number(value.toPrecision(6)));
	const [number, exponent] = Number(value.toPrecision(6)).toExponential().split("e");
	const power = `10${exponent.replace("+", "").replace(/[-\d]/g, (digit) => SUPERSCRIPTS[digit])}`;
	return number === "1" ? power : `${number}·${power}`;
}

const SUPERSCRIPTS = /** @type {Record<string, string>} */ (
	Object.fromEntries([..."-0123456789"].map((digit, i) => [digit, [..."⁻⁰¹²³⁴⁵⁶⁷⁸⁹"][i]]))
);
