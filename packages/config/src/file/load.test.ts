import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GantryError } from '@gantry/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadConfiguration } from './load.ts';
import type { Configuration } from './model.ts';
import { exportSettings, namedStore, policyNamed, rateLimitOf } from './names.ts';
import { checkConfiguration } from './schema.ts';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gantry-config-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

async function write(name: string, text: string): Promise<string> {
  const path = join(directory, name);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, text);
  return path;
}

function load(file?: string): Promise<Configuration> {
  return loadConfiguration({ env: { HOME: join(directory, 'home') }, cwd: directory, file, systemDirectory: join(directory, 'etc') });
}

async function refusal(text: string): Promise<GantryError> {
  await write('it.yaml', text);
  return await load('it.yaml').then(
    () => expect.unreachable(`accepted: ${text}`),
    (error: GantryError) => error,
  );
}

const EVERYTHING = `
stores:
  nightly:
    url: s3://backups/node1?region=eu-central-1
    limit-rate: { "08:00-18:00": 5M, default: 50MiB }
    incremental: true
    codec: zstd
    parallel: 2
  shelf: { url: exports }
inventories:
  cluster: ganeti://master
policies:
  web:
    instances:
      - source: cluster
        names: [web*, db1]
        tags: backup
        except: web-test*
      - instances/db2.yaml
    stores: [nightly]
    full-every: 30
    codec: gzip
    retention: { last: 3, daily: 14, weekly: unlimited, within: 2d, tags: ["keep", "a,b"] }
    verify: { depth: stored, budget: 5% }
    copies: [{ to: shelf, retention: { monthly: 12 } }]
    max-age: 26h
    parallel: 3
    window: 22:00-06:00
    at-window-end: stop
    nice: 10
    io: idle
    hooks:
      before-snapshot: [/usr/local/bin/flush, --all]
      timeout: 5min
defaults: { level: 6, snapshot: auto }
notify: { on: always, mail: { to: root } }
metrics: { textfile: /var/lib/prometheus/gantry.prom }
`;

