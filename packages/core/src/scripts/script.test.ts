import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { copyFile, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { inspect } from 'node:util';

import type { OsDefinitionFiles, TemporaryDirectory } from '@gantry/testkit';
import { makeTemporaryDirectory, mountNewTmpfs, OWN_MOUNTS, writeOsDefinition, writeOsDefinitions } from '@gantry/testkit';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { sampleInstance } from '../../test/sample-instance.ts';
import type { ProcessGroup } from '../system/process-group.ts';
import { runningMembers } from '../system/process-group.ts';
import type { ScriptLine, ScriptOptions } from './script-options.ts';
import { runCreateScript, runRenameScript, runVerifyScript } from './script.ts';
import type { SelectedOs } from './select.ts';
import { selectOs } from './select.ts';

let directory: TemporaryDirectory;

beforeEach(async () => {
  directory = await makeTemporaryDirectory();
});

afterEach(async () => {
  await directory[Symbol.asyncDispose]();
});

async function sample(name: string): Promise<SelectedOs> {
  await writeOsDefinitions(directory.path, [name]);
  return selectOs(name, { searchPath: [directory.path] });
}

async function withFiles(files: OsDefinitionFiles): Promise<SelectedOs> {
  await writeOsDefinition(directory.path, 'mine', { files });
  return selectOs('mine', { searchPath: [directory.path] });
}

async function withCreate(body: string): Promise<SelectedOs> {
  return withFiles({ create: `#!/bin/sh\n${body}\n` });
}

/** Runs create and gives its lines. */
async function createLines(os: SelectedOs, options: ScriptOptions = {}): Promise<ScriptLine[]> {
  const lines: ScriptLine[] = [];
  await runCreateScript(os, { instance: sampleInstance(), onMessage: (line) => lines.push(line), ...options });
  return lines;
}

async function createOutput(body: string): Promise<string[]> {
  return (await createLines(await withCreate(body))).filter(({ stream }) => stream === 'stdout').map(({ line }) => line);
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

describe('a script gets', () => {
  test('the environment of the interface, and nothing of ours', async () => {
    process.env['GANTRY_TEST_LEAK'] = 'leaked';
    process.env['NODE_V8_COVERAGE'] = tmpdir();
    try {
      const lines = (await createLines(await sample('env-dump'))).map(({ line }) => line);
      expect(lines.sort()).toEqual([
        'DEBUG_LEVEL=0',
        'DISK_COUNT=0',
        'HYPERVISOR=kvm',
        'INSTANCE_NAME=web1.example.com',
        'INSTANCE_OS=env-dump+default',
        'INSTANCE_PRIMARY_NODE=node1.example.com',
        'INSTANCE_SECONDARY_NODES=',
        'NIC_COUNT=0',
        'OS_API_VERSION=20',
        'OS_NAME=env-dump',
        'OS_VARIANT=default',
        'PATH=/sbin:/bin:/usr/sbin:/usr/bin',
      ]);
    } finally {
      delete process.env['GANTRY_TEST_LEAK'];
      delete process.env['NODE_V8_COVERAGE'];
    }
  });

  test('no arguments, its definition’s directory to work in, and what stands beside it', async () => {
    const os = await withFiles({ create: '#!/bin/sh\n. ./common.sh\necho "$#"; pwd; hello\n', 'common.sh': 'hello() { echo hello; }\n' });
    expect((await createLines(os)).map(({ line }) => line)).toEqual(['0', directory.file('mine'), 'hello']);
  });

  test('an empty stdin and pipes that can be opened by name, and no other descriptor', async () => {
    expect(
      await createOutput(
        'cat; readlink /proc/self/fd/0; echo $(ls /proc/self/fd); for f in 1 2; do readlink /proc/$$/fd/$f | cut -d: -f1; done',
      ),
    ).toEqual(
      // 3 is the directory that ls reads.
      ['/dev/null', '0 1 2 3', 'pipe', 'pipe'],
    );
    const lines = await createLines(await withCreate('echo out >/dev/stdout; echo err >/dev/stderr'));
    expect(lines).toContainEqual({ stream: 'stdout', line: 'out' });
    expect(lines).toContainEqual({ stream: 'stderr', line: 'err' });
  });

  test('signals as a program expects to find them: none ignored, none blocked', async () => {
    const lines = await createOutput('grep -E "^Sig(Ign|Blk)" /proc/self/status');
    expect(lines.map((line) => line.replaceAll(/\s+/g, ' '))).toEqual(['SigBlk: 0000000000000000', 'SigIgn: 0000000000000000']);
  });

  test('a session of its own, away from our terminal', async () => {
    const [pid, session, group] = (await createOutput('set -- $(cat /proc/$$/stat); echo "$1"; echo "$6"; echo "$5"')).map(Number);
    expect(session).toBe(pid);
    expect(group).toBe(pid);
    expect(pid).not.toBe(process.pid);
  });
});

describe('each operation', () => {
  test('create says when it is a reinstallation', async () => {
    const os = await sample('env-dump');
    const lines: string[] = [];
    await runCreateScript(os, { instance: sampleInstance(), reinstall: true, debug: true, onMessage: ({ line }) => lines.push(line) });
    expect(lines).toContain('INSTANCE_REINSTALL=1');
    expect(lines).toContain('DEBUG_LEVEL=1');
  });

  test('rename knows the old name and the new', async () => {
    const os = await sample('env-dump');
    const lines: string[] = [];
    await runRenameScript(os, { instance: sampleInstance(), newName: 'new.example.com', onMessage: ({ line }) => lines.push(line) });
    expect(lines).toContain('INSTANCE_NAME=new.example.com');
    expect(lines).toContain('OLD_INSTANCE_NAME=web1.example.com');
  });

  test('verify is called with the word "parameters"', async () => {
    const os = await withFiles({ verify: '#!/bin/sh\necho "$# $*" "$OSP_A"\n', 'parameters.list': 'a\n' });
    const outcome = await runVerifyScript(os, { parameters: { osparams: { a: '1' }, osparams_private: {} } });
    expect(outcome.messages).toEqual(['1 parameters 1']);
  });

  test('is refused where there is no such script', async () => {
    const os = await sample('create-only');
    await expect(runRenameScript(os, { instance: sampleInstance(), newName: 'x' })).rejects.toMatchObject({
      code: 'OS_OPERATION_UNSUPPORTED',
    });
    const raw = await selectOs('raw', { searchPath: [] });
    await expect(runCreateScript(raw, { instance: sampleInstance() })).rejects.toMatchObject({ code: 'OS_OPERATION_UNSUPPORTED' });
  });
});

describe('what a script says', () => {
  test('comes as it is said, both streams, and the last of it is kept', async () => {
    const os = await withCreate('for i in $(seq 30); do echo "line $i" >&2; done; printf "no end"');
    const lines: ScriptLine[] = [];
    const { messages } = await runCreateScript(os, { instance: sampleInstance(), onMessage: (line) => lines.push(line) });
    expect(lines).toHaveLength(31);
    expect(lines).toContainEqual({ stream: 'stderr', line: 'line 1' });
    expect(lines).toContainEqual({ stream: 'stdout', line: 'no end' });
    expect(messages).toHaveLength(20);
    expect(messages).toContain('line 30');
    expect(messages).not.toContain('line 11');
  });

  test('comes before the script has ended', async () => {
    const go = directory.file('go');
    const os = await withCreate(`echo waiting >&2; until [ -e ${go} ]; do sleep 0.01; done; echo done`);
    const lines: string[] = [];
    await runCreateScript(os, {
      instance: sampleInstance(),
      onMessage: ({ line }) => {
        lines.push(line);
        if (line === 'waiting') void writeFile(go, '');
      },
    });
    expect(lines).toEqual(['waiting', 'done']);
  });

  test('never shows a private parameter', async () => {
    const os = await withFiles({
      create: '#!/bin/sh\nset -x\n: "$OSP_PASSWORD"\necho "$OSP_PASSWORD" "$OSP_USER"\nexit 1\n',
      'parameters.list': 'password\nuser\n',
    });
    const lines: string[] = [];
    const instance = sampleInstance({ osparams: { user: 'admin' }, osparams_private: { password: 'hunter2' } });
    const error: unknown = await runCreateScript(os, { instance, onMessage: ({ line }) => lines.push(line) }).catch(
      (reason: unknown) => reason,
    );
    expect(lines).toContain('*** admin');
    expect(lines.join('\n')).not.toContain('hunter2');
    expect(error).toMatchObject({ code: 'SCRIPT_FAILED', details: expect.arrayContaining(['*** admin']) });
    expect(error).toMatchObject({ details: expect.not.arrayContaining([expect.stringContaining('hunter2')]) });
  });

  test('does not hold the script up, however much it is', async () => {
    const { messages } = await runCreateScript(await withCreate('seq 200000; echo end'), { instance: sampleInstance() });
    expect(messages.at(-1)).toBe('end');
  });
});

describe('a script that fails', () => {
  test.each(['create', 'rename', 'verify'] as const)('is reported with its status and its last lines: %s', async (script) => {
    const os = await sample('exit-status');
    const instance = sampleInstance();
    const runs = {
      create: () => runCreateScript(os, { instance }),
      rename: () => runRenameScript(os, { instance, newName: 'new.example.com' }),
      verify: () => runVerifyScript(os, { parameters: instance }),
    };
    await expect(runs[script]()).rejects.toMatchObject({
      code: 'SCRIPT_FAILED',
      exitCode: 6,
      message: `the ${script} script of exit-status failed with exit status 3`,
      details: ['the disk is on fire'],
    });
  });

  test('is reported with the signal that killed it', async () => {
    await expect(createLines(await sample('killed'))).rejects.toMatchObject({
      code: 'SCRIPT_SIGNALLED',
      message: 'the create script of killed was killed by SIGKILL',
    });
  });

  test('cannot be started without its interpreter, which is named', async () => {
    const os = await withFiles({ create: '#!/no/such/shell\r\n' });
    await expect(createLines(os)).rejects.toMatchObject({
      code: 'SCRIPT_START',
      message: `the create script of mine could not be started: ${directory.file('mine', 'create')}: ENOENT`,
      hint: expect.stringContaining('the interpreter "/no/such/shell\\r"'),
    });
  });

  test('cannot be started when it has gone since it was looked at', async () => {
    const os = await withFiles({});
    await rm(directory.file('mine', 'create'));
    await expect(createLines(os)).rejects.toMatchObject({ code: 'SCRIPT_START', hint: 'The script or its directory no longer exists.' });
    await rm(directory.file('mine'), { recursive: true });
    await expect(createLines(os)).rejects.toMatchObject({ code: 'SCRIPT_START', hint: 'The script or its directory no longer exists.' });
  });

  test('cannot be started where its file system forbids it', async () => {
    await using mounted = await mountNewTmpfs(1024 * 1024);
    await writeOsDefinitions(mounted.path, ['cat']);
    await execa('mount', ['-o', 'remount,noexec', mounted.path]);
    const os = await selectOs('cat', { searchPath: [mounted.path] });
    await expect(createLines(os)).rejects.toMatchObject({
      code: 'SCRIPT_START',
      message: expect.stringContaining('EACCES'),
      hint: expect.stringContaining('noexec'),
    });
  });

  test('cannot be started while somebody writes it', async () => {
    const os = await withFiles({});
    await copyFile('/bin/true', directory.file('mine', 'create'));
    await using _writer = await open(directory.file('mine', 'create'), 'r+');
    await expect(createLines(os)).rejects.toMatchObject({ code: 'SCRIPT_START', message: expect.stringContaining('ETXTBSY') });
  });

  test('cannot be started with more than an environment can hold; nothing of that is in the error', async () => {
    const os = await withFiles({ 'parameters.list': 'key\n' });
    const instance = sampleInstance({ osparams_private: { key: 'hunter2'.repeat(30_000) } });
    const error: unknown = await runCreateScript(os, { instance }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: 'SCRIPT_START',
      message: expect.stringContaining('E2BIG'),
      hint: expect.stringContaining('128 KiB'),
    });
    expect(inspect(error, { depth: 10, showHidden: true })).not.toContain('hunter2');
  });

  test('is not started where it could not be ended: without /proc', async () => {
    await sample('cat');
    const program = `
      const { runCreateScript } = await import('${import.meta.dirname}/script.ts');
      const { selectOs } = await import('${import.meta.dirname}/select.ts');
      const { sampleInstance } = await import('${import.meta.dirname}/../../test/sample-instance.ts');
      const os = await selectOs('cat', { searchPath: ['${directory.path}'] });
      await runCreateScript(os, { instance: sampleInstance() }).catch((error) => console.log(error.code, error.message));
    `;
    const withoutProc = [...OWN_MOUNTS, 'sh', '-c', 'mount -t tmpfs tmpfs /proc && exec "$0" "$@"'];
    const node = [process.execPath, '--conditions=@gantry/source', '--input-type=module', '--eval', program];
    expect((await execa('unshare', [...withoutProc, ...node])).stdout).toMatch(
      /^PLATFORM .*\/proc does not show their processes, so that they could not be ended$/,
    );
  });

  test('leaves no descriptor open in us', async () => {
    const ok = await withFiles({});
    const missing = await sample('cat');
    await rm(directory.file('cat', 'create'));
    await createLines(ok);
    const before = openDescriptors();
    for (let run = 0; run < 5; run += 1) {
      await createLines(ok);
      await expect(createLines(missing)).rejects.toMatchObject({ code: 'SCRIPT_START' });
    }
    await expect.poll(openDescriptors).toBe(before);
  });
});

describe('the end', () => {
  test('comes with the signal: the whole group is ended, and the reason is what the run rejects with', async () => {
    const os = await sample('never-ends');
    const instance = sampleInstance();
    const runs = [
      (o: ScriptOptions) => runCreateScript(os, { instance, ...o }),
      (o: ScriptOptions) => runRenameScript(os, { instance, newName: 'new.example.com', ...o }),
      (o: ScriptOptions) => runVerifyScript(os, { parameters: instance, ...o }),
    ];
    for (const run of runs) {
      const controller = new AbortController();
      const reason = new Error('enough');
      const groups: ProcessGroup[] = [];
      const running = run({
        signal: controller.signal,
        onMessage: () => controller.abort(reason),
        onStart: async (group) => void groups.push(group),
        onEnd: async (group) => void groups.push(group),
      });
      await expect(running).rejects.toBe(reason);
      expect(groups).toHaveLength(2);
      expect(groups[0]).toEqual(groups[1]);
      for (const group of groups) expect(runningMembers(group)).toEqual([]);
    }
  });

  test('is SIGKILL for what does not heed SIGTERM, its children included', async () => {
    const os = await sample('stubborn');
    const controller = new AbortController();
    const reason = new Error('enough');
    let said = '';
    const running = runCreateScript(os, {
      instance: sampleInstance(),
      signal: controller.signal,
      graceMs: 100,
      onMessage: ({ line }) => {
        said = line;
        controller.abort(reason);
      },
    });
    await expect(running).rejects.toBe(reason);
    const pids = said.replace('at it: ', '').split(' ');
    expect(pids).toHaveLength(2);
    for (const pid of pids) expect(existsSync(`/proc/${pid}/exe`)).toBe(false);
  });

  test('comes before the start when the signal was aborted before', async () => {
    const reason = new Error('enough');
    const os = await withCreate(`touch ${directory.file('started')}`);
    await expect(createLines(os, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(existsSync(directory.file('started'))).toBe(false);
  });

  test('comes too for what a script leaves behind, with a warning', async () => {
    const os = await sample('leaves-children');
    const warnings: string[] = [];
    let group: ProcessGroup | undefined;
    await createLines(os, {
      onWarning: (warning) => warnings.push(warning),
      onStart: async (started) => void (group = started),
    });
    expect(warnings).toEqual([
      expect.stringMatching(/^the create script of leaves-children left processes behind, which are being ended \(\d+\)$/),
    ]);
    expect(group === undefined ? ['no group'] : runningMembers(group)).toEqual([]);
  });

  test('comes without a warning for what ends by itself a moment later', async () => {
    const warnings: string[] = [];
    const lines = await createLines(await withCreate('(sleep 0.1; echo late >&2) &\nexit 0'), {
      onWarning: (warning) => warnings.push(warning),
    });
    expect(lines).toEqual([{ stream: 'stderr', line: 'late' }]);
    expect(warnings).toEqual([]);
  });

  test('does not wait for a process that has left the session and holds the streams', async () => {
    const pidFile = directory.file('pid');
    const os = await withCreate(
      `setsid sh -c 'echo $$ >${pidFile}; exec sleep 1000000' & until [ -s ${pidFile} ]; do sleep 0.01; done; echo last >&2`,
    );
    try {
      expect(await createLines(os)).toEqual([{ stream: 'stderr', line: 'last' }]);
    } finally {
      process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGKILL');
    }
  });

  test('comes when the start cannot be remembered, whose error is what the run rejects with', async () => {
    const os = await sample('never-ends');
    const groups: ProcessGroup[] = [];
    const failure = new Error('no space in the journal');
    const started = new AbortController();
    const running = createLines(os, {
      signal: started.signal,
      onMessage: () => started.abort(new Error('it was started')),
      onStart: async (group) => {
        groups.push(group);
        throw failure;
      },
    });
    await expect(running).rejects.toBe(failure);
    expect(groups.flatMap((group) => runningMembers(group))).toEqual([]);
  });

  test('is reported when it cannot be remembered: as the error after success, as a warning after another error', async () => {
    const failure = new Error('no space in the journal');
    const onEnd = (): Promise<void> => Promise.reject(failure);
    await expect(createLines(await withFiles({}), { onEnd })).rejects.toBe(failure);
    const warnings: string[] = [];
    const controller = new AbortController();
    const reason = new Error('enough');
    const aborted = createLines(await sample('never-ends'), {
      onEnd,
      signal: controller.signal,
      onMessage: () => controller.abort(reason),
      onWarning: (warning) => warnings.push(warning),
    });
    await expect(aborted).rejects.toBe(reason);
    expect(warnings).toEqual(['after the create script of never-ends: no space in the journal']);
  });
});
