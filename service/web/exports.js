// Taking an answer along: as JSON, as a curl command, as the picture with its boxes.

import { detectPath } from "./api.js";
import { colour } from "./view.js";

const LONGEST_SIDE = 4096; // pixels of a saved picture: a canvas is limited, and by far larger ones fail

export function asJson({ model, image }, detections) {
  return JSON.stringify({ model, image, detections }, null, 2);
}

export function asCurl(name, model, withKey) {
  const key = withKey ? ` -H "Authorization: Bearer $DETECT_API_KEY"` : "";
  const file = name.replaceAll("'", "'\\''");
  return `curl${key} -F 'image=@${file}' '${new URL(detectPath(model), location.href)}'`;
}

export async function save(surface, { image }, detections, name) {
  const scale = Math.min(1, LONGEST_SIDE / Math.max(image.width, image.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(image.width * scale);
  canvas.height = Math.round(image.height * scale);
  const pen = canvas.getContext("2d");
  pen.drawImage(surface, 0, 0, canvas.width, canvas.height);
  const size = Math.max(12, Math.min(canvas.width, canvas.height) / 36);
  pen.font = `600 ${size}px system-ui, sans-serif`;
  pen.lineJoin = "round";
  for (const { box, class_id, label, score } of [...detections].reverse()) {
    const [x, y] = [box.x_min * scale, box.y_min * scale];
    pen.strokeStyle = colour(class_id);
    pen.lineWidth = Math.max(2, size / 7);
    pen.strokeRect(x, y, (box.x_max - box.x_min) * scale, (box.y_max - box.y_min) * scale);
    const text = `${label} ${score.toFixed(2)}`;
    const at = [Math.min(x + 3, canvas.width - pen.measureText(text).width), Math.max(y - 4, size)];
    pen.strokeStyle = "#000c";
    pen.lineWidth = size / 4;
    pen.strokeText(text, ...at);
    pen.fillStyle = colour(class_id);
    pen.fillText(text, ...at);
  }
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${name.replace(/\.\w+$/, "")}-detections.jpg`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
