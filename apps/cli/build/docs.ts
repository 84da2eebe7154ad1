/*
 * Writes the parts of `docs/reference` that are made from the code: the list of error codes, the options of every command.
 * To be run with `--conditions=@gantry/source`.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { fillPage, PAGES } from './reference.ts';

const REFERENCE = new URL('../../../docs/reference/', import.meta.url);

for (const [name, makeParts] of Object.entries(PAGES)) {
  const page = new URL(name, REFERENCE);
  await writeFile(page, fillPage(await readFile(page, 'utf8'), await makeParts()));
}
