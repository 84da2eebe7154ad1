import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** A code block of CONTRIBUTING.md that says which file it makes or changes. */
export interface Example {
  readonly file: string;
  /** What the file becomes (`file`), or lines as a diff has them: the first character is a space, `-` or `+` (`change`). */
  readonly kind: 'file' | 'change';
  readonly text: string;
}

/** Blocks that are fenced as `KIND file=PATH`. */
export function readExamples(page: string): readonly Example[] {
  const blocks = page.matchAll(/^(`{3,})(\w+) file=(\S+)\n([^]*?)^\1$/gm);
  return [...blocks].map(([, , kind = '', file = '', text = '']) => ({ file, kind: kind === 'diff' ? 'change' : 'file', text }));
}

/** @throws Error where a change does not fit its file */
export async function applyExample(root: string, { file, kind, text }: Example): Promise<void> {
  const path = join(root, file);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, kind === 'file' ? text : changed(await readFile(path, 'utf8'), text, file));
}

/** Each run of lines that belong together takes the place of what it says was there, which must be in the text just once. `…` is any text in a line. */
function changed(before: string, change: string, file: string): string {
  let text = before;
  for (const hunk of hunksOf(change)) {
    const was = hunk.filter(([sign]) => sign !== '+').map((line) => `${line.slice(1)}\n`);
    const is = hunk.filter(([sign]) => sign !== '-').map((line) => `${line.slice(1)}\n`);
    const escaped = was.join('').replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`);
    const pattern = new RegExp(`^${escaped.replaceAll('…', '(.*)')}`, 'gm');
    const found = [...text.matchAll(pattern)];
    if (found.length !== 1) throw new Error(`${file} has ${found.length} times:\n${was.join('')}`);
    text = text.replace(pattern, (_all, ...kept: readonly string[]) => {
      const rest = kept.values();
      return is.join('').replaceAll('…', () => rest.next().value ?? '…');
    });
  }
  return text;
}

/** A hunk has lines of one kind that were there, context or removed, with what is added on either side of them. */
function hunksOf(change: string): readonly (readonly string[])[] {
  const hunks: string[][] = [];
  for (const line of change.trimEnd().split('\n')) {
    const last = hunks.at(-1);
    const kept = last?.find(([sign]) => sign !== '+')?.[0];
    const ended = last?.at(-1)?.startsWith('+') === true && kept !== undefined;
    if (last === undefined || (line[0] !== '+' && kept !== undefined && (ended || kept !== line[0]))) hunks.push([line]);
    else last.push(line);
  }
  return hunks;
}
