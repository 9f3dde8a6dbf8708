// The views are tested in a real Chromium: jsdom has no canvas. CHROMIUM names another browser than the
// one on the PATH.
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { playwright } from "@vitest/browser-playwright";
import { defineConfig } from "vitest/config";

// vitest 5 reports a failed test by Map.groupBy, which Node 20 has not: without it the failure itself is not shown.
Map.groupBy ??= (items, keyOf) => {
	const groups = new Map();
	let index = 0;
	for (const item of items) {
		const key = keyOf(item, index++);
		groups.set(key, [...(groups.get(key) ?? []), item]);
	}
	return groups;
};

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

function chromium() {
	if (process.env.CHROMIUM) return process.env.CHROMIUM;
	for (const folder of (process.env.PATH ?? "").split(delimiter)) {
		const found = NAMES.map((name) => join(folder, name)).find((path) => existsSync(path));
		if (found) return found;
	}
	throw new Error(`expected a browser on the PATH, one of ${NAMES.join(", ")}, or its path in CHROMIUM`);
}

export default defineConfig({
	// Found late, a dependency makes vite reload the page in the middle of a test.
	optimizeDeps: { include: ["uplot"] },
	server: { host: "127.0.0.1" },
	test: {
		include: ["test/**/*.test.js"],
		api: { host: "127.0.0.1" },
		browser: {
			enabled: true,
			headless: true,
			screenshotFailures: false,
			viewport: { width: 900, height: 900 },
			provider: playwright({
				launchOptions: {
					executablePath: chromium(),
					args: [
						"--no-sandbox",
						"--disable-gpu",
						"--disable-quic",
						"--no-first-run",
						"--disable-background-networking",
						"--disable-component-update",
						"--disable-sync",
						"--disable-dev-shm-usage",
					],
				},
			}),
			instances: [{ browser: "chromium" }],
		},
	},
});
