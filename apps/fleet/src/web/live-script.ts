/**
 * What the pages run in a browser: every five seconds, the parts of the page that say what is happening are replaced by those of the page
 * as it is now. They are counted from the last answer, so that a slow queue is not asked more and more. What has the focus keeps it, and
 * what is selected stays so. Without it, the pages work, and are reloaded by hand.
 */
export const LIVE_SCRIPT: string = `'use strict';
const EVERY_MS = 5000;
const TIMEOUT_MS = 60000;
const state = document.getElementById('live-state');
function show(text) { if (state.textContent !== text) state.textContent = text; }
async function refresh() {
  if (document.hidden) return;
  let text;
  try {
    const response = await fetch(location.href, { credentials: 'same-origin', signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (response.redirected) { location.reload(); return; }
    if (!response.ok) throw new Error(response.statusText);
    text = await response.text();
  } catch {
    show('No answer: what is shown may be old.');
    return;
  }
  const next = new DOMParser().parseFromString(text, 'text/html');
  const focused = document.activeElement && document.activeElement.id;
  const selection = document.getSelection();
  for (const part of document.querySelectorAll('[data-live]')) {
    const other = next.getElementById(part.id);
    if (other === null || other.innerHTML === part.innerHTML) continue;
    if (!selection.isCollapsed && selection.containsNode(part, true)) continue;
    const scrolled = [...part.querySelectorAll('.scroll')].map((each) => [each.id, each.scrollLeft]);
    part.replaceChildren(...other.childNodes);
    for (const [id, left] of scrolled) { const box = document.getElementById(id); if (box) box.scrollLeft = left; }
  }
  const again = focused && document.getElementById(focused);
  if (again && again !== document.activeElement) again.focus({ preventScroll: true });
  show('Live.');
}
let timer;
let isAsking = false;
async function keepUp() {
  if (isAsking) return;
  isAsking = true;
  clearTimeout(timer);
  try {
    await refresh();
  } finally {
    isAsking = false;
    timer = setTimeout(keepUp, EVERY_MS);
  }
}
timer = setTimeout(keepUp, EVERY_MS);
document.addEventListener('visibilitychange', keepUp);
show('Live.');
`;
