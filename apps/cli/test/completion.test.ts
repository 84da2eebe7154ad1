import { chmod, cp, mkdir, rm, writeFile } from 'node:fs/promises';
import process from 'node:process';
import { makeRandomFile, makeSshKey, PATIENTLY, startSilentServer, startSshServer } from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { splitLine } from '../src/completion/shell-words.ts';
import type { Question } from '../src/completion/suggest.ts';
import { suggest } from '../src/completion/suggest.ts';
import { COMMANDS } from '../src/commands.ts';
import type { Tmux } from './tmux.ts';
import { openTmux } from './tmux.ts';
import type { Workbench } from './workbench.ts';
import { lastLine, MAIN, makeWorkbench } from './workbench.ts';

/*
 * What Tab does: which words are suggested, and what bash, zsh and fish make of them on a terminal.
 */

describe('a line of bash is taken apart', () => {
  test.each([
    ['gantry ', ['gantry', '']],
    ['gantry show  /srv we', ['gantry', 'show', '/srv', 'we']],
    [`gantry show '/srv/a b' "c d`, ['gantry', 'show', '/srv/a b', 'c d']],
    [String.raw`gantry show /srv/a\ b `, ['gantry', 'show', '/srv/a b', '']],
    [String.raw`gantry "a\"b\c" '' x'y'"z"`, ['gantry', String.raw`a"b\c`, '', 'xyz']],
    ['gantry $(reboot) `x` $HOME', ['gantry', '$(reboot)', '`x`', '$HOME']],
    ['gantry a\\', ['gantry', 'a']],
    ['gantry "a b\\', ['gantry', 'a b']],
    ['', ['']],
  ])('%j', (line, words) => {
    expect(splitLine(line)).toEqual(words);
  });
});

