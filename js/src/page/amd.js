/**
 * The front-end of anywidget comes as an AMD module: this catches its factory, as a loader would.
 *
 * @type {{factory?: (base: unknown) => Record<string, unknown>}}
 */
export const caught = {};

Object.assign(globalThis, {
	/** @param {string[]} _needs @param {(base: unknown) => Record<string, unknown>} factory */
	define(_needs, factory) {
		caught.factory = factory;
	},
});
