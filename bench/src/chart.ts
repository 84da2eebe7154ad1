import { MIB } from './data-sets.ts';
import type { Contest } from './report.ts';

const WIDTH = 860;
const LABEL_WIDTH = 240;
const BAR_WIDTH = 480;
const ROW = 20;
const HEADING = 34;

/** Bars of the rates of all exports, a group for each contest, as an SVG that is readable on light and dark pages. */
export function chart(contests: readonly Contest[]): string {
  const parts: string[] = [];
  let y = 6;
  for (const contest of contests) {
    const ran = contest.results.flatMap(({ name, export: summary }) =>
      summary === undefined ? [] : [{ name, rate: contest.bytes / MIB / summary.wall }],
    );
    const fastest = Math.max(...ran.map(({ rate }) => rate));
    parts.push(`<text class="title" x="0" y="${y + 20}">${escape(contest.title)}: export, MiB/s</text>`);
    y += HEADING;
    for (const { name, rate } of ran) {
      const kind = name.startsWith('gantry') ? 'bar ours' : 'bar';
      const width = ((rate / fastest) * BAR_WIDTH).toFixed(1);
      parts.push(`<text x="${LABEL_WIDTH - 8}" y="${y + 14}" text-anchor="end">${escape(name)}</text>`);
      parts.push(`<rect class="${kind}" x="${LABEL_WIDTH}" y="${y + 2}" width="${width}" height="${ROW - 5}"/>`);
      parts.push(`<text x="${LABEL_WIDTH + Number(width) + 6}" y="${y + 14}">${rate.toFixed(0)}</text>`);
      y += ROW;
    }
    y += 10;
  }
  const style =
    'text{font:13px sans-serif;fill:#57606a}.title{font-weight:bold}.bar{fill:#9aa4af}.ours{fill:#2f81f7}@media(prefers-color-scheme:dark){text{fill:#adbac7}}';
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}"><style>${style}</style>\n${parts.join('\n')}\n</svg>\n`;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
