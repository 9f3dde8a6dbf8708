import { readable } from "./format.js";
import { dashOf } from "./palette.js";

const LINE = 18;
const MARGIN = 12;
const SWATCH = 22;
const GUTTER = 24;
/** The legend has two columns when each can be this wide, CSS px. */
const COLUMN = 270;
const FONT = "12px system-ui, sans-serif";

/**
 * A image of the plot as it is shown, with its title and its legend in words.
 *
 * @param {HTMLCanvasElement} plot
 * @param {import("./curves.js").Curve[]} curves  the visible ones
 * @param {object} options
 * @param {string} options.title
 * @param {string} options.where  where the cursor is, in words
 * @param {number} options.step  index on x of the values, -1 for none
 * @param {number} options.width  of the plot, CSS px
 * @param {(color: string) => string} options.resolve
 * @returns {HTMLCanvasElement}
 */
export function curveImage(plot, curves, { title, where, step, width, resolve }) {
	const scale = plot.width / width;
	const head = title ? LINE + MARGIN : MARGIN;
	const columns = width >= 2 * COLUMN + GUTTER ? 2 : 1;
	const rows = Math.ceil(curves.length / columns) + (step < 0 ? 0 : 1);
	const height = head + plot.height / scale + LINE * rows + MARGIN;
	const canvas = document.createElement("canvas");
	canvas.width = Math.round((width + 2 * MARGIN) * scale);
	canvas.height = Math.round(height * scale);
	const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
	context.scale(scale, scale);
	context.fillStyle = resolve("var(--xw-bg)");
	context.fillRect(0, 0, width + 2 * MARGIN, height);
	context.textBaseline = "middle";
	context.fillStyle = resolve("var(--xw-fg)");
	context.font = `600 ${FONT}`;
	context.fillText(title, MARGIN, MARGIN + LINE / 2);
	context.drawImage(plot, MARGIN, head, width, plot.height / scale);
	let top = head + plot.height / scale + LINE / 2;
	context.font = FONT;
	if (step >= 0) {
		context.fillStyle = resolve("var(--xw-muted)");
		context.textAlign = "right";
		context.fillText(where, MARGIN + width, top);
		top += LINE;
	}
	const column = (width - GUTTER * (columns - 1)) / columns;
	for (const [index, curve] of curves.entries()) {
		const left = MARGIN + (index % columns) * (column + GUTTER);
		entry(context, curve, { left, top, width: column, step, resolve });
		if (index % columns === columns - 1) top += LINE;
	}
	return canvas;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {import("./curves.js").Curve} curve
 * @param {{left: number, top: number, width: number, step: number, resolve: (color: string) => string}} options
 */
function entry(context, curve, { left, top, width, step, resolve }) {
	context.strokeStyle = resolve(curve.color);
	context.lineWidth = curve.active ? 3 : 1.75;
	context.setLineDash(dashOf(curve));
	context.beginPath();
	context.moveTo(left, top);
	context.lineTo(left + SWATCH, top);
	context.stroke();
	context.textAlign = "left";
	context.fillStyle = resolve("var(--xw-fg)");
	const name = curve.label;
	const text = left + SWATCH + 8;
	context.fillText(name, text, top);
	context.fillStyle = resolve("var(--xw-muted)");
	context.fillText(curve.note, text + context.measureText(name).width + 10, top);
	if (step < 0) return;
	context.fillStyle = resolve("var(--xw-fg)");
	context.textAlign = "right";
	context.fillText(readable(curve.values[step]), left + width, top);
}
