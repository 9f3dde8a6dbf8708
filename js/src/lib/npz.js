/**
 * Files of NumPy: arrays as `.npy`, several of them as `.npz`, which is a zip archive without compression.
 *
 * @typedef {import("./arrays.js").ArrayMessage} ArrayMessage
 */

const DESCR = { uint8: "|u1", int8: "|i1", int32: "<i4", float16: "<f2", float32: "<f4" };
/** The header of a `.npy` ends at a multiple of it, bytes. */
const ALIGNMENT = 64;
/** 1980-01-01, the first date of zip: the same arrays give the same file. */
const DATE = 33;

/**
 * The bytes of an array as a `.npy` file, in its own type and shape.
 *
 * @param {ArrayMessage} message
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function npy({ dtype, shape, data }) {
	const extents = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
	const words = `{'descr': '${DESCR[dtype]}', 'fortran_order': False, 'shape': (${extents}), }`;
	const length = Math.ceil((10 + words.length + 1) / ALIGNMENT) * ALIGNMENT;
	const file = new Uint8Array(length + data.byteLength);
	file.set([0x93, ...new TextEncoder().encode("NUMPY"), 1, 0]);
	new DataView(file.buffer).setUint16(8, length - 10, true);
	file.set(new TextEncoder().encode(`${words.padEnd(length - 11)}\n`), 10);
	file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), length);
	return file;
}

/**
 * The arrays as one file that `numpy.load` reads.
 *
 * @param {Record<string, ArrayMessage>} arrays  by name
 * @returns {Blob}
 */
export function npz(arrays) {
	return zip(Object.entries(arrays).map(([name, message]) => [`${name}.npy`, npy(message)]));
}

/**
 * An archive of files that are stored as they are.
 *
 * @param {[name: string, content: Uint8Array<ArrayBuffer>][]} files
 * @returns {Blob}
 */
export function zip(files) {
	/** @type {Uint8Array<ArrayBuffer>[]} */
	const parts = [];
	/** @type {Uint8Array<ArrayBuffer>[]} */
	const directory = [];
	let offset = 0;
	for (const [name, content] of files) {
		const title = new TextEncoder().encode(name);
		const [crc, size] = [crc32(content), content.length];
		// Version 2.0, names in UTF-8, stored, the date, and no extra field.
		const facts = record([20, 0x800, 0, 0, DATE], [crc, size, size], [title.length, 0]);
		const local = join(record([], [0x04034b50], []), facts, title);
		const central = record([20], [], []);
		directory.push(
			join(record([], [0x02014b50], []), central, facts, record([0, 0, 0], [0, offset], []), title),
		);
		parts.push(local, content);
		offset += local.length + size;
	}
	const length = directory.reduce((sum, { length }) => sum + length, 0);
	const end = join(
		record([], [0x06054b50], []),
		record([0, 0, files.length, files.length], [length, offset], [0]),
	);
	return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

/**
 * Numbers of two, four and two bytes, the lowest byte first.
 *
 * @param {number[]} first @param {number[]} words @param {number[]} last
 * @returns {Uint8Array<ArrayBuffer>}
 */
function record(first, words, last) {
	const bytes = new Uint8Array(2 * (first.length + last.length) + 4 * words.length);
	const view = new DataView(bytes.buffer);
	let at = 0;
	for (const [numbers, size] of /** @type {[number[], number][]} */ ([
		[first, 2],
		[words, 4],
		[last, 2],
	])) {
		for (const number of numbers) {
			if (size === 2) view.setUint16(at, number, true);
			else view.setUint32(at, number, true);
			at += size;
		}
	}
	return bytes;
}

/** @param {...Uint8Array<ArrayBuffer>} parts @returns {Uint8Array<ArrayBuffer>} */
function join(...parts) {
	const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
	let at = 0;
	for (const part of parts) {
		bytes.set(part, at);
		at += part.length;
	}
	return bytes;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
	let value = index;
	for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
	return value;
});

/** @param {Uint8Array} bytes @returns {number} the checksum of zip */
function crc32(bytes) {
	let crc = 0xffffffff;
	for (let i = 0; i < bytes.length; i++) crc = TABLE[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
	return (crc ^ 0xffffffff) >>> 0;
}
