/** Sets of effects and accesses as bits, and their sorted lists. */
import { type Access, EFFECTS, type Effect } from '../../operation.ts';

const EFFECT_BITS = new Map<Effect, number>(EFFECTS.map((effect, index) => [effect, 1 << index]));
const ACCESSES: readonly Access[] = ['ddl', 'delete', 'privilege', 'read', 'write'];
const ACCESS_BITS = new Map<Access, number>(ACCESSES.map((access, index) => [access, 1 << index]));

const listed = <T>(all: readonly T[]) => {
  const lists: (readonly T[] | undefined)[] = [];
  return (bits: number): readonly T[] => {
    let list = lists[bits];
    if (list === undefined) {
      list = Object.freeze(all.filter((_, index) => (bits & (1 << index)) !== 0));
      lists[bits] = list;
    }
    return list;
  };
};

export const effectBit = (effect: Effect): number => EFFECT_BITS.get(effect) ?? 0;
export const accessBit = (access: Access): number => ACCESS_BITS.get(access) ?? 0;
/** In the order of `EFFECTS`. */
export const effectList = listed(EFFECTS);
/** In alphabetical order. */
export const accessList = listed(ACCESSES);

export const OPAQUE = effectBit('opaque');
export const READ = effectBit('read');
