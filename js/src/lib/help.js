/** A sentence for each trait that a control sets, shown when the pointer rests on it. @type {Record<string, string>} */
const TRAITS = {
	opacity: "How far the map covers the image",
	colormap: "The colors of the values; auto takes blue and orange for both signs",
	sign: "The values that are shown: both signs, one of them, or magnitudes",
	percentile: "Larger magnitudes than this share of all get the last color",
	color_range: "The values at the ends of the colors: the same for all layers, or those of each layer",
	scale: "Whether cells, rows or the whole table share one scale of colors",
	fade: "Make small values transparent, so that the image is visible there",
	gray: "Show the image without its colors where the map covers it",
	interpolation: "Enlarge values smoothly, or show each cell as a rectangle",
	smoothing: "Blur the map before it is colored, in pixels of the map",
	fraction: "The share of the pixels that are deleted or inserted",
	mode: "Delete pixels from the image, or insert them into the blurred image",
	area: "The share of the image that the mask keeps",
	display: "How the mask is shown",
	tool: "Paint covers the image, Erase uncovers it",
	shape: "Brush paints along the path of a drag, Box fills the box that it spans",
	brush_size: "Diameter of the brush, as a share of the image",
	softness: "How soft the edge of the brush is",
	fill: "What stands in place of the covered pixels",
	measure: "The number by which two maps are compared",
	sort: "Sort the rows by their agreement with the pinned map",
	source: "What everything is compared with: the hovered position, or a token",
	scope: "Compare with one position, or each image with its own",
	kind: "How two activations are compared",
	threshold: "Values below it are transparent",
	component_opacity: "How far the components cover the images",
};

/** Sentences for single values of a trait. @type {Record<string, string>} */
const VALUES = {
	"mode.deletion": "Delete pixels, the most important first",
	"mode.insertion": "Insert pixels into the blurred image, the most important first",
	"display.preserved": "Show what the mask keeps",
	"display.deleted": "Show what the mask deletes",
	"display.outline": "Show the whole image, with the outline of the mask",
	"display.mask": "Show the mask alone, white where it keeps the image",
	"display.result": "Show the image that the network sees",
	"display.tint": "Tint what is covered",
	"tool.paint": "Cover the image where you paint",
	"tool.erase": "Uncover the image where you paint",
	"shape.brush": "Paint along the path of a drag",
	"shape.box": "Fill, or erase, the box that a drag spans",
};

/** The sentence about a control. @param {string} trait @param {string} [value]  of a button that sets this value */
export const helpOf = (trait, value) => VALUES[`${trait}.${value}`] ?? TRAITS[trait] ?? "";
