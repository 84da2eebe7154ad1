import { GantryError } from '@gantry/core';
import { makeRandomFile } from '@gantry/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ParseFailure } from '../src/command-line/parse-failure.ts';
import { asUsageError } from '../src/command-line/usage-error.ts';
import type { CommandModule } from '../src/command-line/command.ts';
import { COMMANDS } from '../src/commands.ts';
import { callHere, validCalls } from './calls-of-commands.ts';
import { writeIdentity } from './sealed-export.ts';
import type { Workbench } from './workbench.ts';
import { lastLine, makeWorkbench } from './workbench.ts';

/*
 * Bad input for each option, with its message and exit status. The options come from the registry, so that a new one fails here until the
 * table has it. Absurd values, with which only INTERNAL is wrong, are in odd-values.test.ts.
 */

interface BadValue {
  /** `DIR` is the directory of the test. */
  readonly value: string;
  /** By default the first command that has the option. */
  readonly command?: string;
  /** By default a valid call. */
  readonly args?: readonly string[];
  /** Other options of the call. */
  readonly more?: readonly string[];
  readonly exitCode: number;
  readonly says: RegExp;
}

const usage = (value: string, says: RegExp): BadValue => ({ value, exitCode: 2, says });

const WHOLE = /must be a whole number, 1 or more/;
const KEEP = usage('0', /must be a whole number, 1 or more, or: unlimited/);

const BAD: Readonly<Record<string, BadValue>> = {
  '--add': { value: 'two words', exitCode: 2, says: /two words/ },
  '--allowed-signers': { value: 'gone', exitCode: 2, says: /gone/ },
  '--base': { value: 'web9', more: ['--incremental'], exitCode: 9, says: /web9/ },
  '--budget': { ...usage('most', /must be a size such as 500M or 20GiB/) },
  '--codec': usage('lzma', /Allowed choices are/),
  '--config': { value: 'gone.yaml', exitCode: 2, says: /gone\.yaml/ },
  '--define': { value: 'nowhere:', command: 'import', exitCode: 3, says: /nowhere/ },
  '--depth': usage('deep', /Allowed choices are/),
  '--disk': usage('first', /must be a whole number, 0 or more/),
  '--disk-template': { value: 'drbd', exitCode: 10, says: /--disk-template/ },
  '--export': { value: 'web1', args: [], exitCode: 2, says: /cannot remove web1: no store is given/ },
  '--full-every': usage('0', WHOLE),
  '--identity': { value: 'gone', command: 'verify', exitCode: 2, says: /gone/ },
  '--instance': { value: 'nothing*', command: 'mirror', more: ['--create-store'], exitCode: 9, says: /nothing/ },
  '--keep-daily': KEEP,
  '--keep-hourly': KEEP,
  '--keep-last': KEEP,
  '--keep-monthly': KEEP,
  '--keep-tag': usage('a,', /must be a tag, or several with commas/),
  '--keep-weekly': KEEP,
  '--keep-within': usage('soon', /must be a duration such as 1y6m14d12h/),
  '--keep-yearly': KEEP,
  '--level': usage('high', WHOLE),
  '--limit-rate': usage('fast', /must be a number of bytes per second above 0/),
  '--listen': { value: 'nowhere:x', exitCode: 2, says: /--listen/ },
  '--live-rounds': usage('0', WHOLE),
  '--name': { value: '../x', exitCode: 2, says: /--name/ },
  '--native': { value: 'domain.xml', exitCode: 9, says: /domain\.xml/ },
  '--newest': usage('0', WHOLE),
  '--nic': usage('0:speed=1', /must be N:FIELD=VALUE, such as 0:mac=generate/),
  '--node': { value: 'node9', exitCode: 10, says: /--node/ },
  '--note': { value: 'x'.repeat(5000), exitCode: 2, says: /note/ },
  '--os': { value: '../etc', exitCode: 4, says: /\.\.\/etc/ },
  '--os-path': { value: 'gone', command: 'os show', args: ['debootstrap'], exitCode: 4, says: /debootstrap/ },
  '--out': { value: 'gone/report.html', exitCode: 11, says: /gone\/report\.html/ },
  '--outcome': { value: '123', exitCode: 9, says: /123/ },
  '--packs-of': { value: '../x', more: ['--create-store'], exitCode: 2, says: /\.\.\/x/ },
  '--parallel': usage('0', WHOLE),
  '--parameter': usage('filesystem', /must be name=value/),
  '--peer-program': usage('two words', /--peer-program is "two words": it has characters that a shell would interpret/),
  '--peer-timeout': usage('0', WHOLE),
  '--policy': { value: 'gone', exitCode: 2, says: /gone/ },
  '--recipient': { value: 'nobody', exitCode: 2, says: /nobody/ },
  '--recipients-file': { value: 'gone', exitCode: 2, says: /gone/ },
  '--rehearse': { value: 'gone', exitCode: 11, says: /gone/ },
  '--remove': { value: 'two words', exitCode: 2, says: /two words/ },
  '--sign': { value: 'gone', exitCode: 2, says: /gone/ },
  '--skip-newer': usage('soon', /must be a duration such as 26h/),
  '--snapshot': usage('photo', /Allowed choices are/),
  '--snapshot-config': { value: 'gone', exitCode: 2, says: /gone/ },
  '--snapshot-size': usage('some', /some/),
  '--stall-timeout': usage('0', WHOLE),
  '--state-dir': { value: 'DIR/disk/state', exitCode: 11, says: /disk\/state/ },
  '--stop-timeout': usage('0', WHOLE),
  '--store-buffer': usage('1M', /must be a size such as 500M or 2G, 16M or more/),
  '--tag': { value: 'two words', exitCode: 2, says: /two words/ },
  '--to': { value: 'gone.yaml', command: 'import', exitCode: 3, says: /gone\.yaml/ },
};

