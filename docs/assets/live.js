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

for (const frame of document.querySelectorAll("iframe.live")) {
  frame.addEventListener("load", () => fit(frame));
  if (frame.contentDocument?.readyState === "complete") fit(frame);
}
