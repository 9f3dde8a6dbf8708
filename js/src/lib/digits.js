/**
 * A value in three significant digits, with a true minus sign: 0.0123, −45.6, 1.20e−7.
 *
 * @param {number} value
 */
export function digits(value) {
	if (value === 0) return "0";
	if (!Number.isFinite(value)) return String(value).replace("-", "−").replace("Infinity", "∞");
	const magnitude = Math.abs(value);
	let text;
	if (magnitude < 1e-3 || magnitude >= 99950) text = value.toExponential(2).replace("e+", "e");
	else if (magnitude >= 999.5) text = String(Number(value.toPrecision(3)));
	else text = value.toPrecision(3);
	return text.replaceAll("-", "−");
}
