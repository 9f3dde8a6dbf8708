// Bundles every view in src/*.js to one minified ES module (and one stylesheet) of the same name.
// `node build.mjs [folder]`: the folder defaults to the package's static/, which is committed.
import { readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const outdir = process.argv[2] ? resolve(process.argv[2]) : join(here, "..", "xai_widgets", "static");
const entryPoints = readdirSync(join(here, "src"))
	.filter((name) => name.endsWith(".js"))
	.map((name) => join(here, "src", name));

await build({
	entryPoints,
	outdir,
	bundle: true,
	minify: true,
	format: "esm",
	target: "es2022",
	legalComments: "none",
	logLevel: "warning",
});
