/** How many of the most probable classes an empty search offers first. */
const PROBABLE = 10;

/** @typedef {{index: number, label: string, hint: number | null}} Option */

/**
 * The classes that a search finds. Labels that begin with the words come before those with a word that does,
 * and these before the others; a number finds the class of that number first. An empty search gives the
 * probable classes and then all others.
 *
 * @param {string[]} labels
 * @param {string} query
 * @param {(number | null)[]} hints  the probability of each class, null where it is NaN; or none
 * @returns {Option[]}
 */
export function search(labels, query, hints) {
	const words = query.trim().toLowerCase();
	/** @param {number} index @returns {Option} */
	const option = (index) => ({ index, label: labels[index], hint: hints[index] ?? null });
	const all = labels.map((_, index) => index);
	if (!words) {
		const probable = all
			.filter((index) => typeof hints[index] === "number")
			.sort((a, b) => Number(hints[b]) - Number(hints[a]) || a - b)
			.slice(0, PROBABLE);
		const first = new Set(probable);
		return [...probable, ...all.filter((index) => !first.has(index))].map(option);
	}
	return all
		.map((index) => ({ index, rank: rank(labels[index].toLowerCase(), words, index) }))
		.filter((found) => found.rank < 4)
		.sort((a, b) => a.rank - b.rank || a.index - b.index)
		.map(({ index }) => option(index));
}

/**
 * @param {string} label
 * @param {string} words
 * @param {number} index
 * @returns {number} 0 is best, 4 is not found
 */
function rank(label, words, index) {
	if (label === words || String(index) === words) return 0;
	const at = label.indexOf(words);
	if (at < 0) return 4;
	if (at === 0) return 1;
	return /[\s,\-_(/]/.test(label[at - 1]) ? 2 : 3;
}

/**
 * The class whose label has most pairs of letters in common with the words (Dice coefficient).
 *
 * @param {string[]} labels
 * @param {string} words
 * @returns {number} -1 when no label has a pair in common
 */
export function closest(labels, words) {
	const wanted = pairs(words);
	let best = 0;
	let found = -1;
	for (const [index, label] of labels.entries()) {
		const have = pairs(label);
		let common = 0;
		for (const pair of wanted) if (have.has(pair)) common++;
		const likeness = (2 * common) / (wanted.size + have.size || 1);
		if (likeness <= best) continue;
		best = likeness;
		found = index;
	}
	return found;
}

/** @param {string} text @returns {Set<string>} */
function pairs(text) {
	const padded = ` ${text.trim().toLowerCase()} `;
	const found = new Set();
	for (let i = 0; i + 1 < padded.length; i++) found.add(padded.slice(i, i + 2));
	return found;
}
