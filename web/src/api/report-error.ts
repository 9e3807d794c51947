// Errors that no call can reject with: thrown by an app's callback, or of a
// live query without onError. They show like any uncaught error.

export function report(error: unknown): void {
  const scope = globalThis as { reportError?: (error: unknown) => void };
  if (typeof scope.reportError === "function") scope.reportError(error);
  else console.error(error);
}
