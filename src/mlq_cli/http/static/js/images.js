// Pictures among bytes: told by their first bytes, drawn on a canvas. Nothing else that bytes may be is ever interpreted.

import { h, say } from "./dom.js";

const PIXELS = 40_000_000; // more than that is not unpacked
const BYTES = 16 * 1024 * 1024;
const WIDE = 1600;

/** Return `{type, width, height}` of a PNG, JPEG, WebP or GIF, null for anything else. */
export function pictureIn(bytes) {
  if (bytes.length < 30 || bytes.length > BYTES) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found = png(bytes, view) || webp(bytes, view) || gif(bytes, view) || jpeg(bytes, view);
  return found && found.width > 0 && found.height > 0 && found.width * found.height <= PIXELS ? found : null;
}

function text(bytes, from, to) {
  return String.fromCharCode(...bytes.subarray(from, to));
}

function png(bytes, view) {
  if (text(bytes, 0, 8) !== "\x89PNG\r\n\x1a\n") return null;
  return { type: "image/png", width: view.getUint32(16), height: view.getUint32(20) };
}

function gif(bytes, view) {
  if (!/^GIF8[79]a/.test(text(bytes, 0, 6))) return null;
  return { type: "image/gif", width: view.getUint16(6, true), height: view.getUint16(8, true) };
}

function webp(bytes, view) {
  if (text(bytes, 0, 4) !== "RIFF" || text(bytes, 8, 12) !== "WEBP") return null;
  const three = (at) => view.getUint16(at, true) + (bytes[at + 2] << 16);
  switch (text(bytes, 12, 16)) {
    case "VP8X": return { type: "image/webp", width: three(24) + 1, height: three(27) + 1 };
    case "VP8L": {
      const bits = view.getUint32(21, true);
      return { type: "image/webp", width: (bits & 0x3fff) + 1, height: ((bits >> 14) & 0x3fff) + 1 };
    }
    case "VP8 ": return { type: "image/webp", width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
    default: return null;
  }
}

function jpeg(bytes, view) {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) return null;
  for (let at = 2; at + 9 < bytes.length && bytes[at] === 0xff; at += 2 + view.getUint16(at + 2)) {
    const marker = bytes[at + 1];
    const frame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (frame) return { type: "image/jpeg", width: view.getUint16(at + 7), height: view.getUint16(at + 5) };
  }
  return null;
}

/** Return a <figure> in which the picture is drawn; it says so when the browser cannot. */
export function drawPicture(bytes, { type, width, height }) {
  const canvas = h("canvas", { role: "img", "aria-label": `Picture, ${width} by ${height} pixels` });
  const words = h("figcaption", { class: "muted small" }, `${type.slice(6).toUpperCase()}, ${width} × ${height}`);
  const node = h("figure", { class: width < 160 ? "picture tiny" : "picture" }, canvas, words);
  const smaller = width > WIDE ? { resizeWidth: WIDE, resizeQuality: "medium" } : {};
  createImageBitmap(new Blob([bytes], { type }), smaller).then((bitmap) => {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
  }, () => {
    canvas.remove();
    say(words, "This picture cannot be drawn.");
  });
  return node;
}
