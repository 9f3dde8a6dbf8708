import "./pair_view.css";
import { cached } from "./lib/cached.js";
import { element, setText } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { floats } from "./lib/image.js";
import {
	columnOf,
	decidingOf,
	differencesOf,
	isLower,
	labelOf,
	pairOf,
	scoreText,
} from "./lib/leaderboard.js";
import { clamp } from "./lib/numbers.js";
import { createBars } from "./lib/pair_bars.js";
import { createCard } from "./lib/pair_card.js";
import { createSent } from "./lib/pair_images.js";
import { createLightbox } from "./lib/pair_lightbox.js";
import { onFrame } from "./lib/state.js";
import { colorResolver, onThemeChange } from "./lib/theme.js";

/**
 * @typedef {import("./lib/leaderboard.js").Difference} Difference
 * @typedef {import("./lib/leaderboard.js").Row} Row
 * @typedef {import("./lib/leaderboard.js").Column} Column
 * @typedef {import("./lib/image.js").Message} Message
 */

const LETTERS = ["A", "B"];
/** Width of a map of a card that its pixels are made for, CSS px. */
const SMALL = 150;
/** An exported page has no kernel. @type {{xaiWidgetsPage?: boolean}} */
const page = /** @type {any} */ (globalThis);

export default view("xw-pair-view", (figure) => {
	const { model, root, message, set, announce, signal } = figure;
	const colors = colorResolver(root);
	const sent = createSent(model);
	const decodeScores = cached((/** @type {Message} */ one) => floats("scores", one, [null, null, null]));
	const decodeEnds = cached((/** @type {Message} */ one) =>
		floats("differences", one, [null, null, null, 2]),
	);
	const compare = cached(differencesOf);
	const verdict = element("div", { class: "xw-pair-verdict" });
	const bars = createBars((item) => set({ frame: item }), describe, colors.resolve, signal);
	const groups = LETTERS.map((letter) => createGroup(letter, (item) => set({ frame: item })));
	// Over the room of the images, so that nothing moves when they come.
	const stage = element("div", { class: "xw-pair-stage" }, [
		bars.node,
		...groups.map(({ node }) => node),
		message,
	]);
	const lightbox = createLightbox({
		close: () => model.get("frame") >= 0 && set({ frame: -1 }),
		step: go,
		signal,
	});
	/** The comparison that is shown. @type {{rows: Row[], column: Column, at: number, pair: number[], all: Difference[], span: number} | null} */
	let now = null;

	/** @param {number} item */
	const nameOf = (item) => model.get("labels")[item] || `image ${item + 1}`;

	/** @param {Difference} difference */
	function describe({ item, a, b }) {
		if (!now) return "";
		const { rows, pair, span } = now;
		const [first, second] = pair.map((row) => labelOf(rows[row]));
		return `${nameOf(item)}: ${first} ${scoreText(a, span)}, ${second} ${scoreText(b, span)}`;
	}

	/** The next image in the order of the bars. @param {number} by */
	function go(by) {
		const all = now?.all ?? [];
		const at = all.findIndex(({ item }) => item === model.get("frame"));
		if (at >= 0) set({ frame: all[clamp(at + by, 0, all.length - 1)].item });
	}

	/** @param {Difference} difference @returns {import("./lib/pair_card.js").Content} */
	function contentOf({ item, gain, a, b }) {
		const { rows, pair, span } = /** @type {NonNullable<typeof now>} */ (now);
		const missing = page.xaiWidgetsPage ? "map not in this page" : model.get("pending") || "no map";
		return {
			item,
			label: nameOf(item),
			className: model.get("classes")[item] ?? "",
			gain,
			image: sent.image(item),
			sides: pair.map((row, at) => ({
				letter: LETTERS[at],
				name: labelOf(rows[row]),
				score: scoreText(at ? b : a, span),
				better: at ? gain < 0 : gain > 0,
				map: sent.map(row, item),
			})),
			missing,
			opacity: model.get("opacity"),
			interpolation: model.get("interpolation"),
			pixels: SMALL * devicePixelRatio,
		};
	}

	/** Reads what is compared; returns a sentence if there is nothing. */
	function read() {
		/** @type {Row[]} */
		const rows = model.get("rows");
		/** @type {Column[]} */
		const columns = model.get("columns");
		const scores = decodeScores(model.get("scores"));
		const pair = pairOf(model);
		now = null;
		if (pair.length < 2) return "Choose two methods in the table.";
		if (!scores || !columns.length) return "not computed yet";
		const at = columnOf(model);
		const [one, other] = pair;
		const all = compare(scores, pairCache(one, other), at, isLower(columns[at]));
		const values = all.flatMap(({ a, b }) => [a, b]);
		const span = values.length ? Math.max(...values) - Math.min(...values) : 1;
		now = { rows, column: columns[at], at, pair, all, span };
		return all.length ? "" : "No image has a score of both methods yet.";
	}

	/** Which of both is better, and how surely. */
	function say() {
		const { rows, column, at, pair, all, span } = /** @type {NonNullable<typeof now>} */ (now);
		const [first, second] = pair.map((row) => labelOf(rows[row]));
		const wins = all.filter(({ gain }) => gain > 0).length;
		const losses = all.filter(({ gain }) => gain < 0).length;
		const ends = decodeEnds(model.get("differences"));
		const count = rows.length;
		const start = 2 * ((at * count + pair[0]) * count + pair[1]);
		const [low, high] = ends ? ends.data.subarray(start, start + 2) : [Number.NaN, Number.NaN];
		const known = !Number.isNaN(low ?? Number.NaN);
		const separated = known && (low > 0 || high < 0);
		const better = isLower(column) === high < 0 ? first : second;
		const interval = known
			? `95 % interval of the difference ${scoreText(low, span)} to ${scoreText(high, span)}: `
			: "";
		const conclusion = !known ? "" : separated ? `${better} is better` : "not separated";
		const counts = `${first} is better on ${wins}, ${second} on ${losses} of ${all.length} images.`;
		setText(verdict, `${labelOf(column)}: ${counts} ${interval}${conclusion && `${conclusion}.`}`);
		announce(verdict.textContent ?? "");
	}

	function draw() {
		const missing = read();
		stage.classList.toggle("xw-empty", Boolean(missing));
		if (missing || !now) {
			lightbox.show(null, "");
			setText(verdict, "");
			bars.draw([], new Set(), "");
			for (const group of groups) group.draw("", [], model.get("count"));
			return missing;
		}
		const { rows, pair, all, column } = now;
		const { better, worse } = decidingOf(all, model.get("count"));
		say();
		for (const [at, found] of [better, worse].entries()) {
			groups[at].draw(`${labelOf(rows[pair[at]])} is better`, found.map(contentOf), model.get("count"));
		}
		const bright = new Set([...better, ...worse].map(({ item }) => item));
		bars.draw(all, bright, `${labelOf(column)} of A less B on each image, sorted`);
		const opened = all.find(({ item }) => item === model.get("frame"));
		const names = pair.map((row, at) => `${LETTERS[at]} ${labelOf(rows[row])}`).join(", ");
		lightbox.show(
			opened ? contentOf(opened) : null,
			opened ? `${nameOf(opened.item)} · ${labelOf(column)}: ${names}` : "",
		);
		return "";
	}

	const recolor = onFrame(() => {
		colors.forget();
		if (now) draw();
	}, signal);
	onThemeChange(recolor, signal);
	const resized = onFrame(() => now && draw(), signal);
	const watcher = new ResizeObserver(resized);
	watcher.observe(stage);
	signal.addEventListener("abort", () => watcher.disconnect());
	return {
		content: [verdict, stage, lightbox.node],
		label: "Images that decide between two methods",
		saves: true,
		traits: [
			...["rows", "columns", "scores", "labels", "classes", "differences", "images", "image_items", "maps"],
			"map_sizes",
			...[
				"map_rows",
				"map_items",
				"signs",
				"metric",
				"pair",
				"count",
				"frame",
				"pending",
				"opacity",
				"colormap",
			],
			...["sign", "percentile", "smoothing", "fade", "gray", "interpolation"],
		],
		arrays: () => ["scores", "images", "maps"],
		refresh: draw,
	};
});

