import { readFile } from 'node:fs/promises';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { rootCertificates } from 'node:tls';

import type { S3ClientConfig } from '@aws-sdk/client-s3';
import { S3Client } from '@aws-sdk/client-s3';

import type { S3Address } from './address.ts';
import { signWithDigests } from './body-digests.ts';
import { collectAnswer } from './collect-answer.ts';
import { invalidAddress } from './invalid-address.ts';

/** Two clients over the same connections. */
export interface Clients extends Disposable {
  readonly usual: S3Client;
  /** For completions, during which a service may be silent for minutes. */
  readonly patient: S3Client;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** How long the patient client listens to silence: what Amazon's reference says of CompleteMultipartUpload is "several minutes". */
export const PATIENCE_MS: number = 10 * 60_000;
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Makes the clients of a store. Settings come from the address, then from `env`, then from the SDK's own chain (configuration
 * files, SSO, container and instance roles), which reads the environment of the process where it must.
 *
 * @throws StoreError `invalid-address`
 */
export async function makeClients(address: S3Address, env: Environment): Promise<Clients> {
  const { options } = address;
  const agents = await makeAgents(options.caFile ?? env['AWS_CA_BUNDLE'], options.concurrency);
  const config = clientConfig(address, env);
  const make = (socketTimeout: number): S3Client => {
    const client = new S3Client({
      ...config,
      requestHandler: { ...agents, connectionTimeout: CONNECT_TIMEOUT_MS, socketTimeout, socketAcquisitionWarningTimeout: 86_400_000 },
    });
    signWithDigests(client);
    return client;
  };
  const usual = make(options.stallMs);
  const patient = make(Math.max(options.stallMs, PATIENCE_MS));
  const others = new Map<number, S3Client>();
  heedSilence(usual, (silenceMs) => {
    const other = others.get(silenceMs) ?? make(silenceMs);
    others.set(silenceMs, other);
    return other;
  });
  return {
    usual,
    patient,
    [Symbol.dispose]() {
      for (const client of [usual, patient, ...others.values()]) client.destroy();
    },
  };
}

/** Has the requests that say `silenceMs` sent with that time-out: the SDK has one for each client, and none for a request. */
function heedSilence(client: S3Client, clientFor: (silenceMs: number) => S3Client): void {
  const { requestHandler } = client.config;
  const handle = requestHandler.handle.bind(requestHandler);
  requestHandler.handle = (request, options) => {
    const silenceMs = options !== undefined && 'silenceMs' in options ? options.silenceMs : undefined;
    return typeof silenceMs === 'number' ? clientFor(silenceMs).config.requestHandler.handle(request, options) : handle(request, options);
  };
}

function clientConfig({ options }: S3Address, env: Environment): S3ClientConfig {
  const endpoint = options.endpoint?.href ?? env['AWS_ENDPOINT_URL_S3'] ?? env['AWS_ENDPOINT_URL'];
  // Services outside of Amazon mostly ignore the region, but the signature must name one.
  const region = options.region ?? env['AWS_REGION'] ?? env['AWS_DEFAULT_REGION'] ?? (endpoint === undefined ? undefined : 'us-east-1');
  const profile = options.profile ?? env['AWS_PROFILE'];
  const accessKeyId = env['AWS_ACCESS_KEY_ID'];
  const secretAccessKey = env['AWS_SECRET_ACCESS_KEY'];
  const sessionToken = env['AWS_SESSION_TOKEN'];
  const fixed = options.profile === undefined && accessKeyId !== undefined && secretAccessKey !== undefined;
  return {
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(profile === undefined ? {} : { profile }),
    ...(fixed ? { credentials: { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) } } : {}),
    forcePathStyle: options.pathStyle ?? endpoint !== undefined,
    // Many services refuse the trailing checksums that are the SDK's default.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // With it, the SDK opens a new connection for each part.
    expectContinueHeader: false,
    streamCollector: collectAnswer,
    // The store tries again itself: part by part, range by range, and for as long as the user says.
    maxAttempts: 1,
  };
}

async function makeAgents(caFile: string | undefined, concurrency: number): Promise<{ httpAgent: HttpAgent; httpsAgent: HttpsAgent }> {
  // Uploads, ranges and the small requests between them each find a connection free.
  const shape = { keepAlive: true, maxSockets: 2 * concurrency + 16 };
  if (caFile === undefined) return { httpAgent: new HttpAgent(shape), httpsAgent: new HttpsAgent(shape) };
  let ca: string;
  try {
    ca = await readFile(caFile, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw invalidAddress(
      `the file with certificate authorities ${caFile} cannot be read (${code})`,
      'Check caFile= in the address, or AWS_CA_BUNDLE.',
    );
  }
  return { httpAgent: new HttpAgent(shape), httpsAgent: new HttpsAgent({ ...shape, ca: [...rootCertificates, ca] }) };
}
