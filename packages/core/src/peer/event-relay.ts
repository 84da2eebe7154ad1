import type { EventListener, GantryEvent } from '../report/events.ts';
import type { Link } from './link.ts';
import type { PeerEvent } from './messages.ts';

/** Further events are dropped: a source that does not read must not fill our memory. */
const MAX_PENDING_EVENTS = 64;
const MAX_TEXT_CHARACTERS = 8192;

/** Passes all events on to a local listener, and to the source those that its user should see. */
export class EventRelay {
  readonly #listener: EventListener | undefined;
  #link: Link | undefined;
  #pending = 0;

  constructor(listener: EventListener | undefined) {
    this.#listener = listener;
  }

  get listener(): EventListener {
    return (event) => {
      this.#listener?.(event);
      const relayed = forSource(event);
      if (relayed !== undefined) void this.#send(relayed);
    };
  }

  attach(link: Link): void {
    this.#link = link;
  }

  async #send(event: PeerEvent): Promise<void> {
    if (this.#link === undefined || this.#link.lost.aborted || this.#pending >= MAX_PENDING_EVENTS) return;
    this.#pending += 1;
    try {
      await this.#link.send(event);
    } catch {
      // The source is gone.
    } finally {
      this.#pending -= 1;
    }
  }
}

function forSource(event: GantryEvent): PeerEvent | undefined {
  const disk = 'disk' in event && event.disk !== undefined ? { disk: event.disk } : {};
  if (event.type === 'warning') return { kind: 'event', text: event.message.slice(0, MAX_TEXT_CHARACTERS), ...disk };
  if (event.type !== 'message') return undefined;
  const { script, stream, line } = event;
  return { kind: 'event', script, stream, text: line.slice(0, MAX_TEXT_CHARACTERS), ...disk };
}
