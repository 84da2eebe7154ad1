import { hostname } from 'node:os';
import { resolve } from 'node:path';
import process from 'node:process';
import { isName, namedStore } from '@gantry/config';
import { GantryError, listStore, replaceFile } from '@gantry/core';
import type { ReportedStore } from '../report-page/model.ts';
import { renderPage } from '../report-page/page.ts';
import type { Session } from '../session.ts';

/** Runs `gantry report`. */
export async function run(
  session: Session,
  [first, more]: readonly [string, readonly string[]],
  { out }: { readonly out: string },
): Promise<void> {
  const named = [...new Set([first, ...more])];
  const stores: ReportedStore[] = [];
  for (const address of named) stores.push(await look(session, address));
  const path = resolve(session.cwd, out);
  await write(path, renderPage({ stores, host: hostname(), now: new Date() }));
  const exports = stores.reduce((sum, store) => sum + store.exports.length, 0);
  session.output.result({ operation: 'report', file: path, stores: stores.map(({ address }) => address), exports }, path);
}

async function look({ open, operation, signal, configuration }: Session, named: string): Promise<ReportedStore> {
  await using store = await open(named, 'read');
  const { exports } = await listStore({ store, stateDirectory: operation.stateDirectory, signal });
  const { address } = store;
  const isInConfiguration = isName(named) && namedStore(await configuration(), named) !== undefined;
  return { name: isInConfiguration ? named : address, address, exports };
}

/** Others may read it as far as the umask lets them, as with any file that a command writes. */
async function write(path: string, page: string): Promise<void> {
  try {
    await replaceFile(path, page, 0o666 & ~process.umask());
  } catch (error) {
    throw new GantryError('PLATFORM', {
      message: `cannot write ${path}: ${error instanceof Error ? error.message : String(error)}`,
      hint: 'Check that its directory exists and can be written to.',
      cause: error,
    });
  }
}
