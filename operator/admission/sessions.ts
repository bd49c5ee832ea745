/**
 * Who may touch Sessions: they say who is on what, and their finalizer is what revokes a run's role.
 *
 * | operation | operator | garbage collector, namespace controller | anyone else |
 * |---|---|---|---|
 * | create | yes | no | no |
 * | update, also of the status | yes | metadata only | when nothing changes |
 * | delete | yes | yes (the operator's finalizer stays until all is revoked) | no |
 */
import type { Handler } from './server.ts';
import { ALLOWED, forbidden, isCollector, isUnchanged, specOf } from './own-kinds.ts';
import { own, sameJson } from './json.ts';
import type { AdmissionRequest } from './review.ts';

const HINT =
  'a session begins with the first byte of a run and ends with its pod: to end it, delete the pod or take the connection from it';

/** `operator`: the operator's own user name. */
export function sessionHandler(operator: string): Handler {
  return (request) => {
    if (request.user.username === operator) return ALLOWED;
    if (request.operation === 'DELETE' && isCollector(request.user)) return ALLOWED;
    if (request.operation === 'UPDATE' && request.subresource === '' && isHarmless(request)) return ALLOWED;
    return forbidden(`Sessions are written by Sidewarden's operator alone; ${HINT}`);
  };
}

function isHarmless(request: AdmissionRequest): boolean {
  if (isUnchanged(request)) return true;
  const { object = {}, oldObject = {} } = request;
  const content =
    sameJson(specOf(object), specOf(oldObject)) && sameJson(own(object, 'status'), own(oldObject, 'status'));
  return isCollector(request.user) && content;
}
