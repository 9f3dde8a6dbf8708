import { joinChannels } from "./channels.js";

/**
 * What the bundle of a view exports: the model joins its channels as soon as it exists, shown or not.
 *
 * @param {import("@anywidget/types").Render} render
 */
export function widget(render) {
	return {
		/** @type {import("@anywidget/types").Initialize} */
		initialize({ model }) {
			const controller = new AbortController();
			joinChannels(model, controller.signal);
			return () => controller.abort();
		},
		render,
	};
}
