/** @type {WeakMap<HTMLElement, Record<string, string>>} */
const styles = new WeakMap();

/**
 * Sets a property of the style of a node, unless this function has set it to the same text before: what a property is
 * given is parsed each time.
 *
 * @param {HTMLElement} node
 * @param {"marginLeft" | "marginTop" | "width" | "height" | "opacity" | "imageRendering" | "visibility"} name
 * @param {string} value
 */
export function setStyle(node, name, value) {
	const known = styles.get(node) ?? {};
	if (known[name] === value) return;
	known[name] = value;
	styles.set(node, known);
	node.style[name] = value;
}
