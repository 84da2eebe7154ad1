import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { diskCallError } from '../disks/disk-errors.ts';
import { openDisk } from '../disks/open-disk.ts';
import { Zeroer } from '../disks/zeroer.ts';
import type { Instance } from '../instances/model.ts';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import { lockDisk } from '../runs/locks.ts';
import { openStateDirectory } from '../runs/state-directory.ts';
import type { ToolOptions } from '../snapshots/lvm/commands.ts';
import { runLvm } from '../snapshots/lvm/commands.ts';
import type { Argv } from '../system/run-command.ts';
import type { ProcessGroup } from '../system/process-group.ts';
import type { EnlargedFile } from './enlarged-file.ts';
import { enlargeFile, takeSizeBack } from './enlarged-file.ts';
import type { LongerFile, NewVolume, PlannedDisk } from './new-disk-plan.ts';
import type { NewDisk } from './new-disk-names.ts';
import {
  canBeNamed,
  convertImage,
  dropUnfinishedName,
  giveName,
  identify,
  isNameTaken,
  NameTakenError,
  removeNamed,
  removeUnfinished,
  unfinishedPath,
} from './new-disk-names.ts';
import type { Session } from './session.ts';
import type { NewDisksRecord } from './undo-new-disks.ts';

/** How long removing what was made may take, after a failure or a signal, ms. */
const REMOVE_MS = 120_000;

interface Owner extends Pick<Session, 'instance' | 'run' | 'reporter' | 'signal' | 'options'> {
  readonly forceInUse: boolean;
}

/**
 * Disks that an import makes. Until {@link NewDisks.commit} they have unfinished names; disposing them before removes them, and so does
 * the next run if this one is killed. Enlarged files get their size back if nobody uses them or
 * has written to their ends.
 */
export class NewDisks implements AsyncDisposable {
  readonly #planned: readonly PlannedDisk[];
  readonly #owner: Owner;
  #disks: readonly NewDisk[];
  /** Indexes of those of which there may be something. */
  readonly #made = new Set<number>();
  readonly #enlarged: EnlargedFile[] = [];
  readonly #touched = new Set<number>();
  readonly #locks = new AsyncDisposableStack();
  #step: NewDisksRecord['step'] = 'writing';
  #note: number | undefined;
  #isOver = false;

  private constructor(planned: readonly PlannedDisk[], owner: Owner) {
    this.#planned = planned;
    this.#owner = owner;
    this.#disks = planned.flatMap((each) => (each.kind === 'longer' ? [] : [unfinishedOf(each, owner.run.id)]));
  }

