import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { asFirstError, errorText, GantryError } from '@gantry/core';
import { prometheusText } from '@gantry/programs';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { fastify } from 'fastify';
import type { Measured } from '../view/figures.ts';
import { figuresOf } from '../view/figures.ts';
import { BasicLogin } from './basic-login.ts';
import { Cached, CachedByName } from './cached.ts';
import type { CertificateFiles } from './certificate.ts';
import { LIVE_SCRIPT } from './live-script.ts';
import { LoginLimit } from './login-limit.ts';
import { historyPage } from './pages/history.ts';
import { loginPage } from './pages/login.ts';
import { overviewPage } from './pages/overview.ts';
import { problemPage } from './pages/problem.ts';
import { STYLE } from './pages/style.ts';
import { isPassword } from './password.ts';
import type { Questions } from './questions.ts';
import { Sessions } from './sessions.ts';

export interface WebOptions {
  readonly questions: Questions;
  /** `max-age` of the policies that have one, ms; read again now and then. */
  readonly maxAges: () => Promise<ReadonlyMap<string, number>>;
  /** The line of the password file; read for each request, so that another password counts at once. */
  readonly credential: () => Promise<string>;
  /** Absent: plain HTTP, for this host or a proxy. */
  readonly certificate?: CertificateFiles | undefined;
  /** What failed although nothing should. */
  readonly note: (message: string) => void;
  readonly now?: () => Date;
}

const COOKIE = 'gantry-fleet';
const HEADERS = {
  'Content-Security-Policy':
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'same-origin',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};
const HTML = 'text/html; charset=utf-8';
const MAX_BODY_BYTES = 4096;
const MAX_CONNECTIONS = 200;
const MAX_SEARCH_CHARACTERS = 200;
/** Of an instance, each character in three. */
const MAX_NAME_CHARACTERS = 1000;
/** For how long answers of the queue are shown to all who look, ms. */
const STATUS_KEEP_MS = 2000;
const GOOD_KEEP_MS = 30_000;
const CONFIGURATION_KEEP_MS = 60_000;
/** A client that sends slowly holds no connection for longer, ms. */
const REQUEST_TIMEOUT_MS = 15_000;
const BUSY_STATUS = 503;
const MINUTE_SECONDS = 60;

/** The pages of a fleet, read-only and with a login. The caller has it listen, and closes it. */
export function createWeb(options: WebOptions): FastifyInstance {
  const { certificate } = options;
  const app = fastify({
    bodyLimit: MAX_BODY_BYTES,
    routerOptions: { maxParamLength: MAX_NAME_CHARACTERS },
    forceCloseConnections: true,
    serverFactory: (handler): Server => {
      const server: Server = certificate?.createServer(handler) ?? createServer(handler);
      server.maxConnections = MAX_CONNECTIONS;
      server.requestTimeout = REQUEST_TIMEOUT_MS;
      server.headersTimeout = REQUEST_TIMEOUT_MS;
      return server;
    },
  });
  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) => {
    done(null, new URLSearchParams(String(body)));
  });
  app.addHook('onRequest', async (request, reply) => {
    void reply.headers(certificate === undefined ? HEADERS : { ...HEADERS, 'Strict-Transport-Security': 'max-age=31536000' });
    if (request.method === 'POST' && !isOwnForm(request)) return await reply.code(403).type('text/plain').send('not from this page');
    return undefined;
  });
  app.setNotFoundHandler(async (_request, reply) => await reply.code(404).type('text/plain').send('there is nothing here'));
  app.setErrorHandler(async (error, _request, reply) => await answerFailure(asFirstError(error), reply, options.note));
  app.get('/style.css', async (_request, reply) => await reply.type('text/css; charset=utf-8').send(STYLE));
  app.get('/live.js', async (_request, reply) => await reply.type('text/javascript; charset=utf-8').send(LIVE_SCRIPT));
  addLogin(app, options);
  return app;
}

/** What a browser sends with a form of another site. */
function isOwnForm({ headers }: FastifyRequest): boolean {
  const site = headers['sec-fetch-site'];
  if (site !== undefined) return site === 'same-origin';
  return headers.origin === undefined || URL.parse(headers.origin)?.host === headers.host;
}

async function answerFailure(error: unknown, reply: FastifyReply, note: WebOptions['note']): Promise<FastifyReply> {
  // Of others, such as a password file that cannot be read, those who are not logged in learn nothing.
  if (error instanceof GantryError && error.code.startsWith('QUEUE_')) {
    return await reply
      .code(BUSY_STATUS)
      .type(HTML)
      .send(problemPage(`${error.message} [${error.code}]`, error.hint));
  }
  const status = error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : 500;
  const message = errorText(error);
  if (status >= 500) note(`a page failed: ${message}`);
  return await reply
    .code(status)
    .type('text/plain')
    .send(status < 500 ? message : 'this failed; the log of gantry-fleet web has more');
}

