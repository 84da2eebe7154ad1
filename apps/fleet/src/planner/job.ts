import { createHash } from 'node:crypto';
import type { Occurrence } from '@gantry/policies';
import { uuidOfName } from './uuid.ts';

/** Made at random once, for names of exports that a fleet plans. */
const NAMESPACE = '0b9f1c52-5d0e-4b59-9a44-8c1d2a7f6e31';

/** What a fleet exports: an instance, by what a policy says of it. */
export interface Subject {
  readonly policy: string;
  readonly instance: string;
}

/** The export of an instance in one occurrence of its policy's window. */
export interface PlannedJob extends Subject {
  /** {@link jobId} of its subject and window. */
  readonly id: string;
  /** The node whose agent is to run it. */
  readonly node: string;
  readonly window: Occurrence;
  /** Names of the stores that it is written into. */
  readonly stores?: readonly string[] | undefined;
  /** It does not begin earlier. */
  readonly startAfter: Date;
  /** Higher ones come first. */
  readonly priority: number;
}

/**
 * The id of the export of a subject in the window that begins then. Two planners, or one that is started again, find the same one, so that a
 * window has each export once.
 */
export function jobId({ policy, instance }: Subject, windowBegin: Date): string {
  return uuidOfName(NAMESPACE, JSON.stringify([policy, instance, windowBegin.toISOString()]));
}

/**
 * When the export of a subject begins in a window: each has its own place in the first part of it, the same every night, so that not all of
 * a policy begin at once.
 *
 * @param spread how much of the window the beginnings fill, from 0 to 1
 */
export function startIn({ begin, end }: Occurrence, subject: Subject, spread: number): Date {
  const place = createHash('sha256').update(subjectKey(subject)).digest().readUInt32BE(0) / 2 ** 32;
  return new Date(begin.getTime() + Math.floor((end.getTime() - begin.getTime()) * spread * place));
}

/** A text that no other subject has. */
export function subjectKey({ policy, instance }: Subject): string {
  return JSON.stringify([policy, instance]);
}

/** That of an instance that was never exported. One minute more of age counts 1. */
export const MAX_PLANNED_PRIORITY = 10_000_000;
/** What a user asked for comes before everything that is planned. */
export const ASKED_PRIORITY = 100_000_000;

const MINUTE_MS = 60_000;

/** The priority of an export: the older the last one, the higher. */
export function priorityOf(lastGood: Date | undefined, now: Date): number {
  if (lastGood === undefined) return MAX_PLANNED_PRIORITY;
  const minutes = Math.floor((now.getTime() - lastGood.getTime()) / MINUTE_MS);
  return Math.min(MAX_PLANNED_PRIORITY - 1, Math.max(0, minutes));
}
