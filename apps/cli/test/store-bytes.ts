/** What calls of a store sent to it and read from it, bytes: by the log that `GANTRY_STORE_LOG` asks for. */
export function bytesOf(log: string): { readonly sent: number; readonly read: number } {
  const entries = log.split('\n').flatMap((line) => (line === '' ? [] : [Object(JSON.parse(line))]));
  const sumOf = (name: string): number => entries.reduce((sum, { call, bytes }) => (call === name ? sum + Number(bytes) : sum), 0);
  return { sent: sumOf('append'), read: sumOf('body') };
}
