// Bundles every view in src/*.js to one minified ES module (and one stylesheet) of the same name, and the program of
// exported pages, src/page/page.js; beside them the licenses of the bundled packages, which minifying drops, and the
// color maps, with which Python draws the static images of views.
// `node build.mjs [folder]`: the folder defaults to the package's static/, which is committed.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { CENTERED_NAMES, KNOTS } from "./src/lib/colormaps.js";

const here = dirname(fileURLToPath(import.meta.url));
const outdir = process.argv[2] ? resolve(process.argv[2]) : join(here, "..", "xai_widgets", "static");
const views = readdirSync(join(here, "src")).filter((name) => name.endsWith(".js"));

const { metafile } = await build({
	entryPoints: [
		...views.map((name) => ({ in: join(here, "src", name), out: name.slice(0, -3) })),
		{ in: join(here, "src", "page", "page.js"), out: "page" },
	],
	outdir,
	bundle: true,
	minify: true,
	format: "esm",
	target: "es2022",
	loader: { ".svg": "dataurl" },
	legalComments: "none",
	logLevel: "warning",
	metafile: true,
	absWorkingDir: here,
});

/** The folders of the packages that something of is in a bundle. */
const packages = new Set(
	Object.values(metafile.outputs)
		.flatMap(({ inputs }) => Object.entries(inputs))
		.filter(([, { bytesInOutput }]) => bytesInOutput > 0)
		.map(([path]) => path.match(/^(?:\(disabled\):)?(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//)?.[1])
		.filter((folder) => folder !== undefined),
);
const notices = [...packages].sort().map((folder) => {
	const { name, version, license } = JSON.parse(readFileSync(join(here, folder, "package.json"), "utf-8"));
	const file = readdirSync(join(here, folder)).find((entry) => /^licen[cs]e/i.test(entry));
	const text = file ? readFileSync(join(here, folder, file), "utf-8").trim() : `License: ${license}`;
	return `${name} ${version}\n\n${text}`;
});
const rule = `\n\n${"-".repeat(80)}\n\n`;
writeFileSync(
	join(outdir, "notices.txt"),
	`${["The bundles beside this file contain these libraries.", ...notices].join(rule)}\n`,
);

const colormaps = { diverging: CENTERED_NAMES, knots: KNOTS };
writeFileSync(join(outdir, "colormaps.json"), `${JSON.stringify(colormaps, null, "\t")}\n`);