describe('a configuration file', () => {
  test('has stores, inventories, policies and defaults, whose values mean what they mean on the command line', async () => {
    await write('it.yaml', EVERYTHING);
    const { stores, inventories, policies, defaults, notify, metrics } = await load('it.yaml');
    expect(stores.get('nightly')).toEqual({
      name: 'nightly',
      url: 's3://backups/node1?region=eu-central-1',
      parallel: 2,
      limitRate: { bytesPerSecond: 50 * 1024 ** 2, at: [{ range: { from: 480, to: 1080 }, bytesPerSecond: 5 * 1024 ** 2 }] },
      export: expect.objectContaining({ incremental: true, codec: 'zstd' }),
    });
    expect(stores.get('shelf')?.url).toBe(join(directory, 'exports'));
    expect([...inventories]).toEqual([['cluster', 'ganeti://master']]);
    expect(policies.get('web')).toEqual({
      name: 'web',
      instances: [
        { source: 'cluster', names: ['web*', 'db1'], tags: ['backup'], except: ['web-test*'] },
        { source: join(directory, 'instances/db2.yaml') },
      ],
      stores: ['nightly'],
      export: expect.objectContaining({ codec: 'gzip', fullEvery: 30 }),
      retention: {
        last: 3,
        daily: 14,
        weekly: Infinity,
        within: { years: 0, months: 0, days: 2, hours: 0 },
        tags: [['keep'], ['a', 'b']],
      },
      verify: { depth: 'stored', budget: { percent: 5 } },
      copies: [{ to: 'shelf', retention: { monthly: 12 } }],
      maxAgeMs: 26 * 3_600_000,
      parallel: 3,
      window: { from: 22 * 60, to: 6 * 60, atEnd: 'stop' },
      priority: { nice: 10, io: 'idle' },
      hooks: { beforeSnapshot: ['/usr/local/bin/flush', '--all'], timeoutMs: 300_000 },
    });
    expect(defaults).toMatchObject({ level: 6, snapshot: 'auto' });
    expect(notify).toEqual({ on: 'always', mail: { to: ['root'], sendmail: '/usr/sbin/sendmail' } });
    expect(metrics).toEqual({ textfile: '/var/lib/prometheus/gantry.prom' });
  });

  test('that is empty, or not there, says nothing', async () => {
    await write('it.yaml', '# nothing yet\n');
    expect((await load('it.yaml')).stores.size).toBe(0);
    expect((await load()).files).toEqual([]);
  });

  test('says where each value was written', async () => {
    const path = await write('it.yaml', EVERYTHING);
    const { origins } = await load('it.yaml');
    expect(origins.get('policies.web.retention.daily')).toEqual({ file: path, line: 23, text: '14' });
    expect(origins.get('stores.shelf.url')?.line).toBe(9);
    expect(origins.get('policies.web.instances[1]')?.line).toBe(19);
  });

  test.each([
    ['stores: { 1x: { url: /a } }', 'stores."1x"', 'is not a valid name'],
    ['stores: { a: { url: /a, ulr: /a } }', 'stores.a.ulr', 'did you mean url?'],
    ['stores: { a: {} }', 'stores.a.url', 'is missing'],
    ['defaults: { level: high }', 'defaults.level', 'must be a whole number'],
    ['defaults: { codec: rar }', 'defaults.codec', 'must be one of'],
    ['defaults: { limit-rate: { noon: 5M } }', 'defaults.limit-rate.noon', 'part of the day'],
    ['policies: { p: { instances: x.yaml } }', 'policies.p.stores', 'is missing'],
    [`policies: { p: { instances: x.yaml, stores: /s, hooks: { timeout: 25d } } }`, 'policies.p.hooks.timeout', 'at most 24h'],
    ['policies: { p: { instances: [], stores: a } }', 'policies.p.instances', 'must not be empty'],
    ['policies: { p: { instances: x.yaml, stores: a, retention: {} } }', 'policies.p.retention', 'must keep something'],
    ['policies: { p: { instances: x.yaml, stores: a, hooks: { on-failure: [mail] } } }', 'policies.p.hooks.on-failure', 'absolute path'],
    ['policies: { p: { instances: x.yaml, stores: a, max-age: 3 } }', 'policies.p.max-age', 'must be a duration'],
    ['policies: { p: { instances: x.yaml, stores: a, window: 22-06 } }', 'policies.p.window', 'part of the day'],
    ['metrics: { otlp: "http://u:p@host" }', 'metrics.otlp', 'URL without credentials'],
    ['metrics: { otlp: localhost:4318 }', 'metrics.otlp', 'URL without credentials'],
    ['[]', 'the document', 'must be a group of fields'],
  ])('%s is refused, with the place', async (text, place, reason) => {
    const { code, message, exitCode } = await refusal(text);
    expect({ code, exitCode }).toEqual({ code: 'CONFIGURATION_INVALID', exitCode: 2 });
    expect(message).toContain(`${place} `);
    expect(message).toContain(reason);
    expect(message).toMatch(/it\.yaml:1:\d+: /);
  });

  test('with several problems has the place of each', async () => {
    expect(await refusal('stores:\n  a: { url: /a, ulr: /b }\ndefaults:\n  level: high\n')).toMatchObject({
      message: `${join(directory, 'it.yaml')}:2:22: 2 fields are not valid`,
      details: [
        '2:22: stores.a.ulr is not a field that Gantry knows; did you mean url?',
        '4:10: defaults.level must be a whole number from 1 to 99, not "high"',
      ],
    });
  });

  test.each([
    ['policies: { p: { instances: ./x.yaml, stores: nihgtly } }', '1:47: policies.p.stores[0] is nihgtly', 'did you mean nightly?'],
    ['policies: { p: { instances: ./x.yaml, stores: [nightly, other] } }', 'policies.p.stores[1] is other', './other'],
    ['policies: { p: { instances: clutser, stores: nightly } }', 'policies.p.instances[0] is clutser', 'did you mean cluster?'],
    ['policies: { p: { instances: [{ source: other }], stores: nightly } }', 'policies.p.instances[0] is other', 'an inventory'],
    ['policies: { p: { instances: ./x.yaml, stores: nightly, copies: [{ to: shelf }] } }', 'policies.p.copies[0].to is shelf', 'a store'],
    ['policies: { p: { instances: ./x.yaml, stores: [nightly, nightly] } }', 'policies.p.stores[1] is nightly', 'same store as stores[0]'],
    [
      'policies: { p: { instances: ./x.yaml, stores: nightly, copies: [{ to: nightly }] } }',
      'policies.p.copies[0].to is nightly',
      'same store as stores[0]',
    ],
    [
      'policies: { p: { instances: ./x.yaml, stores: nightly, copies: [{ to: /v }, { to: "file:///v/" }] } }',
      'policies.p.copies[1].to is file:///v/',
      'same store as copies[0].to',
    ],
    ['policies: { p: { instances: ./x.yaml, stores: [nightly, /n] } }', 'policies.p.stores[1] is /n', 'same store as stores[0]'],
  ])('%s names what is not there', async (policies, place, reason) => {
    const { code, message } = await refusal(`${policies}\nstores: { nightly: { url: /n } }\ninventories: { cluster: "ganeti:" }`);
    expect(code).toBe('CONFIGURATION_INVALID');
    expect(message).toContain(place);
    expect(message).toContain(reason);
  });

  test.each(['stores: [', 'a: 1\na: 2', '{{'])('%j is not YAML', async (text) => {
    expect(await refusal(text)).toMatchObject({ code: 'CONFIGURATION_SYNTAX', message: expect.stringMatching(/it\.yaml:\d+:\d+: /) });
  });

  test('that others could change is not used, since it names programs that are started', async () => {
    const path = await write('it.yaml', '');
    await chmod(path, 0o666);
    await expect(load('it.yaml')).rejects.toMatchObject({
      code: 'CONFIGURATION_UNREADABLE',
      message: expect.stringContaining('others may write'),
    });
    await chmod(path, 0o644);
    await chown(path, 12_345, 0);
    await expect(load('it.yaml')).rejects.toMatchObject({ message: expect.stringContaining('belongs to another user (12345)') });
  });

  test.each(['none', '/dev/null'])('called %s means no configuration', async (file) => {
    await write('etc/gantry.yaml', EVERYTHING);
    expect(await load(file)).toMatchObject({ files: [], stores: new Map(), policies: new Map() });
  });

  test('that is not a regular file is not used, and nobody is advised to change its mode', async () => {
    await expect(load('/dev/zero')).rejects.toMatchObject({
      message: expect.stringContaining('others may write'),
      hint: 'It names programs that Gantry starts. --config none does without a configuration.',
    });
  });

  test('that is named and not there, or no file, is an error', async () => {
    await expect(load('gone.yaml')).rejects.toMatchObject({
      code: 'CONFIGURATION_UNREADABLE',
      message: `cannot read the configuration ${directory}/gone.yaml: no such file or directory`,
    });
    await mkdir(join(directory, 'it.yaml'));
    await expect(load('it.yaml')).rejects.toMatchObject({
      code: 'CONFIGURATION_UNREADABLE',
      message: expect.stringContaining('regular file'),
    });
  });
});

