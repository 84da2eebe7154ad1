import { writeFile } from 'node:fs/promises';
import { openInstance, openStore } from '@gantry/config';
import { exportInstance } from '@gantry/core';
import type { Recipients } from '@gantry/age';
import { generateX25519Identity, Identities } from '@gantry/age';
import type { Workbench } from './workbench.ts';

/** Writes a file with a new identity, closed to others. @returns its recipient */
export async function writeIdentity(path: string): Promise<string> {
  const identity = await generateX25519Identity();
  await writeFile(path, `# made by a test\n${identity}\n`, { mode: 0o600 });
  const [recipient = ''] = await Identities.parse(identity).recipients();
  return recipient;
}

/** Makes a sealed export in the store of the bench. @returns its reference */
export async function sealExport(bench: Workbench, source: string, recipients: Recipients): Promise<string> {
  const context = { signal: AbortSignal.timeout(60_000), env: {}, cwd: bench.path, warn: () => {} };
  await using store = await openStore(bench.store, context);
  const { instance } = await openInstance(source, context);
  const options = { stateDirectory: bench.file('state'), osSearchPath: [bench.file('os')], createStore: true, snapshot: 'none' } as const;
  return (await exportInstance({ ...options, store, instance, recipients })).reference;
}