describe('suggestions', () => {
  /** The values for the last word, and the question that would be asked of a store or an inventory. */
  async function suggested(...words: readonly string[]): Promise<{ values: string[]; paths: string; question: Question | undefined }> {
    let question: Question | undefined;
    const { items, paths } = await suggest(words, async (asked) => {
      question = asked;
      return [{ value: asked.start }];
    });
    return { values: items.map(({ value }) => value), paths, question };
  }

  test('of the first word are the commands of the registry and their groups', async () => {
    const { values } = await suggested('');
    const words = COMMANDS.filter(({ hidden }) => hidden !== true).map(({ name }) => name.split(' ', 1).join());
    expect(values.toSorted()).toEqual([...new Set(words), 'help'].toSorted());
    expect((await suggested('--json', 'ver')).values).toEqual(['verify', 'version']);
    expect((await suggested('os', '')).values).toEqual(['list', 'show', 'check']);
    expect((await suggested('help', 'os', 'l')).values).toEqual(['list']);
    expect((await suggested('help', 'expo')).values).toEqual(['export']);
  });

  test.each(COMMANDS.filter(({ hidden }) => hidden !== true))(
    'of gantry $name are all its options and their choices',
    async ({ name, load }) => {
      const words = name.split(' ');
      const { options } = (await load()).default;
      const longs = Object.values(options).map(({ flags }) => /--[\w-]+/.exec(flags)?.[0] ?? '');
      expect((await suggested(...words, '-')).values).toEqual([...longs, '--json', '--config', '--quiet', '--help']);
      for (const { flags, choices } of Object.values(options)) {
        const long = /--[\w-]+/.exec(flags)?.[0] ?? '';
        if (choices === undefined) continue;
        expect((await suggested(...words, long, '')).values).toEqual(choices);
        expect((await suggested(...words, `${long}=`)).values).toEqual(choices.map((choice) => `${long}=${choice}`));
      }
    },
  );

  test('leave out options that were given, but for those that may repeat', async () => {
    const { values } = await suggested('export', '--level', '3', '--codec=zstd', '--tag', 'x', '--incremental', '--');
    expect(values).not.toContain('--level');
    expect(values).not.toContain('--codec');
    expect(values).not.toContain('--incremental');
    expect(values).toContain('--tag');
  });

  test.each([
    [['export', 'w'], { kind: 'instance', paths: 'files' }],
    [['export', 'web1.yaml', 'e'], { kind: 'store', paths: 'directories' }],
    [['export', '--level', '3', 'web1.yaml', 'e'], { kind: 'store', paths: 'directories' }],
    [['show', '/srv', 'w'], { kind: 'export', store: '/srv', paths: 'none' }],
    [['show', '--json', '/srv', 'w'], { kind: 'export', store: '/srv', paths: 'none' }],
    [['diff', '/srv', 'a', 'w'], { kind: 'export', store: '/srv', paths: 'none' }],
    [['copy', '/srv', 'w'], { kind: 'export', store: '/srv', paths: 'none' }],
    [['copy', '/srv', 'a', 'w'], { kind: 'store', store: '/srv', paths: 'directories' }],
    [['list', '/srv', 'w'], { kind: 'stored instance', store: '/srv', paths: 'none' }],
    [['import', '/srv', 'a', '--to', 'w'], { kind: 'instance', store: '/srv', paths: 'files' }],
    [['import', '/srv', 'a', '--to=w'], { kind: 'instance', store: '/srv', paths: 'files' }],
    [['clean', '/srv', '--export', 'w'], { kind: 'export', store: '/srv', paths: 'none' }],
    [['export', 'a', 'b', '--snapshot-config', 'w'], { kind: 'file', paths: 'files' }],
    [['export', 'a', 'b', '--state-dir', 'w'], { kind: 'directory', paths: 'directories' }],
    [['os', 'show', '--os-path', '/a', '--os-path=/b', 'w'], { kind: 'os', osPath: ['/a', '/b'], paths: 'none' }],
    [['instances', 'w'], { kind: 'source', paths: 'directories' }],
    [['move', 'a', 's'], { kind: 'peer', paths: 'none' }],
    [['run', 'nightly', 'w'], { kind: 'policy', paths: 'none' }],
    [['report', '/srv', '/mnt', 'e'], { kind: 'store', store: '/srv', paths: 'directories' }],
  ] as const)('for %j are of the kind that fits', async (words, { paths, ...expected }) => {
    const found = await suggested(...words);
    expect(found.paths).toBe(paths);
    expect(found.question).toMatchObject(expected);
  });

  test.each([
    [['export', 'a', 'b', '--note', '']],
    [['export', 'a', 'b', '--level', '']],
    [['frobnicate', '']],
    [['os', 'frobnicate', '']],
  ] as const)('for %j are none', async (words) => {
    expect(await suggested(...words)).toEqual({ values: [], paths: 'none', question: undefined });
  });

  test('have no characters that a shell or a terminal treats specially', async () => {
    const names = ['web1', 'we b', 'we$(reboot)', "we'b", 'we\u001b[2J', 'we;b', 'web2@x', 'we\nb'];
    const { items } = await suggest(['show', '/srv', 'we'], async () => names.map((value) => ({ value })));
    expect(items.map(({ value }) => value)).toEqual(['web1', 'web2@x']);
  });
});

let bench: Workbench;
let reference: string;

beforeAll(async () => {
  bench = await makeWorkbench();
  await makeRandomFile(bench.file('disk'), 4096, 'seed');
  await bench.describeInstance('web1.example.com', { disks: [bench.file('disk')] });
  reference = lastLine((await bench.gantry('export', 'web1.example.com.yaml', bench.store)).stdout);
  await mkdir(bench.file('bin'));
  await writeFile(bench.file('bin/gantry'), `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`);
  await chmod(bench.file('bin/gantry'), 0o755);
  await cp(bench.store, bench.file('my exports'), { recursive: true });
  for (const shell of Object.keys(SHELLS))
    await writeFile(bench.file(`completion.${shell}`), (await bench.gantry('completion', shell)).stdout);
});

afterAll(() => bench[Symbol.asyncDispose]());

