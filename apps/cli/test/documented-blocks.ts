import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const PAGES = fileURLToPath(new URL('../../../docs/how-to', import.meta.url));

/** `count` blocks. */
type Blocks<Count extends number, Some extends readonly string[] = []> = Some['length'] extends Count
  ? Some
  : Blocks<Count, readonly [...Some, string]>;

/**
 * The shell blocks of a page, which is named by its path from `docs/how-to`, without their indentation. @throws Error where their number is
 * another one
 */
export async function shellBlocks<Count extends number>(page: string, count: Count): Promise<Blocks<Count>> {
  const found = await blocksOf(page, 'sh');
  if (!areAll(found, count)) throw new Error(`${page}.md has ${found.length} blocks of sh, and the test knows ${count}`);
  return found;
}

function areAll<Count extends number>(found: readonly string[], count: Count): found is Blocks<Count> {
  return found.length === count;
}

/** The first block of a page that is introduced like this, without its indentation. */
export async function blockOf(page: string, head: string): Promise<string> {
  const [found] = await blocksOf(page, head);
  if (found === undefined) throw new Error(`${page}.md has no block ${head}`);
  return found;
}

/** All of them; those that nothing introduces with an empty `head`. */
export async function blocksOf(page: string, head: string): Promise<readonly string[]> {
  return (await blocks(page)).flatMap((block) => (block.head === head ? [block.body] : []));
}

async function blocks(page: string): Promise<readonly { readonly head: string; readonly body: string }[]> {
  const text = await readFile(`${PAGES}/${page}.md`, 'utf8');
  return [...text.matchAll(/^( *)```(.*)\n([^]*?)^ *```$/gm)].map(([, indent = '', head = '', body = '']) => ({
    head,
    body: body.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  }));
}
