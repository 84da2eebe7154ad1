import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { on, once } from 'node:events';
import { chmod, copyFile, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { PassThrough } from 'node:stream';
import { connect } from 'node:tls';
import { runInNewContext } from 'node:vm';
import type { PageLook, TemporaryDirectory } from '@gantry/testkit';
import { LOOK_AT_PAGE, makeCertificate, makeTemporaryDirectory, PATIENTLY } from '@gantry/testkit';
import { GantryError } from '@gantry/core';
import type { FastifyInstance } from 'fastify';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { chromium } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { run } from '../src/command-line/run.ts';
import { CachedByName } from '../src/web/cached.ts';
import { CertificateFiles } from '../src/web/certificate.ts';
import { LIVE_SCRIPT } from '../src/web/live-script.ts';
import type { Questions } from '../src/web/questions.ts';
import { isPassword, readPasswordFile, writePasswordFile } from '../src/web/password.ts';
import { createWeb } from '../src/web/server.ts';
import { NOW, sampleFleet } from './sample-fleet.ts';

const PASSWORD = 'correct horse battery';

let home: TemporaryDirectory;
let file: string;
let line: string;

beforeAll(async () => {
  home = await makeTemporaryDirectory();
  file = home.file('password');
  await writePasswordFile(file, PASSWORD);
  line = await readPasswordFile(file);
});
afterAll(async () => {
  await home[Symbol.asyncDispose]();
});

let questions: Questions;
let web: FastifyInstance;
let notes: string[];
let credential: () => Promise<string>;

beforeEach(() => {
  questions = sampleFleet();
  notes = [];
  credential = () => Promise.resolve(line);
  web = createWeb({
    questions: {
      status: () => questions.status(),
      good: () => questions.good(),
      history: (instance) => questions.history(instance),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    },
    maxAges: () => Promise.resolve(new Map([['nightly', 26 * 3_600_000]])),
    credential: () => credential(),
    note: (message) => void notes.push(message),
    now: () => NOW,
  });
});
afterEach(async () => {
  await web.close();
});

async function logIn(password = PASSWORD): Promise<Awaited<ReturnType<FastifyInstance['inject']>>> {
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  return await web.inject({ method: 'POST', url: '/login', headers, payload: new URLSearchParams({ password }).toString() });
}

/** As Prometheus does. */
async function scrape(password: string): Promise<Awaited<ReturnType<FastifyInstance['inject']>>> {
  const authorization = `Basic ${Buffer.from(`any:${password}`).toString('base64')}`;
  return await web.inject({ url: '/metrics', headers: { authorization } });
}

async function cookie(): Promise<string> {
  return String((await logIn()).headers['set-cookie']).split(';')[0] ?? '';
}

test('a password file knows its password, says nothing of it, and is read only where others cannot', async () => {
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(await readFile(file, 'utf8')).toMatch(/^scrypt:32768:8:1:\S+:\S+\n$/);
  expect([await isPassword(line, PASSWORD), await isPassword(line, `${PASSWORD}.`), await isPassword('', PASSWORD)]).toEqual([
    true,
    false,
    false,
  ]);
  await expect(writePasswordFile(file, 'short')).rejects.toMatchObject({ code: 'USAGE', message: expect.stringContaining('less than 12') });
  await chmod(file, 0o640);
  await expect(readPasswordFile(file)).rejects.toMatchObject({ code: 'USAGE', hint: `chmod 0600 ${file}` });
  await chmod(file, 0o600);
  await expect(readPasswordFile(home.file('missing'))).rejects.toMatchObject({ code: 'USAGE' });
});

describe('without a login', () => {
  test.each(['/', '/instances/web1', '/?q=web'])('%s leads to the login', async (url) => {
    expect(await web.inject(url)).toMatchObject({ statusCode: 303, headers: { location: '/login' }, body: '' });
  });

  test('figures need the password, too', async () => {
    expect(await web.inject('/metrics')).toMatchObject({ statusCode: 401, headers: { 'www-authenticate': 'Basic realm="gantry-fleet"' } });
    expect(await scrape('wrong')).toMatchObject({ statusCode: 401 });
    for (let times = 0; times < 2; times += 1) {
      const { statusCode, body } = await scrape(PASSWORD);
      expect(statusCode).toBe(200);
      expect(body).toContain('gantry_fleet_store_held{store="vault"} 2\n');
    }
  });

  test('every answer says what a browser may do with it', async () => {
    for (const url of ['/login', '/', '/nothing', '/style.css', '/live.js', '/metrics']) {
      const { headers } = await web.inject(url);
      expect(headers['content-security-policy'], url).toMatch(
        /^default-src 'none'; style-src 'self'; script-src 'self';.*frame-ancestors 'none'$/,
      );
      expect(headers, url).toMatchObject({
        'x-content-type-options': 'nosniff',
        'cache-control': 'no-store',
        'referrer-policy': 'same-origin',
      });
    }
  });
});

describe('a login', () => {
  test('gives a cookie that scripts and other sites do not get, until it ends or the password is another one', async () => {
    const given = await logIn();
    expect(given).toMatchObject({ statusCode: 303, headers: { location: '/' } });
    expect(given.headers['set-cookie']).toMatch(/^gantry-fleet=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/);
    const proxied = await web.inject({
      method: 'POST',
      url: '/login',
      headers: { 'content-type': 'application/x-www-form-urlencoded', 'x-forwarded-proto': 'https' },
      payload: new URLSearchParams({ password: PASSWORD }).toString(),
    });
    expect(proxied.headers['set-cookie']).toMatch(/; Secure$/);
    const headers = { cookie: String(given.headers['set-cookie']).split(';')[0] ?? '' };
    expect(await web.inject({ url: '/', headers })).toMatchObject({ statusCode: 200 });
    expect(await web.inject({ url: '/', headers: { cookie: 'gantry-fleet=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' } })).toMatchObject({
      statusCode: 303,
    });
    const before = line;
    line = `${line}=`;
    expect(await web.inject({ url: '/', headers })).toMatchObject({ statusCode: 303 });
    line = before;
    expect(await web.inject({ url: '/', headers })).toMatchObject({ statusCode: 200 });
    await web.inject({ method: 'POST', url: '/logout', headers });
    expect(await web.inject({ url: '/', headers })).toMatchObject({ statusCode: 303 });
  });

  test('that is wrong five times has to wait, the right one too; what is too long is not looked at', async () => {
    const tries = await Promise.all(Array.from({ length: 6 }, () => logIn('wrong')));
    expect(tries.map(({ statusCode }) => statusCode).toSorted((a, b) => a - b)).toEqual([401, 401, 401, 401, 401, 429]);
    expect(await logIn()).toMatchObject({ statusCode: 429, headers: { 'retry-after': '60' } });
    expect(await logIn('x'.repeat(5000))).toMatchObject({ statusCode: 413 });
  });

  test('is not held up by a program with an old password, which counts once, nor by others that guess', async () => {
    for (let times = 0; times < 6; times += 1) expect(await scrape('old')).toMatchObject({ statusCode: 401 });
    for (const other of ['a', 'b', 'c', 'd']) expect(await scrape(other)).toMatchObject({ statusCode: 401 });
    expect(await scrape('e')).toMatchObject({ statusCode: 429, headers: { 'retry-after': '60' } });
    expect(await scrape('old')).toMatchObject({ statusCode: 401 });
    expect(await logIn()).toMatchObject({ statusCode: 303 });
  });

  test('that is wrong holds up no program, and a password that was wrong is right when the file says so', async () => {
    for (let times = 0; times < 5; times += 1) await logIn('wrong');
    expect(await logIn()).toMatchObject({ statusCode: 429 });
    // Of another salt, it is not that of the password.
    const another = line.replace(/(?<=:1:)./, (first) => (first === 'A' ? 'B' : 'A'));
    credential = () => Promise.resolve(another);
    expect(await scrape(PASSWORD)).toMatchObject({ statusCode: 401 });
    credential = () => Promise.resolve(line);
    expect(await scrape(PASSWORD)).toMatchObject({ statusCode: 200 });
  });

  test('from the page of another site is refused', async () => {
    const form = { 'content-type': 'application/x-www-form-urlencoded' };
    for (const headers of [{ 'sec-fetch-site': 'cross-site' }, { origin: 'https://evil.example', host: 'fleet.example.com' }])
      expect(await web.inject({ method: 'POST', url: '/logout', headers: { ...form, ...headers }, payload: '' })).toMatchObject({
        statusCode: 403,
      });
  });
});

test('a queue that cannot be reached is said on the page, and nothing of a defect', async () => {
  const headers = { cookie: await cookie() };
  questions.status = () =>
    Promise.reject(new GantryError('QUEUE_UNAVAILABLE', { message: 'cannot reach <the> queue', hint: 'It is tried again.' }));
  const { statusCode, body } = await web.inject({ url: '/', headers });
  expect(statusCode).toBe(503);
  expect(body).toContain('cannot reach &lt;the&gt; queue [QUEUE_UNAVAILABLE]');
  questions.history = () => Promise.reject(new TypeError('secret'));
  const defect = await web.inject({ url: '/instances/web1', headers });
  expect(defect.statusCode).toBe(500);
  expect(defect.body).not.toContain('secret');
  expect(notes).toEqual(['a page failed: secret']);
});

test('a password file that cannot be read any more is said to nobody who has no login', async () => {
  credential = () => Promise.reject(new GantryError('USAGE', { message: 'others can read /etc/secret', hint: 'chmod' }));
  const { statusCode, body } = await web.inject('/metrics');
  expect([statusCode, body]).toEqual([401, 'a password is missing']);
  const tried = await logIn();
  expect(tried.statusCode).toBe(500);
  expect(tried.body).not.toContain('secret');
  expect(notes).toEqual(['a page failed: others can read /etc/secret']);
});

test('an instance may have a long name, and one with characters of HTML', async () => {
  const headers = { cookie: await cookie() };
  for (const name of ['x'.repeat(250), '<b>&"'])
    expect(await web.inject({ url: `/instances/${encodeURIComponent(name)}`, headers })).toMatchObject({ statusCode: 200 });
  expect((await web.inject({ url: '/instances/%3Cb%3E', headers })).body).toContain('&lt;b&gt;');
});

test('however many look at an instance, the queue is asked once for it, and once more after it failed', async () => {
  const headers = { cookie: await cookie() };
  const asked: string[] = [];
  const sample = sampleFleet();
  questions.history = async (name) => {
    asked.push(name);
    if (asked.length === 1) throw new GantryError('QUEUE_UNAVAILABLE', { message: 'it does not answer' });
    return await sample.history(name);
  };
  const look = (name: string): Promise<number> => web.inject({ url: `/instances/${name}`, headers }).then(({ statusCode }) => statusCode);
  expect(await look('web1')).toBe(503);
  expect(await Promise.all([look('web1'), look('web1'), look('web2')])).toEqual([200, 200, 200]);
  expect(asked.toSorted()).toEqual(['web1', 'web1', 'web2']);
});

test('answers about an instance are kept for a while, and only those of the instances that were looked at last', async () => {
  const asked: string[] = [];
  let now = 0;
  const answers = new CachedByName(
    async (name) => asked.push(name),
    2000,
    () => now,
  );
  await answers.get('first');
  now = 1999;
  for (let other = 0; other < 99; other += 1) await answers.get(`web${other}`);
  expect(await answers.get('first')).toBe(1);
  await answers.get('one more');
  expect(await answers.get('first')).toBe(1);
  expect(await answers.get('web0')).toBe(102);
  now = 2000;
  expect(await answers.get('first')).toBe(103);
  expect(asked.slice(-2)).toEqual(['web0', 'first']);
});

test('a page that waits for an answer asks for no other one, and asks again five seconds after it', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
  try {
    const waiting: PromiseWithResolvers<never>[] = [];
    const fetch = async (): Promise<never> => {
      const answer = Promise.withResolvers<never>();
      waiting.push(answer);
      return await answer.promise;
    };
    const events = new EventTarget();
    const document = { hidden: false, getElementById: () => ({}), addEventListener: events.addEventListener.bind(events) };
    runInNewContext(LIVE_SCRIPT, { document, fetch, location: {}, AbortSignal, setTimeout, clearTimeout, setInterval });
    await vi.advanceTimersByTimeAsync(30_000);
    events.dispatchEvent(new Event('visibilitychange'));
    expect(waiting).toHaveLength(1);
    waiting[0]?.reject(new Error('no answer'));
    await vi.advanceTimersByTimeAsync(4999);
    expect(waiting).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(waiting).toHaveLength(2);
  } finally {
    vi.useRealTimers();
  }
});

