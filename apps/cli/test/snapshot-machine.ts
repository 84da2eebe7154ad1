import process from 'node:process';
import type { Machine, MachineScript, ScriptOutcome } from '@gantry/testkit';
import { machineImage, makeSparseFile, makeTemporaryDirectory, startMachine } from '@gantry/testkit';
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
}

/** @param diskBytes of each of its disks, `/dev/machine/0` and so on: sparse files */
export async function startSnapshotMachine(diskBytes: readonly number[]): Promise<SnapshotMachine> {
  await machineImage();
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await makeTemporaryDirectory());
  const disks = diskBytes.map((_, index) => directory.file(`disk-${index}.img`));
  for (const [index, bytes] of diskBytes.entries()) await makeSparseFile(directory.file(`disk-${index}.img`), bytes);
  const machine = scope.use(await startMachine({ disks, shares: COMMAND_SHARES }));
  const command = `${process.execPath} ${MAIN}`;
  const environment = `export GANTRY_YES=1 GANTRY_CREATE_STORE=1 GANTRY_STATE_DIR=/run/gantry GANTRY_OS_PATH=/run/os GANTRY='${command}'`;
  const script = (text: string): MachineScript => machine.start(`${environment}\n${text}`);
  await machine.run('mkdir -p /run/os /mnt/a /mnt/b; chmod 755 /root');
  const owned = scope.move();
  return {
    machine,
    script,
    gantry: (args) => script(`exec $GANTRY ${args}`).outcome,
    describe: async (name, paths, os = 'raw') => {
      const yaml = `name: ${name}\nos: ${os}\nhypervisor: kvm\ndisks:\n${paths.map((path) => `  - path: ${path}\n`).join('')}`;
      await machine.run(`printf '%s' '${yaml}' >/run/${name}.yaml`);
      return `/run/${name}.yaml`;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
