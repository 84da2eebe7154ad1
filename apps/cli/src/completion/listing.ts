import process from 'node:process';
import type { Configuration } from '@gantry/config';
import { isName, loadConfiguration, namedStore, openInstanceSource, openStore, withoutPassword } from '@gantry/config';
import type { ExportName } from '@gantry/core';
import { diagnoseDefinitions, exportNames, listFrom, osSearchPath, parseExportId, requireStore } from '@gantry/core';
import { formatAge } from '@gantry/programs';
import { describeRun } from '../output/run-state.ts';
import type { CliContext } from '../session.ts';
import { SHELLS } from './scripts.ts';
import type { Listing, Question, Suggestion } from './suggest.ts';
import { expandHome } from './shell-words.ts';

/** How long a store or an inventory may take, ms: longer, and typing it is faster. */
const LIMIT_MS = 2000;

/** Inventories on this machine, which answer at once and ask nothing. */
const LOCAL_INVENTORIES: readonly string[] = ['ganeti', 'libvirt'];

/** Values for the words of a call, from stores, inventories and this machine. Nothing is asked on the terminal, and what fails has none. */
export function createListing({ env, cwd, signal }: Pick<CliContext, 'env' | 'cwd' | 'signal'>): Listing {
  return async (question) => {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(LIMIT_MS)]);
    try {
      return await answer(question, { env, cwd, signal: limited });
    } catch {
      // Typing goes on without suggestions; the command itself will say what is wrong.
      return [];
    }
  };
}

type Context = Pick<CliContext, 'env' | 'cwd' | 'signal'>;

async function answer(question: Question, context: Context): Promise<readonly Suggestion[]> {
  switch (question.kind) {
    case 'export':
      return exportItems(question.start, await namesInStore(question, context));
    case 'stored instance':
      return instancesOf(await namesInStore({ ...question, start: '' }, context)).map((value) => ({ value }));
    case 'instance':
      return [...inventories(question.start), ...(await instancesOfInventory(question.start, context))];
    case 'source':
      return [...inventories(question.start), ...named((await configured(question, context)).inventories)];
    case 'store':
      return [...(await configured(question, context)).stores].map(([value, { url }]) => ({ value, description: withoutPassword(url) }));
    case 'policy':
      return [...(await configured(question, context)).policies.keys()].map((value) => ({ value }));
    case 'os':
      return await definitions(question.osPath, context);
    case 'peer':
      return [{ value: 'ssh://' }];
    case 'shell':
      return SHELLS.map((value) => ({ value }));
    case 'document':
      return [{ value: 'instance' }, { value: 'config' }];
    case 'file':
    case 'directory':
      return [];
  }
}

async function configured({ configFile }: Question, { env, cwd, signal }: Context): Promise<Configuration> {
  const file = configFile === undefined ? undefined : expandHome(configFile, env['HOME']);
  return await loadConfiguration({ env, cwd, file, signal });
}

function named(addresses: ReadonlyMap<string, string>): readonly Suggestion[] {
  return [...addresses].map(([value, description]) => ({ value, description }));
}

/** The exports in the store of the call, of one instance if its name is complete. */
async function namesInStore(question: Question, context: Context): Promise<readonly ExportName[]> {
  const { store: address, start } = question;
  const { env, cwd, signal } = context;
  if (address === undefined) return [];
  const url = isName(address) ? namedStore(await configured(question, context), address)?.url : undefined;
  const surroundings = { env, cwd, signal, mayAsk: false, warn: () => undefined };
  await using store = await openStore(url ?? expandHome(address, env['HOME']), surroundings, { access: 'read' });
  // Any directory may be given, such as /: only stores are read.
  await requireStore(store, { create: false, signal });
  const at = start.indexOf('@');
  return await exportNames(store, { instance: at === -1 ? undefined : start.slice(0, at), signal });
}

function instancesOf(names: readonly ExportName[]): readonly string[] {
  return [...new Set(names.map(({ instance }) => instance))];
}

/** Instances; exports, the newest first, as soon as there is one instance to choose from. */
function exportItems(start: string, names: readonly ExportName[]): readonly Suggestion[] {
  const instances = instancesOf(names).filter((name) => name.startsWith(start) || start.startsWith(`${name}@`));
  const items = instances.map((value) => ({ value, description: 'its newest complete export' }));
  if (instances.length !== 1) return items;
  const ids = names.filter(({ instance }) => instance === instances[0]).toReversed();
  return [...items, ...ids.map(exportItem)];
}

function exportItem({ instance, id }: ExportName): Suggestion {
  const started = parseExportId(id)?.started;
  const age = started === undefined ? {} : { description: `${formatAge(Date.now() - started.getTime())} old` };
  return { value: `${instance}@${id}`, ...age };
}

/** Nobody who begins a file name wants them: they come once a letter says so. */
function inventories(start: string): readonly Suggestion[] {
  return start === '' ? [] : LOCAL_INVENTORIES.map((scheme) => ({ value: `${scheme}:` }));
}

async function instancesOfInventory(start: string, { env, cwd, signal }: Context): Promise<readonly Suggestion[]> {
  const scheme = LOCAL_INVENTORIES.find((each) => start.startsWith(`${each}:`) && !start.includes('/'));
  // Others than root may be asked for a password by polkit.
  if (scheme === undefined || process.getuid?.() !== 0) return [];
  await using source = await openInstanceSource(`${scheme}:`, { env, cwd, signal, warn: () => undefined });
  const instances = await listFrom(source, { signal });
  return instances.map(({ name, run }) => ({ value: `${scheme}:${name}`, description: describeRun(run) }));
}

async function definitions(osPath: readonly string[], { env, signal }: Context): Promise<readonly Suggestion[]> {
  const found = await diagnoseDefinitions(osSearchPath({ flags: osPath.map((each) => expandHome(each, env['HOME'])), env }), signal);
  return found.flatMap((diagnosis) => (diagnosis.valid ? [{ value: diagnosis.name, description: diagnosis.directory ?? 'built in' }] : []));
}
