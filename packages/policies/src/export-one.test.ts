import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import type { TemporaryDirectory } from '@gantry/testkit';
import { makeTemporaryDirectory } from '@gantry/testkit';
import type { Store } from '@gantry/transport';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { sampleRequest } from '../test/request.ts';
import type { ExportedOne } from './export-one.ts';
import { exportOne } from './export-one.ts';
import { openPolicyStores } from './open-stores.ts';
import { selectInstances } from './selection.ts';
import { WindowEnded } from './window-end.ts';

let home: TemporaryDirectory;
let windowEnd: AbortController;
const running = new AbortController();

beforeEach(async () => {
  home = await makeTemporaryDirectory();
  windowEnd = new AbortController();
});

afterEach(() => home[Symbol.asyncDispose]());

async function program(name: string, text: string): Promise<string> {
  await writeFile(home.file(name), `#!/bin/sh\n${text}\n`);
  await chmod(home.file(name), 0o755);
  return home.file(name);
}

interface Given {
  /** Fields of the policy, in YAML. */
  readonly policy: string;
  /** Exports that began since then count as done. */
  readonly since?: Date;
  /** What the second store does differently. */
  readonly second?: (store: Store) => Partial<Store>;
}

/** Exports web1 in a window that ends when `windowEnd` says so. */
async function exportIt({ policy, since, second }: Given): Promise<ExportedOne> {
  const request = await sampleRequest({ home, policy, signal: running.signal, second });
  const { configuration, context } = request;
  await using selection = await selectInstances(request.policy.instances, { ...context, configuration });
  await using opened = await openPolicyStores(request, 'write');
  const [selected] = selection.instances;
  if (selected === undefined) throw new Error('web1 is selected');
  const signals = { run: running.signal, work: AbortSignal.any([running.signal, windowEnd.signal]) };
  return await exportOne({ request, stores: opened.all, since }, selected, signals);
}

describe('when the window ends', () => {
  test('what had failed before is a failure, and its hook goes on', async () => {
    const tell = await program(
      'tell',
      `touch '${home.path}/began'; until [ -e '${home.path}/go' ]; do sleep 0.02; done; touch '${home.path}/told'`,
    );
    const exported = exportIt({ policy: `stores: first, hooks: { before-snapshot: [/bin/false], on-failure: [${tell}] }` });
    await expect.poll(() => existsSync(home.file('began')), { timeout: 60_000 }).toBe(true);
    windowEnd.abort(new WindowEnded());
    await writeFile(home.file('go'), '');
    expect(await exported).toMatchObject({ state: 'failed', problems: [{ code: 'HOOK_FAILED' }], stores: [{ outcome: 'failed' }] });
    expect(await readdir(home.path)).toContain('told');
  });

  test('an export that is complete in one store is not forgotten', async () => {
    const { reference = '' } = await exportIt({ policy: 'stores: first' });
    const second = (store: Store): Partial<Store> => ({
      begin: (key, options) => {
        windowEnd.abort(new WindowEnded());
        return store.begin(key, options);
      },
    });
    const told = await program('tell', `echo "$GANTRY_HOOK" >'${home.path}/told'`);
    const policy = `stores: [first, second], hooks: { on-success: [${told}], on-failure: [${told}] }`;
    await mkdir(home.file('second'));
    expect(await exportIt({ policy, since: new Date(0), second })).toEqual({
      state: 'left',
      reference,
      stores: [
        { store: 'first', outcome: 'present', reference },
        { store: 'second', outcome: 'left' },
      ],
      problems: [],
      warnings: [`${reference} is not in second yet, because the window has ended`],
    });
    await expect(readFile(home.file('told'))).rejects.toThrow('ENOENT');
  });

  test('what has not started is left', async () => {
    windowEnd.abort(new WindowEnded());
    expect(await exportIt({ policy: 'stores: [first, second]' })).toMatchObject({
      state: 'left',
      stores: [{ outcome: 'left' }, { outcome: 'left' }],
      problems: [],
    });
  });
});
