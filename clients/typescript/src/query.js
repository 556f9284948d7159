// Option objects for TanStack Query, which is not imported. Types are in query.d.ts.

/**
 * @typedef {import("./client.js").CallOptions} CallOptions
 * @typedef {((input?: any, options?: CallOptions) => Promise<any>) & { method: string }} Procedure
 */

/** @param {string} namespace */
export function namespaceKey(namespace) {
  return ["quittance", namespace];
}

/** @param {Procedure} procedure @param {unknown} [input] */
export function queryKey(procedure, input) {
  const path = ["quittance", ...procedure.method.split(".")];
  return input === undefined ? path : [...path, { input }];
}

/** @param {Procedure} procedure @param {unknown} [input] */
export function queryOptions(procedure, input = {}) {
  return {
    queryKey: queryKey(procedure, input),
    /** @param {{ signal: AbortSignal }} context */
    queryFn: ({ signal }) => procedure(input, { signal }),
    retry: false,
  };
}

/** @param {Procedure} procedure @param {object} [input] */
export function infiniteQueryOptions(procedure, input = {}) {
  return {
    queryKey: [...queryKey(procedure), { input, pages: true }],
    /** @param {{ signal: AbortSignal; pageParam: string | null }} context */
    queryFn: ({ signal, pageParam }) => procedure({ ...input, cursor: pageParam }, { signal }),
    initialPageParam: null,
    /** @param {{ nextCursor: string | null }} page */
    getNextPageParam: (page) => page.nextCursor,
    retry: false,
  };
}

/** @param {Procedure} procedure */
export function mutationOptions(procedure) {
  return {
    mutationKey: queryKey(procedure),
    /** @param {unknown} input */
    mutationFn: (input) => procedure(input),
    retry: false,
  };
}