function addLogin(app: FastifyInstance, options: WebOptions): void {
  const clock = (): number => performance.now();
  const { credential, certificate } = options;
  const sessions = new Sessions(clock);
  // Each with a limit of its own: a program with an old password keeps nobody from the pages.
  const limit = new LoginLimit(clock);
  const basic = new BasicLogin(credential, clock);

  const isLoggedIn = async ({ headers }: FastifyRequest): Promise<boolean> => {
    const token = tokenOf(headers.cookie);
    return token !== undefined && sessions.has(token, await credential());
  };
  const tooMany = (reply: FastifyReply): FastifyReply => reply.code(429).header('Retry-After', MINUTE_SECONDS);

  app.get('/login', async (_request, reply) => await reply.type(HTML).send(loginPage(undefined)));
  app.post('/login', async (request, reply) => {
    const password = request.body instanceof URLSearchParams ? (request.body.get('password') ?? '') : '';
    const line = await credential();
    const isRight = await limit.attempt(request.ip, () => isPassword(line, password));
    if (isRight === 'limited') {
      return await tooMany(reply).type(HTML).send(loginPage('There were too many wrong passwords. Try again in a minute.'));
    }
    if (!isRight) return await reply.code(401).type(HTML).send(loginPage('That is not the password.'));
    const isSecure = certificate !== undefined || request.headers['x-forwarded-proto'] === 'https';
    const attributes = `Path=/; HttpOnly; SameSite=Strict${isSecure ? '; Secure' : ''}`;
    return await reply.header('Set-Cookie', `${COOKIE}=${sessions.begin(line)}; ${attributes}`).redirect('/', 303);
  });
  app.post('/logout', async (request, reply) => {
    const token = tokenOf(request.headers.cookie);
    if (token !== undefined) sessions.end(token);
    return await reply.header('Set-Cookie', `${COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0`).redirect('/login', 303);
  });
  // In a scope of its own: each route in it asks who looks.
  void app.register((pages, _options, done) => {
    pages.addHook('onRequest', async (request, reply) => {
      if (await isLoggedIn(request)) return undefined;
      if (request.routeOptions.url !== '/metrics') return await reply.redirect('/login', 303);
      const isRight = await basic.attempt(request.ip, request.headers.authorization);
      if (isRight === true) return undefined;
      if (isRight === 'limited') return await tooMany(reply).type('text/plain').send('too many wrong passwords');
      return await reply
        .code(401)
        .header('WWW-Authenticate', 'Basic realm="gantry-fleet"')
        .type('text/plain')
        .send('a password is missing');
    });
    addPages(pages, options);
    done();
  });
}

function addPages(app: FastifyInstance, { questions, maxAges, now = () => new Date() }: WebOptions): void {
  const clock = (): number => performance.now();
  const status = new Cached(() => questions.status(), STATUS_KEEP_MS, clock);
  const good = new Cached(() => questions.good(), GOOD_KEEP_MS, clock);
  const histories = new CachedByName((name) => questions.history(name), STATUS_KEEP_MS, clock);
  const configured = new Cached(() => readMaxAges(maxAges), CONFIGURATION_KEEP_MS, clock);
  const measured = async (): Promise<{ readonly found: Measured; readonly problem: string | undefined }> => {
    const { ages, problem } = await configured.get();
    return { found: { status: await status.get(), good: await good.get(), maxAges: ages, now: now() }, problem };
  };
  app.get<{ Querystring: { readonly q?: unknown } }>('/', async ({ query: { q } }, reply) => {
    const { found, problem } = await measured();
    const search = typeof q === 'string' ? q.slice(0, MAX_SEARCH_CHARACTERS) : '';
    return await reply.type(HTML).send(overviewPage(found, search, problem));
  });
  app.get<{ Params: { readonly name: string } }>('/instances/:name', async ({ params: { name } }, reply) => {
    return await reply.type(HTML).send(historyPage(name, await histories.get(name), now()));
  });
  app.get('/metrics', async (_request, reply) => {
    const { found } = await measured();
    return await reply.type('text/plain; version=0.0.4; charset=utf-8').send(prometheusText(figuresOf(found)));
  });
}

interface ReadMaxAges {
  readonly ages: ReadonlyMap<string, number>;
  readonly problem: string | undefined;
}

/** A configuration that cannot be read makes nobody late, and is named. */
async function readMaxAges(maxAges: WebOptions['maxAges']): Promise<ReadMaxAges> {
  try {
    return { ages: await maxAges(), problem: undefined };
  } catch (error) {
    const first = asFirstError(error);
    if (!(first instanceof GantryError)) throw error;
    return { ages: new Map(), problem: `what is late is not known: ${first.message} [${first.code}]` };
  }
}

function tokenOf(cookies: string | undefined): string | undefined {
  const [, token] = new RegExp(`(?:^|;\\s*)${COOKIE}=([\\w-]{20,100})(?:;|$)`).exec(cookies ?? '') ?? [];
  return token;
}
