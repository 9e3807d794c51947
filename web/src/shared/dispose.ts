// What `await using` calls. A browser that does not know the statement has no symbol for it: the code that compilers
// make of the statement takes this one there.
// https://github.com/tc39/proposal-explicit-resource-management

export const asyncDispose: typeof Symbol.asyncDispose =
  Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose") as typeof Symbol.asyncDispose;
