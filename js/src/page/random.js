/** The random numbers of torch on a CPU, so that a seed means the same masks here and in Python. */

/** Length of the state, and distance of the words that are combined (Matsumoto and Nishimura 1998). */
const [LENGTH, SHIFT] = [624, 397];

/**
 * The Mersenne Twister MT19937 as `torch.Generator` uses it.
 *
 * @param {number} seed  a whole number from 0; its lowest 32 bits count
 * @returns {() => number}  the next number of `torch.rand` in float32: a multiple of 2^-24 in [0, 1)
 */
export function uniformNumbers(seed) {
	const state = new Uint32Array(LENGTH);
	state[0] = seed % 2 ** 32;
	for (let i = 1; i < LENGTH; i++) {
		const mixed = state[i - 1] ^ (state[i - 1] >>> 30);
		state[i] = Math.imul(mixed, 1812433253) + i;
	}
	let next = LENGTH;

	function twist() {
		for (let i = 0; i < LENGTH; i++) {
			const joined = (state[i] & 0x80000000) | (state[(i + 1) % LENGTH] & 0x7fffffff);
			state[i] = state[(i + SHIFT) % LENGTH] ^ (joined >>> 1) ^ (joined & 1 ? 0x9908b0df : 0);
		}
		next = 0;
	}

	return () => {
		if (next === LENGTH) twist();
		let word = state[next++];
		word ^= word >>> 11;
		word ^= (word << 7) & 0x9d2c5680;
		word ^= (word << 15) & 0xefc60000;
		word ^= word >>> 18;
		return (word & 0xffffff) / 2 ** 24;
	};
}
