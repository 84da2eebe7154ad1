/** The code of a system error, such as `ENOENT`. @throws what else was thrown, as it is */
export function systemErrorCode(error: unknown): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  throw error;
}
