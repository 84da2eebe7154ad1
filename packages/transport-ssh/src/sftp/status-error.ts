import { STATUS } from './protocol.ts';

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(STATUS).map(([name, code]) => [code, name]));

/** The server's refusal of a request. */
export class SftpStatusError extends Error {
  override readonly name = 'SftpStatusError';
  /** One of {@link STATUS}, or another number from the server. */
  readonly status: number;

  constructor(status: number, serverText: string) {
    super(describe(status, serverText));
    this.status = status;
  }
}

/** The server's text is not trusted: it is shortened, and control characters are removed. */
function describe(status: number, serverText: string): string {
  const name = NAMES.get(status) ?? `status ${status}`;
  const text = serverText
    .slice(0, 200)
    .replaceAll(/\p{Cc}/gu, ' ')
    .trim();
  return text === '' ? `SFTP ${name}` : `SFTP ${name}: ${text}`;
}

export function hasStatus(error: unknown, ...statuses: readonly number[]): error is SftpStatusError {
  return error instanceof SftpStatusError && statuses.includes(error.status);
}
