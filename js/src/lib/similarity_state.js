/**
 * The traits of a similarity view, read: its columns, its locations, and the values to show for them.
 *
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./image.js").Message} Message
 * @typedef {import("./similarity_math.js").Space} Space
 * @typedef {import("./similarity_math.js").Cell} Cell
 * @typedef {{frame: number, layer: number, position: number[], token?: string}} Location  `token` is the name of a token
 *     that is used instead of the position
 * @typedef {Float32Array | null} Floats
 */
import { decode } from "./arrays.js";
import { cached } from "./cached.js";
import { bytes, floats } from "./image.js";
import { createSpace, followCell, overlay, sameCell, similarities, tokenIndex } from "./similarity_math.js";
import { cellAt } from "./stage.js";

/** @param {Model} model */
export function createSimilarity(model) {
	const decodeImages = cached((/** @type {Message} */ message) =>
		bytes("images", message, [null, null, null, 3]),
	);
	const decodeSpaces = cached(spacesOf);
	const decodeTransforms = cached(
		(/** @type {Message} */ message) => floats("transforms", message, [null, 2, 3])?.data ?? null,
	);
	const decodeComponents = cached((/** @type {Message} */ message) =>
		bytes("components", message, [null, null, null, null]),
	);

	const images = () => decodeImages(model.get("images"));
	const spaces = () =>
		decodeSpaces(.../** @type {Parameters<typeof spacesOf>} */ (SPACE_TRAITS.map((name) => model.get(name))));
	const transforms = () => decodeTransforms(model.get("transforms"));
	const frameCount = () => images()?.shape[0] ?? spaces()[0]?.frameCount ?? 0;

	/** The cell of a location in its image and layer. @param {Location} location */
	const cellOf = ({ layer, position }) => {
		const space = spaces()[layer];
		return space ? cellAt(position, [space.rows, space.columns]) : null;
	};
	/**
	 * The cell that corresponds to a position in another image or column.
	 *
	 * @param {Location} location
	 * @param {number} frame
	 * @param {Space} to
	 * @returns {Cell | null}
	 */
	const follow = (location, frame, to) => {
		const cell = cellOf(location);
		if (!cell || location.frame >= to.frameCount) return null;
		const all = transforms();
		if (!all || frame === location.frame) return sameCell(cell, cell, to);
		/** @param {number} index */
		const of = (index) => all.subarray(6 * index, 6 * index + 6);
		return followCell(cell, cell, to, of(location.frame), of(frame));
	};
	/** The locations whose vectors a column is compared with, one for each image. @param {Location} location @param {Space} space */
	const sourcesOf = (location, space) => {
		const across = model.get("scope") === "across";
		return Array.from({ length: space.frameCount }, (_, frame) => {
			const home = across ? location.frame : frame;
			if (location.token) return tokenIndex(space, home, location.token);
			const cell = follow(location, home, space);
			return cell ? (home * space.rows + cell.row) * space.columns + cell.column : -1;
		});
	};
	const single = new Float32Array(1);
	/** @type {{key: string, space: Space, values: Float32Array}[]} */
	const known = [];
	/** The values of a column for some locations; the same array as long as nothing changes. */
	const valuesOf = (/** @type {number} */ index, /** @type {Location[]} */ locations) => {
		const space = spaces()[index];
		const kind = model.get("kind");
		const sources = locations.map((location) => sourcesOf(location, space));
		const key = `${kind};${sources.join(";")}`;
		if (known[index]?.key !== key || known[index].space !== space) {
			known[index] = { key, space, values: overlay(space, kind, sources) };
		}
		return known[index].values;
	};
	/** @returns {Location | null} */
	const hovered = () => {
		const position = model.get("position");
		const location = { frame: model.get("frame"), layer: model.get("layer"), position };
		return position && cellOf(location) && location.frame < frameCount() ? location : null;
	};
	/** @returns {Location[]} */
	const pins = () =>
		model
			.get("pins")
			.filter((/** @type {Location} */ pin) => pin.layer < spaces().length && pin.frame < frameCount());
	/** The names of the tokens that can be compared with, in any column. @returns {string[]} */
	const tokenNames = () => [...new Set(spaces().flatMap(({ tokens }) => tokens))];
	/** The chosen token of the hovered image; null if positions are compared. @returns {Location | null} */
	const tokenSource = () => {
		const token = model.get("source");
		const location = { frame: model.get("frame"), layer: model.get("layer"), position: [0.5, 0.5], token };
		return location.frame < frameCount() && tokenNames().includes(token) ? location : null;
	};
	return {
		images,
		spaces,
		tokenNames,
		tokenSource,
		frameCount,
		cellOf,
		follow,
		hovered,
		pins,
		/** The locations to compare with: the chosen token, or the pins, or else the hovered one. */
		locations() {
			const token = tokenSource();
			if (token) return [token];
			const pinned = pins();
			const location = hovered();
			return pinned.length || !location ? pinned : [location];
		},
		/**
		 * How alike a position is to another, in the column of the latter; NaN where the former has no vector there.
		 *
		 * @param {Location} from
		 * @param {Location} to
		 */
		between(from, to) {
			const space = spaces()[to.layer];
			const cell = cellOf(to);
			const source = sourcesOf(from, space)[to.frame];
			if (!cell || source < 0) return Number.NaN;
			const at = (to.frame * space.rows + cell.row) * space.columns + cell.column;
			similarities(space, source, model.get("kind"), at, single);
			return single[0];
		},
		/** The values of each column; null where there is nothing to compare with. @param {Location[]} locations */
		overlays: (locations) =>
			spaces().map((_, index) => (locations.length ? valuesOf(index, locations) : null)),
		components() {
			const made = decodeComponents(model.get("components"));
			if (made && made.shape[0] !== frameCount()) {
				throw new RangeError(`components are of ${made.shape[0]} images, expected ${frameCount()}`);
			}
			return made;
		},
		/** Refuses what does not fit together, in words for the person who looks at the view. */
		check() {
			const expected = frameCount();
			for (const [index, { frameCount: count }] of spaces().entries()) {
				if (count !== expected)
					throw new RangeError(`activations[${index}] are of ${count} images, expected ${expected}`);
			}
			const moved = transforms()?.length;
			if (moved !== undefined && moved !== 6 * expected)
				throw new RangeError(`transforms are of ${moved / 6} images, expected ${expected}`);
			this.components();
		},
	};
}

