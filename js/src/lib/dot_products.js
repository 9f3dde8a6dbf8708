/**
 * Dot products of a vector of bytes with all others: what a hover waits for. WebAssembly multiplies sixteen bytes at
 * once, twelve times as fast as a loop of JavaScript, which is left for pages that allow no WebAssembly.
 *
 * The module has one function and no memory of its own. It goes through rows of `stride` bytes, a multiple of sixteen:
 *
 *     do {
 *         other = source; stop = row + stride; sums = 0, 0, 0, 0
 *         do {
 *             a, b = sixteen bytes at row, at other
 *             sums += pairs(low(a) * low(b)) + pairs(high(a) * high(b))
 *             other += 16; row += 16
 *         } while (row < stop)
 *         the word at out = sums[0] + sums[1] + sums[2] + sums[3]
 *         out += 4
 *     } while (row < end)
 */

/** @param {number} number  in LEB128, as all numbers of the format are @returns {number[]} */
const leb = (number) => (number < 128 ? [number] : [(number & 127) | 128, ...leb(number >> 7)]);
/** @param {number} id @param {number[]} content */
const section = (id, content) => [id, ...leb(content.length), ...content];
/** @param {number} code */
const simd = (code) => [0xfd, ...leb(code)];

const [INT, VECTOR] = [0x7f, 0x7b];
// Parameters, then the other variables.
const [ROW, END, SOURCE, STRIDE, OUT, OTHER, STOP, SUMS, A, B] = Array(10).keys();
/** @param {number} variable */
const get = (variable) => [0x20, variable];
/** @param {number} variable */
const set = (variable) => [0x21, variable];
/** Sets, and leaves the value. @param {number} variable */
const tee = (variable) => [0x22, variable];
/** @param {number} variable @param {number} step */
const advance = (variable, step) => [...get(variable), 0x41, step, ADD, ...tee(variable)];
const DROP = 0x1a;
const ADD = 0x6a;
const STORE = [0x36, 2, 0];
const LOOP = [0x03, 0x40];
const CLOSE = 0x0b;
/** To the start of the loop while one variable is below another. @param {number} a @param {number} b */
const whileBelow = (a, b) => [...get(a), ...get(b), 0x49, 0x0d, 0, CLOSE];
const LOAD = [...simd(0), 0, 0];
const ZEROS = [...simd(12), ...Array(16).fill(0)];
// The lower, the higher eight bytes of two vectors multiplied; neighbors added, to four words; four words added.
const [LOW, HIGH, PAIRS, ADD_WORDS] = [156, 157, 126, 174].map(simd);
/** @param {number} index */
const sumAt = (index) => [...get(SUMS), ...simd(27), index];

const BODY = [
	...LOOP,
	...[...get(SOURCE), ...set(OTHER), ...get(ROW), ...get(STRIDE), ADD, ...set(STOP), ...ZEROS, ...set(SUMS)],
	...LOOP,
	...[...get(ROW), ...LOAD, ...tee(A), ...get(OTHER), ...LOAD, ...tee(B), ...LOW, ...PAIRS],
	...[...get(A), ...get(B), ...HIGH, ...PAIRS, ...ADD_WORDS, ...get(SUMS), ...ADD_WORDS, ...set(SUMS)],
	...[...advance(OTHER, 16), DROP, ...advance(ROW, 16), DROP],
	...whileBelow(ROW, STOP),
	...[...get(OUT), ...sumAt(0), ...sumAt(1), ADD, ...sumAt(2), ADD, ...sumAt(3), ADD, ...STORE],
	...[...advance(OUT, 4), DROP],
	...whileBelow(ROW, END),
];
const CODE = [2, 2, INT, 3, VECTOR, ...BODY, CLOSE];
/** The name of the memory that is brought, and of the function. */
const [M, F] = [..."mf"].map((name) => name.charCodeAt(0));
const MODULE = Uint8Array.from([
	...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
	...section(1, [1, 0x60, 5, INT, INT, INT, INT, INT, 0]),
	...section(2, [1, 1, M, 1, M, 2, 0, 1]),
	...section(3, [1, 0]),
	...section(7, [1, 1, F, 0, 0]),
	...section(10, [1, ...leb(CODE.length), ...CODE]),
]);

/**
 * @param {Int8Array} codes  `count` vectors, one behind the other
 * @param {number} count
 * @param {number} channels
 * @returns {(source: number, first: number, out: Float32Array) => void}  writes the products of one vector with those
 *     from `first` on, as many as there is room for
 */
export function byteProducts(codes, count, channels) {
	try {
		return fastProducts(codes, count, channels);
	} catch {
		return (source, first, out) => plainProducts(codes, channels, source, first, out);
	}
}

/** @param {Int8Array} codes @param {number} count @param {number} channels */
function fastProducts(codes, count, channels) {
	const stride = 16 * Math.ceil(channels / 16);
	const memory = new WebAssembly.Memory({ initial: Math.ceil((count * (stride + 4)) / 65536) });
	const { exports } = new WebAssembly.Instance(new WebAssembly.Module(MODULE), { m: { m: memory } });
	const multiply = /** @type {(...numbers: number[]) => void} */ (exports.f);
	const rows = new Int8Array(memory.buffer);
	for (let n = 0; n < count; n++) rows.set(codes.subarray(n * channels, (n + 1) * channels), n * stride);
	const words = new Int32Array(memory.buffer, count * stride, count);
	return (/** @type {number} */ source, /** @type {number} */ first, /** @type {Float32Array} */ out) => {
		multiply(first * stride, (first + out.length) * stride, source * stride, stride, words.byteOffset);
		out.set(words.subarray(0, out.length));
	};
}

/** @param {Int8Array} codes @param {number} channels @param {number} source @param {number} first @param {Float32Array} out */
function plainProducts(codes, channels, source, first, out) {
	const vector = Int32Array.from(codes.subarray(source * channels, (source + 1) * channels));
	for (let i = 0, at = first * channels; i < out.length; i++, at += channels) {
		let sum = 0;
		for (let c = 0; c < channels; c++) sum = (sum + Math.imul(codes[at + c], vector[c])) | 0;
		out[i] = sum;
	}
}
