import { isHtml, isWebPage } from './collect-answer.ts';

/** What an error says about a failed request. It comes from the service, the SDK, Node's network or TLS. */
export interface ServiceFailure {
  /** The service's code, such as `NoSuchBucket`, or Node's, such as `ECONNRESET`. */
  readonly name: string;
  /** The HTTP status; undefined if there was no answer. */
  readonly status: number | undefined;
  /** What the service wrote; empty if it wrote nothing. */
  readonly message: string;
  /** The region that the service says is the right one. */
  readonly region: string | undefined;
  /** Where the answer redirects to. */
  readonly location: URL | undefined;
  /** The answer is a web page: it comes from something in front of the service, or there is no S3 service. */
  readonly isWebPage: boolean;
  /** Lets the service's operators find the request in their logs. */
  readonly requestId: string | undefined;
}

/** Reads the known and harmless parts of an error; the rest (signatures, headers) is dropped. */
export function readFailure(error: unknown): ServiceFailure {
  const metadata = field(error, '$metadata');
  const response = field(error, '$response');
  const headers = field(response, 'headers');
  const status = field(metadata, 'httpStatusCode') ?? field(response, 'statusCode');
  const code = field(error, 'code');
  const name = field(error, 'name');
  // Node's errors are named Error and have a code; the service's have the code as their name, and some have both.
  const shown = typeof code === 'string' && (status === undefined || name === 'Error') ? code : name;
  return {
    name: typeof shown === 'string' && shown !== '' ? shown : 'Error',
    status: typeof status === 'number' ? status : undefined,
    message: readMessage(error),
    region: text(field(error, 'Region')) ?? text(field(headers, 'x-amz-bucket-region')),
    location: readLocation(text(field(headers, 'location'))),
    // If an answer is not the document it should be, the SDK replaces its body.
    isWebPage: isWebPage(field(response, 'body')) || (Number(status) < 300 && isHtml(text(field(headers, 'content-type')))),
    requestId: text(field(metadata, 'requestId')),
  };
}

function readMessage(error: unknown): string {
  const message = text(field(error, 'message')) ?? '';
  // The SDK writes this if the service gave no message.
  return message === 'UnknownError' ? '' : message.replaceAll(/\s+/g, ' ').slice(0, 300);
}

function readLocation(location: string | undefined): URL | undefined {
  const url = location === undefined ? null : URL.parse(location);
  return url?.protocol === 'http:' || url?.protocol === 'https:' ? url : undefined;
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
