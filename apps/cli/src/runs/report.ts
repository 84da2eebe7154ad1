import { hostname } from 'node:os';
import { resolve } from 'node:path';
import process from 'node:process';
import { isName, namedStore } from '@gantry/config';
import { assertReplaceable, GantryError, listStore, replaceFile, errorText } from '@gantry/core';
import type { ReportedStore } from '../report-page/model.ts';
import { renderPage } from '../report-page/page.ts';
import type { Session } from '../session.ts';

/** Runs `gantry report`. */
export async function run(
  session: Session,
  [first, more]: readonly [string, readonly string[]],
  { out }: { readonly out: string },
): Promise<void> {
  const path = resolve(session.cwd, out);
  // Looking through stores may take long.
  await writing(path, () => assertReplaceable(path));
  const named = [...new Set([first, ...more])];
  const stores: ReportedStore[] = [];
  for (const address of named) stores.push(await look(session, address));
  const page = renderPage({ stores, host: hostname(), now: new Date() });
  // Others may read it as far as the umask lets them, as with any file that a command writes.
  await writing(path, () => replaceFile(path, page, 0o666 & ~process.umask()));
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

/** @throws GantryError `PLATFORM` with what the work throws */
async function writing(path: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    throw new GantryError('PLATFORM', {
      message: `cannot write ${path}: ${errorText(error)}`,
      hint: 'Check that its directory exists and can be written to.',
      cause: error,
    });
  }
}
