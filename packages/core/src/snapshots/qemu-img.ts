import { errnoName } from '../system/errno-name.ts';
import type { CommandOptions } from '../system/run-command.ts';
import { runCommand } from '../system/run-command.ts';

/** The program `qemu-img` is not there. */
export class QemuImgMissingError extends Error {
  override readonly name = 'QemuImgMissingError';
}

/** @returns the end of what it wrote to stdout @throws QemuImgMissingError, Error with its last lines, the signal's reason */
export async function runQemuImg(parameters: readonly string[], options: CommandOptions): Promise<string> {
  try {
    return await runCommand(['qemu-img', ...parameters], options);
  } catch (error) {
    options.signal.throwIfAborted();
    if (!(error instanceof Error) || errnoName(error.cause) !== 'ENOENT') throw error;
    throw new QemuImgMissingError('qemu-img is not installed (Debian package qemu-utils)', { cause: error });
  }
}
