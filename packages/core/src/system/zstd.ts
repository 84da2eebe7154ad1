import type { Native } from './process-library.ts';
import { callOnThread, processFunction } from './process-library.ts';
import { zstdParameters, zstdPatchParameters } from './zstd-parameters.ts';

/*
 * Node's own zstd, called through its stable interface (zstd.h). Node's zlib module allocates a context and an output buffer for every
 * call, which costs a page fault for every 4 KiB; here contexts are reused, and the caller provides the output buffer.
 */

/** ZSTD_ResetDirective of zstd.h. */
const ZSTD_RESET_SESSION_AND_PARAMETERS = 3;

/** One-shot zstd on libuv's threads. */
export interface NativeZstd {
  /**
   * Compresses to one frame with content size and checksum.
   *
   * @returns the part of `output` that the frame takes
   */
  compress(plain: Uint8Array, output: Uint8Array, level: number): Promise<Uint8Array>;

  /**
   * Decompresses one frame, and checks its checksum.
   *
   * @returns the part of `output` that the plain bytes take
   * @throws Error with the message of zstd
   */
  decompress(stored: Uint8Array, output: Uint8Array): Promise<Uint8Array>;

  /**
   * Compresses to one frame, with content size and checksum, that holds only the difference from `base`: what `zstd --patch-from` does.
   *
   * @param base must not change meanwhile
   * @returns the part of `output` that the frame takes
   */
  compressPatch(plain: Uint8Array, base: Uint8Array, output: Uint8Array, level: number): Promise<Uint8Array>;

  /**
   * Decompresses one frame that holds the difference from `base`, and checks its checksum.
   *
   * @param base the bytes from which it was made; must not change meanwhile
   * @returns the part of `output` that the plain bytes take
   * @throws Error with the message of zstd, also if `base` is another one
   */
  decompressPatch(stored: Uint8Array, base: Uint8Array, output: Uint8Array): Promise<Uint8Array>;

  /** Keeps contexts for later calls until it is disposed. */
  use(): Disposable;
}

/** Undefined where Node's zstd cannot be called: in a Node that was built differently. */
export function findNativeZstd(): NativeZstd | undefined {
  found ??= { zstd: tryToFind() };
  return found.zstd;
}

let found: { readonly zstd: NativeZstd | undefined } | undefined;

function tryToFind(): NativeZstd | undefined {
  try {
    return new ProcessZstd();
  } catch {
    return undefined;
  }
}

class ProcessZstd implements NativeZstd {
  readonly #compressors = new Contexts('CCtx');
  readonly #decompressors = new Contexts('DCtx');
  readonly #reset = processFunction('size_t ZSTD_CCtx_reset(void *context, int directive)');
  readonly #setParameter = processFunction('size_t ZSTD_CCtx_setParameter(void *context, int parameter, int value)');
  readonly #compress = processFunction(
    'size_t ZSTD_compress2(void *context, void *output, size_t outputBytes, const void *plain, size_t plainBytes)',
  );
  readonly #decompress = processFunction(
    'size_t ZSTD_decompressDCtx(void *context, void *output, size_t outputBytes, const void *stored, size_t storedBytes)',
  );
  readonly #setBase = processFunction('size_t ZSTD_CCtx_refPrefix(void *context, const void *base, size_t baseBytes)');
  readonly #setBaseForReading = processFunction('size_t ZSTD_DCtx_refPrefix(void *context, const void *base, size_t baseBytes)');
  readonly #isError = processFunction('uint32_t ZSTD_isError(size_t code)');
  readonly #errorName = processFunction('const char *ZSTD_getErrorName(size_t code)');

  compress(plain: Uint8Array, output: Uint8Array, level: number): Promise<Uint8Array> {
    return this.#compressors.lend((context) => {
      this.#prepare(context, zstdParameters(level));
      return this.#run(this.#compress, context, plain, output);
    });
  }

  compressPatch(plain: Uint8Array, base: Uint8Array, output: Uint8Array, level: number): Promise<Uint8Array> {
    return this.#compressors.lend(async (context) => {
      this.#prepare(context, zstdPatchParameters(level, plain.length + base.length));
      // It holds for one frame.
      this.#check(this.#setBase(context, base, base.length));
      return await this.#run(this.#compress, context, plain, output, base);
    });
  }

  decompress(stored: Uint8Array, output: Uint8Array): Promise<Uint8Array> {
    return this.#decompressors.lend((context) => this.#run(this.#decompress, context, stored, output));
  }

  decompressPatch(stored: Uint8Array, base: Uint8Array, output: Uint8Array): Promise<Uint8Array> {
    return this.#decompressors.lend(async (context) => {
      this.#check(this.#setBaseForReading(context, base, base.length));
      return await this.#run(this.#decompress, context, stored, output, base);
    });
  }

  use(): Disposable {
    const both = new DisposableStack();
    both.use(this.#compressors.use());
    both.use(this.#decompressors.use());
    return both;
  }

  #prepare(context: unknown, parameters: ReadonlyMap<number, number>): void {
    this.#check(this.#reset(context, ZSTD_RESET_SESSION_AND_PARAMETERS));
    for (const [parameter, value] of parameters) this.#check(this.#setParameter(context, parameter, value));
  }

  #run(work: Native, context: unknown, input: Uint8Array, output: Uint8Array, base?: Uint8Array): Promise<Uint8Array> {
    const parameters = [context, output, output.length, input, input.length];
    return callOnThread(work, parameters, (code) => output.subarray(0, this.#check(code)), base);
  }

  /** zstd returns sizes and errors as one number. */
  #check(code: unknown): number {
    if (this.#isError(code) !== 0) throw new Error(String(this.#errorName(code)));
    return Number(code);
  }
}

/** A pool of contexts: as many as are used at once. They are freed when zstd is no longer in use. */
class Contexts {
  readonly #create: Native;
  readonly #free: Native;
  readonly #idle: unknown[] = [];
  #users = 0;

  constructor(kind: 'CCtx' | 'DCtx') {
    this.#create = processFunction(`void *ZSTD_create${kind}(void)`);
    this.#free = processFunction(`size_t ZSTD_free${kind}(void *context)`);
  }

  use(): Disposable {
    this.#users += 1;
    return {
      [Symbol.dispose]: () => {
        this.#users -= 1;
        if (this.#users === 0) for (const context of this.#idle.splice(0)) this.#free(context);
      },
    };
  }

  async lend<T>(work: (context: unknown) => Promise<T>): Promise<T> {
    const context: unknown = this.#idle.pop() ?? this.#make();
    try {
      return await work(context);
    } finally {
      if (this.#users > 0) this.#idle.push(context);
      else this.#free(context);
    }
  }

  #make(): unknown {
    const context: unknown = this.#create();
    if (context === null) throw new Error('out of memory for a zstd context');
    return context;
  }
}
