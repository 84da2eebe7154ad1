import { readFile, writeFile } from 'node:fs/promises';

const PAGE = new URL('../../docs/explanation/performance.md', import.meta.url);
const CHART = new URL('../../docs/explanation/performance.svg', import.meta.url);
const [BEGIN, END] = ['<!-- results begin: made by bench/run.sh --docs -->', '<!-- results end -->'];

/** Puts the results between the page's two marks; the rest of the page is written by hand. */
export async function updateDocs(text: string, svg: string): Promise<void> {
  const page = await readFile(PAGE, 'utf8');
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`${PAGE.pathname} does not contain the marks between which results go`);
  await writeFile(PAGE, `${page.slice(0, begin + BEGIN.length)}\n\n${text.trimEnd()}\n\n${page.slice(end)}`);
  await writeFile(CHART, svg);
}
