import type { Writable } from 'node:stream';
import { orAbort } from './abortable.ts';
import { StoreError } from './errors.ts';
import type { PeerChannel, PeerEnd } from './peer.ts';

export interface StreamChannelOptions {
  readonly address: string;
  /** A readable stream, for instance. */
  readonly input: AsyncIterable<unknown>;
  readonly output: Writable;
  readonly ended: Promise<PeerEnd>;
  /** Called once, to close the underlying streams. */
  readonly close: () => Promise<void>;
}

/** A channel over the streams of a process or socket: an iterable to read, and a Node.js stream to write to. */
export function streamChannel({ address, input, output, ended, close }: StreamChannelOptions): PeerChannel {
  let closing: Promise<void> | undefined;
  const lost = (cause: unknown): StoreError =>
    new StoreError('unavailable', { message: `the connection to ${address} was lost`, hint: 'Check the network and the peer.', cause });
  // The write in progress reports the error.
  output.on('error', () => undefined);
  const send = (parts: readonly Uint8Array[]): Promise<void> =>
    new Promise((resolve, reject) => {
      const last = parts.at(-1) ?? new Uint8Array(0);
      output.cork();
      for (const part of parts.slice(0, -1)) output.write(part);
      output.write(last, (error) => {
        if (error === undefined || error === null) resolve();
        else reject(lost(error));
      });
      output.uncork();
    });
  return {
    address,
    input: pull(input, lost),
    ended,
    write: (parts, { signal } = {}) => (signal === undefined ? send(parts) : orAbort(send(parts), signal)),
    [Symbol.asyncDispose]: () => (closing ??= close()),
  };
}

async function* pull(input: AsyncIterable<unknown>, lost: (cause: unknown) => StoreError): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    for await (const chunk of input) if (chunk instanceof Uint8Array) yield chunk;
  } catch (error) {
    throw lost(error);
  }
}
