/**
 * Shows a list under its field (above it where there is more room), in the browser's top layer: an output
 * cell would clip it otherwise.
 *
 * @param {HTMLElement} list  has the attribute `popover="manual"`
 * @param {HTMLElement} field
 * @param {AbortSignal} signal
 * @returns {{open: () => void, close: () => void, isOpen: () => boolean}}
 */
export function popup(list, field, signal) {
	let isOpen = false;
	const place = () => {
		if (!isOpen) return;
		const rect = field.getBoundingClientRect();
		const below = innerHeight - rect.bottom;
		const above = below < 160 && rect.top > below;
		Object.assign(list.style, {
			left: `${rect.left}px`,
			width: `${rect.width}px`,
			top: above ? "auto" : `${rect.bottom + 2}px`,
			bottom: above ? `${innerHeight - rect.top + 2}px` : "auto",
			maxHeight: `${Math.max(80, Math.min(300, (above ? rect.top : below) - 10))}px`,
		});
	};
	addEventListener("scroll", place, { signal, capture: true, passive: true });
	addEventListener("resize", place, { signal, passive: true });
	// Without popovers (before 2024) the list is part of the page and pushes down what follows.
	const floats = typeof list.showPopover === "function";
	list.hidden = !floats;
	return {
		open() {
			if (isOpen || !list.isConnected) return;
			isOpen = true;
			if (floats) list.showPopover();
			else list.hidden = false;
			if (floats) place();
		},
		close() {
			if (!isOpen) return;
			isOpen = false;
			if (!floats) list.hidden = true;
			else if (list.matches(":popover-open")) list.hidePopover();
		},
		isOpen: () => isOpen,
	};
}
