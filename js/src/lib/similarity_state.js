/**
 * What the traits of a similarity view say: the columns, the places, and what is shown for them.
 *
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./image.js").Message} Message
 * @typedef {import("./similarity_math.js").Space} Space
 * @typedef {import("./similarity_math.js").Cell} Cell
 * @typedef {{frame: number, layer: number, position: number[]}} Place
 * @typedef {Float32Array | null} Floats
 */
import { decode } from "./arrays.js";
import { cached } from "./cached.js";
import { bytes, floats } from "./image.js";
import { createSpace, followCell, overlay, sameCell, similarities } from "./similarity_math.js";
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
		decodeSpaces(model.get("activations"), model.get("scales"), model.get("norms"), model.get("sigmas"));
	const transforms = () => decodeTransforms(model.get("transforms"));
	const pictures = () => images()?.shape[0] ?? spaces()[0]?.pictures ?? 0;

	/** The cell of a place in the picture and the column that it is of. @param {Place} place */
	const cellOf = ({ layer, position }) => {
		const space = spaces()[layer];
		return space ? cellAt(position, [space.rows, space.columns]) : null;
	};
	/**
	 * The cell that corresponds to a place in another picture or column.
	 *
	 * @param {Place} place
	 * @param {number} picture
	 * @param {Space} to
	 * @returns {Cell | null}
	 */
	const follow = (place, picture, to) => {
		const cell = cellOf(place);
		if (!cell || place.frame >= to.pictures) return null;
		const all = transforms();
		if (!all || picture === place.frame) return sameCell(cell, cell, to);
		/** @param {number} index */
		const of = (index) => all.subarray(6 * index, 6 * index + 6);
		return followCell(cell, cell, to, of(place.frame), of(picture));
	};
	/** The places whose vectors a column is compared with, one a picture. @param {Place} place @param {Space} space */
	const sourcesOf = (place, space) => {
		const across = model.get("scope") === "across";
		return Array.from({ length: space.pictures }, (_, picture) => {
			const home = across ? place.frame : picture;
			const cell = follow(place, home, space);
			return cell ? (home * space.rows + cell.row) * space.columns + cell.column : -1;
		});
	};
	const single = new Float32Array(1);
	/** @type {{key: string, space: Space, values: Float32Array}[]} */
	const known = [];
	/** What a column shows for some places; the very same array as long as nothing changes. */
	const valuesOf = (/** @type {number} */ index, /** @type {Place[]} */ places) => {
		const space = spaces()[index];
		const kind = model.get("kind");
		const sources = places.map((place) => sourcesOf(place, space));
		const key = `${kind};${sources.join(";")}`;
		if (known[index]?.key !== key || known[index].space !== space) {
			known[index] = { key, space, values: overlay(space, kind, sources) };
		}
		return known[index].values;
	};
	/** @returns {Place | null} */
	const hovered = () => {
		const position = model.get("position");
		const place = { frame: model.get("frame"), layer: model.get("layer"), position };
		return position && cellOf(place) && place.frame < pictures() ? place : null;
	};
	/** @returns {Place[]} */
	const pins = () =>
		model
			.get("pins")
			.filter((/** @type {Place} */ pin) => pin.layer < spaces().length && pin.frame < pictures());
	return {
		images,
		spaces,
		pictures,
		cellOf,
		follow,
		hovered,
		pins,
		/** What the pictures are compared with: the pins, or else the hovered place. */
		places() {
			const pinned = pins();
			const place = hovered();
			return pinned.length || !place ? pinned : [place];
		},
		/**
		 * How alike a place is to another, in the column of the latter; NaN where the former has no vector there.
		 *
		 * @param {Place} from
		 * @param {Place} to
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
		/** What each column shows; null where there is no place to compare with. @param {Place[]} places */
		overlays: (places) => spaces().map((_, index) => (places.length ? valuesOf(index, places) : null)),
		components() {
			const made = decodeComponents(model.get("components"));
			if (made && made.shape[0] !== pictures()) {
				throw new RangeError(`components are of ${made.shape[0]} pictures, wanted ${pictures()}`);
			}
			return made;
		},
		/** Refuses what does not fit together, in words for the person who looks at the view. */
		check() {
			const wanted = pictures();
			for (const [index, { pictures: count }] of spaces().entries()) {
				if (count !== wanted)
					throw new RangeError(`activations[${index}] are of ${count} pictures, wanted ${wanted}`);
			}
			const moved = transforms()?.length;
			if (moved !== undefined && moved !== 6 * wanted)
				throw new RangeError(`transforms are of ${moved / 6} pictures, wanted ${wanted}`);
			this.components();
		},
	};
}

/**
 * @param {Message[]} activations
 * @param {Message[]} scales
 * @param {Message[]} norms
 * @param {number[]} sigmas
 * @returns {Space[]}
 */
function spacesOf(activations, scales, norms, sigmas) {
	return activations.map((message, index) => {
		const made = decode(message);
		const data = made?.data;
		if (made?.shape.length !== 4 || !(data instanceof Int8Array || data instanceof Float32Array)) {
			throw new TypeError(
				`activations[${index}] are of shape [${made?.shape}], wanted int8 or floats of [P, h, w, C]`,
			);
		}
		/** @param {string} name @param {Message[]} list */
		const beside = (name, list) =>
			list.length ? (floats(`${name}[${index}]`, list[index], made.shape.slice(0, 3))?.data ?? null) : null;
		return createSpace(
			{ shape: made.shape, data },
			beside("scales", scales),
			beside("norms", norms),
			sigmas[index] ?? 1,
		);
	});
}
