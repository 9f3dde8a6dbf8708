/** Ranks of a label: as typed, at its beginning, at a word, inside, all words, words with typing errors. */
const RANK = { same: 0, begins: 1, word: 2, inside: 3, words: 4, similar: 5 };
const NOT_FOUND = 6;
/** Labels of one level are sorted by their probabilities, by rank. */
const LEVEL = [0, 1, 1, 1, 2, 3];

/** @typedef {{index: number, label: string, hint: number | null}} Option */

/** The labels without case and accents, made once for each list. @type {WeakMap<string[], string[]>} */
const plainLabels = new WeakMap();

/** @param {string} text @returns {string} without case and accents */
function plain(text) {
	return text.trim().toLowerCase().normalize("NFD").replace(/\p{M}/gu, "");
}

/** @param {string[]} labels @returns {string[]} */
function plainOf(labels) {
	const known = plainLabels.get(labels);
	if (known) return known;
	const made = labels.map(plain);
	plainLabels.set(labels, made);
	return made;
}

/**
 * The classes that a search finds, the most probable first, whether their label begins with the words or has them
 * elsewhere; without probabilities in this order. Labels that have all words in another order come later, and those
 * that have them with a typing error last; the label or number that is typed comes first.
 * An empty search gives all classes.
 *
 * @param {string[]} labels
 * @param {string} query
 * @param {(number | null)[]} hints  the probability of each class, null where it is NaN; or none
 * @returns {Option[]}
 */
export function search(labels, query, hints) {
	const text = plain(query);
	const words = text.split(/\s+/).filter(Boolean);
	const texts = plainOf(labels);
	/** @type {{index: number, rank: number, hint: number}[]} */
	const found = [];
	for (let index = 0; index < labels.length; index++) {
		const rank = text ? rankOf(texts[index], text, words, index) : RANK.same;
		if (rank < NOT_FOUND) found.push({ index, rank, hint: hints[index] ?? Number.NEGATIVE_INFINITY });
	}
	return found
		.sort(
			(a, b) =>
				LEVEL[a.rank] - LEVEL[b.rank] ||
				(a.hint === b.hint ? a.rank - b.rank || a.index - b.index : b.hint - a.hint),
		)
		.map(({ index }) => ({ index, label: labels[index], hint: hints[index] ?? null }));
}

/**
 * @param {string} label
 * @param {string} text  what is searched for
 * @param {string[]} words  its words
 * @param {number} index
 * @returns {number} one of RANK, or NOT_FOUND
 */
function rankOf(label, text, words, index) {
	if (label === text || String(index) === text) return RANK.same;
	const at = label.indexOf(text);
	if (at === 0) return RANK.begins;
	if (at > 0) return /[\s,\-_(/]/.test(label[at - 1]) ? RANK.word : RANK.inside;
	let rank = RANK.words;
	for (const word of words) {
		if (label.includes(word)) continue;
		if (errorsIn(word, label) > allowed(word)) return NOT_FOUND;
		rank = RANK.similar;
	}
	return rank;
}

/** How many typing errors a word may have. @param {string} word @returns {number} */
function allowed(word) {
	return word.length >= 8 ? 2 : word.length >= 4 ? 1 : 0;
}

/**
 * The fewest typing errors with which a word is somewhere in a text: a wrong, missing or additional letter, or two
 * letters in the wrong order (Sellers' algorithm with transpositions).
 *
 * @param {string} word
 * @param {string} text
 * @returns {number}
 */
export function errorsIn(word, text) {
	const width = text.length + 1;
	let before = new Uint8Array(width);
	let last = new Uint8Array(width);
	let row = new Uint8Array(width);
	const most = allowed(word);
	for (let i = 1; i <= word.length; i++) {
		row[0] = i;
		let least = i;
		for (let j = 1; j < width; j++) {
			const same = word[i - 1] === text[j - 1] ? 0 : 1;
			let errors = Math.min(last[j - 1] + same, last[j] + 1, row[j - 1] + 1);
			if (i > 1 && j > 1 && word[i - 1] === text[j - 2] && word[i - 2] === text[j - 1])
				errors = Math.min(errors, before[j - 2] + 1);
			row[j] = errors;
			least = Math.min(least, errors);
		}
		// One more row may still save an error by a transposition.
		if (least > most + 1) return least;
		[before, last, row] = [last, row, before];
	}
	return Math.min(...last);
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
