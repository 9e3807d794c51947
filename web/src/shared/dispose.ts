// What `await using` calls. Browsers that do not know the statement have no symbol for it either: what compilers make of
// the statement then takes this one.
// https://github.com/tc39/proposal-explicit-resource-management

export const asyncDispose: typeof Symbol.asyncDispose =
  Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose") as typeof Symbol.asyncDispose;
