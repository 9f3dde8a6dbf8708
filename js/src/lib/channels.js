/**
 * Traits of several views joined in the page: a value set in one of them is set in the others of its channel in the
 * same frame. No kernel is needed, and no message is sent for it until the pointer rests.
 *
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {{following: boolean, follow: (value: unknown) => void}} Member
 */
import { setByLink } from "./kernel.js";
import { observe } from "./state.js";

/** Followers are saved when nothing has changed for this time, ms. */
const REST = 250;

/** Each view is a bundle of its own: they meet at the page. @type {{xaiWidgetsChannels?: Map<string, Set<Member>>}} */
const page = /** @type {any} */ (globalThis);

/** @param {string} channel */
function membersOf(channel) {
	page.xaiWidgetsChannels ??= new Map();
	const found = page.xaiWidgetsChannels.get(channel) ?? new Set();
	page.xaiWidgetsChannels.set(channel, found);
	return found;
}

/** Numbers and words, and positions, which are short lists. @param {unknown} a @param {unknown} b */
function same(a, b) {
	if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((v, i) => v === b[i]);
	return a === b;
}

/**
 * Joins a model to its channels, trait `_channels`, for as long as it lives.
 *
 * @param {Model} model
 * @param {AbortSignal} signal
 */
export function joinChannels(model, signal) {
	let timer = 0;
	const save = () => {
		timer = 0;
		model.save_changes();
	};
	signal.addEventListener("abort", () => clearTimeout(timer));

	let joined = new AbortController();
	const join = () => {
		joined.abort();
		joined = new AbortController();
		for (const [name, channel] of Object.entries(model.get("_channels") ?? {})) {
			const members = membersOf(channel);
			/** @type {Member} */
			const self = {
				following: false,
				follow(value) {
					// A view that sets another value in reply is left alone: two that disagree come to rest.
					if (self.following || same(model.get(name), value)) return;
					self.following = true;
					const before = model.get(name);
					model.set(name, value);
					setByLink(model, name, before);
					self.following = false;
					clearTimeout(timer);
					timer = setTimeout(save, REST);
				},
			};
			members.add(self);
			const lead = () => {
				for (const member of members) if (member !== self) member.follow(model.get(name));
			};
			observe(model, [name], lead, joined.signal);
			joined.signal.addEventListener("abort", () => {
				members.delete(self);
				if (members.size === 0) page.xaiWidgetsChannels?.delete(channel);
			});
		}
	};
	join();
	observe(model, ["_channels"], join, signal);
	signal.addEventListener("abort", () => joined.abort());
}
