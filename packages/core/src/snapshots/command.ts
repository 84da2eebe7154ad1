import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';

import { z } from 'zod';

import { GantryError } from '../report/errors.ts';
import { diskIdentity } from '../disks/disk-identity.ts';
import { pause } from '../system/pause.ts';
import { errorText } from '../report/error-text.ts';
import { expand, placeholdersOf } from './placeholders.ts';
import type { Snapshot, SnapshotContext, SnapshotProvider, SnapshotRecord, SnapshotRequest } from './provider.ts';
import type { Argv } from '../system/run-command.ts';
import { endCommandOfKilledRun, processGroupSchema, runCommand } from '../system/run-command.ts';
import type { SnapshotConfig } from './snapshot-config.ts';

/*
 * Snapshots by the user's own commands. Before `create` runs, the complete command that removes the snapshot is written to the journal,
 * so that the next run can remove it without the configuration. A command that was killed with us may still have made the snapshot, or
 * part of it: `remove` runs in any case, and its failure is ignored where the device does not exist.
 */

const DEVICE_WAIT_MS = 50;

const argvSchema = z.tuple([z.string()], z.string());
/** `timeout` is in seconds. `creating` is present while the command that makes the snapshot may run. */
const dataSchema = z.object({
  remove: argvSchema,
  timeout: z.number(),
  device: z.string().optional(),
  creating: processGroupSchema.optional(),
});

type Values = Readonly<Record<string, string | undefined>>;

/** Snapshots by the configured commands; without a configuration it can only drop snapshots of another run. */
export function createCommandProvider(config?: SnapshotConfig): SnapshotProvider & { readonly name: 'command' } {
  return {
    name: 'command',
    async supports(request) {
      const reason = whyNot(config, request);
      const what = `what ${config?.create?.join(' ') ?? ''} makes`;
      return reason === undefined ? { ok: true, what } : { ok: false, reason };
    },
    async prepare(requests, context) {
      const snapshots: Snapshot[] = [];
      const take = async (): Promise<void> => {
        for (const request of requests) snapshots.push(await createOne(config, request, context));
      };
      return { take, open: async () => snapshots };
    },
    drop: dropOne,
  };
}

function whyNot(config: SnapshotConfig | undefined, { disk, index }: SnapshotRequest): string | undefined {
  if (config === undefined) return 'no commands are configured (--snapshot-config)';
  const { create, remove, device = '' } = config;
  if (create === undefined || remove === undefined) return 'the configuration has no commands create and remove';
  const values = diskValues({ disk, index }, { instanceName: '', runId: '' });
  const missing = [...create, ...remove, device].flatMap(placeholdersOf).find((name) => name !== 'device' && values[name] === undefined);
  return missing === undefined ? undefined : `the commands need {${missing}}, which the disk does not have`;
}

async function createOne(config: SnapshotConfig | undefined, request: SnapshotRequest, context: SnapshotContext): Promise<Snapshot> {
  const { create, remove, timeouts } = config ?? {};
  if (create === undefined || remove === undefined || timeouts === undefined) throw failed(request, 'no commands are configured');
  const device = config?.device === undefined ? undefined : expand(config.device, diskValues(request, context));
  const values = { ...diskValues(request, context), device };
  const record = recordOf(request, expandAll(remove, values), timeouts.remove, device);
  await context.remember(record);
  try {
    const output = await runCommand(expandAll(create, values), {
      timeoutS: timeouts.create,
      signal: context.signal,
      started: (creating) => context.remember({ ...record, data: { ...record.data, creating } }),
    });
    const path = device ?? output.split('\n').at(-1) ?? '';
    await assertUsable(path, request, timeouts.device, context.signal);
    return { index: request.index, kind: 'command', path };
  } catch (error) {
    context.signal.throwIfAborted();
    throw failed(request, errorText(error), error);
  }
}

function recordOf({ index }: SnapshotRequest, remove: Argv, timeout: number, device: string | undefined): SnapshotRecord {
  const what = device === undefined ? '' : ` (${device})`;
  return {
    provider: 'command',
    index,
    description: `snapshot of disk ${index}${what}, removed by ${remove.join(' ')}`,
    data: { remove, timeout, ...(device === undefined ? {} : { device }) },
  };
}

function diskValues(
  { disk, index }: SnapshotRequest,
  { instanceName, runId }: { readonly instanceName: string; readonly runId: string },
): Values {
  const { path, uri, name, uuid } = disk;
  const names = path === undefined ? {} : { path, basename: basename(path), dirname: dirname(path) };
  return { ...names, uri, name, uuid, index: String(index), instance: instanceName, run: runId };
}

/** Fills values into a command; each stays within its argument. */
export function expandAll([program, ...parameters]: Argv, values: Values): Argv {
  return [expand(program, values), ...parameters.map((parameter) => expand(parameter, values))];
}

/** @throws Error with the reason why the path cannot be that of the snapshot */
async function assertUsable(path: string, { disk }: SnapshotRequest, waitS: number, signal: AbortSignal): Promise<void> {
  if (!path.startsWith('/')) throw new Error(`the last line that create wrote is not an absolute path: "${path}"`);
  await waitForDevice(path, waitS, signal);
  const stats = await stat(path);
  if (!stats.isBlockDevice() && !stats.isFile()) throw new Error(`${path} is neither a block device nor a file`);
  if (disk.path !== undefined && (await diskIdentity(path)) === (await diskIdentity(disk.path)))
    throw new Error(`${path} is the disk itself`);
}

/** udev creates device nodes, maybe after the command has ended. */
async function waitForDevice(path: string, waitS: number, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + waitS * 1000;
  while (!(await exists(path))) {
    if (Date.now() >= deadline) throw new Error(`${path} did not appear within ${waitS} s after create ended`);
    await pause(DEVICE_WAIT_MS, signal);
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function dropOne(record: SnapshotRecord, signal: AbortSignal): Promise<void> {
  const { remove, timeout, device, creating } = dataSchema.parse(record.data);
  // It could still make the snapshot after the removal.
  if (creating !== undefined) await endCommandOfKilledRun(creating);
  try {
    await runCommand(remove, { timeoutS: timeout, signal });
  } catch (error) {
    signal.throwIfAborted();
    // Many commands fail when there is nothing to remove.
    if (device === undefined || (await exists(device))) throw error;
  }
}

function failed({ disk, index }: SnapshotRequest, reason: string, cause?: unknown): GantryError {
  return new GantryError('SNAPSHOT_FAILED', {
    message: `cannot make a snapshot of disk ${index} (${disk.path ?? disk.uri ?? ''}): ${reason}`,
    hint: 'Run the command create of the snapshot configuration by hand to see why it fails.',
    disk: index,
    cause,
  });
}
