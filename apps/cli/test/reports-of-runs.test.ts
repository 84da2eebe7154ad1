import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { chmod, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import process from 'node:process';
import type { Configuration, MetricsSettings, NotifySettings } from '@gantry/config';
import { loadConfiguration } from '@gantry/config';
import type { PolicyRun } from '@gantry/policies';
import type { TemporaryDirectory } from '@gantry/testkit';
import { makeTemporaryDirectory, OWN_MOUNTS } from '@gantry/testkit';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { reportRun } from '../src/monitoring/report-run.ts';
import { goodRun, policyRun, recordRun } from './policy-runs.ts';

let directory: TemporaryDirectory;
let policies: Configuration['policies'];

beforeEach(async () => {
  directory = await makeTemporaryDirectory();
  const config = directory.file('gantry.yaml');
  await writeFile(
    config,
    `stores: { nightly: { url: ./exports } }
policies:
  web: { instances: web1.yaml, stores: nightly, max-age: 26h }
  other: { instances: x.yaml, stores: nightly }
`,
  );
  ({ policies } = await loadConfiguration({ env: {}, cwd: directory.path, file: config }));
});

afterEach(() => directory[Symbol.asyncDispose]());

/** @returns the warnings */
async function report(
  run: PolicyRun,
  settings: { readonly notify?: NotifySettings; readonly metrics?: MetricsSettings },
): Promise<readonly string[]> {
  const warnings: string[] = [];
  const stateDirectory = directory.file('state');
  await recordRun(stateDirectory, run);
  const configuration = { policies, notify: settings.notify, metrics: settings.metrics ?? {} };
  const signal = AbortSignal.timeout(60_000);
  await reportRun(run, { configuration, hasBegun: true, stateDirectory, env: {}, signal, warn: (message) => warnings.push(message) });
  return warnings;
}

/** A program that writes its arguments and its input into files. */
async function recorder(name: string, end = ''): Promise<string> {
  const path = directory.file(name);
  await writeFile(path, `#!/bin/sh\nprintf '%s\\n' "$@" >'${path}.args'; env >'${path}.env'; cat >'${path}.input'\n${end}\n`);
  await chmod(path, 0o755);
  return path;
}

describe('a mail', () => {
  test('says what went wrong first, as a mail program reads it', async () => {
    const sendmail = await recorder('sendmail');
    const mail = { to: ['root', 'ops@example.com'], from: 'gantry@node1.example.com', sendmail };
    expect(await report(policyRun(), { notify: { on: 'failure', mail } })).toEqual([]);
    expect(await readFile(`${sendmail}.args`, 'utf8')).toBe('-i\n-t\n');
    const { headers, body } = await parseMail(await readFile(`${sendmail}.input`));
    expect(headers).toMatchObject({
      From: 'gantry@node1.example.com',
      To: 'root, ops@example.com',
      Subject: '[gantry] web on node1: partial, 1 of 3 exports failed, 1 problem',
      'Auto-Submitted': 'auto-generated',
    });
    expect(body.split('\n').slice(2)).toEqual([
      '',
      'verification of web1@20261126T010005Z in nightly: SHA-256 mismatch [DUMP_DAMAGED]',
      '  Restore it.',
      '',
      'failed: db1 in nightly: no space left in /srv/exports [STORE_FULL]',
      '  Make space.',
      'exported: web1@20261127T010005Z into nightly (4.00 KiB plain, 1.00 KiB stored, 31 s)',
      'exported: wéb2 "x"\\@20261127T010005Z into nightly (4.00 KiB plain, 1.00 KiB stored, 31 s)',
      '',
    ]);
  });

  test('comes after a good run only where that is asked for', async () => {
    const sendmail = await recorder('sendmail');
    await report(goodRun(), { notify: { on: 'failure', mail: { to: ['root'], sendmail } } });
    await expect(stat(`${sendmail}.input`)).rejects.toThrow('ENOENT');
    await report(goodRun(), { notify: { on: 'always', mail: { to: ['root'], sendmail } } });
    expect((await parseMail(await readFile(`${sendmail}.input`))).headers['Subject']).toBe('[gantry] web on node1: done, 2 exports made');
  });

  test('has no long lines and no escape sequences, although messages have', async () => {
    const sendmail = await recorder('sendmail');
    const reason = `\u001B[31m${'ä'.repeat(2000)}\nSubject: x`;
    const problems = [{ what: 'verify nightly', code: 'INTERNAL', message: reason }];
    await report(policyRun({ problems }), { notify: { on: 'failure', mail: { to: ['root'], sendmail } } });
    const bytes = await readFile(`${sendmail}.input`);
    expect(bytes.includes(0x1b)).toBe(false);
    expect(
      Math.max(
        ...bytes
          .toString('latin1')
          .split('\n')
          .map(({ length }) => length),
      ),
    ).toBeLessThan(998);
  });

  // DragonFly's mail agent is not installed beside another mail system, which then is not disturbed.
  test.skipIf(!existsSync('/usr/sbin/dma'))('arrives in the mailbox of a user, through a real mail system', async () => {
    const config = directory.file('gantry.yaml');
    await writeFile(config, 'notify: { mail: { to: root, sendmail: /usr/sbin/dma } }\n');
    const boot = `
mount -t tmpfs -o mode=3775,gid=mail tmpfs /var/mail && mount -t tmpfs -o mode=2775,gid=mail tmpfs /var/spool/dma
"$0" --conditions=@gantry/source "$1" || exit 1
until [ -s /var/mail/root ]; do read -t 0.1 _ </dev/zero || :; done
cat /var/mail/root`;
    const received = await inNamespace(boot, { GANTRY_CONFIG: config });
    expect(received).toMatch(/^Received: from root \(uid 0\)[^]*^Subject: \[gantry\] web on node1: partial, 1 of 3 exports failed/m);
    expect(received).toMatch(/^failed: db1 in nightly: no space left/m);
  });

  test('that cannot be sent is a warning that names the program and why', async () => {
    const sendmail = await recorder('sendmail', 'echo queue is full >&2; exit 75');
    expect(await report(policyRun(), { notify: { on: 'failure', mail: { to: ['root'], sendmail } } })).toEqual([
      `cannot send mail to root: ${sendmail} failed with status 75: queue is full`,
    ]);
    const gone = directory.file('gone');
    const [warning] = await report(policyRun(), { notify: { on: 'failure', mail: { to: ['root'], sendmail: gone } } });
    expect(warning).toMatch(/^cannot send mail to root: .*gone.*ENOENT/);
  });
});

/** Runs a script of bash in a mount namespace of its own, whose `"$0" --conditions=@gantry/source "$1"` reports a run. @returns stdout */
async function inNamespace(script: string, env: Readonly<Record<string, string>>): Promise<string> {
  const program = new URL('report-a-run.ts', import.meta.url).pathname;
  const args = [...OWN_MOUNTS, 'bash', '-c', script, process.execPath, program];
  const own = { GANTRY_STATE_DIR: directory.file('state'), HOME: directory.path };
  const { stdout } = await execa('unshare', args, { input: JSON.stringify(policyRun()), env: { ...own, ...env }, timeout: 60_000 });
  return stdout;
}

/** Read by Python's own parser. */
async function parseMail(bytes: Buffer): Promise<{ readonly headers: Readonly<Record<string, string>>; readonly body: string }> {
  const program = `
import email, email.policy, json, sys
m = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)
json.dump({'headers': dict(m.items()), 'body': m.get_content(), 'defects': [str(d) for d in m.defects]}, sys.stdout)`;
  const { stdout } = await execa('python3', ['-c', program], { input: bytes });
  const { headers, body, defects } = JSON.parse(stdout);
  expect(defects).toEqual([]);
  return { headers, body };
}

test('a command gets the run as JSON, and none of the environment', async () => {
  const command = await recorder('notify');
  process.env['AWS_SECRET_ACCESS_KEY'] = 'secret';
  try {
    expect(await report(policyRun(), { notify: { on: 'failure', command: [command, '--room', 'ops'] } })).toEqual([]);
  } finally {
    delete process.env['AWS_SECRET_ACCESS_KEY'];
  }
  expect(await readFile(`${command}.args`, 'utf8')).toBe('--room\nops\n');
  expect(JSON.parse(await readFile(`${command}.input`, 'utf8'))).toEqual(policyRun());
  expect(await readFile(`${command}.env`, 'utf8')).not.toMatch(/secret|HOME/);
});

describe('the file for Prometheus', () => {
  test('is what node_exporter takes, and promtool finds nothing wrong with it', async () => {
    await mkdir(directory.file('collected'));
    const textfile = directory.file('collected', 'gantry.prom');
    // The instance that fails now was exported before.
    const { instances } = policyRun();
    const earlier = instances.map((each) => Object.assign(each, { stores: [{ store: 'nightly', outcome: 'exported' as const }] }));
    await recordRun(directory.file('state'), goodRun({ started: '2026-11-26T01:00:00.000Z', instances: earlier }));
    expect(await report(policyRun(), { metrics: { textfile } })).toEqual([]);
    expect((await stat(textfile)).mode & 0o777).toBe(0o644);
    await execa('promtool', ['check', 'metrics'], { input: await readFile(textfile) });
    const scraped = await scrape(directory.file('collected'));
    expect(scraped).toContain('node_textfile_scrape_error 0');
    const value = (line: string): number =>
      Number(
        scraped
          .split('\n')
          .find((each) => each.startsWith(`${line} `))
          ?.slice(line.length),
      );
    expect(value('gantry_run_success{policy="web"}')).toBe(0);
    expect(value('gantry_run_duration_seconds{policy="web"}')).toBe(60);
    expect(value('gantry_run_exports{outcome="failed",policy="web"}')).toBe(1);
    expect(value('gantry_export_failed{instance="db1",policy="web",store="nightly"}')).toBe(1);
    expect(value('gantry_export_timestamp_seconds{instance="db1",policy="web",store="nightly"}')).toBe(Date.UTC(2026, 10, 26, 1) / 1000);
    expect(value('gantry_export_timestamp_seconds{instance="web1",policy="web",store="nightly"}')).toBe(Date.UTC(2026, 10, 27, 1) / 1000);
    expect(value(String.raw`gantry_export_stored_bytes{instance="wéb2 \"x\"\\",policy="web",store="nightly"}`)).toBe(1024);
    expect(value('gantry_policy_max_age_seconds{policy="web"}')).toBe(26 * 3600);
  });

  test('forgets an instance only when the policy no longer selects it', async () => {
    const textfile = directory.file('gantry.prom');
    const written = async (run: Partial<PolicyRun>): Promise<string> => {
      expect(await report(goodRun(run), { metrics: { textfile } })).toEqual([]);
      await execa('promtool', ['check', 'metrics'], { input: await readFile(textfile) });
      return await readFile(textfile, 'utf8');
    };
    const good = (instance: string, day: number): string =>
      `gantry_export_timestamp_seconds{policy="web",instance="${instance}",store="nightly"} ${Date.UTC(2026, 10, day, 1) / 1000}\n`;
    const [web1, web2] = policyRun().instances.map((each) => Object.assign(each, { name: each.name.replace(/^wéb2.*/, 'web2') }));
    if (web1 === undefined || web2 === undefined) throw new Error('the run has two good ones');
    const failed = { ...web1, state: 'failed' as const, stores: [{ store: 'nightly', outcome: 'failed' as const }] };
    await written({ started: '2026-11-20T01:00:00.000Z', selection: 'all', instances: [web1, web2] });
    // As if a hundred runs had failed since.
    await rm(directory.file('state', 'policies', 'web', '20261120T010000000Z-1.json'));
    const failure = { outcome: 'failed', exitCode: 16 } as const;
    const afterFailure = await written({ started: '2026-11-21T01:00:00.000Z', selection: 'all', ...failure, instances: [failed, web2] });
    expect(afterFailure).toContain(good('web1', 20));
    expect(afterFailure).toContain(good('web2', 21));
    // Somebody exports one instance by hand: that is not the nightly run, which failed.
    const byHand = await written({ started: '2026-11-22T01:00:00.000Z', selection: 'named', instances: [web1] });
    expect(byHand).toContain('gantry_run_success{policy="web"} 0\n');
    expect(byHand).toContain(good('web1', 22));
    expect(byHand).toContain(good('web2', 21));
    const unasked = await written({ started: '2026-11-23T01:00:00.000Z', selection: 'incomplete', ...failure, instances: [] });
    expect(unasked).toContain(good('web1', 22));
    const killed = await written({ started: '2026-11-24T01:00:00.000Z', selection: undefined, outcome: 'interrupted', instances: [] });
    expect(killed).toContain(good('web2', 21));
    const fewer = await written({ started: '2026-11-25T01:00:00.000Z', selection: 'all', instances: [web1] });
    expect(fewer).toContain(good('web1', 25));
    expect(fewer).not.toContain('instance="web2"');
  });

  test('has what a store under copies has now', async () => {
    const textfile = directory.file('gantry.prom');
    policies = new Map([...policies].map(([name, policy]) => [name, { ...policy, copies: [{ to: 'shelf' }] }]));
    const run = (newest: readonly string[], missing?: readonly string[]): Partial<PolicyRun> => ({
      selection: 'all',
      stores: [{ store: 'shelf', role: 'copies', copied: { exports: 1, present: 0, failed: 0, newest, missing, sentBytes: 1 } }],
    });
    const since1970 = (seconds: number): string =>
      `gantry_export_timestamp_seconds{policy="web",instance="web1",store="shelf"} ${seconds}\n`;
    const shelf = (day: number): string => since1970(Date.UTC(2026, 10, day, 1) / 1000);
    await report(goodRun(run(['web1@20261126T010000Z'])), { metrics: { textfile } });
    expect(await readFile(textfile, 'utf8')).toContain(shelf(26));
    // A copy that failed leaves it as it was.
    await report(policyRun({ selection: 'all', stores: [] }), { metrics: { textfile } });
    expect(await readFile(textfile, 'utf8')).toContain(shelf(26));
    await report(goodRun(run(['web1@20261127T010000Z'])), { metrics: { textfile } });
    expect(await readFile(textfile, 'utf8')).toContain(shelf(27));
    // As after its disk was replaced.
    await report(goodRun(run(['web1@20261125T010000Z'])), { metrics: { textfile } });
    expect(await readFile(textfile, 'utf8')).toContain(shelf(25));
    // And nothing could be copied to the new one: the rule for exports that are late notices a 0.
    await report(goodRun(run([], ['web1'])), { metrics: { textfile } });
    expect(await readFile(textfile, 'utf8')).toContain(since1970(0));
    await report(goodRun(run(['web1@20261127T010000Z'], [])), { metrics: { textfile } });
    expect(await readFile(textfile, 'utf8')).toContain(shelf(27));
  });

  test('has the time of an export that a run found, because an earlier one was killed', async () => {
    const textfile = directory.file('gantry.prom');
    const instances = goodRun().instances.map((each) =>
      Object.assign(each, {
        state: 'present' as const,
        stores: [{ store: 'nightly', outcome: 'present' as const, reference: each.reference }],
      }),
    );
    await report(goodRun({ selection: 'all', instances }), { metrics: { textfile } });
    expect(await readFile(textfile, 'utf8')).toContain(
      `gantry_export_timestamp_seconds{policy="web",instance="web1",store="nightly"} ${Date.UTC(2026, 10, 27, 1, 0, 5) / 1000}\n`,
    );
  });

  test('is about the run that has ended, also if its record cannot be written', async () => {
    const textfile = directory.file('gantry.prom');
    await report(goodRun({ started: '2026-11-26T01:00:00.000Z' }), { metrics: { textfile } });
    await rm(directory.file('state'), { recursive: true });
    await writeFile(directory.file('state'), 'not a directory');
    const warnings: string[] = [];
    const options = {
      configuration: { policies, metrics: { textfile } },
      hasBegun: true,
      stateDirectory: directory.file('state'),
      env: {},
    };
    const signal = AbortSignal.timeout(60_000);
    await reportRun(policyRun({ selection: 'all' }), { ...options, signal, warn: (message) => warnings.push(message) });
    expect(await readFile(textfile, 'utf8')).toContain('gantry_run_success{policy="web"} 0\n');
    const unreadable = (policy: string): unknown =>
      expect.stringContaining(`cannot list ${directory.file('state', 'policies', policy)}, the records of runs: ENOTDIR`);
    const unkept: unknown = expect.stringMatching(/^cannot remember the good exports of policy web: /);
    expect(warnings.toSorted()).toEqual([unreadable('other'), unreadable('web'), unkept]);
  });

  test('has all policies, also when their runs end at the same time', async () => {
    const textfile = directory.file('gantry.prom');
    await Promise.all(['web', 'other'].map((policy) => report(goodRun({ policy }), { metrics: { textfile } })));
    const written = await readFile(textfile, 'utf8');
    expect(written).toContain('gantry_run_success{policy="web"} 1');
    expect(written).toContain('gantry_run_success{policy="other"} 1');
  });

  test('that cannot be written is a warning', async () => {
    const [warning] = await report(goodRun(), { metrics: { textfile: directory.file('gone', 'gantry.prom') } });
    expect(warning).toMatch(/^cannot write .*gone\/gantry\.prom: ENOENT/);
  });
});

/** What Prometheus' own exporter makes of a directory. */
async function scrape(collected: string): Promise<string> {
  const args = [
    `--collector.textfile.directory=${collected}`,
    '--collector.disable-defaults',
    '--collector.textfile',
    '--web.listen-address=127.0.0.1:0',
  ];
  const exporter = execa('prometheus-node-exporter', args, { reject: false });
  let scraped: string | undefined;
  for await (const line of exporter.iterable({ from: 'stderr' })) {
    const port = /address=127\.0\.0\.1:(\d+)/.exec(line)?.[1];
    if (port === undefined || scraped !== undefined) continue;
    scraped = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    exporter.kill();
  }
  if (scraped === undefined) throw new Error('node_exporter said no port');
  return scraped;
}

describe('OpenTelemetry', () => {
  /** Stands in for a collector, which no registry has here: it only takes down what comes. */
  async function collector(
    status: number,
  ): Promise<AsyncDisposable & { readonly url: string; readonly bodies: unknown[]; readonly paths: string[] }> {
    const bodies: unknown[] = [];
    const paths: string[] = [];
    const server = createServer((request, response) => {
      const take = async (): Promise<void> => {
        paths.push(`${request.url} ${request.headers['content-type']}`);
        bodies.push(JSON.parse(await text(request)));
        response.writeHead(status, { 'content-type': 'application/json' }).end('{}');
      };
      void take();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it listens on TCP
    const { port } = server.address() as AddressInfo;
    const close = async (): Promise<void> => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    };
    return { url: `http://127.0.0.1:${port}`, bodies, paths, [Symbol.asyncDispose]: close };
  }

  test('gets the same figures over OTLP', async () => {
    await using collecting = await collector(200);
    expect(await report(policyRun(), { metrics: { otlp: collecting.url } })).toEqual([]);
    expect(collecting.paths).toEqual(['/v1/metrics application/json']);
    const sent = JSON.stringify(collecting.bodies[0]);
    expect(sent).toContain('{"key":"service.name","value":{"stringValue":"gantry"}}');
    const metric = /\{"name":"gantry\.export\.stored".*?\}\]\}\}/.exec(sent)?.[0];
    expect(metric).toContain('"unit":"By"');
    expect(metric).toContain('{"key":"instance","value":{"stringValue":"web1"}}');
    expect(metric).toContain('"asDouble":1024');
  });

  test('that does not take them is a warning', async () => {
    await using collecting = await collector(400);
    const [warning] = await report(policyRun(), { metrics: { otlp: collecting.url } });
    expect(warning).toMatch(/^cannot send metrics to http:\/\/127\.0\.0\.1:\d+: /);
  });
});

