import { empty } from './dom.js';

export function open({ box }) {
  box.append(empty('Soon'));
}