/** Runs a command whose signal has come already. @returns its exit status and what it says */
async function fleet(args: readonly string[], input = ''): Promise<string> {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  stdin.end(input);
  const env = { GANTRY_STATE_DIR: home.file('state') };
  const exitCode = await run(args, { env, cwd: home.path, signal: AbortSignal.abort(), stdin, stdout, stderr });
  return `${exitCode} ${String(stderr.read() ?? '')}`;
}

test('gantry-fleet password makes a file of what is on standard input', async () => {
  expect(await fleet(['password', 'made', '--stdin'], `${PASSWORD}\n`)).toBe('0 ');
  expect(await isPassword(await readPasswordFile(home.file('made')), PASSWORD)).toBe(true);
  expect(await fleet(['password', 'made', '--stdin'], 'short\n')).toMatch(/^2 .*less than 12/);
  expect(await isPassword(await readPasswordFile(home.file('made')), PASSWORD)).toBe(true);
});

test('a wrong call of gantry-fleet web says what is wrong', async () => {
  const call = (...args: readonly string[]): Promise<string> => fleet(['web', ...args]);
  expect(await call()).toMatch(/^2 .*--password-file/);
  expect(await call('--password-file', file, '--listen', 'here')).toMatch(/^2 .*here is not an address to listen on/);
  expect(await call('--password-file', file, '--tls-cert', 'x.pem')).toMatch(/^2 .*--tls-cert and --tls-key belong together/);
  expect(await call('--password-file', file, '--listen', '127.0.0.1:0')).toMatch(
    /^0 .*the pages of the fleet are at http:\/\/127\.0\.0\.1:\d+/,
  );
});

