/** What a failed request says of itself, whoever said it: the service, the SDK, Node's network or TLS. */
export interface ServiceFailure {
  /** The service's code, such as `NoSuchBucket`, or Node's, such as `ECONNRESET`. */
  readonly name: string;
  /** The HTTP status; undefined when no answer came. */
  readonly status: number | undefined;
  /** What the service wrote; empty where it wrote nothing. */
  readonly message: string;
  /** The region that the service says is the right one. */
  readonly region: string | undefined;
  /** With which the service's operators find the request in their logs. */
  readonly requestId: string | undefined;
}

/** Reads the parts of an error that are known to be there and harmless; the rest of it (signatures, headers) is left behind. */
export function readFailure(error: unknown): ServiceFailure {
  const metadata = field(error, '$metadata');
  const status = field(metadata, 'httpStatusCode');
  const code = field(error, 'code');
  const name = field(error, 'name');
  // Node's errors are called Error and have a code; the service's have the code as their name, and some stand in both.
  const shown = typeof code === 'string' && (status === undefined || name === 'Error') ? code : name;
  return {
    name: typeof shown === 'string' && shown !== '' ? shown : 'Error',
    status: typeof status === 'number' ? status : undefined,
    message: readMessage(error),
    region: text(field(error, 'Region')) ?? text(field(field(field(error, '$response'), 'headers'), 'x-amz-bucket-region')),
    requestId: text(field(metadata, 'requestId')),
  };
}

function readMessage(error: unknown): string {
  const message = text(field(error, 'message')) ?? '';
  // The SDK writes this where the service gave no message.
  return message === 'UnknownError' ? '' : message.replaceAll(/\s+/g, ' ').slice(0, 300);
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
