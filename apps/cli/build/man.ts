/*
 * Writes the manual pages into a directory: `man.ts DIRECTORY`. They are made from what `gantry help` is made from. Their date is that of
 * SOURCE_DATE_EPOCH (seconds, as package builds set it), or today. To be run with `--conditions=@gantry/source`.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { manualPages } from './man/pages.ts';

const [directory] = process.argv.slice(2);
if (directory === undefined) throw new Error('name the directory that the manual pages go into');
const manifest: unknown = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
const version = typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : '';
const epoch = process.env['SOURCE_DATE_EPOCH'];
const date = epoch === undefined ? new Date() : new Date(Number(epoch) * 1000);

await mkdir(directory, { recursive: true });
for (const [name, page] of await manualPages({ version, date })) await writeFile(join(directory, name), page);
