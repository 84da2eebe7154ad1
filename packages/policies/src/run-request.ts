import type { Configuration, ExportSettings, OpenContext, Policy } from '@gantry/config';
import type { OperationOptions } from '@gantry/core';
import type { Store } from '@gantry/transport';
import type { PolicyRun } from './record/form.ts';

/** A run of one policy. */
export interface PolicyRunRequest extends OperationOptions {
  readonly configuration: Configuration;
  readonly policy: Policy;
  /** For opening sources of instances. */
  readonly context: OpenContext;
  /** Opens a store by its name in the configuration, or its address. The run disposes it. */
  readonly openStore: (named: string, access: 'read' | 'write') => Promise<Store>;
  /** How exports are made: what `exportSettings` says, or more. */
  readonly settings: ExportSettings;
  /** How one store is read, also one of copies, by its name in the configuration or its address. */
  readonly settingsOf: (named: string) => Promise<ExportSettings>;
  readonly signal: AbortSignal;
  /** Only these of its instances: names, in which `*` stands for any characters. */
  readonly only?: readonly string[] | undefined;
  /**
   * Only exports: no copies, verification and retention, and no record of the run, which the caller keeps. Several such runs of a policy go
   * on side by side, each for another instance, which `only` names.
   */
  readonly exportsOnly?: boolean | undefined;
  /**
   * Only what comes after exports, of this store of the policy alone, as the policy names it: copies into it, or its verification and
   * retention. No exports, and no record of the run, which the caller keeps.
   */
  readonly storeOnly?: string | undefined;
  /** Leaves out instances that have an export of at most this age in every store, ms. Where absent: one of the same window, if there is one. */
  readonly skipNewerMs?: number | undefined;
  /** Exports every instance, also those that have a recent export. */
  readonly again?: boolean | undefined;
  /** Exports also outside of the window of the policy. */
  readonly ignoreWindow?: boolean | undefined;
  /** Makes new stores where there are none. */
  readonly createStore?: boolean | undefined;
  /**
   * Called with the record when the run has ended, also when it was interrupted; and before it begins, with those of earlier runs that were
   * killed. Must not reject.
   */
  readonly onEnded?: ((run: PolicyRun) => Promise<void>) | undefined;
  /** Called with what there is to say if the run cannot begin, such as because it is running already. Must not reject. */
  readonly onNotBegun?: ((run: PolicyRun) => Promise<void>) | undefined;
}

/** A store of the policy. */
export interface OpenedStore {
  /** As the policy names it. */
  readonly named: string;
  readonly store: Store;
}

/** What all instances of a run share. */
export interface RunContext {
  readonly request: PolicyRunRequest;
  readonly stores: readonly OpenedStore[];
  /** Exports that began since then count as done; undefined: none does. */
  readonly since: Date | undefined;
}
