/**
 * Color maps as evenly spaced knots, RRGGBB each, joined by straight lines.
 *
 * viridis, inferno, magma and cividis are matplotlib's (CC0), every fifth of their 256 colors: between the knots
 * they are off by at most 1/255 a channel, cividis by 4/255. The diverging ones were made for this file in OKLab:
 * the same lightness on both sides, neutral in the middle, distinguished with every common color blindness.
 */
const SEQUENTIAL = {
	viridis:
		"44015446085c471063481769481d6f482475472a7a46307e453781433d844142873f48893d4e8a3a538b38598c355e8d" +
		"33638d31688e2e6d8e2c718e2a768e297b8e27808e25848e23898e218e8d20928c1f978b1e9c891fa18821a58524aa83" +
		"28ae802eb37c35b7793dbc7446c06f50c46a5ac86465cb5e70cf577cd25089d54895d840a2da37b0dd2fbddf26cae11f" +
		"d8e219e5e419f1e51dfde725",
	inferno:
		"00000402020c0504170a072210092d160b391e0c45260c512f0a5b380962400a67490b6a510e6c59106e61136e69166e" +
		"71196e781c6d801f6c88226a902568982766a02a63a82e5fb0315bb73557bf3952c63d4dcc4248d34743d94d3ddf5337" +
		"e45a31e9612bed6925f1711ff47918f78212f98b0bfa9407fb9d07fca60cfcb014fbba1ffac42af8cd37f6d746f4e156" +
		"f2ea69f2f27df5f992fcffa4",
	magma:
		"00000402020b0504160907200e0b2b140e361a104221114e29115a311165390f6e420f754a107952137c5a167e621980" +
		"6a1c81721f81792282812581892881912b81992d80a1307eaa337db2357bba3878c23b75ca3e72d2426fd9466be04c67" +
		"e75263ec5860f1605df4695cf7725cf97b5dfb8560fc8e64fd9869fea16efeaa74feb47bfebd82fec68afecf92fed89a" +
		"fde2a3fdebacfcf4b6fcfdbf",
	cividis:
		"00224e002656002a5f002d68003070083370163770203a6f273e6e2e416d34456c3a486c3f4c6c444f6c49536c4e566c" +
		"535a6d575d6d5c616e60646f656870696b716d6f727272747676767a7a787e7d788381798885788d8878928c78969077" +
		"9b9476a09875a59c74aaa073afa471b5a86fbaac6dbfb06bc4b468c9b965cfbd62d4c15fdac65bdfca57e5cf52ead34c" +
		"f0d846f6dd3ffce236fee838",
	gray: "000000ffffff",
};
/** The first color in the name of a diverging map is not its sign: blue and purple are below zero. */
const DIVERGING = {
	blue_orange:
		"0b6cb20f7dcc128ee732a0f961b2fb87c3fcaad4fccee4faf3f3f3f7dacbf6c2a6f3aa80ee915ae8772ad46610bb590d" +
		"a34d0a",
	red_blue:
		"0759ac0b6acb0f7ceb4292f268a6f68abaf8accefacfe1f9f3f3f3f8d6d2f6b9b4f29d96ec8079e3615cd83f40c2272d" +
		"aa0c1d",
	purple_green:
		"7b2da88e41bca155d1af70dabd8be2cba5e9d9bfeee7d9f3f3f3f3cee7d2aad9b386ca945fbb762dab581297470e823c" +
		"096d31",
};
/**
 * For similarities over photographs: from gray at zero over teal and green to yellow, which differ from white, gray and black
 * objects by hue and lightness, and to magenta below zero. The positive half is
 * like the upper part of viridis, and grows lighter throughout.
 */
const OVERLAY = {
	similarity: "d6147fc43a8cb0598f9870898080805697a03cb28c7ad151fde725",
};
/** Also used by Python: the build writes them beside the bundles. @type {Record<string, string>} */
export const KNOTS = { ...SEQUENTIAL, ...DIVERGING, ...OVERLAY };
/** Those that are neutral in the middle. */
export const CENTERED_NAMES = [...Object.keys(DIVERGING), ...Object.keys(OVERLAY)];

/** @typedef {"both" | "positive" | "negative" | "absolute"} Sign */

export const SEQUENTIAL_NAMES = Object.keys(SEQUENTIAL);
export const DIVERGING_NAMES = Object.keys(DIVERGING);

/** Values are shown in so many steps; odd, so that zero has a step of its own. */
export const STEPS = 257;

/**
 * The color map that is used: that of "auto", and for both signs always a diverging one, because a sequential one would
 * show zero as a value like others.
 *
 * @param {string} name
 * @param {Sign} sign
 */
export function resolveColormap(name, sign) {
	if (CENTERED_NAMES.includes(name)) return name;
	if (sign === "both") return "blue_orange";
	return name in SEQUENTIAL ? name : "inferno";
}

/**
 * The sign that "auto" stands for: magnitudes where a sequential map was chosen for values of both signs.
 *
 * @param {Sign} sign  of the values
 * @param {string} name  of the color map
 * @returns {Sign}
 */
export const signFor = (sign, name) => (sign === "both" && name in SEQUENTIAL ? "absolute" : sign);

/**
 * The colors of the steps from the low to the high end of the scale of `sign`, as RGBA words (little-endian).
 *
 * A diverging map shows one sign by the half that belongs to it.
 *
 * @param {string} name
 * @param {Sign} sign
 * @param {boolean} [fade]  alpha grows from 0 at zero to 1 at the ends
 * @returns {Uint32Array} of length STEPS
 */
export function colorTable(name, sign, fade = false) {
	const resolved = resolveColormap(name, sign);
	const knots = parse(KNOTS[resolved]);
	const halved = CENTERED_NAMES.includes(resolved) && sign !== "both";
	const table = new Uint32Array(STEPS);
	for (let step = 0; step < STEPS; step++) {
		const t = step / (STEPS - 1);
		const u = halved ? (sign === "negative" ? (1 - t) / 2 : (1 + t) / 2) : t;
		const strength = sign === "both" ? Math.abs(2 * t - 1) : t;
		table[step] = mix(knots, u) | (Math.round(fade ? 255 * strength : 255) << 24);
	}
	return table;
}

/** @param {string} hex @returns {number[][]} */
function parse(hex) {
	return (hex.match(/.{6}/g) ?? []).map((rgb) =>
		[0, 2, 4].map((start) => Number.parseInt(rgb.slice(start, start + 2), 16)),
	);
}

/** The color at `u` in [0, 1] as a word without alpha. @param {number[][]} knots @param {number} u */
function mix(knots, u) {
	const place = u * (knots.length - 1);
	const below = Math.min(Math.floor(place), knots.length - 2);
	const [r, g, b] = [0, 1, 2].map((channel) => {
		const low = knots[below][channel];
		return Math.round(low + (place - below) * (knots[below + 1][channel] - low));
	});
	return r | (g << 8) | (b << 16);
}
