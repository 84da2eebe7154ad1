export { abortable } from '@gantry/transport';
