import { EventEmitter, once } from 'node:events';
import type { Socket } from 'node:net';
import { connect, createServer } from 'node:net';

/*
 * A guest agent as it is seen from outside of the guest, for what a real one cannot be made to do at will: hang, refuse, send nonsense.
 * The real one of Debian is in qemu-mixed-guest.test.ts.
 */

export interface FakeAgentOptions {
  /** Commands that it takes and never answers. */
  readonly hangs?: readonly string[];
  /** With this command it hangs, and does nothing more until it goes on. */
  readonly stopsAt?: string;
  /** Commands that it refuses. */
  readonly refuses?: readonly string[];
  /** Sent to every client before anything else. */
  readonly noise?: string;
}

export interface FakeAgent extends AsyncDisposable {
  /** What it was asked to do, without the synchronization. */
  readonly heard: readonly string[];
  readonly isFrozen: () => boolean;
  /** Ends its hanging: it does all that it was asked meanwhile. */
  readonly goOn: () => void;
  /** Resolves when it was asked to do this so often. */
  hears(command: string, times?: number): Promise<void>;
}

export async function startFakeAgent(path: string, options: FakeAgentOptions = {}): Promise<FakeAgent> {
  const { hangs = [], refuses = [], noise = '' } = options;
  let { stopsAt } = options;
  const heard: string[] = [];
  const clients = new Set<Socket>();
  const events = new EventEmitter();
  let isFrozen = false;
  const answer = (line: string): string | undefined => {
    const [, command = ''] = /"execute":"([a-z-]+)"/.exec(line) ?? [];
    if (hangs.includes(command)) heard.push(command);
    if (hangs.includes(command)) return undefined;
    const [, id] = /"id":(\d+)/.exec(line) ?? [];
    if (command === 'guest-sync-delimited') return `\xFF{"return": ${id}}\n`;
    heard.push(command);
    if (refuses.includes(command)) return '{"error": {"class": "GenericError", "desc": "not\u001b[1m today"}}\n';
    isFrozen = command === 'guest-fsfreeze-freeze';
    return '{"return": 1}\n';
  };
  const carryOut = (line: string, client: Socket): void => {
    const text = answer(line);
    if (text !== undefined) client.write(text, 'latin1');
    events.emit('heard');
  };
  /** While it hangs. */
  let queue: { readonly line: string; readonly client: Socket }[] | undefined;
  const server = createServer((client) => {
    clients.add(client);
    client.write(noise, 'latin1');
    let received = '';
    client.on('error', () => undefined);
    client.on('data', (chunk) => {
      received += chunk.toString('latin1');
      const lines = received.split('\n');
      received = lines.pop() ?? '';
      for (const line of lines) {
        if (stopsAt !== undefined && line.includes(stopsAt)) queue ??= [];
        if (queue === undefined) carryOut(line, client);
        else queue.push({ line, client });
      }
    });
  });
  server.listen(path);
  await once(server, 'listening');
  return {
    heard,
    isFrozen: () => isFrozen,
    goOn() {
      const meanwhile = queue ?? [];
      [stopsAt, queue] = [undefined, undefined];
      for (const { line, client } of meanwhile) carryOut(line, client);
    },
    async hears(command, times = 1) {
      while (heard.filter((each) => each === command).length < times) await once(events, 'heard');
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Asks an agent, real or not, whether its guest is frozen. */
export async function isFrozen(path: string): Promise<boolean> {
  const socket = connect({ path });
  try {
    socket.write('\xFF{"execute":"guest-sync-delimited","arguments":{"id":4711}}\n{"execute":"guest-fsfreeze-status"}\n', 'latin1');
    let received = '';
    for await (const chunk of socket) {
      received += Buffer.from(chunk).toString('latin1');
      const [, status] = /4711\}\s*\{"return": "(thawed|frozen)"\}/.exec(received) ?? [];
      if (status !== undefined) return status === 'frozen';
    }
    throw new Error(`the agent at ${path} said ${received}`);
  } finally {
    socket.destroy();
  }
}