/** The traits that hold the vectors. */
const SPACE_TRAITS = [
	...["activations", "scales", "norms", "sigmas"],
	...["tokens", "token_scales", "token_norms", "token_names"],
];

/**
 * @param {Message[]} activations
 * @param {Message[]} scales
 * @param {Message[]} norms
 * @param {number[]} sigmas
 * @param {Message[]} tokens
 * @param {Message[]} tokenScales
 * @param {Message[]} tokenNorms
 * @param {string[][]} tokenNames
 * @returns {Space[]}
 */
function spacesOf(activations, scales, norms, sigmas, tokens, tokenScales, tokenNorms, tokenNames) {
	return activations.map((message, index) => {
		const made = decode(message);
		const data = made?.data;
		if (made?.shape.length !== 4 || !(data instanceof Int8Array || data instanceof Float32Array)) {
			throw new TypeError(
				`activations[${index}] are of shape [${made?.shape}], expected int8 or floats of [P, h, w, C]`,
			);
		}
		/** @param {string} name @param {Message[]} list @param {number[]} [shape] */
		const beside = (name, list, shape = made.shape.slice(0, 3)) =>
			list.length ? (floats(`${name}[${index}]`, list[index], shape)?.data ?? null) : null;
		const names = tokenNames[index] ?? [];
		const beyond = names.length > 0 ? decode(tokens[index]) : null;
		const expected = [made.shape[0], names.length, made.shape[3]];
		if (names.length > 0 && String(beyond?.shape) !== String(expected)) {
			throw new TypeError(`tokens[${index}] are of shape [${beyond?.shape}], expected [${expected}]`);
		}
		return createSpace(
			{ shape: made.shape, data },
			beside("scales", scales),
			beside("norms", norms),
			sigmas[index] ?? 1,
			beyond && {
				names,
				data: /** @type {import("./similarity_math.js").Codes} */ (beyond.data),
				scales: beside("token_scales", tokenScales, expected.slice(0, 2)),
				norms: beside("token_norms", tokenNorms, expected.slice(0, 2)),
			},
		);
	});
}