/** The same array for the same pair, so that what depends on it is remembered. */
const pairCache = cached((/** @type {number} */ first, /** @type {number} */ second) => [first, second]);

/** @param {import("./lib/pair_card.js").Content} content */
function titleOf({ label, className, sides }) {
	const scores = sides.map(({ letter, score }) => `${letter} ${score}`).join(", ");
	return [`${label}: ${scores}`, className].filter(Boolean).join(", ");
}

/**
 * The images on which one of both is better.
 *
 * @param {string} letter
 * @param {(item: number) => void} choose
 */
function createGroup(letter, choose) {
	const badge = element("span", { class: "xw-letter", "aria-hidden": "true" }, [letter]);
	const name = element("span");
	const list = element("div", { class: "xw-pair-cards" });
	const none = element("div", { class: "xw-muted xw-pair-none", hidden: true }, ["on no image"]);
	/** @type {{node: HTMLButtonElement, card: ReturnType<typeof createCard>, item: number}[]} */
	const cards = [];
	const node = element("div", { class: `xw-pair-group xw-side-${letter}`, role: "group" }, [
		element("div", { class: "xw-pair-head" }, [badge, name]),
		list,
		none,
	]);
	return {
		node,
		/** @param {string} title @param {import("./lib/pair_card.js").Content[]} contents @param {number} count  cards that there is room for */
		draw(title, contents, count) {
			setText(name, title);
			node.setAttribute("aria-label", title || "images");
			none.hidden = !title || contents.length > 0;
			while (cards.length > count) cards.pop()?.node.remove();
			while (cards.length < count) {
				const card = createCard();
				const button = element("button", { type: "button", class: "xw-pair-card" }, card.parts);
				const made = { node: button, card, item: -1 };
				button.addEventListener("click", () => choose(made.item));
				cards.push(made);
				list.append(button);
			}
			for (const [at, { node, card }] of cards.entries()) {
				const content = contents[at] ?? null;
				node.classList.toggle("xw-blank", !content);
				node.disabled = !content;
				cards[at].item = content?.item ?? -1;
				card.draw(content);
				node.title = content ? titleOf(content) : "no image";
			}
		},
	};
}
