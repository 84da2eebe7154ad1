import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Configuration, ExportSettings, SettingsScope } from '@gantry/config';
import { exportSettings, isName } from '@gantry/config';
import type { GantryErrorCode } from '@gantry/core';
import {
  asFirstError,
  assertSigners,
  ERROR_EXIT_CODES,
  GantryError,
  listFrom,
  readRecipients,
  readSnapshotConfig,
  requireStore,
  errorText,
} from '@gantry/core';
import { formatTable } from '@gantry/programs';
import type { Session } from '../session.ts';
import { warningsOf } from './config-warnings.ts';

/** One thing that the configuration names. */
interface Check {
  /** Its place in gantry.yaml. */
  readonly what: string;
  /** @returns what was found, in words */
  readonly look: (session: Session) => Promise<string>;
}

interface Checked {
  readonly what: string;
  readonly result: 'ok' | 'failed';
  readonly found: string;
  readonly code?: GantryErrorCode;
  /** What to do about it. */
  readonly hint?: string;
}

/** Runs `gantry config check`. */
export async function run(session: Session): Promise<void> {
  const configuration = await session.configuration();
  const { files } = configuration;
  const checks = await Promise.all(checksOf(configuration).map((check) => perform(check, session)));
  const failed = checks.filter(({ result }) => result === 'failed');
  const [first] = failed;
  if (first !== undefined) session.exitWith(ERROR_EXIT_CODES[first.code ?? 'PLATFORM']);
  const read = files.length === 0 ? ['no configuration file is there: nothing to check'] : files.map((file) => `${file} is valid`);
  const warnings = await warningsOf(session, configuration);
  const all = [...checks, ...warnings];
  const rows = all.map(({ what, result, found }) => [result, what, found]);
  const table = rows.length === 0 ? [] : ['', ...formatTable([['RESULT', 'WHAT', 'FOUND'], ...rows])];
  const advice = checks.flatMap(({ what, hint }) => (hint === undefined ? [] : [`${what}: ${hint}`]));
  const warned = warnings.length === 0 ? '' : `, ${warnings.length} ${warnings.length === 1 ? 'warning' : 'warnings'}`;
  const count = `${checks.length} checked, ${failed.length} failed${warned}`;
  session.output.result({ operation: 'config-check', files, checks: all, failed: failed.length }, [
    ...read,
    ...table,
    ...(advice.length === 0 ? [] : ['', ...advice]),
    '',
    count,
  ]);
}

async function perform({ what, look }: Check, session: Session): Promise<Checked> {
  try {
    return { what, result: 'ok', found: await look(session) };
  } catch (error) {
    session.signal.throwIfAborted();
    const first = asFirstError(error);
    const { code, hint } = first instanceof GantryError ? first : { code: 'PLATFORM' as const, hint: undefined };
    const why = `${errorText(first)} [${code}]`;
    return { what, result: 'failed', found: why, code, ...(hint === undefined ? {} : { hint }) };
  }
}

function checksOf(configuration: Configuration): readonly Check[] {
  const { stores, inventories, policies, defaults, notify, metrics } = configuration;
  return [
    ...[...stores.keys()].map((name) => storeCheck(`stores.${name}`, name)),
    ...[...stores.values()].flatMap(({ name, export: settings }) => fileChecks(`stores.${name}`, settings)),
    ...[...stores.keys()].flatMap((name) => signersChecks(configuration, `stores.${name}`, { store: name })),
    ...[...inventories.keys()].map((name) => sourceCheck(`inventories.${name}`, name)),
    ...[...policies.values()].flatMap((policy) => policyChecks(configuration, policy)),
    ...fileChecks('defaults', defaults),
    ...programChecks('notify.command', notify?.command),
    ...mailCheck('notify.mail.sendmail', notify?.mail?.sendmail),
    ...(metrics.textfile === undefined ? [] : [directoryCheck('metrics.textfile', metrics.textfile)]),
  ];
}

type Policy = Configuration['policies'] extends ReadonlyMap<string, infer P> ? P : never;

/** What has a name is checked under that name. */
function policyChecks(
  configuration: Configuration,
  { name, stores, copies, instances, hooks, export: settings }: Policy,
): readonly Check[] {
  const at = `policies.${name}`;
  const addresses = [
    ...stores.map((store, index) => [`stores[${index}]`, store] as const),
    ...copies.map(({ to }, index) => [`copies[${index}].to`, to] as const),
  ];
  return [
    ...addresses.flatMap(([place, address]) => (isName(address) ? [] : [storeCheck(`${at}.${place}`, address)])),
    ...instances.flatMap(({ source }, index) => (isName(source) ? [] : [sourceCheck(`${at}.instances[${index}]`, source)])),
    ...fileChecks(at, settings),
    ...addresses.flatMap(([place, store]) => signersChecks(configuration, `${at}.${place}`, { policy: name, store })),
    ...programChecks(`${at}.hooks.before-snapshot`, hooks.beforeSnapshot),
    ...programChecks(`${at}.hooks.after-snapshot`, hooks.afterSnapshot),
    ...programChecks(`${at}.hooks.on-success`, hooks.onSuccess),
    ...programChecks(`${at}.hooks.on-failure`, hooks.onFailure),
  ];
}

