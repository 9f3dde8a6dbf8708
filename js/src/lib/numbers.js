/** @param {number} value @param {number} [low] @param {number} [high] */
export const clamp = (value, low = 0, high = 1) => Math.min(Math.max(value, low), high);

/** The item after `now`; the first one after the last. @template T @param {T[]} list @param {T} now */
export const next = (list, now) => list[(list.indexOf(now) + 1) % list.length];

/** @param {number} a @param {number} b */
export const ascending = (a, b) => a - b;

/** A share in whole percent. @param {number} share */
export const percent = (share) => `${Math.round(100 * share)} %`;
