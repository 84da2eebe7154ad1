import { isIP } from 'node:net';
import process from 'node:process';

import type { S3ClientConfig } from '@aws-sdk/client-s3';
import { S3Client } from '@aws-sdk/client-s3';

import type { S3Address } from '../address/address.ts';
import type { Environment } from '../address/environment.ts';
import { tidyAwsVariables } from '../address/environment.ts';
import type { Settings } from '../address/settings.ts';
import { readSettings } from '../address/settings.ts';
import { signWithDigests } from './body-digests.ts';
import { collectAnswer } from './collect-answer.ts';
import type { Agents } from './agents.ts';
import { makeAgents } from './agents.ts';
import type { Credentials } from './credentials.ts';
import { makeCredentials } from './credentials.ts';
import type { Proxy } from './proxy.ts';
import { findProxy } from './proxy.ts';
import { assertSendable } from './sendable.ts';

/** Two clients that share their connections. */
export interface Clients extends Disposable {
  readonly usual: S3Client;
  /** For CompleteMultipartUpload, during which a service may be silent for minutes. */
  readonly patient: S3Client;
  /** Undefined for Amazon's own. */
  readonly endpoint: URL | undefined;
  readonly proxy: Proxy | undefined;
}

/** How long the patient client waits: Amazon's reference says that CompleteMultipartUpload can take "several minutes". */
export const PATIENCE_MS: number = 10 * 60_000;
const CONNECT_TIMEOUT_MS = 10_000;

/** The SDK's timer for requests that wait for a connection. It is not cleared if sending fails at once, so it must be short. */
const SOCKET_WARNING_MS = 1000;

/**
 * Makes the clients of a store. Settings come from the address, then from `env`, then from the SDK's own chain (configuration
 * files, SSO, container and instance roles), which reads the environment of the process.
 *
 * @throws StoreError `invalid-address`, `unsupported`
 */
export async function makeClients(address: S3Address, env: Environment): Promise<Clients> {
  const { options } = address;
  tidyAwsVariables(process.env);
  const settings = await readSettings(address, env);
  const proxy = findProxy(hostOf(address.bucket, settings), env);
  const agents = await makeAgents(settings.caFile, options.concurrency, proxy);
  const closed = new AbortController();
  const config = clientConfig(settings, makeCredentials(settings, options.stallMs, closed.signal));
  const make = (socketTimeout: number): S3Client => makeClient(config, agents, socketTimeout);
  const usual = make(options.stallMs);
  const patient = make(Math.max(options.stallMs, PATIENCE_MS));
  const others = new Map<number, S3Client>();
  honorSilenceMs(usual, (silenceMs) => {
    const other = others.get(silenceMs) ?? make(silenceMs);
    others.set(silenceMs, other);
    return other;
  });
  return {
    usual,
    patient,
    endpoint: settings.endpoint,
    proxy,
    [Symbol.dispose]() {
      closed.abort(new Error('the store was closed'));
      for (const client of [usual, patient, ...others.values()]) client.destroy();
    },
  };
}

/** The host that requests go to: decides about the proxy. */
function hostOf(bucket: string, { endpoint, region, pathStyle }: Settings): URL {
  const url = new URL(endpoint ?? `https://s3.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`);
  if (!pathStyle && isIP(url.hostname) === 0) url.hostname = `${bucket}.${url.hostname}`;
  return url;
}

function makeClient(config: S3ClientConfig, agents: Agents, socketTimeout: number): S3Client {
  const client = new S3Client({
    ...config,
    requestHandler: {
      ...agents,
      connectionTimeout: CONNECT_TIMEOUT_MS,
      socketTimeout,
      socketAcquisitionWarningTimeout: SOCKET_WARNING_MS,
      logger: SILENT,
    },
  });
  signWithDigests(client);
  const { requestHandler } = client.config;
  const handle = requestHandler.handle.bind(requestHandler);
  requestHandler.handle = async (request, options) => {
    assertSendable(request.headers);
    return handle(request, options);
  };
  return client;
}

/** Applies the `silenceMs` of a request: the SDK has time-outs only for a client, not for a request. */
function honorSilenceMs(client: S3Client, clientFor: (silenceMs: number) => S3Client): void {
  const { requestHandler } = client.config;
  const handle = requestHandler.handle.bind(requestHandler);
  requestHandler.handle = (request, options) => {
    const silenceMs = options !== undefined && 'silenceMs' in options ? options.silenceMs : undefined;
    return typeof silenceMs === 'number' ? clientFor(silenceMs).config.requestHandler.handle(request, options) : handle(request, options);
  };
}

function clientConfig({ endpoint, region, pathStyle }: Settings, credentials: Credentials): S3ClientConfig {
  return {
    ...(endpoint === undefined ? {} : { endpoint: endpoint.href }),
    region,
    credentials,
    forcePathStyle: pathStyle,
    // Many services refuse the trailing checksums that are the SDK's default.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // If true, the SDK opens a new connection for each part.
    expectContinueHeader: false,
    streamCollector: collectAnswer,
    // The store retries itself: part by part, range by range, for as long as the user says.
    maxAttempts: 1,
    retryMode: 'standard',
    defaultsMode: 'legacy',
    logger: SILENT,
  };
}

function ignore(): void {
  // The SDK's advice is for programmers.
}

const SILENT = { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore };
