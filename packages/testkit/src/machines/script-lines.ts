import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';

/** What a script in a machine came to. */
export interface ScriptOutcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A script that runs in a machine. */
export interface MachineScript {
  /** Resolves when it has ended; rejects when the machine has. */
  readonly outcome: Promise<ScriptOutcome>;
  /** Resolves with the first event that its output has the text; rejects when script or machine end without. */
  printed(text: string): Promise<void>;
}

/** One output of the script that runs, up to the mark behind it. */
class Output {
  readonly #mark: string;
  readonly #end = Promise.withResolvers<{ readonly text: string; readonly status: number }>();
  #text = '';

  constructor(mark: string) {
    this.#mark = mark;
    this.#end.promise.catch(() => undefined);
  }

  get end(): Promise<{ readonly text: string; readonly status: number }> {
    return this.#end.promise;
  }

  has(text: string): boolean {
    return this.#text.includes(text);
  }

  take(text: string): void {
    this.#text += text;
    const at = this.#text.lastIndexOf(`${this.#mark} `);
    const status = at < 0 ? undefined : /^\w+ (\d+)\n/.exec(this.#text.slice(at))?.[1];
    if (status !== undefined) this.#end.resolve({ text: this.#text.slice(0, at), status: Number(status) });
  }

  fail(error: Error): void {
    this.#end.reject(error);
  }
}

/** Runs scripts in a machine, one after the other, over the three lines that its first process serves. */
export class ScriptLines {
  readonly #scripts: Duplex;
  readonly #ready = Promise.withResolvers<void>();
  #outputs: readonly [Output, Output] | undefined;
  #watchers: (() => void)[] = [];
  #ended: Error | undefined;

  constructor(scripts: Duplex, stdout: Duplex, stderr: Duplex) {
    this.#scripts = scripts;
    this.#ready.promise.catch(() => undefined);
    for (const [index, line] of [stdout, stderr].entries()) {
      line.setEncoding('utf8');
      line.on('data', (text: string) => this.#take(index, text));
      line.on('error', () => undefined);
    }
    scripts.on('error', () => undefined);
  }

  /** Resolves when the machine takes scripts. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** To be called when the one before has ended. */
  start(script: string): MachineScript {
    if (this.#ended !== undefined) throw this.#ended;
    const mark = randomBytes(16).toString('hex');
    const outputs = [new Output(mark), new Output(mark)] as const;
    this.#outputs = outputs;
    this.#scripts.write(`${mark} ${Buffer.from(script).toString('base64')}\n`);
    const outcome = outcomeOf(outputs);
    outcome.catch(() => undefined);
    return { outcome, printed: (text) => this.#printed(outputs, text, outcome) };
  }

  /** The machine is gone: whoever waits for it is told why. */
  end(error: Error): void {
    this.#ended ??= error;
    this.#ready.reject(error);
    for (const output of this.#outputs ?? []) output.fail(error);
  }

  async #printed(outputs: readonly Output[], text: string, outcome: Promise<unknown>): Promise<void> {
    const found = Promise.withResolvers<void>();
    const look = (): void => {
      if (outputs.some((output) => output.has(text))) found.resolve();
    };
    this.#watchers.push(look);
    look();
    const tooLate = outcome.then((result) => {
      look();
      throw new Error(`the script ended and did not print ${text}: ${JSON.stringify(result)}`);
    });
    await Promise.race([found.promise, tooLate]);
    this.#watchers = this.#watchers.filter((watcher) => watcher !== look);
  }

  #take(index: number, text: string): void {
    if (this.#outputs === undefined) this.#ready.resolve();
    else this.#outputs[index]?.take(text);
    for (const watcher of this.#watchers) watcher();
  }
}

async function outcomeOf([stdout, stderr]: readonly [Output, Output]): Promise<ScriptOutcome> {
  const [out, err] = await Promise.all([stdout.end, stderr.end]);
  return { exitCode: out.status, stdout: out.text, stderr: err.text };
}
