import { resolve } from 'node:path';
import { once } from 'node:events';
import { errorText, GantryError, openStateDirectory } from '@gantry/core';
import type { Context } from '../command-line/context.ts';
import { configurationOf } from '../command-line/context.ts';
import type { QueueOptions } from '../command-line/options.ts';
import { controlPath, databaseOf, stateDirectoryOf } from '../command-line/options.ts';
import { isLoopback } from '../loopback.ts';
import { openPostgres } from '../queue/open-postgres.ts';
import { CertificateFiles } from '../web/certificate.ts';
import { readPasswordFile } from '../web/password.ts';
import type { Questions } from '../web/questions.ts';
import { askAgent, askQueue } from '../web/questions.ts';
import { createWeb } from '../web/server.ts';
import { maxAgesOf } from './metrics.ts';

export interface WebCommandOptions extends QueueOptions {
  readonly config?: string;
  /** HOST:PORT, or PORT. */
  readonly listen: string;
  readonly passwordFile: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  /** A proxy with TLS on another host is before it: others may reach it without. */
  readonly behindProxy?: boolean;
}

/** Runs `gantry-fleet web`: serves the pages until a signal ends it. */
export async function runWeb(context: Context, options: WebCommandOptions): Promise<void> {
  const { cwd, signal, output } = context;
  const { host, port } = addressOf(options.listen);
  const certificate = await certificateOf(cwd, options);
  if (certificate === undefined && options.behindProxy !== true && !isLoopback(host)) {
    throw new GantryError('USAGE', {
      message: `--listen ${options.listen} is not of this host alone, and without TLS others could read the password on its way`,
      hint: 'Give --tls-cert and --tls-key, or --behind-proxy if a proxy with TLS on another host is before it.',
    });
  }
  const file = resolve(cwd, options.passwordFile);
  await readPasswordFile(file);
  await using questions = await questionsOf(context, options);
  const app = createWeb({
    questions,
    maxAges: async () => maxAgesOf(await configurationOf(context, options.config)),
    credential: () => readPasswordFile(file),
    certificate,
    note: output.note,
  });
  await using scope = new AsyncDisposableStack();
  scope.use(certificate?.follow(output.note));
  scope.defer(() => app.close());
  try {
    const address = await app.listen({ host, port });
    // It does not know of the certificate.
    output.note(`the pages of the fleet are at ${certificate === undefined ? address : address.replace(/^http:/, 'https:')}`);
  } catch (error) {
    const reason = errorText(error);
    throw new GantryError('PLATFORM', { message: `cannot serve the pages of the fleet: ${reason}`, cause: error });
  }
  if (!signal.aborted) await once(signal, 'abort');
}

async function questionsOf(context: Context, options: QueueOptions): Promise<Questions> {
  const url = databaseOf(context, options);
  if (url !== undefined) return askQueue(() => openPostgres({ url, warn: context.output.warn }));
  const { path } = await openStateDirectory(stateDirectoryOf(context, options));
  return askAgent(controlPath(path));
}

function addressOf(text: string): { readonly host: string; readonly port: number } {
  const [, host = '127.0.0.1', port = ''] = /^(?:(\[[\da-f:.]+\]|[\w.-]+):)?(\d{1,5})$/i.exec(text) ?? [];
  if (port !== '' && Number(port) < 65_536) return { host: host.replaceAll(/[[\]]/g, ''), port: Number(port) };
  throw new GantryError('USAGE', { message: `${text} is not an address to listen on`, hint: 'Write HOST:PORT, such as 127.0.0.1:8480.' });
}

async function certificateOf(cwd: string, { tlsCert, tlsKey }: WebCommandOptions): Promise<CertificateFiles | undefined> {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new GantryError('USAGE', { message: '--tls-cert and --tls-key belong together', hint: 'Give both, each a file in PEM.' });
  }
  return await CertificateFiles.read(resolve(cwd, tlsCert), resolve(cwd, tlsKey));
}
