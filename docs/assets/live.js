// Live pages in frames are as high as what they show. Opened from disk, pages may not look into each other: then the
// frame keeps the height of the style sheet, and scrolls.
const fitted = new WeakSet();

function fit(frame) {
  const inside = frame.contentDocument?.documentElement;
  if (!inside || fitted.has(inside)) return;
  fitted.add(inside);
  const body = frame.contentDocument.body;
  new ResizeObserver(() => {
    frame.style.height = `${Math.ceil(body.getBoundingClientRect().height) + 24}px`;
  }).observe(body);
}

// Live pages have the colors of the site, whatever those of the system are.
function color(frame) {
  const theme = document.body.dataset.mdColorScheme === "slate" ? "dark" : "light";
  frame.contentWindow?.postMessage({ xaiWidgetsTheme: theme }, "*");
}

const frames = document.querySelectorAll("iframe.live");
new MutationObserver(() => frames.forEach(color)).observe(document.body, {
  attributeFilter: ["data-md-color-scheme"],
});

for (const frame of frames) {
  color(frame);
  frame.addEventListener("load", () => {
    color(frame);
    fit(frame);
  });
  if (frame.contentDocument?.readyState === "complete") fit(frame);
}
