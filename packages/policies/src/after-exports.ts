import type { CopySettings, VerifySettings } from '@gantry/config';
import type { OperationOptions, PruneResult, RetentionPolicy } from '@gantry/core';
import { GantryError, mirrorStore, pruneStore, verifyStore } from '@gantry/core';
import type { Store } from '@gantry/transport';
import { assertNoneOf, assertOtherStore } from './open-stores.ts';
import { problemOf, problemsOfCopies } from './problems.ts';
import type { StoreOfRun } from './record/form.ts';
import type { RunLog } from './record/log.ts';
import type { OpenedStore, PolicyRunRequest } from './run-request.ts';
import { copySignersOf, signersOf } from './signers.ts';

/** The instances that have a new enough export in a store, by its name in the policy. */
type GoodIn = (named: string) => readonly string[];

/** What comes after the exports of a policy: copies, verification, retention. Failures go into the record. */
export class AfterExports {
  readonly #request: PolicyRunRequest;
  readonly #log: RunLog;
  readonly #goodIn: GoodIn;
  readonly #operation: OperationOptions & { readonly signal: AbortSignal };

  constructor(request: PolicyRunRequest, log: RunLog, goodIn: GoodIn = (named) => exportedInto(log, named)) {
    this.#request = request;
    this.#log = log;
    this.#goodIn = goodIn;
    const { signal, onEvent, osSearchPath, stateDirectory, debug, forceVariant } = request;
    this.#operation = { signal, onEvent, osSearchPath, stateDirectory, debug, forceVariant };
  }

  /** @throws the signal's reason */
  async run(stores: readonly OpenedStore[]): Promise<void> {
    const { copies } = this.#request.policy;
    const [first] = stores;
    if (first !== undefined) for (const settings of copies) await this.copy(first, settings, stores);
    for (const opened of stores) await this.tidy(opened);
  }

  /** Verifies a store, and prunes it. @throws the signal's reason */
  async tidy({ named, store }: OpenedStore): Promise<void> {
    const { retention, verify } = this.#request.policy;
    const damaged = verify === undefined ? new Set<string>() : await this.#verify(named, store, verify);
    // What a verification that failed would have found is not known.
    if (retention === undefined || damaged === undefined) return;
    // Of an instance that could not be exported, or whose exports are damaged, refused or cannot be read, nothing is removed.
    const instances = this.#goodIn(named).filter((name) => !damaged.has(name));
    await this.#prune({ named, store, role: 'exports' }, instances, retention);
  }

  /**
   * Copies from a store to another one, and prunes that.
   *
   * @param stores those of the policy that could be opened; that none of the others is the one of the copies is not known
   * @throws the signal's reason
   */
  async copy({ named, store: source }: OpenedStore, { to, retention }: CopySettings, stores: readonly OpenedStore[]): Promise<void> {
    const instances = this.#goodIn(named);
    if (instances.length === 0) return;
    await this.#attempt(`copies from ${named} to ${to}`, async () => {
      const signers = await copySignersOf(this.#request, { from: named, to });
      await using target = await this.#request.openStore(to, 'write');
      const { createStore } = this.#request;
      const { signal, onEvent } = this.#operation;
      await assertOtherStore({ named: to, store: target }, stores, signal);
      const result = await mirrorStore({ ...signers, source, target, instances, createStore, signal, onEvent });
      const failed = result.exports.filter(({ outcome }) => outcome === 'failed');
      const { present, newest, futureOnly, sentBytes } = result;
      // How old those with a time in the future are is not known.
      const there = new Set([...newest.map(instanceOf), ...futureOnly]);
      const missing = instances.filter((name) => !there.has(name));
      this.#log.store(to, 'copies', {
        copied: { exports: result.exports.length - failed.length, present, failed: failed.length, newest, missing, sentBytes },
      });
      for (const problem of problemsOfCopies(result, to)) this.#log.problem(problem);
      const incomplete = new Set(failed.map(({ reference }) => instanceOf(reference)));
      const complete = instances.filter((name) => !incomplete.has(name));
      if (retention === undefined) return;
      await assertNoneOf({ named: to, store: target }, this.#request, stores);
      await this.#prune({ named: to, store: target, role: 'copies' }, complete, retention);
    });
  }

  /** @returns the instances with exports that are damaged, refused or cannot be read; undefined if the verification failed */
  async #verify(named: string, store: Store, { depth, budget }: VerifySettings): Promise<ReadonlySet<string> | undefined> {
    return await this.#attempt(`verification of ${named}`, async () => {
      // The names and sizes of files need no signature.
      const signers = depth === 'present' ? {} : await signersOf(this.#request, named);
      const result = await verifyStore({ ...this.#operation, ...signers, store, depth, budget });
      const found = (wanted: string): typeof result.exports => result.exports.filter((each) => each.result === wanted);
      const names = (wanted: string): string[] => found(wanted).map(({ reference }) => reference);
      const { left, readBytes, closed } = result;
      this.#log.store(named, 'exports', {
        verified: {
          depth: result.depth,
          exports: result.exports.length,
          damaged: names('damaged'),
          unreadable: names('unreadable'),
          refused: names('refused'),
          closed,
          left,
          readBytes,
        },
      });
      if (result.noneOpened)
        this.#log.problem({
          what: `verification of ${named}`,
          code: 'IDENTITY_MISMATCH',
          message: 'none of the identities opens any of the sealed exports: gantry keys check names their recipients',
        });
      const bad = [...found('damaged'), ...found('refused'), ...found('unreadable')];
      for (const { reference, code = 'DUMP_DAMAGED', reason = 'it is damaged' } of bad)
        this.#log.problem({ what: `verification of ${reference} in ${named}`, code, message: reason });
      return new Set(bad.map(({ reference }) => instanceOf(reference)));
    });
  }

  async #prune(
    { named, store, role }: OpenedStore & Pick<StoreOfRun, 'role'>,
    instances: readonly string[],
    policy: RetentionPolicy,
  ): Promise<void> {
    if (instances.length === 0) return;
    await this.#attempt(`retention in ${named}`, async () => {
      const signers = await signersOf(this.#request, named);
      const result = await pruneStore({ ...this.#operation, ...signers, store, instances, policy });
      const { removed, kept, deletedBytes, markedBytes } = result;
      this.#log.store(named, role, { pruned: { removed, kept, deletedBytes, markedBytes } });
      for (const problem of troubleOf(result)) this.#log.problem(problemOf(`retention in ${named}`, problem));
    });
  }

  /** @returns undefined if it failed */
  async #attempt<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.#operation.signal.throwIfAborted();
      this.#log.problem(problemOf(what, error));
      return undefined;
    }
  }
}

function exportedInto({ run }: RunLog, named: string): readonly string[] {
  return run.instances
    .filter(({ stores }) => stores.some(({ store, outcome }) => store === named && outcome !== 'failed' && outcome !== 'left'))
    .map(({ name }) => name);
}

function troubleOf({ damaged, unclear, refused }: PruneResult): readonly GantryError[] {
  const found = [...damaged, ...unclear.map((why) => `no dump was deleted, because other exports may refer to them: ${why}`)];
  return [
    ...found.map((message) => new GantryError('MANIFEST_DAMAGED', { message })),
    ...refused.map(({ reference, code, reason }) => {
      const message = `nothing of ${instanceOf(reference)} was removed: ${reason}`;
      return new GantryError(code, { message, hint: `gantry remove takes ${reference} away, if you do not want it.` });
    }),
  ];
}

function instanceOf(reference: string): string {
  return reference.slice(0, reference.lastIndexOf('@'));
}
