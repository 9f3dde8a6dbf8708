/**
 * Photographs of the user on their way to the kernel, which takes messages of up to 10 MiB.
 */

/** Larger files are sent smaller, bytes. */
const MAX_BYTES = 8e6;
/** Longest side of an image that is sent smaller, px. */
const SIDE = 2048;

/**
 * The first image among what was dropped or pasted.
 *
 * @param {DataTransfer | null} transfer
 * @returns {File | null}
 */
export function imageIn(transfer) {
	return [...(transfer?.files ?? [])].find(({ type }) => type.startsWith("image/")) ?? null;
}

/**
 * A file as it is, or a smaller JPEG of a large one.
 *
 * @param {File} file
 * @returns {Promise<{name: string, data: ArrayBuffer}>}
 * @throws {Error} for a large file that the browser cannot read
 */
export async function fitting(file) {
	if (file.size <= MAX_BYTES) return { name: file.name, data: await file.arrayBuffer() };
	const megabytes = (file.size / 1e6).toFixed(0);
	/** @type {ImageBitmap} */
	let bitmap;
	try {
		bitmap = await createImageBitmap(file);
	} catch {
		throw new Error(`expected an image, got ${file.name} of ${megabytes} MB, which the browser cannot read`);
	}
	const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
	const canvas = document.createElement("canvas");
	canvas.width = Math.max(1, Math.round(bitmap.width * scale));
	canvas.height = Math.max(1, Math.round(bitmap.height * scale));
	const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
	// JPEG has no transparency; the kernel shows it as white, too.
	context.fillStyle = "white";
	context.fillRect(0, 0, canvas.width, canvas.height);
	context.imageSmoothingQuality = "high";
	context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
	bitmap.close();
	/** @type {Blob | null} */
	const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
	if (!blob) throw new Error(`expected a smaller image, got ${file.name} of ${megabytes} MB`);
	return { name: file.name, data: await blob.arrayBuffer() };
}