/** How each shell starts on a terminal, without the user's settings, and prints when it is ready. */
const SHELLS = {
  bash: { command: 'bash --norc --noprofile -i', setUp: "PS1='$ '; source completion.bash" },
  zsh: { command: 'zsh -f -i', setUp: "PS1='$ '; autoload -Uz compinit; compinit -D -u; source ./completion.zsh" },
  fish: {
    command: 'fish --no-config --private',
    setUp: `function fish_prompt; printf '$ '; end; set -g fish_greeting; set -g fish_autosuggestion_enabled 0; source completion.fish`,
  },
};

describe.each(['bash', 'zsh', 'fish'] as const)('%s', (shell) => {
  let terminal: Tmux;

  beforeAll(async () => {
    terminal = openTmux(bench.file(`tmux-${shell}`));
    const { command, setUp } = SHELLS[shell];
    const environment = [
      'HOME',
      bench.path,
      'PATH',
      `${bench.file('bin')}:${process.env['PATH'] ?? ''}`,
      'TERM',
      'screen',
      'LC_ALL',
      'C.UTF-8',
    ];
    const env = Array.from(
      { length: environment.length / 2 },
      (_, index) => `${environment[2 * index]}='${environment[2 * index + 1]}'`,
    ).join(' ');
    await terminal.run('new-session', '-d', '-x', '120', '-y', '24', '-c', bench.path, `exec env ${env} ${command}`);
    // A shell that starts may discard what was typed before its first prompt.
    await terminal.screen(/[#$>]\s*$/);
    await type(`${setUp}; echo rea''dy`, 'Enter');
    await terminal.screen(/^ready$/m);
  });

  afterAll(() => terminal[Symbol.asyncDispose]());

  /** Keys by tmux's names; other text as it is. */
  async function type(text: string, ...keys: readonly string[]): Promise<void> {
    await terminal.run('send-keys', '-l', '--', text);
    if (keys.length > 0) await terminal.run('send-keys', ...keys);
  }

  /** What the line becomes by Tab. A letter behind it shows where the cursor is. */
  async function completed(line: string): Promise<string> {
    // Not C-c, for which shells discard what was typed shortly after it.
    await terminal.run('send-keys', 'C-u');
    await type('clear', 'Enter');
    await terminal.screen(/^\$\s*$/);
    await type(line, 'Tab');
    await type('Z');
    const lines = await terminal.screen(/^\$ .*Z\s*$/m);
    return lines.findLast((each) => each.endsWith('Z'))?.slice(2, -1) ?? '';
  }

  test.each([
    ['gantry expo', 'gantry export '],
    ['gantry os sh', 'gantry os show '],
    ['gantry export --snapshot-c', 'gantry export --snapshot-config '],
    ['gantry export --codec gz', 'gantry export --codec gzip '],
    ['gantry export --codec=gz', 'gantry export --codec=gzip '],
    ['gantry export web', 'gantry export web1.example.com.yaml '],
    ['gantry export --snapshot-config=web', 'gantry export --snapshot-config=web1.example.com.yaml '],
    ['gantry list expo', 'gantry list exports/'],
    ['gantry export libv', 'gantry export libvirt:'],
    ['gantry move web1.yaml ssh:', 'gantry move web1.yaml ssh://'],
    ['gantry list exports we', 'gantry list exports web1.example.com '],
    ['gantry list ~/exports we', 'gantry list ~/exports web1.example.com '],
    ["gantry list 'my exports' we", "gantry list 'my exports' web1.example.com "],
    [String.raw`gantry list my\ exports we`, String.raw`gantry list my\ exports web1.example.com `],
    ['gantry os show ra', 'gantry os show raw '],
    ['gantry show /nonexistent we', 'gantry show /nonexistent we'],
  ])('makes of "%s" and Tab "%s"', async (line, expected) => {
    // On a busy machine, a store may not answer within the two seconds that suggestions may take.
    await expect.poll(() => completed(line), PATIENTLY).toBe(expected);
  });

  test('completes the id of an export', async () => {
    const [name = '', id = ''] = reference.split('@');
    const line = `gantry show exports ${name}@${id.slice(0, 4)}`;
    await expect.poll(() => completed(line), PATIENTLY).toBe(`gantry show exports ${reference} `);
  });

  test('lists what there is, with descriptions where the shell has them', async () => {
    await completed('gantry os x');
    await terminal.run('send-keys', 'C-u');
    await type('gantry os ', 'Tab', 'Tab');
    const text = (await terminal.screen(/^(?=[^]*\bcheck\b)(?=[^]*\blist\b)(?=[^]*\bshow\b)/)).join('\n');
    if (shell !== 'bash') expect(text).toContain('Show one OS definition');
  });
});

test('bash quotes names of files beside suggestions, so that none is a command', async () => {
  await mkdir(bench.file('l$(touch pwned) x'));
  const complete = async (word: string): Promise<readonly string[]> => {
    const script = `source completion.bash; compopt() { :; }; COMP_LINE="gantry export $1" COMP_POINT=\${#COMP_LINE}
COMP_WORDS=(gantry export "$1") COMP_CWORD=2; _gantry gantry "\${1#[\\"\\']}" export; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const env = { HOME: bench.path, PATH: `${bench.file('bin')}:${process.env['PATH'] ?? ''}`, LC_ALL: 'C.UTF-8' };
    const { stdout } = await execa('bash', ['--norc', '--noprofile', '-c', script, 'bash', word], { cwd: bench.path, env });
    return stdout.split('\n');
  };
  expect(await complete('l')).toEqual(['libvirt:', String.raw`l\$\(touch\ pwned\)\ x/`]);
  expect(await complete('"l')).toEqual(['libvirt:']);
  await rm(bench.file('l$(touch pwned) x'), { recursive: true });
});

describe('a store over SSH', () => {
  test('that does not answer has no suggestions, after two seconds', async () => {
    await using silent = await startSilentServer();
    // Without a limit, this would take longer than the test may.
    const store = `ssh://127.0.0.1:${silent.port}/srv?engine=ssh2&connectTimeout=3600`;
    const outcome = await bench.gantry('complete', '--', 'show', store, 'we');
    expect(outcome).toEqual({ exitCode: 0, stdout: 'none\twe', stderr: '' });
  });

  test('has its names suggested, and nothing is asked for a key that is locked', async () => {
    await using server = await startSshServer();
    const store = server.address(bench.store);
    expect((await bench.gantry('complete', '--', 'show', store, 'web1')).stdout).toContain(`\n${reference}\t`);

    const locked = bench.file('locked');
    await makeSshKey(locked, { passphrase: 'secret' });
    const lines = [
      `IdentityFile ${locked}`,
      'IdentitiesOnly yes',
      `UserKnownHostsFile ${server.knownHostsFile}`,
      'GlobalKnownHostsFile none',
    ];
    await writeFile(bench.file('ssh-config'), ['Host 127.0.0.1', ...lines, ''].join('\n'));
    await using terminal = openTmux(bench.file('tmux-ssh'));
    const address = `ssh://root@127.0.0.1:${server.port}${bench.store}?config=${bench.file('ssh-config')}`;
    const onTerminal = async (call: string): Promise<void> => {
      const command = `PATH='${bench.file('bin')}:$PATH'; gantry ${call} '${address}' we; echo ended \\$?; exec sleep 1000`;
      await terminal.run('new-session', '-d', '-x', '120', '-y', '24', `sh -c "${command}"`);
    };
    await onTerminal('complete -- show');
    expect((await terminal.screen(/ended 0/)).join('\n')).not.toContain('assphrase');
    // The command itself does ask.
    await terminal.run('kill-server');
    await onTerminal('list');
    await terminal.screen(/Passphrase of the key/);
  });
});

test('a shell that has no completions is refused', async () => {
  const { exitCode, stderr } = await bench.gantry('completion', 'tcsh');
  expect({ exitCode, stderr }).toEqual({
    exitCode: 2,
    stderr: 'gantry: there are no completions for "tcsh" [USAGE]\n  There are for bash, zsh, fish.',
  });
});
