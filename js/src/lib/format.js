import { clamp } from "./numbers.js";

/**
 * A number as text, to about four significant digits of `span`, with a true minus sign; a dash for none.
 *
 * @param {number | null | undefined} value
 * @param {number} [span]  the size of the range that the number lies in
 * @returns {string}
 */
export function readable(value, span = 1) {
	if (value === null || value === undefined || Number.isNaN(value)) return "—";
	const digits = 3 - Math.floor(Math.log10(Math.abs(span) || 1));
	return value.toFixed(clamp(digits, 0, 12)).replace("-", "−");
}

/**
 * A share in percent, with one decimal.
 *
 * @param {number} part  from 0 to 1
 * @returns {string}
 */
export function share(part) {
	return `${(100 * part).toFixed(1).replace("-", "−")} %`;
}

/**
 * The shortest decimal that reads back as the same float32; nothing for NaN.
 *
 * @param {number} value
 * @returns {string}
 */
export function float32Text(value) {
	if (Number.isNaN(value)) return "";
	if (Math.fround(value) !== value) return String(value);
	for (let digits = 6; digits < 9; digits++) {
		const text = value.toPrecision(digits);
		if (Math.fround(Number(text)) === value) return String(Number(text));
	}
	return String(Number(value.toPrecision(9)));
}

/**
 * A title as part of a file name.
 *
 * @param {string} title
 * @param {string} fallback  for a title without a letter or digit
 * @returns {string}
 */
export function slug(title, fallback) {
	const words = title
		.normalize("NFKD")
		.toLowerCase()
		.match(/[a-z0-9]+/g);
	return words ? words.join("-") : fallback;
}
