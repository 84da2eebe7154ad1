import type { MirrorResult } from '@gantry/core';
import { checkLabels, ERROR_EXIT_CODES, mirrorStore } from '@gantry/core';
import { formatBytes } from '@gantry/programs';
import { wantsNewStore } from '../create-store.ts';
import type { Session } from '../session.ts';
import { parallelOf } from './parallel-choice.ts';
import { copySignersOf } from './signers.ts';
import type { OptionValues } from '../command-line/command.ts';
import type { CREATE_STORE, PARALLEL, RATE } from '../command-line/options.ts';
import type { SIGNERS } from '../command-line/signature-options.ts';

/** Runs `gantry mirror`. */
export async function run(
  session: Session,
  [from, to]: readonly [string, string],
  {
    instance: instances,
    newest,
    tag: tags,
    withOlder,
    dryRun,
    ...options
  }: OptionValues<typeof RATE & typeof PARALLEL & typeof CREATE_STORE & typeof SIGNERS> & {
    readonly instance: readonly string[] | undefined;
    readonly newest: number | undefined;
    readonly tag: readonly string[] | undefined;
    readonly withOlder: true | undefined;
    readonly dryRun: true | undefined;
  },
): Promise<void> {
  // Nothing can have such a tag.
  checkLabels({ tags });
  const createStore = options.createStore === true || wantsNewStore(session.env);
  const parallel = await parallelOf(session, options, to);
  const access = dryRun === true ? 'read' : 'write';
  const signers = await copySignersOf(session, options, { from, to }, access);
  await using source = await session.open(from, 'read');
  await using target = await session.open(to, access);
  const { signal, onEvent } = session.operation;
  const selection = { instances, newest, tags, withOlder };
  const result = await mirrorStore({ ...signers, ...selection, source, target, signal, onEvent, parallel, createStore, dryRun });
  const [failed] = result.exports.flatMap(({ code }) => code ?? []);
  if (failed !== undefined) session.exitWith(ERROR_EXIT_CODES[failed]);
  session.output.result({ operation: 'mirror', source: source.address, target: target.address, ...result }, describe(result));
}

function describe({ exports, present, older, untagged = 0, sentBytes }: MirrorResult): readonly string[] {
  const lines = exports.map(({ reference, outcome, sentBytes: bytes, reason }) => {
    if (outcome === 'planned') return `would copy ${reference}`;
    return outcome === 'copied' ? `copied ${reference} (${formatBytes(bytes)})` : `failed ${reference}: ${reason ?? ''}`;
  });
  const counts = [
    count(exports, 'copied', `copied (${formatBytes(sentBytes)})`),
    count(exports, 'planned', 'to copy'),
    count(exports, 'failed', 'failed'),
    `${present} there already`,
    ...(older === 0 ? [] : [`${older} left out: the target removed them, or has newer ones (--with-older)`]),
    ...(untagged === 0 ? [] : [`${untagged} without the tag`]),
  ];
  return [...lines, counts.filter((text) => text !== undefined).join(', ')];
}

function count(exports: MirrorResult['exports'], wanted: string, words: string): string | undefined {
  const found = exports.filter(({ outcome }) => outcome === wanted).length;
  return found === 0 ? undefined : `${found} ${words}`;
}