function storeCheck(what: string, address: string): Check {
  const look = async (session: Session): Promise<string> => {
    await using store = await session.open(address, 'read');
    await requireStore(store, { create: false, signal: session.signal });
    return `a store: ${store.address}`;
  };
  return { what, look };
}

function sourceCheck(what: string, address: string): Check {
  const look = async (session: Session): Promise<string> => {
    if (await isInstanceFile(address)) {
      const { instance } = await session.describeAnywhere(address);
      return `the instance ${instance.name}`;
    }
    await using source = await session.openInstances(address);
    const instances = await listFrom(source, { patterns: [], tags: [], signal: session.signal });
    return `${instances.length} ${instances.length === 1 ? 'instance' : 'instances'} in ${source.address}`;
  };
  return { what, look };
}

/** A path that is not a directory names an instance file. */
async function isInstanceFile(address: string): Promise<boolean> {
  if (!address.startsWith('/')) return false;
  try {
    return !(await stat(address)).isDirectory();
  } catch {
    return false;
  }
}

/** Of the files that settings name. */
function fileChecks(at: string, { snapshotConfig, recipientsFiles = [], signKey, allowedSigners }: ExportSettings): readonly Check[] {
  return [
    ...(signKey === undefined ? [] : [{ what: `${at}.sign-key`, look: () => foundKey(signKey) }]),
    ...(allowedSigners === undefined ? [] : [{ what: `${at}.allowed-signers`, look: () => foundSigners(allowedSigners) }]),
    ...snapshotChecks(at, snapshotConfig),
    ...recipientsFiles.map((file, index) => ({
      what: `${at}.recipients-files[${index}]`,
      look: async ({ signal }: Session) => {
        const found = await readRecipients({ recipientsFiles: [file] }, signal);
        return `recipients: ${found?.texts.length ?? 0}`;
      },
    })),
  ];
}

/** What is required may be said in another place than who may sign. */
function signersChecks(configuration: Configuration, at: string, scope: SettingsScope): readonly Check[] {
  const { allowedSigners, requireSignature } = exportSettings(configuration, scope);
  if (requireSignature !== true || allowedSigners !== undefined) return [];
  const look = (): Promise<never> =>
    Promise.reject(
      new GantryError('CONFIGURATION_INVALID', {
        message: 'require-signature is true, and allowed-signers does not say who may sign',
        hint: 'Give it allowed-signers: FILE in the same place.',
      }),
    );
  return [{ what: `${at}.require-signature`, look }];
}

function snapshotChecks(at: string, path: string | undefined): readonly Check[] {
  if (path === undefined) return [];
  const look = async (): Promise<string> => {
    await readSnapshotConfig(path);
    return path;
  };
  return [{ what: `${at}.snapshot-config`, look }];
}

function programChecks(what: string, argv: readonly string[] | undefined): readonly Check[] {
  const [program] = argv ?? [];
  const wanted = { mode: constants.X_OK, wanted: 'a program that can be run', hint: 'Install it, or give the path of another one.' };
  return program === undefined ? [] : [{ what, look: () => found(program, wanted) }];
}

function mailCheck(what: string, sendmail: string | undefined): readonly Check[] {
  const hint = 'Install a mail system (the Debian packages dma and postfix have it), or name another program in notify.mail.sendmail.';
  const wanted = { mode: constants.X_OK, wanted: 'a program that can be run', hint };
  return sendmail === undefined ? [] : [{ what, look: () => found(sendmail, wanted) }];
}

function directoryCheck(what: string, file: string): Check {
  const hint = 'Create it, or install the package that brings it: for node_exporter in Debian, prometheus-node-exporter.';
  return { what, look: () => found(dirname(file), { mode: constants.W_OK, wanted: 'a directory that can be written to', hint }) };
}

interface Wanted {
  /** As access(2) takes it. */
  readonly mode: number;
  /** What the path should be. */
  readonly wanted: string;
  /** Where nothing is there. */
  readonly hint: string;
}

async function found(path: string, { mode, wanted, hint }: Wanted): Promise<string> {
  try {
    await access(path, mode);
    return path;
  } catch (cause) {
    const isMissing = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
    throw new GantryError('CONFIGURATION_INVALID', {
      message: `${path} is not ${wanted}`,
      hint: isMissing ? hint : 'Check its permissions, and those of the directories above it.',
      cause,
    });
  }
}

/** Of a key in the agent, the public one is enough. */
async function foundKey(path: string): Promise<string> {
  const wanted = { mode: constants.R_OK, wanted: 'a key that can be read', hint: 'Check the path: ssh-keygen makes such a key.' };
  return await found(path, wanted).catch(() => found(`${path}.pub`, wanted));
}

async function foundSigners(allowedSigners: string): Promise<string> {
  await assertSigners({ allowedSigners });
  return allowedSigners;
}
