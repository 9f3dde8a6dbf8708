import { element } from "./dom.js";

/**
 * Turns CSS colors, variables included, into colors for a canvas, under the theme that is on.
 *
 * @param {HTMLElement} root  the `.xw` element
 * @returns {{resolve: (color: string) => string, forget: () => void}} `forget` after a change of theme
 */
export function colorResolver(root) {
	const probe = element("span", { hidden: true });
	root.append(probe);
	/** @type {Map<string, string>} */
	const known = new Map();
	return {
		resolve(color) {
			let resolved = known.get(color);
			if (resolved === undefined) {
				probe.style.color = "";
				probe.style.color = color;
				resolved = getComputedStyle(probe).color;
				// Out of the document nothing is computed: do not remember it.
				if (root.isConnected) known.set(color, resolved);
			}
			return resolved || "#777";
		},
		forget: () => known.clear(),
	};
}

/**
 * Calls `callback` when the host may have changed between light and dark.
 *
 * @param {() => void} callback
 * @param {AbortSignal} signal
 */
export function onThemeChange(callback, signal) {
	const observer = new MutationObserver(callback);
	const options = {
		attributeFilter: ["class", "style", "theme", "data-jp-theme-light", "data-jp-theme-name"],
	};
	observer.observe(document.documentElement, options);
	observer.observe(document.body, options);
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", callback, { signal });
	signal.addEventListener("abort", () => observer.disconnect());
}
