/** An inventory broke one of the contract's promises: the message says which, and what it did instead. */
export class ConformanceFailure extends Error {
  override readonly name = 'ConformanceFailure';
}
