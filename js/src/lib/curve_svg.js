import { scaleOf } from "./curve_scale.js";
import { groupsOf } from "./curve_table.js";
import { logText, logTicks, sqrtTicks } from "./curve_ticks.js";
import { countsOnly } from "./curves.js";
import { readable } from "./format.js";
import { dashOf } from "./palette.js";
import { shape } from "./swatch.js";

/**
 * @typedef {import("./curves.js").Curves} Curves
 * @typedef {import("./curves.js").Curve} Curve
 * @typedef {[min: number, max: number]} Range
 */

/**
 * The look of the image.
 *
 * @typedef {object} Look
 * @property {number} width  px
 * @property {number} height  of the plot without the legend, px
 * @property {string} title
 * @property {string} xLabel
 * @property {string} yLabel
 * @property {string} [area]  what the number about each curve is
 * @property {string} [between]  and that about all curves of one name
 * @property {{x: Range, y: Range} | null} ranges  what is shown; null for everything
 * @property {{position: number, text: string}} cursor  on x
 * @property {(color: string) => string} resolve  turns a CSS color into a plain one
 */

const [LEFT, RIGHT, TOP, BOTTOM] = [52, 16, 12, 54];
const LINE = 18;
const SWATCH = 24;
const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif";
/** Between two ticks of x, and of y, px. */
const [ACROSS, DOWN] = [46, 30];

/**
 * The curves as a vector image: axes, bands, curves, lines, marks, the cursor and a legend in words.
 *
 * @param {Curves} data
 * @param {Look} look
 * @returns {string} the text of an SVG file
 */
export function curveSvg(data, look) {
	const { width, height, title, xLabel, yLabel, resolve } = look;
	const ink = { text: resolve("var(--xw-fg)"), muted: resolve("var(--xw-muted)") };
	const background = resolve("var(--xw-bg)");
	const head = title ? LINE + 4 : 0;
	const shown = data.curves.filter(({ hidden }) => !hidden);
	const plot = placed(data, shown, look, head);
	const entries = legend(shown, look.area || "AUC", look.between ?? "");
	const total = head + height + LINE * (entries.length + 1);
	const { left, right, top, bottom } = plot;
	return [
		`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${total}" viewBox="0 0 ${width} ${total}" font-family="${FONT}" font-size="12">`,
		`<rect width="${width}" height="${total}" fill="${background}"/>`,
		title ? text(LEFT, LINE, title, ink.text, 'font-weight="600"') : "",
		`<clipPath id="plot"><rect x="${left - 6}" y="${top - 6}" width="${right - left + 12}" height="${bottom - top + 12}"/></clipPath>`,
		...axes(plot, resolve("var(--xw-line)"), ink.muted),
		text((left + right) / 2, bottom + 48, xLabel, ink.text, 'text-anchor="middle"'),
		`<g transform="rotate(-90 14 ${(top + bottom) / 2})">${text(14, (top + bottom) / 2 + 4, yLabel, ink.text, 'text-anchor="middle"')}</g>`,
		'<g clip-path="url(#plot)" fill="none" stroke-linejoin="round">',
		...shown.map((curve) => band(curve, plot, resolve)),
		...data.lines.map(
			({ y, color }) =>
				`<path d="M${left} ${plot.down(y)}H${right}" stroke="${resolve(color || "var(--xw-muted)")}" stroke-dasharray="2 3"/>`,
		),
		...shown.map((curve) => line(curve, plot, resolve, background)),
		...data.marks.map(
			({ x }) => `<path d="M${plot.across(x)} ${top}V${bottom}" stroke="${ink.text}" stroke-opacity="0.5"/>`,
		),
		"</g>",
		...data.lines.map(({ y, label }) =>
			label ? text(right - 4, plot.down(y) - 4, label, ink.text, 'text-anchor="end" font-size="11"') : "",
		),
		...data.marks.map(({ x, label }) =>
			text(plot.across(x), top - 2, label, ink.text, 'text-anchor="middle" font-size="11"'),
		),
		...cursor(look, plot, ink.text, background),
		...entries.map((entry, index) => row(entry, head + height + LINE * (index + 1), ink, resolve)),
		"</svg>",
	].join("\n");
}

