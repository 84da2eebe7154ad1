import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { makeCertificate, makeTemporaryDirectory } from '@gantry/testkit';

/*
 * A fake: it is for answers that a real RAPI does not give when it is asked to, such as broken, endless or missing ones. What a real one
 * says is tested with a real cluster.
 */

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

export interface FakeRapi extends AsyncDisposable {
  readonly port: number;
  /** A file with its certificate. */
  readonly certificateFile: string;
  /** A directory for files of a test. */
  file(name: string): string;
  /** What was asked for, in order: method and path. */
  readonly requests: string[];
}

/** Starts a TLS server on localhost that answers every request with `answer`; its certificate is for `names`. */
export async function startFakeRapi(answer: Answer, names?: string): Promise<FakeRapi> {
  const directory = await makeTemporaryDirectory();
  const { keyFile, certFile } = await makeCertificate(directory.path, { names });
  const requests: string[] = [];
  const server = createServer({ key: await readFile(keyFile), cert: await readFile(certFile) }, (request, response) => {
    requests.push(`${request.method ?? ''} ${request.url ?? ''}`);
    answer(request, response);
  }).listen(0, 'localhost');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no TCP address');
  return {
    port: address.port,
    certificateFile: certFile,
    file: (name) => directory.file(name),
    requests,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await directory[Symbol.asyncDispose]();
    },
  };
}

export function json(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}