  /** @throws GantryError `DISK_*`, `BUSY`, `STATE_UNUSABLE`; the reason of the signal */
  static async make(planned: readonly PlannedDisk[], owner: Owner): Promise<NewDisks> {
    const disks = new NewDisks(planned, owner);
    try {
      await disks.#make();
      return disks;
    } catch (error) {
      await disks[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** An instance with the paths by which new disks are written until they have their names. */
  place(instance: Instance): Instance {
    const made = new Map(this.#disks.map((disk) => [disk.index, disk]));
    const disks = instance.disks.map((disk, index) => {
      const found = made.get(index);
      if (found === undefined) return disk;
      const { uri, ...placed } = disk;
      // An image is written as the raw file that it is made of.
      return { ...placed, ...(uri === undefined || found.kind === 'image' ? {} : { uri }), path: unfinishedPath(found) };
    });
    return { ...instance, disks };
  }

  /** From now on an enlarged file has some of the new data: it does not get its size back. */
  touched(disk: number): void {
    this.#touched.add(disk);
  }

  /**
   * Gives all new disks their names. They must be complete and durable. If it throws, disposing takes the names back that were given.
   *
   * @throws GantryError `DISK_NOT_CREATED`, `STATE_UNUSABLE`; the reason of the signal
   */
  async commit(): Promise<void> {
    for (const disk of this.#disks) await this.#convert(disk);
    try {
      await this.#enter('complete');
      for (const disk of this.#disks) {
        this.#owner.signal.throwIfAborted();
        await giveName(disk, this.#tool());
      }
    } catch (error) {
      // Only from here on may the next run take names back, if this one is killed.
      await this.#enter('taking back').catch(() => undefined);
      this.#owner.signal.throwIfAborted();
      throw notNamed(error);
    }
    this.#isOver = true;
    for (const disk of this.#disks) await this.#orWarn(disk, 'remove the second name of', dropUnfinishedName(disk));
    // Where the journal cannot be written, a later run finds that there is nothing to do.
    await this.#forget().catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await using _locks = this.#locks;
    if (this.#isOver) return;
    this.#isOver = true;
    for (const file of this.#enlarged) {
      if (!this.#touched.has(file.index)) await takeSizeBack(file, AbortSignal.timeout(REMOVE_MS)).catch(() => undefined);
    }
    let left = 0;
    const remove = this.#step === 'taking back' ? removeNamed : removeUnfinished;
    for (const disk of this.#disks.filter(({ index }) => this.#made.has(index))) {
      const removing = remove(disk, AbortSignal.timeout(REMOVE_MS));
      if (!(await this.#orWarn(disk, 'remove', removing))) left += 1;
    }
    if (left === 0) await this.#forget().catch(() => undefined);
  }

  async #convert(disk: NewDisk): Promise<void> {
    try {
      await convertImage(disk, this.#tool());
    } catch (error) {
      this.#owner.signal.throwIfAborted();
      if (error instanceof GantryError) throw error;
      throw new GantryError('DISK_NOT_CREATED', {
        message: `cannot make the image of disk ${disk.index} (${disk.path}) of what was imported: ${errorText(error)}`,
        hint: 'It needs as much space as the data again. Or import into a raw file.',
        disk: disk.index,
        cause: error,
      });
    }
  }

  async #make(): Promise<void> {
    const { reporter, signal } = this.#owner;
    for (const each of this.#planned) {
      const enlarged = each.kind === 'longer' ? await enlargeFile(each, this.#owner.forceInUse) : undefined;
      if (enlarged !== undefined) this.#enlarged.push(enlarged);
    }
    if (this.#disks.length === 0) return;
    reporter.stage(`creating ${this.#disks.length === 1 ? '1 disk' : `${this.#disks.length} disks`}`);
    await this.#remember();
    for (const disk of this.#disks) {
      signal.throwIfAborted();
      const planned = this.#planned.find(({ index }) => index === disk.index);
      if (planned !== undefined) await this.#makeOne(disk, planned);
    }
    const stateDirectory = await openStateDirectory(this.#owner.options.stateDirectory);
    const { disks } = this.place(this.#owner.instance);
    const owner = { stateDirectory, operation: reporter.operation, instance: this.#owner.instance.name, signal };
    for (const { index } of this.#disks) {
      const disk = disks[index];
      if (disk !== undefined) this.#locks.use(await lockDisk(owner, index, disk, 'exclusive'));
    }
  }

  async #makeOne(disk: NewDisk, planned: PlannedDisk): Promise<void> {
    const { signal } = this.#owner;
    try {
      // What a dead run left may have got its name since the disk was looked for.
      if (await isNameTaken(disk, signal)) throw new NotCreatedError('it exists by now');
      if (planned.kind === 'volume') {
        this.#made.add(disk.index);
        await runLvm(createCommand(planned, disk), this.#tool());
        await this.#identify(disk);
        await zeroFrom(unfinishedPath(disk), planned.zeroFrom, signal);
        return;
      }
      await using file = await open(unfinishedPath(disk), 'wx', 0o600);
      this.#made.add(disk.index);
      await file.truncate(planned.bytes);
      if (!(await canBeNamed(disk))) throw new NotCreatedError('its file system has no hard links');
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof GantryError) throw error;
      if (planned.kind !== 'volume' && !(error instanceof NotCreatedError)) throw diskCallError(planned.path, 'create', error);
      throw new GantryError('DISK_NOT_CREATED', {
        message: `cannot create disk ${disk.index} (${disk.path}): ${errorText(error)}`,
        hint: 'Create it by hand, and import without --create-disks.',
        disk: disk.index,
        cause: error,
      });
    }
  }

  async #identify(disk: NewDisk): Promise<void> {
    const identified = await identify(disk, this.#owner.signal);
    this.#disks = this.#disks.map((each) => (each.index === disk.index ? identified : each));
    await this.#remember();
  }

  #tool(): ToolOptions {
    return { signal: this.#owner.signal, started: (command) => this.#remember(command) };
  }

  async #enter(step: NewDisksRecord['step']): Promise<void> {
    this.#step = step;
    await this.#remember();
  }

  async #remember(command?: ProcessGroup): Promise<void> {
    if (this.#disks.length === 0) return;
    const record: NewDisksRecord = {
      kind: 'new-disks',
      step: this.#step,
      disks: this.#disks,
      ...(command === undefined ? {} : { command }),
    };
    this.#note = await this.#owner.run.remember(record, this.#note);
  }

  async #forget(): Promise<void> {
    if (this.#note !== undefined) await this.#owner.run.forget(this.#note);
  }

  /** @returns whether it worked */
  async #orWarn({ index }: NewDisk, what: string, work: Promise<unknown>): Promise<boolean> {
    try {
      await work;
      return true;
    } catch (error) {
      this.#owner.reporter.warn(`could not ${what} the unfinished new disk: ${errorText(error)}; gantry clean tries again`, index);
      return false;
    }
  }
}

class NotCreatedError extends Error {}

function notNamed(error: unknown): GantryError {
  if (error instanceof GantryError) return error;
  return new GantryError('DISK_NOT_CREATED', {
    message: `the new disks are complete, but cannot get their names: ${errorText(error)}`,
    hint:
      error instanceof NameTakenError
        ? 'Another program made it meanwhile: remove it or name another path, and import again.'
        : 'Try again when the cause is gone.',
    cause: error,
  });
}

function unfinishedOf(planned: Exclude<PlannedDisk, LongerFile>, runId: string): NewDisk {
  const { index, path } = planned;
  // Another host may have a run of the same id, and the same directory or volume group.
  const random = randomBytes(4).toString('hex');
  if (planned.kind === 'volume') {
    const { group, name } = planned;
    const unfinished = `${runId}-new${index}-${random}`;
    return { kind: 'volume', index, path, group: group.vg_name, groupUuid: group.vg_uuid, name, unfinished };
  }
  const unique = `.${runId}-${index}-${random}`;
  const file = { index, path, unfinished: `${unique}.unfinished` };
  if (planned.kind === 'file') return { kind: 'file', ...file };
  return { kind: 'image', ...file, format: planned.format, converted: `${unique}-${planned.format}.unfinished` };
}

function createCommand({ bytes, group }: NewVolume, { unfinished }: NewDisk): Argv {
  const size = `${Math.ceil(bytes / group.vg_extent_size) * group.vg_extent_size}b`;
  return ['lvcreate', '--yes', '--wipesignatures', 'y', '--zero', 'y', '--size', size, '--name', unfinished, group.vg_name];
}

/** What is not written must not show what another volume had there: the rest of the last extent, and blocks that a script leaves out. */
async function zeroFrom(path: string, start: number, signal: AbortSignal): Promise<void> {
  await using disk = await openDisk(path, 'write');
  if (start < disk.bytes) await new Zeroer(disk, signal).zero(start, disk.bytes);
}