/**
 * @param {Curves} data
 * @param {Curve[]} shown
 * @param {Look} look
 * @param {number} head  px
 */
function placed(data, shown, { width, height, ranges }, head) {
	const { x, scale, percent, lines } = data;
	const values = shown.flatMap((curve) => [...curve.values]).concat(lines.map(({ y }) => y));
	const known = values.filter(Number.isFinite);
	const range = {
		x: ranges?.x ?? [x[0] ?? 0, x[x.length - 1] ?? 1],
		y: ranges?.y ?? [Math.min(0, ...known), Math.max(1e-6, ...known)],
	};
	const { drawn } = scaleOf(scale);
	const [left, right, top, bottom] = [LEFT, width - RIGHT, head + TOP, head + height - BOTTOM];
	const [low, high] = range.x.map(drawn);
	return {
		x,
		...{ scale, percent, range, left, right, top, bottom, whole: countsOnly(data) },
		across: (/** @type {number} */ value) =>
			round(left + ((drawn(value) - low) / (high - low || 1)) * (right - left)),
		down: (/** @type {number} */ value) =>
			round(bottom - ((value - range.y[0]) / (range.y[1] - range.y[0] || 1)) * (bottom - top)),
	};
}

/** @typedef {ReturnType<typeof placed>} Plot */

/** @param {Plot} plot @param {string} grid @param {string} muted */
function axes({ scale, percent, range, left, right, top, bottom, across, down, whole }, grid, muted) {
	const [low, high] = range.x;
	const room = right - left;
	const ticks = { log: logTicks, sqrt: sqrtTicks }[scale] ?? evenTicks;
	const words = (/** @type {number} */ value) => {
		if (percent) return `${plain(100 * value)} %`;
		return scale === "log" ? logText(value) : plain(value);
	};
	return [
		...ticks(low, high, room, ACROSS)
			.filter((value) => !whole || Number.isInteger(value))
			.map(
				(value) =>
					`<path d="M${across(value)} ${top}V${bottom}" stroke="${grid}"/>${text(across(value), bottom + 16, words(value), muted, 'text-anchor="middle" font-size="11"')}`,
			),
		...evenTicks(range.y[0], range.y[1], bottom - top, DOWN).map(
			(value) =>
				`<path d="M${left} ${down(value)}H${right}" stroke="${grid}"/>${text(left - 6, down(value) + 4, plain(value), muted, 'text-anchor="end" font-size="11"')}`,
		),
	];
}

/** @param {number} low @param {number} high @param {number} width @param {number} space  both px */
function evenTicks(low, high, width, space) {
	const raw = ((high - low) * space) / width;
	const unit = 10 ** Math.floor(Math.log10(raw));
	const step = unit * ([1, 2, 5].find((number) => number * unit >= raw) ?? 10);
	const first = Math.ceil(low / step - 1e-6);
	const count = Math.floor(high / step + 1e-6) - first + 1;
	return Array.from({ length: Math.max(count, 0) }, (_, i) => Number(((first + i) * step).toPrecision(9)));
}

/** @param {Curve} curve @param {Plot} plot @param {(color: string) => string} resolve */
function band({ band: both, color }, plot, resolve) {
	if (!both) return "";
	const [low, high] = both.map((values) => pointsOf(values, plot));
	if (low.length < 2) return "";
	return `<path d="M${[...high, ...low.reverse()].map((point) => point.join(" ")).join("L")}Z" fill="${resolve(color)}" fill-opacity="0.18"/>`;
}

/** @param {Curve} curve @param {Plot} plot @param {(color: string) => string} resolve @param {string} background */
function line(curve, plot, resolve, background) {
	const points = pointsOf(curve.values, plot);
	if (points.length === 0) return "";
	const color = resolve(curve.color);
	const dash = dashOf(curve).join(" ");
	const d = `M${points.map((point) => point.join(" ")).join("L")}`;
	const parts = [
		`<path d="${d}" stroke="${color}" stroke-width="${curve.active ? 2.75 : 1.5}"${dash ? ` stroke-dasharray="${dash}"` : ""}/>`,
	];
	if (curve.marker) {
		const every = Math.max(1, Math.floor(points.length / 8));
		const at = points.filter((_, index) => index % every === Math.floor(every / 2));
		parts.push(
			...at.map(([left, top]) => `<path d="${shape(curve.marker, left, top, 4)}" fill="${color}"/>`),
		);
	}
	const step = Array.from(plot.x).indexOf(curve.flip);
	if (step >= 0 && !Number.isNaN(curve.values[step])) {
		const d = shape("diamond", plot.across(curve.flip), plot.down(curve.values[step]), 5.5);
		parts.push(`<path d="${d}" fill="${background}" stroke="${color}" stroke-width="1.75"/>`);
	}
	return parts.join("");
}

