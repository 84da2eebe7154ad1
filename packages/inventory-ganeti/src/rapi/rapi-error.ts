import type { InventoryErrorCode, InventoryErrorDetails } from '@gantry/core/inventory';
import { InventoryError } from '@gantry/core/inventory';

export interface RapiErrorDetails extends InventoryErrorDetails {
  readonly status?: number | undefined;
  readonly retry: RapiRetry;
}

/** Whether asking again may help: `any` where the server did not get the request, `read` for one that changes nothing. */
export type RapiRetry = 'never' | 'read' | 'any';

/** RAPI did not do what it was asked for. */
export class RapiError extends InventoryError {
  /** Status of its HTTP answer, if there was one. */
  readonly status: number | undefined;
  readonly retry: RapiRetry;

  constructor(code: InventoryErrorCode, { status, retry, ...details }: RapiErrorDetails) {
    super(code, details);
    this.status = status;
    this.retry = retry;
  }
}
