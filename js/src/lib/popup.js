/** Room that is left between a popup and the edges of the window, CSS px. */
const MARGIN = 8;

/**
 * Shows a list or panel under its field (above it where there is more room), in the browser's top layer: an output
 * cell would clip it otherwise.
 *
 * @param {HTMLElement} list  has the attribute `popover="manual"`
 * @param {HTMLElement} field
 * @param {AbortSignal} signal
 * @param {{width?: number | "field" | "content", height?: number}} [size]  the width: that of the field, of the
 *     content but not less than the field, or a number of CSS px; and the largest height
 * @returns {{open: () => void, close: () => void, isOpen: () => boolean}}
 */
export function popup(list, field, signal, { width = "field", height = 300 } = {}) {
	let isOpen = false;
	const place = () => {
		if (!isOpen) return;
		const rect = field.getBoundingClientRect();
		const below = innerHeight - rect.bottom;
		const above = below < Math.min(height, 240) && rect.top > below;
		const widest = innerWidth - 2 * MARGIN;
		Object.assign(list.style, {
			width:
				width === "content" ? "max-content" : `${width === "field" ? rect.width : Math.min(width, widest)}px`,
			minWidth: width === "content" ? `${rect.width}px` : "",
			maxWidth: `${widest}px`,
			top: above ? "auto" : `${rect.bottom + 2}px`,
			bottom: above ? `${innerHeight - rect.top + 2}px` : "auto",
			maxHeight: `${Math.max(80, Math.min(height, (above ? rect.top : below) - 10))}px`,
		});
		const right = innerWidth - MARGIN - list.offsetWidth;
		list.style.left = `${width === "field" ? rect.left : Math.max(MARGIN, Math.min(rect.left, right))}px`;
	};
	addEventListener("scroll", place, { signal, capture: true, passive: true });
	addEventListener("resize", place, { signal, passive: true });
	// Without popovers (before 2024) the list is part of the page and pushes down what follows.
	const floats = typeof list.showPopover === "function";
	list.hidden = !floats;
	const close = () => {
		if (!isOpen) return;
		isOpen = false;
		if (!floats) list.hidden = true;
		else if (list.matches(":popover-open")) list.hidePopover();
	};
	signal.addEventListener("abort", close);
	return {
		open() {
			if (isOpen || !list.isConnected) return;
			isOpen = true;
			if (floats) list.showPopover();
			else list.hidden = false;
			if (floats) place();
		},
		close,
		isOpen: () => isOpen,
	};
}

/**
 * A panel that a button opens and closes; Escape, a press outside and a focus outside close it.
 *
 * @param {HTMLElement} panel  has the attribute `popover="manual"`
 * @param {HTMLButtonElement} button
 * @param {HTMLElement} root  the view: what is pressed or focused in it does not close the panel
 * @param {AbortSignal} signal
 * @param {{width?: number | "field" | "content", height?: number, opened?: () => void}} [options]  `opened` is called
 *     when the panel is shown, to set the focus
 */
export function panelOf(panel, button, root, signal, { opened, ...size } = {}) {
	const { open, close, isOpen } = popup(panel, button, signal, size);
	const hide = (/** @type {boolean} */ focus) => {
		if (!isOpen()) return;
		close();
		button.setAttribute("aria-expanded", "false");
		if (focus) button.focus();
	};
	const outside = (/** @type {Event} */ event) => {
		const path = event.composedPath();
		if (!path.includes(panel) && !path.includes(button)) hide(false);
	};
	button.setAttribute("aria-expanded", "false");
	button.addEventListener(
		"click",
		() => {
			if (isOpen()) {
				hide(false);
				return;
			}
			open();
			button.setAttribute("aria-expanded", "true");
			opened?.();
		},
		{ signal },
	);
	root.addEventListener(
		"keydown",
		(event) => {
			// A list within the panel takes the first Escape.
			if (event.key !== "Escape" || event.defaultPrevented || !isOpen()) return;
			event.preventDefault();
			hide(true);
		},
		{ signal },
	);
	for (const type of ["pointerdown", "focusin"]) {
		document.addEventListener(type, outside, { signal, capture: true });
	}
	return { close: () => hide(false), isOpen };
}