describe('several configuration files', () => {
  test('of the system add up; the user replaces what has the same name, and each field of the defaults', async () => {
    await write(
      'etc/gantry.yaml',
      'stores: { a: { url: /a, level: 3 }, b: { url: /b } }\ndefaults: { level: 3, codec: gzip, limit-rate: { default: 1M }, tags: [x] }',
    );
    await write('etc/conf.d/50-more.yaml', 'stores: { c: { url: /c } }');
    await write('etc/conf.d/ignored.txt', 'not: [read');
    const own = await write(
      'home/.config/gantry/gantry.yaml',
      'stores: { a: { url: /own } }\ndefaults: { level: 9, limit-rate: 2M, tags: [] }',
    );
    const { stores, defaults, origins, files } = await load();
    expect([...stores.values()].map(({ name, url }) => `${name} ${url}`)).toEqual(['a /own', 'b /b', 'c /c']);
    expect(defaults).toMatchObject({ level: 9, codec: 'gzip' });
    expect(files).toHaveLength(3);
    expect(origins.get('stores.a.url')).toEqual({ file: own, line: 1, text: '/own' });
    expect(origins.has('stores.a.level')).toBe(false);
    expect(origins.get('defaults.limit-rate')).toEqual({ file: own, line: 2, text: '2M' });
    expect([...origins.keys()].filter((path) => /limit-rate\.|tags\[/.test(path))).toEqual([]);
  });

  test('replace only what they say: a later notify without on or sendmail keeps those of an earlier one', async () => {
    await write('etc/gantry.yaml', 'notify: { on: always, command: [/bin/true] }\n');
    await write('etc/conf.d/mail.yml', 'notify: { mail: { to: root } }\n');
    expect((await load()).notify).toEqual({
      on: 'always',
      mail: { to: ['root'], sendmail: '/usr/sbin/sendmail' },
      command: ['/bin/true'],
    });
  });

  test.each(['defaults', 'notify', 'metrics'])('that have an empty %s say nothing of its fields', async (section) => {
    const checked = await checkConfiguration({ [section]: {} });
    expect(checked).toMatchObject({ success: true, data: { [section]: {} } });
    expect(checked.data).toHaveProperty(section, {});
  });

  test('of the system may not give the same name twice', async () => {
    await write('etc/gantry.yaml', '\nstores: { a: { url: /a } }');
    const second = await write('etc/conf.d/x.yaml', 'stores: { a: { url: /b } }');
    await expect(load()).rejects.toMatchObject({
      code: 'CONFIGURATION_INVALID',
      message: `${second}:1:14: stores.a is given in ${join(directory, 'etc/gantry.yaml')}:2, too`,
    });
  });
});

test('the policy decides how an export is made, then the store, then the defaults', async () => {
  await write(
    'it.yaml',
    `
defaults: { level: 3, codec: gzip, incremental: false, limit-rate: 1M }
stores: { s: { url: /s, level: 5, incremental: true } }
policies: { p: { instances: x.yaml, stores: s, level: 7 } }`,
  );
  const configuration = await load('it.yaml');
  expect(exportSettings(configuration, { policy: 'p', store: 's' })).toEqual({ level: 7, codec: 'gzip', incremental: true });
  expect(exportSettings(configuration, { store: 's' })).toMatchObject({ level: 5 });
  expect(exportSettings(configuration, { store: '/elsewhere' })).toMatchObject({ level: 3, incremental: false });
  expect(namedStore(configuration, './s')).toBeUndefined();
});

test('a level belongs to the codec that it was written for', async () => {
  await write(
    'it.yaml',
    `
defaults: { level: 19 }
stores: { same: { url: /s, codec: zstd }, other: { url: /s, codec: gzip } }
policies:
  back: { instances: x.yaml, stores: other, codec: zstd }
  own: { instances: x.yaml, stores: other, codec: none }`,
  );
  const configuration = await load('it.yaml');
  expect(exportSettings(configuration, { store: 'same' })).toMatchObject({ codec: 'zstd', level: 19 });
  expect(exportSettings(configuration, { store: 'other' })).toMatchObject({ codec: 'gzip', level: undefined });
  expect(exportSettings(configuration, { store: 'other', policy: 'back' })).toMatchObject({ codec: 'zstd', level: 19 });
  expect(exportSettings(configuration, { store: 'other', policy: 'own' })).toMatchObject({ codec: 'none', level: undefined });
});

test('the limit of the rate is that of the policy, then of the store, then of the defaults', async () => {
  await write(
    'it.yaml',
    `
defaults: { limit-rate: 1M }
stores: { s: { url: /s, limit-rate: 2M }, t: { url: /t } }
policies: { p: { instances: x.yaml, stores: s, limit-rate: unlimited }, q: { instances: x.yaml, stores: s } }`,
  );
  const configuration = await load('it.yaml');
  const limit = (scope: Parameters<typeof rateLimitOf>[1]): number | undefined => rateLimitOf(configuration, scope)?.bytesPerSecond;
  expect(limit({ store: 't' })).toBe(1024 ** 2);
  expect(limit({ store: '/elsewhere' })).toBe(1024 ** 2);
  expect(limit({ store: 's', policy: 'q' })).toBe(2 * 1024 ** 2);
  expect(rateLimitOf(configuration, { store: 's', policy: 'p' })).toEqual({ at: [] });
});

test('a policy that is not there is said with a suggestion', async () => {
  await write('it.yaml', 'stores: { s: { url: /s } }\npolicies: { nightly: { instances: x.yaml, stores: s } }');
  const configuration = await load('it.yaml');
  expect(() => policyNamed(configuration, 'nigthly')).toThrow(
    expect.objectContaining({ code: 'USAGE', hint: expect.stringContaining('nightly') }),
  );
});
