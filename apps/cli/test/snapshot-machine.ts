import process from 'node:process';
import type { Machine, MachineOptions, MachineScript, ScriptOutcome } from '@gantry/testkit';
import { machineImage, makeSparseFile, makeTemporaryDirectory, startMachine, WRITER_PAUSE_MS } from '@gantry/testkit';
import { expect } from 'vitest';
import { COMMAND_SHARES, MAIN } from './workbench.ts';

/** A machine with a kernel of its own, in which the command runs. What it writes is in the machine's memory. */
export interface SnapshotMachine extends AsyncDisposable {
  readonly machine: Machine;
  /** Runs the command in it, with a store `/run/exports` that is made where there is none. */
  readonly gantry: (args: string) => Promise<ScriptOutcome>;
  /** The same for a script of sh in which `$GANTRY` is the command; does not fail where it ends with another status than 0. */
  readonly script: (text: string) => MachineScript;
  /** Writes `/run/NAME.yaml`, which is given as such. */
  readonly describe: (name: string, disks: readonly string[], os?: string) => Promise<string>;
  /** Commands that run before the snapshots are taken, and after: the option that names them. */
  readonly configure: (commands: { readonly freeze?: string; readonly thaw?: string }) => Promise<string>;
  /** An OS definition whose other scripts do nothing. */
  readonly defineOs: (name: string, exportScript: string) => Promise<void>;
  /** Exports while numbers are written to mounted file systems, and notes which was synced before the snapshots and after. */
  readonly exportLoaded: (source: string, mounts: readonly string[], options?: string) => Promise<ScriptOutcome>;
  /**
   * Mounts copies, which replays their journals, and checks them: each has what was synced before the snapshots.
   * @returns the last number that is in each
   */
  readonly expectRecovered: (...devices: readonly string[]) => Promise<readonly number[]>;
}

/** Numbers its writes: each goes to all file systems and is synced there before the next one. */
const writer = (mounts: readonly string[]): string => `number=0; rm -f /run/number
while :; do
  number=$((number + 1))
  for at in ${mounts.join(' ')}; do echo $number >$at/$((number % 40)); sync $at/$((number % 40)); done
  echo $number >/run/number.new; mv /run/number.new /run/number${WRITER_PAUSE_MS === 0 ? '' : `; sleep ${WRITER_PAUSE_MS / 1000}`}
done`;

/** @param diskBytes of each of its disks, `/dev/machine/0` and so on: sparse files */
export async function startSnapshotMachine(
  diskBytes: readonly number[],
  options: Pick<MachineOptions, 'engine' | 'image' | 'memoryMib'> = {},
): Promise<SnapshotMachine> {
  if (options.image === undefined) await machineImage();
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await makeTemporaryDirectory());
  const disks = diskBytes.map((_, index) => directory.file(`disk-${index}.img`));
  for (const [index, bytes] of diskBytes.entries()) await makeSparseFile(directory.file(`disk-${index}.img`), bytes);
  const machine = scope.use(await startMachine({ ...options, disks, shares: COMMAND_SHARES }));
  const command = `${process.execPath} ${MAIN}`;
  const environment = `export GANTRY_YES=1 GANTRY_CREATE_STORE=1 GANTRY_STATE_DIR=/run/gantry GANTRY_OS_PATH=/run/os GANTRY='${command}'`;
  const script = (text: string): MachineScript => machine.start(`${environment}\n${text}`);
  const gantry = (args: string): Promise<ScriptOutcome> => script(`exec $GANTRY ${args}`).outcome;
  await machine.run('mkdir -p /run/os /mnt/a /mnt/b; chmod 755 /root');

  const configure: SnapshotMachine['configure'] = async ({ freeze = 'true', thaw = 'true' }) => {
    const argv = (text: string): readonly string[] => ['sh', '-c', text.replaceAll(/[{}]/g, '$&$&')];
    const config = JSON.stringify({ freeze: argv(freeze), thaw: argv(thaw) });
    await machine.run(`cat >/run/snapshots.yaml <<'END'\n${config}\nEND`);
    return '--snapshot-config /run/snapshots.yaml';
  };

  const owned = scope.move();
  return {
    machine,
    script,
    gantry,
    configure,
    describe: async (name, paths, os = 'raw') => {
      const yaml = `name: ${name}\nos: ${os}\nhypervisor: kvm\ndisks:\n${paths.map((path) => `  - path: ${path}\n`).join('')}`;
      await machine.run(`printf '%s' '${yaml}' >/run/${name}.yaml`);
      return `/run/${name}.yaml`;
    },
    defineOs: async (name, exportScript) => {
      await machine.run(`mkdir -p /run/os/${name}; cd /run/os/${name}; echo 20 >ganeti_api_version; : >parameters.list
for script in create import verify rename; do printf '#!/bin/sh\\n' >$script; done
cat >export <<'END'\n#!/bin/sh\n${exportScript}\nEND\nchmod 755 create import verify rename export`);
    },
    exportLoaded: async (source, mounts, more = '') => {
      await machine.run(`(${writer(mounts)}) >/dev/null 2>&1 & echo $! >/run/writer; until [ -e /run/number ]; do sleep 0.1; done`);
      const config = await configure({ freeze: 'cp /run/number /run/before', thaw: 'cp /run/number /run/after' });
      const outcome = await gantry(`export ${source} /run/exports ${more} ${config}`);
      await machine.run('kill $(cat /run/writer)');
      expect(outcome.exitCode, outcome.stderr).toBe(0);
      return outcome;
    },
    expectRecovered: async (...devices) => {
      const { stdout } = await machine.run(`set -e; cat /run/before /run/after; mkdir -p /mnt/copy
for device in ${devices.join(' ')}; do
  mount $device /mnt/copy; cat /mnt/copy/[0-9]* | sort -n | tail -n 1; umount /mnt/copy; e2fsck -fn $device >/dev/null 2>&1
done; rm -r /run/exports`);
      const [before = NaN, after = NaN, ...found] = stdout.trim().split('\n').map(Number);
      expect(found).toHaveLength(devices.length);
      for (const number of found) {
        expect(number).toBeGreaterThanOrEqual(before);
        expect(number).toBeLessThanOrEqual(after + 1);
      }
      return found;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
