/** A store broke a promise of the contract: the message says which, and what the store did instead. */
export class ConformanceFailure extends Error {
  override readonly name = 'ConformanceFailure';
}
