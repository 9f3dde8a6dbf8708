/**
 * Arrays as they travel from Python: `{dtype, shape, data}`, little-endian, C order.
 * @typedef {"uint8" | "int8" | "int32" | "float16" | "float32"} DType
 * @typedef {{dtype: DType, shape: number[], data: DataView}} ArrayMessage
 * @typedef {Uint8Array | Int8Array | Int32Array | Float32Array} Values
 */

/**
 * @template {Values} T
 * @typedef {{shape: number[], data: T}} NDArray
 */

const ITEMSIZE = { uint8: 1, int8: 1, int32: 4, float16: 2, float32: 4 };

/**
 * The array of a message, or null for null. float16 is widened to float32.
 *
 * @template {Values} T
 * @param {ArrayMessage | null | undefined} message
 * @returns {NDArray<T> | null}
 * @throws {TypeError} for any other message: an array drawn wrong is worse than none.
 */
export function decode(message) {
	if (message === null || message === undefined) return null;
	const { dtype, shape, data } = message;
	if (!(data instanceof DataView)) {
		throw new TypeError(`array data is ${Object.prototype.toString.call(data)}, expected a DataView`);
	}
	const itemsize = ITEMSIZE[dtype];
	if (!itemsize) {
		throw new TypeError(`array dtype is ${dtype}, expected one of ${Object.keys(ITEMSIZE).join(", ")}`);
	}
	const size = shape.reduce((product, extent) => product * extent, 1);
	if (size * itemsize !== data.byteLength) {
		throw new TypeError(
			`array of shape [${shape}] and ${dtype} has ${data.byteLength} bytes, expected ${size * itemsize}`,
		);
	}
	return { shape, data: /** @type {T} */ (view(dtype, data, size)) };
}

/**
 * @param {DType} dtype
 * @param {DataView} bytes
 * @param {number} size
 * @returns {Values}
 */
function view(dtype, bytes, size) {
	let { buffer, byteOffset } = bytes;
	if (byteOffset % ITEMSIZE[dtype] !== 0) {
		// A typed array cannot start at a misaligned byte: copy.
		buffer = buffer.slice(byteOffset, byteOffset + bytes.byteLength);
		byteOffset = 0;
	}
	if (dtype === "uint8") return new Uint8Array(buffer, byteOffset, size);
	if (dtype === "int8") return new Int8Array(buffer, byteOffset, size);
	if (dtype === "int32") return new Int32Array(buffer, byteOffset, size);
	if (dtype === "float32") return new Float32Array(buffer, byteOffset, size);
	return widen(new Uint16Array(buffer, byteOffset, size));
}

/**
 * IEEE half precision to single.
 *
 * @param {Uint16Array} halves
 * @returns {Float32Array}
 */
function widen(halves) {
	const out = new Float32Array(halves.length);
	for (let i = 0; i < halves.length; i++) {
		const h = halves[i];
		const exponent = (h >> 10) & 31;
		const fraction = h & 1023;
		let magnitude;
		if (exponent === 0) magnitude = fraction * 2 ** -24;
		else if (exponent === 31) magnitude = fraction ? Number.NaN : Number.POSITIVE_INFINITY;
		else magnitude = (1 + fraction / 1024) * 2 ** (exponent - 15);
		out[i] = h & 0x8000 ? -magnitude : magnitude;
	}
	return out;
}

/**
 * Part `index` of an array along its first axis, as a view on the same memory.
 *
 * @template {Values} T
 * @param {NDArray<T>} array
 * @param {number} index
 * @returns {NDArray<T>}
 */
export function slice(array, index) {
	const shape = array.shape.slice(1);
	const size = shape.reduce((product, extent) => product * extent, 1);
	return { shape, data: /** @type {T} */ (array.data.subarray(index * size, (index + 1) * size)) };
}
