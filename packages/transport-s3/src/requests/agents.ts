import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import process from 'node:process';
import { getCACertificates } from 'node:tls';

import { StoreError } from '@gantry/transport';

import { invalidAddress } from '../address/invalid-address.ts';
import type { Proxy } from './proxy.ts';

/** The pools of connections. */
export interface Agents {
  readonly httpAgent: HttpAgent;
  readonly httpsAgent: HttpsAgent;
}

/** @throws StoreError `invalid-address`, `unsupported` */
export async function makeAgents(caFile: string | undefined, concurrency: number, proxy: Proxy | undefined): Promise<Agents> {
  // Enough for all uploads, ranges and the small requests between them.
  const shape = { keepAlive: true, maxSockets: 2 * concurrency + 16, ...proxyShape(proxy) };
  const trust = caFile === undefined ? {} : { ca: [...getCACertificates('default'), await readAuthorities(caFile)] };
  return { httpAgent: new HttpAgent(shape), httpsAgent: new HttpsAgent({ ...shape, ...trust }) };
}

/** Node reads `NO_PROXY` differently from other programs, so the caller decides which requests go through the proxy. */
function proxyShape(proxy: Proxy | undefined): { readonly proxyEnv?: { readonly http_proxy: string; readonly https_proxy: string } } {
  if (proxy === undefined) return {};
  if (!process.allowedNodeEnvironmentFlags.has('--use-env-proxy')) {
    throw new StoreError('unsupported', {
      message: `${proxy.source} is set, but Node ${process.version} cannot use a proxy`,
      hint: 'Run Gantry with Node 22.21 or later or 24.5 or later, or add the host of the service to NO_PROXY.',
    });
  }
  return { proxyEnv: { http_proxy: proxy.url.href, https_proxy: proxy.url.href } };
}

async function readAuthorities(path: string): Promise<string> {
  const hint = 'Check caFile= in the address, or AWS_CA_BUNDLE.';
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw invalidAddress(`cannot read the file with certificate authorities ${path}: ${code}`, hint);
  }
  try {
    // TLS would skip what it cannot read, and the error would then blame the service's certificate.
    void new X509Certificate(text);
  } catch {
    throw invalidAddress(`the file with certificate authorities ${path} does not contain a certificate in PEM format`, hint);
  }
  return text;
}