test.each(['0.0.0.0:0', '[::]:0', '192.0.2.1:0', '[::ffff:192.0.2.1]:0', 'fleet.example.com:0', '127.1:0'])(
  'without TLS, it does not listen on %s, where others could read the password',
  async (listen) => {
    expect(await fleet(['web', '--password-file', file, '--listen', listen])).toMatch(
      /^2 .*--listen \S+ is not of this host alone[^]*--tls-cert and --tls-key, or --behind-proxy/,
    );
  },
);

test('without TLS, it listens where this host alone can reach it, and elsewhere behind a proxy', async () => {
  const call = (...args: readonly string[]): Promise<string> => fleet(['web', '--password-file', file, '--listen', ...args]);
  for (const args of [['127.0.0.2:0'], ['localhost:0'], ['0.0.0.0:0', '--behind-proxy']])
    expect(await call(...args)).toMatch(/^0 .*the pages of the fleet are at http:/);
});

test('with a certificate, the pages are served by HTTPS alone, and the cookie is for that alone', async () => {
  const { certFile, keyFile } = await makeCertificate(home.path);
  const cert = await readFile(certFile, 'utf8');
  const served = createWeb({
    questions,
    maxAges: () => Promise.resolve(new Map()),
    credential: () => credential(),
    certificate: await CertificateFiles.read(certFile, keyFile),
    note: (message) => void notes.push(message),
  });
  try {
    const address = await served.listen({ host: '127.0.0.1', port: 0 });
    const asked = request(address.replace(/^http:(.*)$/, 'https:$1/login'), {
      method: 'POST',
      ca: cert,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    asked.end(new URLSearchParams({ password: PASSWORD }).toString());
    const [answer]: IncomingMessage[] = await once(asked, 'response');
    answer?.resume();
    expect(answer?.headers).toMatchObject({ location: '/', 'strict-transport-security': 'max-age=31536000' });
    expect(answer?.headers['set-cookie']?.[0]).toMatch(/; HttpOnly; SameSite=Strict; Secure$/);
  } finally {
    await served.close();
  }
});

/** Makes a certificate in a directory of its own. */
async function certificateIn(directory: string): Promise<{ readonly certFile: string; readonly keyFile: string }> {
  await mkdir(home.file(directory), { recursive: true });
  return await makeCertificate(home.file(directory));
}

test('a certificate that cannot be served is a wrong call', async () => {
  const [{ certFile, keyFile }, other] = [await certificateIn('one'), await certificateIn('other')];
  const text = home.file('text.pem');
  await writeFile(text, 'not PEM\n');
  const rsa = home.file('rsa.pem');
  await writeFile(rsa, generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const call = (cert: string, key: string): Promise<string> =>
    fleet(['web', '--password-file', file, '--listen', '127.0.0.1:0', '--tls-cert', cert, '--tls-key', key]);
  expect(await call(text, keyFile)).toMatch(/^2 .*cannot use the certificate \S+text\.pem with the key/);
  expect(await call(certFile, text)).toMatch(/^2 .*cannot use the certificate \S+ with the key \S+text\.pem/);
  for (const key of [other.keyFile, rsa]) expect(await call(certFile, key)).toMatch(/^2 .*it is the key of another one/);
  expect(await call(home.file('gone.pem'), keyFile)).toMatch(/^2 .*cannot read the certificate or its key/);
  expect(await call(certFile, keyFile)).toMatch(/^0 .*the pages of the fleet are at https:/);
});

test('a renewed certificate is served without a restart, and one that is being written leaves the earlier one', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  const controller = new AbortController();
  try {
    const { certFile, keyFile } = await certificateIn('served');
    const [first, renewed] = [await readFile(certFile), await certificateIn('renewed')];
    const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
    const said = on(stderr, 'data', { signal: AbortSignal.any([controller.signal, AbortSignal.timeout(60_000)]) });
    const next = async (): Promise<string> => String((await said.next()).value);
    const args = ['web', '--password-file', file, '--listen', '127.0.0.1:0', '--tls-cert', certFile, '--tls-key', keyFile];
    const env = { GANTRY_STATE_DIR: home.file('state') };
    const ended = run(args, { env, cwd: home.path, signal: controller.signal, stdin, stdout, stderr });
    const port = Number(/:(\d+)\n/.exec(await next())?.[1]);
    const served = async (): Promise<string | undefined> => {
      const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
      await once(socket, 'secureConnect');
      const { fingerprint256 } = socket.getPeerCertificate();
      socket.destroy();
      return fingerprint256;
    };
    const { fingerprint256: before } = new X509Certificate(first);
    expect(await served()).toBe(before);
    // Its key comes a moment later.
    await copyFile(renewed.certFile, certFile);
    vi.advanceTimersByTime(60_000);
    expect(await next()).toMatch(/cannot use the certificate .*; the certificate of before is served further/);
    expect(await served()).toBe(before);
    await copyFile(renewed.keyFile, keyFile);
    vi.advanceTimersByTime(60_000);
    await expect.poll(served, PATIENTLY).toBe(new X509Certificate(await readFile(renewed.certFile)).fingerprint256);
    controller.abort();
    expect(await ended).toBe(0);
  } finally {
    controller.abort();
    vi.useRealTimers();
  }
});

describe('in a browser', () => {
  let browser: Browser;
  let address: string;
  let context: BrowserContext | undefined;

  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage'] });
  });
  afterAll(async () => {
    await browser.close();
  });
  beforeEach(async () => {
    address = await web.listen({ host: '127.0.0.1', port: 0 });
  });
  afterEach(async () => {
    await context?.close();
  });

  const PHONE = { width: 360, height: 740 };
  const DESKTOP = { width: 1280, height: 900 };

  /** Logs in by keyboard. @returns the page, and what its console says */
  async function open(
    viewport: typeof PHONE,
    colorScheme: 'light' | 'dark',
  ): Promise<{ readonly page: Page; readonly problems: readonly string[] }> {
    context = await browser.newContext({ viewport, colorScheme });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENTLY.timeout);
    const problems: string[] = [];
    page.on('console', (message) => problems.push(message.text()));
    page.on('pageerror', (error) => problems.push(error.message));
    await page.goto(address);
    expect(page.url()).toBe(`${address}/login`);
    // It has the focus a moment after the page is there.
    await page.locator('#password:focus').waitFor();
    await page.keyboard.type(PASSWORD);
    await page.keyboard.press('Enter');
    await page.waitForURL(`${address}/`);
    return { page, problems };
  }

  test.each([
    ['a phone', PHONE, 'dark'],
    ['a desktop', DESKTOP, 'light'],
  ] as const)('on %s, the pages fit and can be read', async (_what, viewport, scheme) => {
    const { page, problems } = await open(viewport, scheme);
    for (const url of [`${address}/`, `${address}/instances/web1.example.com`]) {
      await page.goto(url);
      const { width, unreadable } = await page.evaluate<PageLook>(LOOK_AT_PAGE);
      expect(width, url).toBeLessThanOrEqual(viewport.width);
      expect(unreadable, url).toEqual([]);
    }
    expect(await page.locator('svg.history:visible').count()).toBe(1);
    expect(problems).toEqual([]);
  });

  test('the state is shown in words, stays up to date, and keeps the focus of who uses a keyboard', async () => {
    const { page, problems } = await open(DESKTOP, 'light');
    const part = (id: string): Promise<string> => page.locator(`#${id}`).innerText();
    expect(await part('running')).toMatch(/db1\.example\.com\s+node1\s+1 h 00 min\s+100 MiB\/s\s+20\.0 GiB of about 80\.0 GiB/);
    expect(await part('waiting')).toMatch(/the limit of the store vault \(2 of 2 exports at once\)\s+1\s/);
    expect(await part('waiting')).toMatch(/node3 is paused\s+1\s/);
    expect(await part('late')).toMatch(/mail\.example\.com\s+nightly\s+3 d\s+26 h/);
    expect(await part('failed')).toMatch(/STORE_UNAVAILABLE\s+2\s+vault does not answer/);
    expect(await part('findings')).toContain('its turn did not come before the window ended');
    expect(await part('plan')).toContain('not planned: ganeti://master: it does not answer');
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to the contents');
    await page.locator('#running-table a').first().focus();
    const focused = await page.evaluate('document.activeElement.id');
    const before = await questions.status();
    const jobs = before.jobs.map((job) =>
      job.state === 'running' ? { ...job, output: { progress: { readBytes: 30 * 2 ** 30, bytesPerSecond: 5 * 2 ** 20 } } } : job,
    );
    questions.status = () => Promise.resolve({ ...before, jobs });
    await expect.poll(() => part('running'), PATIENTLY).toContain('30.0 GiB of about 80.0 GiB');
    expect(await page.evaluate('document.activeElement.id')).toBe(focused);
    await page.keyboard.press('Enter');
    await page.waitForURL(`${address}/instances/db1.example.com`);
    expect(await page.locator('#history-table').innerText()).toMatch(/done/);
    // Not by their colour alone.
    expect(await page.locator('svg.history:visible .mark').count()).toBe(4);
    expect(problems).toEqual([]);
  });
});
