import { resolve } from 'node:path';
import type { ExportSettings, SettingVariables } from '@gantry/config';
import { GantryError } from '@gantry/core';
import { InvalidArgumentError } from 'commander';
import { EXPORT } from './export-options.ts';
import type { OptionSpec } from './options.ts';
import { IDENTITY, PARALLEL, RATE } from './options.ts';
import { SIGNERS } from './signature-options.ts';
import { SNAPSHOTS } from './snapshot-options.ts';

interface Surroundings {
  readonly env: NodeJS.ProcessEnv;
  /** What relative paths count from. */
  readonly cwd: string;
}

/**
 * What variables say of how exports are made.
 *
 * @throws GantryError `USAGE` that names the variable whose value is not valid
 */
export function settingsOfEnvironment({ env, cwd }: Surroundings): ExportSettings {
  const snapshotConfig = valueOf(SNAPSHOTS.snapshotConfig, env);
  const allowedSigners = valueOf(SIGNERS.allowedSigners, env);
  return {
    codec: valueOf(EXPORT.codec, env),
    level: valueOf(EXPORT.level, env),
    incremental: valueOf(EXPORT.incremental, env),
    fullEvery: valueOf(EXPORT.fullEvery, env),
    trackChanges: valueOf(EXPORT.trackChanges, env),
    patches: valueOf(EXPORT.patches, env),
    snapshot: valueOf(SNAPSHOTS.snapshot, env),
    snapshotConfig: snapshotConfig === undefined ? undefined : resolve(cwd, snapshotConfig),
    snapshotSize: valueOf(SNAPSHOTS.snapshotSize, env),
    parallel: valueOf(PARALLEL.parallel, env),
    withPrivate: valueOf(EXPORT.withPrivate, env),
    recipients: valueOf(EXPORT.recipient, env),
    recipientsFiles: valueOf(EXPORT.recipientsFile, env)?.map((file) => resolve(cwd, file)),
    identities: valueOf(IDENTITY.identity, env)?.map((file) => resolve(cwd, file)),
    allowedSigners: allowedSigners === undefined ? undefined : resolve(cwd, allowedSigners),
    requireSignature: valueOf(SIGNERS.requireSignature, env),
  };
}

/** Settings that a variable can say, by their names in gantry.yaml. */
const SETTINGS: Readonly<Record<string, OptionSpec<unknown>>> = {
  codec: EXPORT.codec,
  level: EXPORT.level,
  incremental: EXPORT.incremental,
  'full-every': EXPORT.fullEvery,
  'track-changes': EXPORT.trackChanges,
  patches: EXPORT.patches,
  'with-private': EXPORT.withPrivate,
  recipients: EXPORT.recipient,
  'recipients-files': EXPORT.recipientsFile,
  snapshot: SNAPSHOTS.snapshot,
  'snapshot-config': SNAPSHOTS.snapshotConfig,
  'snapshot-size': SNAPSHOTS.snapshotSize,
  'parallel-disks': PARALLEL.parallel,
  'limit-rate': RATE.limitRate,
  identity: IDENTITY.identity,
  'allowed-signers': SIGNERS.allowedSigners,
  'require-signature': SIGNERS.requireSignature,
};

/** What variables say of settings, as texts. */
export function variablesOf(env: NodeJS.ProcessEnv): SettingVariables {
  return Object.fromEntries(
    Object.entries(SETTINGS).flatMap(([name, { env: variable = '' }]) => {
      const text = env[variable] ?? '';
      return text === '' ? [] : [[name, { variable, text }]];
    }),
  );
}

/** The limit of a variable; bytes a second. @throws GantryError `USAGE` */
export function limitOfEnvironment(env: NodeJS.ProcessEnv): number | undefined {
  return valueOf(RATE.limitRate, env);
}

/** The rate that no setting and no option exceeds; bytes a second. @throws GantryError `USAGE` */
export function maxRateOfEnvironment(env: NodeJS.ProcessEnv): number | undefined {
  return valueOf({ ...RATE.limitRate, env: 'GANTRY_MAX_RATE' }, env);
}

/** An empty variable counts as unset. */
function valueOf<T>(spec: OptionSpec<T | undefined>, env: NodeJS.ProcessEnv): T | undefined {
  const text = env[spec.env ?? ''] ?? '';
  if (text === '') return undefined;
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- an option without its own parser is a text, one of some words, or a flag
  return (spec.parse === undefined ? wordOf(text, spec) : parsed(text, spec)) as T;
}

function parsed<T>(text: string, spec: OptionSpec<T>): T | undefined {
  try {
    return spec.parse?.(text, undefined);
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    throw refused(text, spec, error.message.replace(/^It must be /, '').replace(/\.$/, ''));
  }
}

function wordOf(text: string, spec: OptionSpec<unknown>): string | boolean {
  if (spec.flags.includes('<')) {
    if (spec.choices?.includes(text) === false) throw refused(text, spec, `one of ${spec.choices.join(', ')}`);
    return text;
  }
  if (/^(?:1|true|yes)$/i.test(text)) return true;
  if (/^(?:0|false|no)$/i.test(text)) return false;
  throw refused(text, spec, '1 or 0');
}

function refused(text: string, { env = '', flags }: OptionSpec<unknown>, rule: string): GantryError {
  // It may be anything, such as a file.
  const shown = JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
  return new GantryError('USAGE', {
    message: `the variable ${env} is ${shown}: it must be ${rule}`,
    hint: `Unset it, or set it to a value of ${flags.replace(/ .*$/, '')}.`,
  });
}
