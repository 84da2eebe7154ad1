import { open, readFile, readdir, rename, stat, unlink } from 'node:fs/promises';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { ProcessIdentity } from '@gantry/transport';
import { syncDirectory } from '../runs/journal-file.ts';
import type { StateDirectory } from '../runs/state-directory.ts';
import { unusable } from '../runs/state-directory.ts';

/** What a receiver leaves of a move, for whoever has to know later what came of it. */
export interface MoveRecord {
  readonly moveId: string;
  /** The instance's name on the source, and here. */
  readonly instance: string;
  readonly target: string;
  /** The node that it came from. */
  readonly node: string;
  /** ISO 8601, UTC. */
  readonly time: string;
  /** `open` as long as `receiver` runs; an open record of a process that is gone is a failed one. */
  readonly state: 'open' | 'committed' | 'failed';
  readonly receiver: ProcessIdentity;
  readonly disks: readonly { readonly disk: number; readonly state: 'untouched' | 'partial' | 'complete' | 'committed' }[];
  /** Of a failed one: what happened. */
  readonly reason?: string;
}

const recordSchema: z.ZodType<MoveRecord> = z.object({
  moveId: z.string(),
  instance: z.string(),
  target: z.string(),
  node: z.string(),
  time: z.iso.datetime(),
  state: z.enum(['open', 'committed', 'failed']),
  receiver: z.object({ pid: z.int(), startTime: z.int(), bootId: z.string() }),
  disks: z.array(z.object({ disk: z.int(), state: z.enum(['untouched', 'partial', 'complete', 'committed']) })),
  reason: z.string().exactOptional(),
});

/** Records are asked for within hours; after so long they go, ms. */
const KEEP_MS = 90 * 24 * 60 * 60 * 1000;
const SUFFIX = '.json';

/** Writes a record, in the place of an earlier one of the same move; it is on disk when this resolves. @throws GantryError `STATE_UNUSABLE` */
export async function writeMoveRecord(state: StateDirectory, record: MoveRecord): Promise<void> {
  const directory = movesDirectory(state);
  const path = join(directory, `${record.moveId}${SUFFIX}`);
  const temporary = `${path}.new`;
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    {
      await using file = await open(temporary, 'w', 0o600);
      await file.writeFile(`${JSON.stringify(record)}\n`);
      await file.sync();
    }
    await rename(temporary, path);
    await syncDirectory(directory);
  } catch (error) {
    throw unusable(`cannot write the record of the move ${record.moveId}`, error);
  }
}

/** Undefined where there is none. @throws GantryError `STATE_UNUSABLE` */
export async function readMoveRecord(state: StateDirectory, moveId: string): Promise<MoveRecord | undefined> {
  const path = join(movesDirectory(state), `${moveId}${SUFFIX}`);
  try {
    return recordSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw unusable(`cannot read the record ${path}`, error);
  }
}

/** Removes records that nobody will ask for any more. */
export async function removeOldMoveRecords(state: StateDirectory): Promise<void> {
  const directory = movesDirectory(state);
  const names = await readdir(directory).catch(() => []);
  for (const name of names) {
    const path = join(directory, name);
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > KEEP_MS) await unlink(path).catch(() => undefined);
  }
}

function movesDirectory(state: StateDirectory): string {
  return join(state.path, 'moves');
}
