/*
 * What can be used without loading the library of age: `@gantry/age/light`. A program that rarely meets encrypted files loads the rest when it
 * does.
 */
export { AgeError } from './errors.ts';
export { MAX_RECIPIENTS } from './limits.ts';
