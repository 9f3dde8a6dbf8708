// Bundles every view in src/*.js to one minified ES module (and one stylesheet) of the same name, and the program of
// exported pages, src/page/page.js, with the worker that runs a network in them and its compressed WebAssembly; beside
// them the licenses of the bundled packages, which minifying drops, and the color maps, with which Python draws the
// static images of views.
// `node build.mjs [folder]`: the folder defaults to the package's static/, which is committed.
import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { CENTERED_NAMES, KNOTS } from "./src/lib/colormaps.js";

const here = dirname(fileURLToPath(import.meta.url));
const outdir = process.argv[2] ? resolve(process.argv[2]) : join(here, "..", "xai_widgets", "static");
const views = readdirSync(join(here, "src")).filter((name) => name.endsWith(".js"));

const options = {
	outdir,
	bundle: true,
	minify: true,
	target: "es2022",
	legalComments: /** @type {const} */ ("none"),
	logLevel: /** @type {const} */ ("warning"),
	metafile: /** @type {const} */ (true),
	absWorkingDir: here,
};
const bundles = await build({
	...options,
	entryPoints: [
		...views.map((name) => ({ in: join(here, "src", name), out: name.slice(0, -3) })),
		{ in: join(here, "src", "page", "page.js"), out: "page" },
	],
	format: "esm",
	loader: { ".svg": "dataurl" },
});
// A page from disk starts no worker that is a module.
const worker = await build({
	...options,
	entryPoints: [{ in: join(here, "src", "page", "engine_worker.js"), out: "engine" }],
	format: "iife",
	define: { "import.meta.url": "self.location.href" },
});

/** The folders of the packages that something of is in a bundle. */
const packages = new Set(
	[bundles, worker]
		.flatMap(({ metafile }) => Object.values(metafile.outputs))
		.flatMap(({ inputs }) => Object.entries(inputs))
		.filter(([, { bytesInOutput }]) => bytesInOutput > 0)
		.map(([path]) => path.match(/^(?:\(disabled\):)?(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//)?.[1])
		.filter((folder) => folder !== undefined),
);
const notices = [...packages].sort().map((folder) => {
	const { name, version, license } = JSON.parse(readFileSync(join(here, folder, "package.json"), "utf-8"));
	// The license of a package without such a file stands in licenses/.
	const given = [join(here, "licenses", `${name}.txt`)].filter((path) => existsSync(path));
	const own = readdirSync(join(here, folder)).filter((entry) => /^licen[cs]e/i.test(entry));
	const [file] = [...own.map((entry) => join(here, folder, entry)), ...given];
	const text = file ? readFileSync(file, "utf-8").trim() : `License: ${license}`;
	return `${name} ${version}\n\n${text}`;
});
const rule = `\n\n${"-".repeat(80)}\n\n`;
writeFileSync(
	join(outdir, "notices.txt"),
	`${["The bundles beside this file contain these libraries.", ...notices].join(rule)}\n`,
);

const wasm = join(here, "node_modules", "onnxruntime-web", "dist", "ort-wasm-simd-threaded.wasm");
writeFileSync(join(outdir, "engine.wasm.gz"), gzipSync(readFileSync(wasm), { level: 9 }));

copyFileSync(join(here, "licenses", "onnxruntime-third-party.txt"), join(outdir, "engine_notices.txt"));

const colormaps = { diverging: CENTERED_NAMES, knots: KNOTS };
writeFileSync(join(outdir, "colormaps.json"), `${JSON.stringify(colormaps, null, "\t")}\n`);