/** The known values, px. @param {Float32Array} values @param {Plot} plot @returns {[number, number][]} */
function pointsOf(values, { x, across, down }) {
	/** @type {[number, number][]} */
	const points = [];
	for (const [step, value] of values.entries()) {
		if (!Number.isNaN(value)) points.push([across(x[step]), down(value)]);
	}
	return points;
}

/** @param {Look} look @param {Plot} plot @param {string} ink @param {string} background */
function cursor(
	{ cursor: { position, text: words } },
	{ across, left, right, top, bottom },
	ink,
	background,
) {
	const at = across(position);
	if (at < left - 1 || at > right + 1) return [];
	const half = 4 + 3.2 * words.length;
	const middle = Math.min(Math.max(at, half), right + RIGHT - half);
	return [
		`<path d="M${at} ${top}V${bottom}" stroke="${ink}"/>`,
		`<rect x="${round(middle - half)}" y="${bottom + 18}" width="${round(2 * half)}" height="17" rx="8.5" fill="${ink}"/>`,
		text(round(middle), bottom + 30.5, words, background, 'text-anchor="middle" font-size="11"'),
	];
}

/**
 * The entries of the legend: those of one name together.
 *
 * @param {Curve[]} shown
 * @param {string} area
 * @param {string} between
 * @returns {{label: string, note: string, curve: Curve}[]}
 */
function legend(shown, area, between) {
	if (!shown.some(({ name }) => name)) {
		return shown.map((curve) => ({ label: curve.label, note: curve.note, curve }));
	}
	return groupsOf(shown).map(({ name, curves, byMode, between: both }) => ({
		label: name,
		note: [
			...[...byMode]
				.filter(([, { auc }]) => !Number.isNaN(auc))
				.map(([mode, { auc }]) => `${area} ${mode} ${readable(auc)}`),
			...(between && !Number.isNaN(both) ? [`${between} ${readable(both)}`] : []),
		].join(", "),
		curve: { ...curves[0], dashed: false, active: curves.some(({ active }) => active) },
	}));
}

/**
 * @param {{label: string, note: string, curve: Curve}} entry
 * @param {number} top
 * @param {{text: string, muted: string}} ink
 * @param {(color: string) => string} resolve
 */
function row({ label, note, curve }, top, ink, resolve) {
	const dash = dashOf(curve).join(" ");
	const color = resolve(curve.color);
	const left = LEFT + SWATCH + 8;
	return [
		`<path d="M${LEFT} ${top}h${SWATCH}" stroke="${color}" stroke-width="${curve.active ? 3 : 1.75}"${dash ? ` stroke-dasharray="${dash}"` : ""}/>`,
		curve.marker ? `<path d="${shape(curve.marker, LEFT + SWATCH / 2, top, 4)}" fill="${color}"/>` : "",
		`<text x="${left}" y="${top + 4}" fill="${ink.text}">${escaped(label)}<tspan dx="10" fill="${ink.muted}">${escaped(note)}</tspan></text>`,
	].join("");
}

/** @param {number} x @param {number} y @param {string} words @param {string} fill @param {string} [more]  attributes */
function text(x, y, words, fill, more = "") {
	return words ? `<text x="${x}" y="${y}" fill="${fill}" ${more}>${escaped(words)}</text>` : "";
}

/** @param {string} words */
function escaped(words) {
	return words.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** A number as short as it is. @param {number} value */
function plain(value) {
	return String(Number(value.toPrecision(6))).replace("-", "−");
}

/** @param {number} value */
function round(value) {
	return Number(value.toFixed(2));
}
