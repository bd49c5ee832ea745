/** Conditions as the Kubernetes API conventions have them, with closed types and reasons a kind. */
import { choice, integer, list, object, optional, required, text, timestamp } from './schema.ts';

export function conditions<const T extends string, const R extends string>(
  types: readonly T[],
  reasons: readonly R[],
) {
  const condition = object('One aspect of the state.', {
    type: required(choice('Which aspect.', types)),
    status: required(choice('Whether it holds.', ['True', 'False', 'Unknown'])),
    observedGeneration: optional(
      integer('The generation of the object that this was said of.', {
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
      }),
    ),
    lastTransitionTime: required(timestamp('When the status last changed.')),
    reason: required(choice('Why, for programs.', reasons)),
    message: required(text('Why, for people.', { maxLength: 4096 })),
  });
  return list('The state, aspect by aspect.', condition, { maxItems: 16, unique: { key: 'type' } });
}

/** Which generation of the spec the status speaks of. */
export const observedGeneration = integer('The generation of the spec that this status speaks of.', {
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
});
