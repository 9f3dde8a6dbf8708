/**
 * Images of elements as they are shown: a copy with all its computed styles in an SVG, drawn on a canvas.
 */
const XHTML = "http://www.w3.org/1999/xhtml";
/** Parts that are tools and not content. */
const LEFT_OUT = ".xw-menu, .xw-spoken, .xw-keys, [role=toolbar], [data-unsaved]";
/** Properties that a still image has no use for, or that follow from others. */
const USELESS =
	/^(-webkit-|animation|transition|cursor|caret|pointer|user-select|will-change|content$|content-visibility|scroll|overscroll|perspective-origin|(min-|max-)?(block|inline)-size|contain|view-transition|interactivity)/;
const WIDTHS = /^(border-.*|outline|column-rule)-width$/;
/** Space around the content, CSS px. */
const MARGIN = 8;

/**
 * A PNG of an element, without menus and tools.
 *
 * @param {HTMLElement} root
 * @param {number} [scale]  pixels per CSS pixel
 * @returns {Promise<Blob>}
 */
export async function png(root, scale = 2) {
	root.classList.add("xw-saving");
	/** @type {string} */
	let svg;
	let width = 0;
	let height = 0;
	try {
		({ svg, width, height } = draw(root, scale));
	} finally {
		root.classList.remove("xw-saving");
	}
	const image = new Image();
	image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
	await image.decode();
	const canvas = document.createElement("canvas");
	canvas.width = Math.round(width * scale);
	canvas.height = Math.round(height * scale);
	/** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).drawImage(image, 0, 0);
	return new Promise((resolve, reject) => {
		canvas.toBlob(
			(blob) => (blob ? resolve(blob) : reject(new Error("the image is too large"))),
			"image/png",
		);
	});
}

/**
 * @param {HTMLElement} root
 * @param {number} scale
 */
function draw(root, scale) {
	const box = root.getBoundingClientRect();
	const width = Math.ceil(Math.max(box.width, root.scrollWidth)) + 2 * MARGIN;
	const height = Math.ceil(Math.max(box.height, root.scrollHeight)) + 2 * MARGIN;
	const initial = initialStyle();
	try {
		const copy = copyOf(root, initial.style);
		if (!copy) throw new Error("nothing is shown");
		const frame = document.createElementNS(XHTML, "div");
		frame.setAttribute(
			"style",
			`padding:${MARGIN}px;background:${background(root)};width:${width}px;height:${height}px`,
		);
		/** @type {HTMLElement} */ (copy).style.margin = "0";
		frame.append(copy);
		const inner = new XMLSerializer().serializeToString(frame);
		const svg =
			`<svg xmlns="http://www.w3.org/2000/svg" width="${width * scale}" height="${height * scale}" ` +
			`viewBox="0 0 ${width} ${height}"><foreignObject width="100%" height="100%">${inner}</foreignObject></svg>`;
		return { svg, width, height };
	} finally {
		initial.node.remove();
	}
}

/** The styles of an element that no sheet has touched: only what differs is copied. */
function initialStyle() {
	const node = document.createElement("div");
	node.style.all = "initial";
	document.body.append(node);
	const computed = getComputedStyle(node);
	/** @type {Map<string, string>} */
	const style = new Map();
	for (const name of computed) if (!USELESS.test(name)) style.set(name, computed.getPropertyValue(name));
	return { node, style };
}

/**
 * @param {Node} node
 * @param {Map<string, string>} initial
 * @returns {Node | null}  null for a node that is not shown
 */
function copyOf(node, initial) {
	if (node instanceof Text) return document.createTextNode(node.data);
	if (!(node instanceof Element) || node.matches(`style, script, slot, ${LEFT_OUT}`)) return null;
	const computed = getComputedStyle(node);
	if (computed.display === "none") return null;
	const copy = emptyCopy(node);
	copy.setAttribute("style", styleOf(node, computed, initial));
	for (const part of /** @type {const} */ (["::before", "::after"])) {
		const made = pseudo(node, part, initial);
		if (!made) continue;
		if (part === "::before") copy.prepend(made);
		else copy.append(made);
	}
	const before = copy.querySelector(":scope > [data-after]");
	for (const child of (node.shadowRoot ?? node).childNodes) {
		const made = copyOf(child, initial);
		if (made) copy.insertBefore(made, before);
	}
	return copy;
}

/**
 * An element of the same kind without children: canvases become images, fields show what they hold.
 *
 * @param {Element} node
 */
function emptyCopy(node) {
	if (node instanceof HTMLCanvasElement) {
		const image = document.createElement("img");
		if (node.width && node.height) image.src = node.toDataURL();
		return image;
	}
	if (node instanceof HTMLImageElement) {
		const [canvas, image] = [document.createElement("canvas"), document.createElement("img")];
		canvas.width = node.naturalWidth;
		canvas.height = node.naturalHeight;
		if (canvas.width && canvas.height) {
			/** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).drawImage(node, 0, 0);
			image.src = canvas.toDataURL();
		}
		return image;
	}
	// A shadow root of a copy would be lost: its host becomes a plain element.
	const copy = node.shadowRoot
		? document.createElement("div")
		: /** @type {Element} */ (node.cloneNode(false));
	for (const { name } of [...copy.attributes])
		if (/^(id|class|style|on.*)$/.test(name)) copy.removeAttribute(name);
	if (node instanceof HTMLInputElement) {
		copy.setAttribute("value", node.value);
		if (node.checked) copy.setAttribute("checked", "");
		else copy.removeAttribute("checked");
	}
	if (node instanceof HTMLOptionElement && node.selected) copy.setAttribute("selected", "");
	return copy;
}

/**
 * @param {Element} node
 * @param {CSSStyleDeclaration} computed
 * @param {Map<string, string>} initial
 */
function styleOf(node, computed, initial) {
	let text = "all:initial;";
	for (const [name, value] of initial) {
		const own = computed.getPropertyValue(name);
		// The initial width of a border is 0 only as long as the border has no style.
		if (own !== value || WIDTHS.test(name)) text += `${name}:${own};`;
	}
	// A line of text that fits by a fraction of a pixel must not break in the image.
	const line = Number.parseFloat(computed.lineHeight) || 1.5 * Number.parseFloat(computed.fontSize);
	const plain = node.childNodes.length > 0 && [...node.childNodes].every((child) => child instanceof Text);
	if (plain && computed.whiteSpace === "normal" && node.getBoundingClientRect().height < 1.6 * line) {
		text += "white-space:nowrap;";
	}
	return text;
}

/**
 * @param {Element} node
 * @param {"::before" | "::after"} part
 * @param {Map<string, string>} initial
 */
function pseudo(node, part, initial) {
	const computed = getComputedStyle(node, part);
	const { content } = computed;
	if (computed.display === "none" || content === "none" || content === "normal") return null;
	const span = document.createElement("span");
	const words = content.match(/^"(.*)"$/s);
	span.textContent = words ? words[1].replaceAll('\\"', '"') : "";
	span.setAttribute("style", styleOf(span, computed, initial));
	if (part === "::after") span.setAttribute("data-after", "");
	return span;
}

/** The color behind an element. @param {Element} root @returns {string} */
export function background(root) {
	/** @type {Node | null} */
	let node = root;
	while (node) {
		if (node instanceof Element) {
			const { backgroundColor } = getComputedStyle(node);
			if (!/^(transparent|rgba\(.*, 0\))$/.test(backgroundColor)) return backgroundColor;
		}
		node = node instanceof ShadowRoot ? node.host : node.parentNode;
	}
	return "white";
}