test('the journal of systemd has an entry for the run and for each export, with fields', async () => {
  const boot = `
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal
/usr/lib/systemd/systemd-journald & journald=$!
until [ -S /run/systemd/journal/socket ]; do kill -0 $journald || exit 1; read -t 0.1 _ </dev/zero || :; done
"$0" --conditions=@gantry/source "$1" || exit 1
journalctl --sync && journalctl -D /run/log/journal -o json GANTRY_POLICY=web
kill $journald; wait $journald`;
  const stdout = await inNamespace(boot, { JOURNAL_STREAM: '1:2' });
  const entries: unknown[] = stdout.split('\n').map((line) => JSON.parse(line));
  expect(entries).toHaveLength(4);
  expect(entries).toContainEqual(
    expect.objectContaining({
      MESSAGE: 'failed: db1 in nightly: no space left in /srv/exports [STORE_FULL]',
      SYSLOG_IDENTIFIER: 'gantry',
      PRIORITY: '3',
      GANTRY_INSTANCE: 'db1',
      GANTRY_STORE: 'nightly',
      GANTRY_OUTCOME: 'failed',
      GANTRY_CODE: 'STORE_FULL',
    }),
  );
  expect(entries.at(-1)).toMatchObject({ PRIORITY: '3', GANTRY_RESULT: 'partial', MESSAGE_ID: 'd9c7a4b02d6b4d0f8a0f3f6d2a9e51c7' });
});
