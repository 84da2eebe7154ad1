const WIDTH = 760;
const HEIGHT = 300;
const LEFT = 60;
const BOTTOM = 30;
const TOP = 40;
const RIGHT = 110;
const STEPS = 4;

/** Lines over days as an SVG that is readable on light and dark pages: Gantry's stands out. */
export function lineChart(title: string, lines: readonly { readonly name: string; readonly values: readonly number[] }[]): string {
  const highest = Math.max(1, ...lines.flatMap(({ values }) => values));
  const days = Math.max(2, ...lines.map(({ values }) => values.length));
  const x = (day: number): string => (LEFT + (day / (days - 1)) * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const y = (value: number): string => (HEIGHT - BOTTOM - (value / highest) * (HEIGHT - BOTTOM - TOP)).toFixed(1);
  const parts = [`<text class="title" x="0" y="18">${title}</text>`];
  for (let step = 0; step <= STEPS; step += 1) {
    const value = (highest / STEPS) * step;
    parts.push(`<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(value)}" y2="${y(value)}"/>`);
    parts.push(`<text x="${LEFT - 8}" y="${y(value)}" text-anchor="end">${value.toFixed(0)}</text>`);
  }
  for (const day of [0, Math.floor((days - 1) / 2), days - 1]) {
    parts.push(`<text x="${x(day)}" y="${HEIGHT - 8}" text-anchor="middle">day ${day + 1}</text>`);
  }
  for (const { name, values } of lines) {
    const kind = name.startsWith('gantry') ? 'ours' : 'other';
    parts.push(`<polyline class="${kind}" points="${values.map((value, day) => `${x(day)},${y(value)}`).join(' ')}"/>`);
    parts.push(`<text x="${WIDTH - RIGHT + 8}" y="${y(values.at(-1) ?? 0)}">${name}</text>`);
  }
  const style =
    'text{font:13px sans-serif;fill:#57606a}.title{font-weight:bold}line{stroke:#9aa4af;stroke-width:.5}polyline{fill:none;stroke-width:2;stroke:#9aa4af}.ours{stroke:#2f81f7}@media(prefers-color-scheme:dark){text{fill:#adbac7}}';
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}"><style>${style}</style>\n${parts.join('\n')}\n</svg>\n`;
}
