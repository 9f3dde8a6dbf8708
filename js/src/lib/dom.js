/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number | boolean>} [attributes]  attributes; `false` leaves one out
 * @param {(Node | string)[]} [children]
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(tag, attributes = {}, children = []) {
	const node = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) {
		if (value !== false) node.setAttribute(name, value === true ? "" : String(value));
	}
	node.append(...children);
	return node;
}

/**
 * Sets the text of a node that holds nothing else, through its one text node: a page with `:has()` in its styles is
 * matched again whenever a node comes or goes.
 *
 * @param {HTMLElement} node
 * @param {string} text
 */
export function setText(node, text) {
	if (!(node.firstChild instanceof Text)) node.replaceChildren(document.createTextNode(text));
	else if (node.firstChild.data !== text) node.firstChild.data = text;
}

/**
 * Offers a blob as a download.
 *
 * @param {Blob} blob
 * @param {string} filename
 */
export function download(blob, filename) {
	const url = URL.createObjectURL(blob);
	element("a", { href: url, download: filename }).click();
	// Revoked only after the browser had a turn to begin the download.
	setTimeout(() => URL.revokeObjectURL(url), 1000);
}
