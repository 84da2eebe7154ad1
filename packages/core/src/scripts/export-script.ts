import { setTimeout as wait } from 'node:timers/promises';
import type { PlainPiece } from '../frames/types.ts';
import type { Instance } from '../instances/model.ts';
import type { ExportView } from './environment.ts';
import { exportEnvironment } from './environment.ts';
import { createRedactor } from '../report/redact.ts';
import { Interruption } from '../system/interruption.ts';
import { DEFAULT_GRACE_MS } from '../system/process-group.ts';
import { heldOpenError, succeeded } from './script-errors.ts';
import type { ScriptOptions } from './script-options.ts';
import type { ScriptRequest } from './script-process.ts';
import { ScriptProcess } from './script-process.ts';
import { requestScript } from './script.ts';
import { StdoutText } from './stdout-text.ts';
import type { SelectedOs } from './select.ts';

export interface ExportScriptOptions extends ScriptOptions {
  readonly instance: Instance;
  /** Which disk, by its index. */
  readonly disk: number;
  /** The disk's snapshot where there is one, else the disk itself. */
  readonly view: ExportView;
}

/** The data of one disk, as its export script gives it. */
export interface DiskDump extends AsyncDisposable {
  /**
   * The data, once. The script starts with the first piece that is asked for; the end comes only when the script has exited with
   * status 0 and all of its data was given.
   * @throws GantryError `SCRIPT_START`, `SCRIPT_FAILED`, `SCRIPT_SIGNALLED`; the reason of the signal
   */
  readonly pieces: AsyncIterable<PlainPiece>;
  /** What the script wrote to `EXP_SIZE_FD` so far, bytes; for display alone. */
  expectedBytes(): number | undefined;
  /** The script's last lines so far. */
  messages(): readonly string[];
  /** Ends the script if it still runs, and waits until nothing of it does. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Prepares a run of the export script for one disk.
 * @throws GantryError `OS_OPERATION_UNSUPPORTED`, `OS_PARAMETER`
 */
export function runExportScript(os: SelectedOs, o: ExportScriptOptions): DiskDump {
  const environment = exportEnvironment(os, o.instance, { debug: o.debug, index: o.disk, view: o.view });
  const request: ScriptRequest = { ...requestScript(os, 'export', environment, o.instance), disk: o.disk, writes: 'data' };
  return new ScriptDump(request, o);
}

class ScriptDump implements DiskDump {
  readonly pieces: AsyncGenerator<PlainPiece, void, undefined>;
  readonly #request: ScriptRequest;
  readonly #options: ScriptOptions;
  readonly #interruption: Interruption;
  readonly #text = new StdoutText();
  #script: ScriptProcess | undefined;
  /** The read under way: what it gives must not be lost when the wait for it is cut short. */
  #reading: Promise<Uint8Array | undefined> | undefined;

  constructor(request: ScriptRequest, options: ScriptOptions) {
    this.#request = request;
    this.#options = options;
    this.#interruption = new Interruption(options.signal);
    this.pieces = this.#run();
  }

  expectedBytes(): number | undefined {
    return this.#script?.expectedSize.bytes;
  }

  messages(): readonly string[] {
    return this.#script?.messages ?? [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#interruption.interrupt(new Error('the dump was let go before its end'));
    // Comes back when the piece being waited for, if any, has failed and the script is gone.
    await this.pieces.return();
    this.#interruption[Symbol.dispose]();
  }

  async *#run(): AsyncGenerator<PlainPiece, void, undefined> {
    await using script = await ScriptProcess.start(this.#request, this.#options);
    this.#script = script;
    void this.#stopIfItFails(script);
    try {
      yield* this.#data(script);
      await this.#interruption.race(script.exit);
    } catch (error) {
      if (error !== FAILED) throw error;
      await this.#readText(script);
    }
    await script.close();
    const failure = script.failure(this.#text.lines(createRedactor(this.#request.secrets)));
    if (failure !== undefined) throw failure;
  }

  /** What a script that failed still has in its stdout, as long as that may be a message. */
  async #readText(script: ScriptProcess): Promise<void> {
    const until = performance.now() + LAST_TEXT_MS;
    while (this.#text.mayGoOn && performance.now() < until) {
      const chunk = await Promise.race([this.#read(script), wait(until - performance.now(), undefined, { ref: false })]);
      if (chunk === undefined) return;
      this.#text.take(chunk);
    }
  }

  /** One call at a time, whether or not its answer was waited for. */
  async #read(script: ScriptProcess): Promise<Uint8Array | undefined> {
    this.#reading ??= script.stdout.read();
    const chunk = await this.#reading;
    this.#reading = undefined;
    return chunk;
  }

  /** A script that failed is not listened to any longer. */
  async #stopIfItFails(script: ScriptProcess): Promise<void> {
    if (!succeeded(await script.exit)) this.#interruption.interrupt(FAILED);
  }

  async *#data(script: ScriptProcess): AsyncGenerator<PlainPiece, void, undefined> {
    using watch = new HeldOpenWatch(script, this.#options.graceMs ?? DEFAULT_GRACE_MS, () =>
      this.#interruption.interrupt(heldOpenError(this.#request, script.messages)),
    );
    for (;;) {
      watch.readBegins();
      this.#reading = script.stdout.read();
      const chunk = await this.#interruption.race(this.#reading);
      this.#reading = undefined;
      watch.readEnds();
      if (chunk === undefined) return;
      this.#text.take(chunk);
      yield chunk;
    }
  }
}

/** How long the stdout of a script that failed is still read, should something that it left behind hold it open. */
const LAST_TEXT_MS = 500;

const FAILED: unique symbol = Symbol('the script failed');

/** Notices that the script has exited and that its stdout, all the same, gives neither data nor its end. */
class HeldOpenWatch implements Disposable {
  readonly #onHeldOpen: () => void;
  readonly #limitMs: number;
  #timer: NodeJS.Timeout | undefined;
  #reading = false;
  #exited = false;

  constructor(script: ScriptProcess, limitMs: number, onHeldOpen: () => void) {
    this.#limitMs = limitMs;
    this.#onHeldOpen = onHeldOpen;
    void this.#armAtExit(script);
  }

  readBegins(): void {
    this.#reading = true;
    this.#arm();
  }

  readEnds(): void {
    this.#reading = false;
    clearTimeout(this.#timer);
  }

  [Symbol.dispose](): void {
    this.readEnds();
  }

  async #armAtExit(script: ScriptProcess): Promise<void> {
    await script.exit;
    this.#exited = true;
    this.#arm();
  }

  #arm(): void {
    if (this.#reading && this.#exited) this.#timer = setTimeout(this.#onHeldOpen, this.#limitMs);
  }
}
