// JSON without loss: integers of any size stay what they are, in and out.

const RAW = typeof JSON.rawJSON === "function";

/** Parse JSON; integers that a double cannot hold become BigInt where the browser tells their digits. */
export function parse(text) {
  return JSON.parse(text, (key, value, context) => {
    if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
    const source = context && context.source;
    return source && /^-?\d+$/.test(source) ? BigInt(source) : value;
  });
}

/** Write JSON, indented, with BigInts as the digits they are. */
export function write(value, indent = 2) {
  const plain = (key, each) => (typeof each === "bigint" ? (RAW ? JSON.rawJSON(String(each)) : String(each)) : each);
  return JSON.stringify(value, plain, indent);
}
