import { readFile, writeFile } from 'node:fs/promises';

const PAGE = new URL('../../docs/explanation/performance.md', import.meta.url);
const CHART = new URL('../../docs/explanation/performance.svg', import.meta.url);
const END = '<!-- results end -->';

/** Puts the results between the page's two marks; the rest of the page is written by hand. */
export async function updateDocs(text: string, svg: string): Promise<void> {
  await replaceBetween(PAGE, 'bench/run.sh --docs', text);
  await writeFile(CHART, svg);
}

/** Replaces what a page has between `<!-- results begin: made by … -->` and the next `<!-- results end -->`. */
export async function replaceBetween(page: URL, madeBy: string, text: string): Promise<void> {
  const before = await readFile(page, 'utf8');
  const mark = `<!-- results begin: made by ${madeBy} -->`;
  const begin = before.indexOf(mark);
  const end = before.indexOf(END, begin);
  if (begin < 0 || end < begin) throw new Error(`${page.pathname} does not contain the marks between which results of ${madeBy} go`);
  await writeFile(page, `${before.slice(0, begin + mark.length)}\n\n${text.trimEnd()}\n\n${before.slice(end)}`);
}
