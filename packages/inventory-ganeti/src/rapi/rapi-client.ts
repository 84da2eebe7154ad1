import { setTimeout as sleep } from 'node:timers/promises';
import type { CallOptions, InventoryErrorCode } from '@gantry/core/inventory';
import type { Job, JobQueue } from '../jobs/job.ts';
import { parseJob, parseJobId } from '../jobs/job.ts';
import { readJson } from '../read-json.ts';
import { shownText } from '../shown-text.ts';
import type { RapiCredentials } from './credentials.ts';
import type { RapiAnswer, RapiRequest, RapiServer } from './exchange.ts';
import { exchange, nameOf } from './exchange.ts';
import { RapiError } from './rapi-error.ts';

export interface RapiOptions extends RapiServer {
  readonly credentials: RapiCredentials | undefined;
}

export interface RapiCallOptions extends CallOptions {
  readonly query?: Readonly<Record<string, string | number>> | undefined;
  /** Sent as JSON. */
  readonly body?: unknown;
}

/** ms before each further try of a call that may be repeated. */
const RETRY_DELAYS_MS = [200, 800];

/** A client of Ganeti's remote API, version 2. Each call has a connection of its own. */
export class RapiClient implements JobQueue {
  readonly #options: RapiOptions;

  constructor(options: RapiOptions) {
    this.#options = options;
  }

  /** `host:port`, for messages. */
  get name(): string {
    return nameOf(this.#options);
  }

  /**
   * Asks for what is at `/2/…`; repeated where the server could not be reached or did not answer.
   *
   * @param path the parts after `/2`, such as `['instances', name, 'info']`
   * @returns the answer, as JSON has it
   * @throws RapiError; the reason of the signal
   */
  async get(path: readonly string[], options: RapiCallOptions = {}): Promise<unknown> {
    return await this.#call('GET', path, options);
  }

  /**
   * Submits a job; repeated only where the server certainly did not get it.
   *
   * @returns its number, as text
   * @throws RapiError; the reason of the signal
   */
  async submit(method: 'GET' | 'PUT' | 'POST' | 'DELETE', path: readonly string[], options: RapiCallOptions = {}): Promise<string> {
    return parseJobId(await this.#call(method, path, options), `RAPI at ${this.name}`);
  }

  async job(id: string, { signal }: CallOptions = {}): Promise<Job> {
    return parseJob(await this.get(['jobs', id], { signal }), `RAPI at ${this.name}`);
  }

  async cancelJob(id: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#call('DELETE', ['jobs', id], { signal });
  }

  async #call(method: RapiRequest['method'], path: readonly string[], { query = {}, body, signal }: RapiCallOptions): Promise<unknown> {
    const search = new URLSearchParams(Object.entries(query).map(([name, value]): [string, string] => [name, String(value)])).toString();
    const request: RapiRequest = {
      method,
      path: `/2/${path.map(encodeURIComponent).join('/')}${search === '' ? '' : `?${search}`}`,
      headers: this.#headers(body !== undefined),
      body: body === undefined ? undefined : JSON.stringify(body),
    };
    return this.#parse(await this.#repeat(request, signal));
  }

  async #repeat(request: RapiRequest, signal: AbortSignal | undefined): Promise<RapiAnswer> {
    for (const delay of RETRY_DELAYS_MS) {
      try {
        return await this.#once(request, signal);
      } catch (error) {
        const mayRepeat = error instanceof RapiError && (error.retry === 'any' || (error.retry === 'read' && request.method === 'GET'));
        if (!mayRepeat) throw error;
        await pause(delay, signal);
      }
    }
    return await this.#once(request, signal);
  }

  async #once(request: RapiRequest, signal: AbortSignal | undefined): Promise<RapiAnswer> {
    const answer = await exchange(this.#options, request, signal);
    if (answer.status === 200) return answer;
    throw this.#refusal(answer);
  }

  #headers(hasBody: boolean): Record<string, string> {
    const { credentials } = this.#options;
    return {
      accept: 'application/json',
      connection: 'close',
      ...(hasBody ? { 'content-type': 'application/json' } : {}),
      ...(credentials === undefined ? {} : { authorization: credentials.authorization() }),
    };
  }

  #parse({ body }: RapiAnswer): unknown {
    try {
      return readJson(body.toString('utf8'));
    } catch {
      throw new RapiError('failed', { message: `RAPI at ${this.name}: the answer is not JSON`, hint: WRONG_SERVER, retry: 'never' });
    }
  }

  #refusal({ status, body }: RapiAnswer): RapiError {
    const { credentials } = this.#options;
    const who = credentials === undefined ? 'it wants a user and a password' : `the user ${credentials.user}`;
    if (status === 401)
      return this.#failure('denied', status, credentials === undefined ? who : `${who} or its password is not accepted`, CREDENTIALS_HINT);
    if (status === 403)
      return this.#failure(
        'denied',
        status,
        credentials === undefined ? who : `${who} may only read`,
        'Give it "write" in /var/lib/ganeti/rapi/users.',
      );
    const said = saidBy(body);
    const text = `it answered with status ${status}${said === undefined ? '' : `: ${credentials?.redact(said) ?? said}`}`;
    if (status === 404) return this.#failure('not-found', status, text);
    if (status === 502 || status === 503 || status === 504) return this.#failure('unavailable', status, text);
    return this.#failure('failed', status, text, said === undefined ? WRONG_SERVER : undefined);
  }

  #failure(code: InventoryErrorCode, status: number, reason: string, hint?: string): RapiError {
    return new RapiError(code, {
      message: `RAPI at ${this.name}: ${reason}`,
      hint,
      status,
      retry: code === 'unavailable' ? 'read' : 'never',
    });
  }
}

const WRONG_SERVER = 'Is RAPI what listens there? Its port is 5080, as a rule.';
const CREDENTIALS_HINT = 'Name a netrc file in GANTRY_GANETI_CREDENTIALS, or set GANTRY_GANETI_USER and GANTRY_GANETI_PASSWORD.';

/** What Ganeti says of a request that it refuses: `{"code": 404, "message": "Not Found", "explain": "…"}`. */
function saidBy(body: Buffer): string | undefined {
  try {
    const value = readJson(body.toString('utf8'));
    if (typeof value !== 'object' || value === null) return undefined;
    const explain = 'explain' in value && typeof value.explain === 'string' ? value.explain : '';
    const message = 'message' in value && typeof value.message === 'string' ? value.message : '';
    const text = shownText(explain === '' ? message : explain);
    return text === '' ? undefined : text;
  } catch {
    return undefined;
  }
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
