/**
 * Whether a container is the planned one. What the API server and its own admission may have done to it is tolerated, nothing else:
 * an image always pulled anew (AlwaysPullImages), further requests and limits (LimitRanger), `procMount` by its default.
 */
import { isJson, object, own, sameJson, type Json } from '../json.ts';
import { sameQuantity } from './quantity.ts';

export function isPlanned(planned: Json, actual: unknown): boolean {
  if (!isJson(actual)) return false;
  const { resources, imagePullPolicy, securityContext, ...rest } = planned;
  const {
    resources: actualResources,
    imagePullPolicy: actualPolicy,
    securityContext: actualContext,
    ...actualRest
  } = actual;
  return (
    sameJson(rest, actualRest) &&
    (actualPolicy === imagePullPolicy || actualPolicy === 'Always') &&
    sameContext(object(securityContext), object(actualContext)) &&
    hasResources(object(resources), object(actualResources))
  );
}

export function isPlannedVolume(planned: Json, actual: unknown): boolean {
  if (!isJson(actual)) return false;
  const limit = object(planned['emptyDir'])['sizeLimit'];
  const actualLimit = object(actual['emptyDir'])['sizeLimit'];
  if (limit === undefined || !sameQuantity(limit, actualLimit)) return sameJson(planned, actual);
  return sameJson(planned, { ...actual, emptyDir: { ...object(actual['emptyDir']), sizeLimit: limit } });
}

function sameContext(planned: Json, actual: Json): boolean {
  const { procMount, ...rest } = actual;
  return (procMount === undefined || procMount === 'Default') && sameJson(planned, rest);
}

function hasResources(planned: Json, actual: Json): boolean {
  const known = Object.keys(actual).every((key) => key === 'limits' || key === 'requests');
  return (
    known &&
    ['limits', 'requests'].every((kind) =>
      Object.entries(object(planned[kind])).every(([name, quantity]) =>
        sameQuantity(quantity, own(object(actual[kind]), name)),
      ),
    )
  );
}
