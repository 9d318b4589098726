// The page of the web example: a drawing goes out, news of its job comes in.

const SIDE = 64;  // pixels a side of what is sent, one byte each: 0 for paper to 255 for ink
const find = (id) => document.getElementById(id);
const canvas = find("drawing"), pen = canvas.getContext("2d", { willReadFrequently: true });
let following;  // the news of the job that was posted last

function clear() {
  pen.fillStyle = "white";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  Object.assign(pen, { lineWidth: 20, lineCap: "round", lineJoin: "round", strokeStyle: "black" });
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  pen.beginPath();
  pen.moveTo(...place(event));
  pen.lineTo(...place(event));
  pen.stroke();
});
canvas.addEventListener("pointermove", (event) => {
  if (!event.buttons) return;
  pen.lineTo(...place(event));
  pen.stroke();
});

find("picture").addEventListener("change", async (event) => {
  const picture = await createImageBitmap(event.target.files[0]);
  const scale = Math.min(canvas.width / picture.width, canvas.height / picture.height);
  const width = picture.width * scale, height = picture.height * scale;
  clear();
  pen.drawImage(picture, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
});

function pixels() {
  const small = new OffscreenCanvas(SIDE, SIDE).getContext("2d");
  small.drawImage(canvas, 0, 0, SIDE, SIDE);
  const { data } = small.getImageData(0, 0, SIDE, SIDE);  // red, green, blue, opacity of each pixel
  const light = Uint8Array.from({ length: SIDE * SIDE }, (_, i) => data[4 * i + 1]);
  const dark = light.reduce((sum, value) => sum + value, 0) < 128 * light.length;  // chalk on a board
  return dark ? light : light.map((value) => 255 - value);
}

function show({ digit, chances }, sure) {
  find("stands").textContent = sure ? `It is a ${digit}.` : `Perhaps a ${digit} …`;
  find("chances").replaceChildren(...chances.map((chance, number) => {
    const bar = document.createElement("li"), name = document.createElement("span");
    bar.style.height = `${100 * chance}%`;
    bar.title = `${number}: ${Math.round(100 * chance)} %`;
    name.textContent = number;
    bar.append(name);
    return bar;
  }));
}

function waiting({ position, estimated_wait: seconds }) {
  if (position === null) return;
  const ahead = position ? `${position} before it` : "it is next";
  find("stands").textContent = seconds === null ? `Waiting: ${ahead}.` : `Waiting: ${ahead}, about ${Math.ceil(seconds)} s.`;
}

function follow(job) {
  following?.close();
  following = new EventSource(`drawings/${job}/events`);  // it reconnects by itself and goes on where it was
  const on = (kind, act) => following.addEventListener(kind, (event) => act(JSON.parse(event.data)));
  on("state", (record) => {
    if (record.state === "running") find("stands").textContent = "A worker looks at it …";
    if (record.state === "dead") find("stands").textContent = `That went wrong: ${record.error}`;
    waiting(record);
  });
  on("position", waiting);
  on("progress", (percent) => { find("progress").value = percent; });
  on("part", (guess) => show(guess, false));
  on("answer", (answer) => {
    find("progress").value = 100;
    show(answer, true);
  });
  on("callback", (words) => { find("told").textContent = words; });
  on("end", () => following.close());
}

document.forms[0].addEventListener("submit", async (event) => {
  event.preventDefault();
  find("progress").value = 0;
  find("told").textContent = "";
  find("chances").replaceChildren();
  const answer = await fetch("drawings", { method: "POST", body: pixels(), headers: { "Content-Type": "application/octet-stream" } });
  const said = await answer.json();
  find("stands").textContent = answer.ok ? `Posted as job ${said.id}.` : said.detail;
  if (answer.ok) follow(said.id);
});
document.forms[0].addEventListener("reset", clear);
clear();
