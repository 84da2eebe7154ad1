import type { CallOptions, ObjectInfo, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import type { ExportDirectory } from './directories.ts';
import { isRemoved, isSameObject, readAllDirectories } from './directories.ts';
import { formatExportReference, parseExportId } from './export-id.ts';
import { lastLabels } from './export-labels.ts';
import { MAX_CLOCK_DIFFERENCE_MS } from './future.ts';
import { mapFileName, MANIFEST_FILE, REMOVED_FILE, unusedMark } from './layout.ts';
import type { Manifest } from './manifest.ts';
import { foreignPacks, PackUses } from './pack-uses.ts';
import type { PackRecord } from './packs.ts';
import { splitFiles } from './removed.ts';
import type { RetainedExport, RetentionDecision, RetentionPolicy } from './retention.ts';
import { decideRetention, isPolicy } from './retention.ts';
import type { RefusedExport, Signers } from './signature.ts';
import { refusalOf } from './signature.ts';
import type { Surveyed } from './survey.ts';
import { surveyStore } from './survey.ts';
import { sideBySide } from '../system/side-by-side.ts';
import { damageFound, lastVerification } from './verification.ts';
import { VerificationRecords } from './verification-records.ts';

/** One pack of a removed export, or of one that is to be removed. */
export interface PlannedPack {
  readonly name: string;
  /** Stored bytes. */
  readonly size: number;
}

/** An export that is to be removed. */
export interface PlannedRemoval {
  readonly instance: string;
  readonly id: string;
  /** The number of the labels by which this was decided. */
  readonly labels: number;
  /** The files beside its packs. */
  readonly rest: readonly string[];
  readonly packs: readonly PlannedPack[];
  /** Those to which nothing else refers. */
  unused: readonly PlannedPack[];
}

/** What is to be done with what is left of a removed export, and its files as they were seen. */
export interface PlannedDirectory extends ExportDirectory {
  readonly packs: readonly PlannedPack[];
  /** Marked by an earlier run, and nothing refers to them: these go. */
  gone: readonly PlannedPack[];
  /** Nothing will refer to them: these are marked. */
  unused: readonly PlannedPack[];
  /** Files that are neither packs nor needed any more. */
  readonly rest: readonly string[];
}

export interface PrunePlan {
  readonly removals: PlannedRemoval[];
  readonly directories: PlannedDirectory[];
  /** What cannot be read, one clause each: while there is anything, no pack is marked or deleted. */
  readonly unclear: string[];
  /** Exports that lack something: never counted, never removed. One clause each. */
  readonly damaged: string[];
  /** Exports that would stay, and whose signatures are refused: nothing of their instances is removed. */
  readonly refused: RefusedExport[];
  /** How many exports stay. */
  kept: number;
}

/** How many signatures of one instance are checked at once. */
const MAX_PARALLEL_CHECKS = 4;

/** With allowed signers, exports whose signatures are refused never cause the removal of another one. */
export interface PruneQuestion extends CallOptions, Signers {
  /** Prunes the exports of these instances alone. */
  readonly instances?: readonly string[] | undefined;
  readonly policy: RetentionPolicy;
  readonly now: Date;
  /** Where verifications of stores that cannot be written are remembered. */
  readonly stateDirectory?: string | undefined;
  /** Called with each decision, one instance after the other, newest export first. */
  readonly decided?: ((instance: string, decision: RetentionDecision) => void) | undefined;
}

/**
 * Looks through a store, and says which exports and which packs can go. What it keeps in memory is what one instance has, and what can
 * go: not what is in the store.
 *
 * @throws StoreError where anything of the store cannot be read
 */
export async function planPrune(store: Store, question: PruneQuestion): Promise<PrunePlan> {
  // Before the survey: what is marked later may have got a new use that the survey missed.
  const marks = await readMarks(store, question);
  const planner = new Planner(store, question, marks);
  const isAsked = isPolicy(question.policy);
  const needsManifest = (instance: string): boolean => isAsked && planner.concerns(instance);
  for await (const found of surveyStore(store, { signal: question.signal, needsManifest })) await planner.add(found);
  return planner.finish();
}

/** The marked packs of removed exports, by `INSTANCE/EXPORT-ID/NAME`. */
type MarkedPacks = ReadonlyMap<string, ObjectInfo>;

async function readMarks(store: Store, { instances, signal }: PruneQuestion): Promise<MarkedPacks> {
  const marks = new Map<string, ObjectInfo>();
  for (const instance of instances ?? [undefined]) {
    for await (const directories of readAllDirectories(store, instance, { signal })) {
      for (const { instance, id, files } of directories.filter(isRemoved))
        for (const [name, info] of files) if (files.has(unusedMark(name))) marks.set(`${instance}/${id}/${name}`, info);
    }
  }
  return marks;
}

/** What is referred to now, and what will be after all removals. */
interface Uses {
  readonly now: PackUses;
  readonly later: PackUses;
}

type FoundExport = Extract<Surveyed, { readonly state: 'export' }>;

class Planner {
  readonly #store: Store;
  readonly #question: PruneQuestion;
  readonly #marks: MarkedPacks;
  readonly #instances: ReadonlySet<string> | undefined;
  readonly #plan: PrunePlan = { removals: [], directories: [], unclear: [], damaged: [], refused: [], kept: 0 };
  /** By claims, and by exports of other instances than the pack's. */
  readonly #across: Uses = { now: new PackUses(), later: new PackUses() };
  readonly #records: VerificationRecords;
  /** Whether packs of other instances are there, by their keys. */
  readonly #elsewhere = new Map<string, boolean>();

  constructor(store: Store, question: PruneQuestion, marks: MarkedPacks) {
    this.#store = store;
    this.#question = question;
    this.#marks = marks;
    this.#records = new VerificationRecords(store, question.stateDirectory);
    this.#instances = question.instances === undefined ? undefined : new Set(question.instances);
  }

  concerns(instance: string): boolean {
    return this.#instances === undefined || this.#instances.has(instance);
  }

  /** Everything of one instance. */
  async add(found: readonly Surveyed[]): Promise<void> {
    const instance = found[0]?.directory.instance ?? '';
    const byId = new Map(found.map(({ directory }) => [directory.id, directory]));
    const exports = found.filter((each): each is FoundExport => each.state === 'export');
    const isAsked = this.concerns(instance) && isPolicy(this.#question.policy);
    const removed = isAsked ? await this.#decide(instance, exports, byId) : new Set<string>();
    const inside: Uses = { now: new PackUses(), later: new PackUses() };
    for (const each of found) {
      if (each.state === 'unclear') this.#plan.unclear.push(each.why);
      if (each.state === 'unrelated' && each.damage !== undefined) this.#plan.damaged.push(each.damage);
      if (each.state === 'unfinished') for (const uses of [this.#across.now, this.#across.later]) uses.addClaim(each.claim);
      if (each.state === 'export') this.#addUses(each, { inside, byId, isRemoved: removed.has(each.directory.id) });
    }
    if (!this.concerns(instance)) return;
    this.#plan.kept += found.filter(({ directory: { id, files } }) => files.has(MANIFEST_FILE) && !removed.has(id)).length;
    for (const { directory } of exports) if (removed.has(directory.id)) this.#planRemoval(directory, inside);
    for (const each of found) if (each.state === 'removed') this.#planDirectory(each.directory, inside);
  }

  /** Everything is seen: leaves out what exports of other instances refer to. */
  finish(): PrunePlan {
    const { removals, directories } = this.#plan;
    const { now, later } = this.#across;
    for (const removal of removals)
      removal.unused = removal.unused.filter(({ name }) => !later.has({ instance: removal.instance, exportId: removal.id, name }));
    for (const directory of directories) {
      const { instance, id } = directory;
      directory.gone = directory.gone.filter(({ name }) => !now.has({ instance, exportId: id, name }));
      directory.unused = directory.unused.filter(({ name }) => !later.has({ instance, exportId: id, name }));
    }
    return this.#plan;
  }

  /** Which exports of one instance go. */
  async #decide(instance: string, exports: readonly FoundExport[], byId: ReadonlyMap<string, ExportDirectory>): Promise<Set<string>> {
    const { policy, now, decided } = this.#question;
    const removed = new Set<string>();
    const complete: RetainedExport[] = [];
    for (const { directory, manifest, labelsProblem } of exports) {
      const problem = labelsProblem ?? (await this.#problemOf(manifest, directory, byId)) ?? (await this.#damageOf(manifest));
      if (problem === undefined) complete.push(retained(manifest));
      else this.#plan.damaged.push(`${formatExportReference(instance, directory.id)} is damaged: ${problem}`);
    }
    this.#records.forget();
    for (const decision of await this.#unlessRefused(decideRetention(complete, policy, now), exports)) {
      decided?.(instance, decision);
      if (decision.reasons.length === 0) removed.add(decision.export.id);
    }
    return removed;
  }

  /** Removes nothing of an instance if an export that would stay is refused: somebody else may have put it there. */
  async #unlessRefused(decisions: readonly RetentionDecision[], exports: readonly FoundExport[]): Promise<readonly RetentionDecision[]> {
    const stays = new Set(decisions.filter(({ reasons }) => reasons.length > 0).map((decision) => decision.export.id));
    if (stays.size === decisions.length) return decisions;
    const refused = await this.#refusedOf(exports.filter(({ directory }) => stays.has(directory.id)));
    if (refused.length === 0) return decisions;
    this.#plan.refused.push(...refused);
    const reasons = [`${refused[0]?.reference} is refused`];
    return decisions.map((decision) => (decision.reasons.length === 0 ? { ...decision, reasons } : decision));
  }

  async #refusedOf(exports: readonly FoundExport[]): Promise<readonly RefusedExport[]> {
    const { allowedSigners, requireSignature, signal = new AbortController().signal } = this.#question;
    const found = await sideBySide(
      exports,
      MAX_PARALLEL_CHECKS,
      signal,
      async ({ directory: { instance, id }, manifest, text }, signal) => {
        const signed = { reference: formatExportReference(instance, id), instance, id, manifest, manifestText: text };
        return await refusalOf(this.#store, signed, { allowedSigners, requireSignature, signal });
      },
    );
    return found.flatMap((refused) => refused ?? []);
  }

  /** What an export lacks, by names and sizes alone. */
  async #problemOf(manifest: Manifest, own: ExportDirectory, byId: ReadonlyMap<string, ExportDirectory>): Promise<string | undefined> {
    for (const { index, name, storedBytes, map } of manifest.dumps) {
      if (storedBytes > 0 && own.files.get(name)?.size !== storedBytes) return `${name} is missing, or has another size`;
      const mapFile = mapFileName(index, manifest);
      if (map !== undefined && own.files.get(mapFile)?.size !== map.size) return `${mapFile} is missing, or has another size`;
    }
    for (const pack of foreignPacks(manifest)) if (!(await this.#isThere(pack, own, byId))) return missing(pack);
    return undefined;
  }

  /** What the last verification found, with names and sizes that are right. */
  async #damageOf(manifest: Manifest): Promise<string | undefined> {
    const { signal } = this.#question;
    const wanted = { instance: manifest.instance.name, id: manifest.exportId, manifest };
    return damageFound(await lastVerification(wanted, (instance) => this.#records.of(instance, { signal })));
  }

  async #isThere(pack: PackRecord, { instance }: ExportDirectory, byId: ReadonlyMap<string, ExportDirectory>): Promise<boolean> {
    if (pack.instance === instance) return byId.get(pack.exportId)?.files.get(pack.name)?.size === pack.size;
    const key = `${pack.instance}/${pack.exportId}/${pack.name}`;
    const known = this.#elsewhere.get(key) ?? (await sizeOf(this.#store, key, this.#question)) === pack.size;
    this.#elsewhere.set(key, known);
    return known;
  }

  #addUses(
    { directory, manifest }: FoundExport,
    {
      inside,
      byId,
      isRemoved,
    }: { readonly inside: Uses; readonly byId: ReadonlyMap<string, ExportDirectory>; readonly isRemoved: boolean },
  ): void {
    for (const pack of foreignPacks(manifest)) {
      const isInside = pack.instance === directory.instance;
      const uses = isInside ? inside : this.#across;
      uses.now.addPack(pack);
      if (!isRemoved) uses.later.addPack(pack);
      // A listing that lacks what is referred to may lack more.
      if (isInside && byId.get(pack.exportId)?.files.get(pack.name)?.size !== pack.size)
        this.#plan.unclear.push(`${formatExportReference(directory.instance, directory.id)}: ${missing(pack)}`);
    }
  }

  #planRemoval(directory: ExportDirectory, { later }: Uses): void {
    const { instance, id, files } = directory;
    const packs = packsIn(files);
    const unused = packs.filter(({ name }) => !later.has({ instance, exportId: id, name }));
    this.#plan.removals.push({ instance, id, labels: lastLabels(directory), packs, unused, rest: splitFiles(files).rest });
  }

  #planDirectory({ instance, id, files }: ExportDirectory, { now, later }: Uses): void {
    const packs = packsIn(files);
    // Not one that a copy has brought back since: that has a mark only if it was removed once more, and then too late.
    const isMarked = ({ name }: PlannedPack): boolean => {
      const marked = this.#marks.get(`${instance}/${id}/${name}`);
      return marked !== undefined && isSameObject(marked, files.get(name));
    };
    const gone = packs.filter((pack) => isMarked(pack) && !now.has({ instance, exportId: id, name: pack.name }));
    const unused = packs.filter(({ name }) => !files.has(unusedMark(name)) && !later.has({ instance, exportId: id, name }));
    const rest = splitFiles(files).rest.filter((name) => name !== REMOVED_FILE);
    if (gone.length + unused.length + rest.length > 0 || packs.length === 0)
      this.#plan.directories.push({ instance, id, files, packs, gone, unused, rest });
  }
}

function packsIn(files: ReadonlyMap<string, ObjectInfo>): readonly PlannedPack[] {
  return splitFiles(files).packs.map((name) => ({ name, size: files.get(name)?.size ?? 0 }));
}

function missing({ instance, exportId, name }: PackRecord): string {
  return `${name} of ${formatExportReference(instance, exportId)}, to which it refers, is missing, or has another size`;
}

async function sizeOf(store: Store, key: string, { signal }: CallOptions): Promise<number | undefined> {
  try {
    return (await store.stat(key, { signal })).size;
  } catch (error) {
    if (isStoreError(error, 'not-found')) return undefined;
    throw error;
  }
}

/** What builds on an export is younger than it, even if the clocks say otherwise. */
function retained(manifest: Manifest): RetainedExport {
  const started = new Date(manifest.started);
  const younger = foreignPacks(manifest).find(({ exportId }) => {
    const base = parseExportId(exportId)?.started.getTime() ?? -Infinity;
    return base > started.getTime() + MAX_CLOCK_DIFFERENCE_MS;
  });
  const { dumps, instance } = manifest;
  const someDisks = dumps.length < instance.disks.length ? dumps.map(({ index }) => index).join() : undefined;
  const base = { id: manifest.exportId, started, tags: manifest.tags ?? [], someDisks };
  return younger === undefined
    ? base
    : {
        ...base,
        oddTime: `its start time is before that of ${formatExportReference(younger.instance, younger.exportId)}, to which it refers`,
      };
}
