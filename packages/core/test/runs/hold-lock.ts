/*
 * A process for tests of locks. With two arguments (state directory, instance) it takes the lock, says `locked` and keeps it. With two
 * more (rounds, file) it takes and releases the lock that many times, and fails when somebody else changed the file meanwhile.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';

import { GantryError } from '../../src/report/errors.ts';
import type { Lock } from '../../src/runs/lock-file.ts';
import { lockInstance } from '../../src/runs/locks.ts';
import { openStateDirectory } from '../../src/runs/state-directory.ts';

const [state, instance = '', rounds, file] = process.argv.slice(2);
const owner = { stateDirectory: await openStateDirectory(state), operation: 'import', instance } as const;

if (rounds === undefined || file === undefined) {
  await lockInstance(owner);
  console.log('locked');
  setInterval(() => {}, 1_000_000);
} else {
  for (let round = 0; round < Number(rounds); round += 1) {
    await using _lock = await lockWhenFree();
    const mine = `${process.pid} ${round}`;
    await writeFile(file, mine);
    await wait(1);
    if ((await readFile(file, 'utf8')) !== mine) throw new Error('two processes have the lock');
  }
}

async function lockWhenFree(): Promise<Lock> {
  for (;;) {
    try {
      return await lockInstance(owner);
    } catch (error) {
      if (!(error instanceof GantryError && error.code === 'BUSY')) throw error;
    }
  }
}