/** Options for which any text is good, and why. */
const ANY_TEXT: Readonly<Record<string, string>> = {
  '--allow-define': 'a pattern: what fits no pattern is refused by the receiver',
  '--allow-instance': 'a pattern, as above',
  '--allow-os': 'a name, as above',
  '--instance-directory': 'as above: nothing is in a directory that is not there',
  '--line': 'what somebody is typing',
  '--store-only': 'a store of a policy: run.test.ts has one that it lacks',
};

let bench: Workbench;
let right: Readonly<Record<string, readonly string[]>>;
let recipient: string;

beforeAll(async () => {
  bench = await makeWorkbench();
  await makeRandomFile(bench.file('disk'), 4096, 'seed');
  const file = await bench.describeInstance('web1', { disks: [bench.file('disk')] });
  const reference = lastLine((await bench.gantry('export', file, bench.store)).stdout);
  right = validCalls(bench, file, reference);
  recipient = await writeIdentity(bench.file('key.txt'));
});

afterAll(() => bench[Symbol.asyncDispose]());

const modules: readonly (readonly [name: string, module: CommandModule])[] = await Promise.all(
  COMMANDS.map(async ({ name, load }) => [name, (await load()).default] as const),
);

interface Named {
  readonly long: string;
  readonly takesValue: boolean;
}

function optionsOf(module: CommandModule): readonly Named[] {
  return Object.values(module.options).map(({ flags }) => ({ long: /--[a-z-]+/.exec(flags)?.[0] ?? '', takesValue: flags.includes('<') }));
}

/** Calls a command. @returns its error as the user sees it */
async function failureOf(name: string, args: readonly string[], options: readonly string[]): Promise<GantryError> {
  const error = await callHere(bench, [...name.split(' '), ...args, ...options]);
  if (error instanceof ParseFailure) return asUsageError(error);
  if (error instanceof GantryError) return error;
  throw new Error(`gantry ${name} ${options.join(' ')} did not fail as it should`, { cause: error });
}

test('the table has each option that takes a value, and no other', () => {
  const all = modules.flatMap(([, module]) => optionsOf(module).flatMap(({ long, takesValue }) => (takesValue ? [long] : [])));
  expect([...Object.keys(BAD), ...Object.keys(ANY_TEXT)].toSorted()).toEqual([...new Set(['--config', ...all])].toSorted());
});

test.each(Object.entries(BAD))(
  'a bad value of %s is refused with its exit status, and a message that says what is wrong',
  async (long, bad) => {
    const [first] = modules.find(([, module]) => optionsOf(module).some((option) => option.long === long)) ?? ['list'];
    const name = bad.command ?? first;
    const error = await failureOf(name, bad.args ?? right[name] ?? [], [...(bad.more ?? []), long, bad.value.replace('DIR', bench.path)]);
    expect({ exitCode: error.exitCode, message: error.message }).toEqual({
      exitCode: bad.exitCode,
      message: expect.stringMatching(bad.says),
    });
    // What is to be done about it.
    expect(error.hint ?? '').not.toBe('');
  },
);

/** Nothing answers there. */
const UNREACHABLE = 'ssh://127.0.0.1:1/srv/exports?engine=ssh2&connectTimeout=5';

/** What only a call as a whole shows to be bad: beside the table above. */
const BAD_TOGETHER: readonly (readonly [command: string, options: readonly string[], says: RegExp])[] = [
  ['export', ['--level', '99'], /codec zstd has no level 99/],
  ['export', ['--codec', 'none', '--level', '1'], /codec none has no levels/],
  ['export', ['--tag', 'two words'], /"two words" is not a valid tag/],
  ['move', ['--level', '99'], /codec zstd has no level 99/],
  ['tag', ['--note', 'x'.repeat(5000)], /a note has at most/],
];

/** Each command that has stores or a peer, with each option whose bad value is a mistake in the call. */
function callsToElsewhere(): readonly (readonly [call: string, options: readonly string[], says: RegExp])[] {
  const ofTable = Object.entries(BAD).filter(([, { exitCode, args }]) => exitCode === 2 && args === undefined);
  const elsewhere = modules.filter(([, module]) => (module.arguments ?? []).some((argument) => /store|peer|target/.test(argument)));
  const calls = elsewhere.flatMap(([name, module]) =>
    ofTable.flatMap(([long, { value, more = [], says, command = name }]) =>
      command === name && optionsOf(module).some((option) => option.long === long) ? [[name, [...more, long, value], says] as const] : [],
    ),
  );
  return [...calls, ...BAD_TOGETHER];
}

test.each(callsToElsewhere())('gantry %s %j is refused before anything is asked elsewhere', async (name, options, says) => {
  const call = right[name] ?? [];
  const valid: Readonly<Record<string, readonly string[]>> = {
    ...right,
    'keys add': [...call, '--recipient', recipient],
    // What is to be kept is said by one of its options alone.
    prune: [bench.store],
  };
  const args = (valid[name] ?? []).map((arg) => (arg === bench.store || arg === bench.file('copies') ? UNREACHABLE : arg));
  const error = await failureOf(name, args, options);
  expect({ exitCode: error.exitCode, message: error.message }).toEqual({ exitCode: 2, message: expect.stringMatching(says) });
});

describe.each(modules)('gantry %s', (name, module) => {
  test('refuses an option without its value, and a value for an option that has none', async () => {
    for (const { long, takesValue } of optionsOf(module)) {
      const error = await failureOf(name, right[name] ?? [], [takesValue ? long : `${long}=maybe`]);
      expect(error).toMatchObject({ code: 'USAGE', exitCode: 2, message: expect.stringContaining(long) });
    }
  });
});
