// The camera, live: one request in flight, the next frame when its answer is here.

import { detect } from "./api.js";

const LONGEST_SIDE = 960; // pixels that are sent; more would cost time and find little
const QUALITY = 0.8;

const SENTENCES = {
  NotAllowedError: "The browser was not allowed to use the camera.",
  NotFoundError: "No camera was found.",
  NotReadableError: "The camera is in use by another program.",
};

export class Camera {
  constructor(video, onAnswer, onProblem) {
    this.video = video;
    this.onAnswer = onAnswer;
    this.onProblem = onProblem;
    this.stream = null;
    this.canvas = document.createElement("canvas");
  }

  get running() {
    return this.stream !== null;
  }

  async start(model) {
    if (!navigator.mediaDevices) {
      throw new Error("Browsers allow the camera only on https:// pages and on localhost.");
    }
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch (error) {
      throw new Error(SENTENCES[error.name] ?? `The camera cannot be used: ${error.message}`);
    }
    this.video.srcObject = this.stream;
    await this.video.play();
    this.next = null;
    this.stop_ = new AbortController();
    this.loop(model, this.stop_.signal);
  }

  stop() {
    this.stop_?.abort();
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
    this.video.srcObject = null;
  }

  async loop(model, signal) {
    let [picture, answering] = [null, null];
    while (!signal.aborted) {
      try {
        const shown = [await answering, picture];
        picture = await (this.next ?? this.capture());
        answering = detect(picture, model, signal); // before the last answer is drawn
        this.next = this.capture(); // encoded while the service works
        if (shown[0] !== null) this.onAnswer(...shown);
      } catch (error) {
        if (signal.aborted) return;
        [answering, this.next] = [null, null];
        this.onProblem(error);
        await pause((error.retryAfterS ?? 2) * 1000);
      }
    }
  }

  capture() {
    const { videoWidth, videoHeight } = this.video;
    const scale = Math.min(1, LONGEST_SIDE / Math.max(videoWidth, videoHeight));
    const [width, height] = [Math.round(videoWidth * scale), Math.round(videoHeight * scale)];
    if (this.canvas.width !== width || this.canvas.height !== height) {
      Object.assign(this.canvas, { width, height });
      this.pen = this.canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    }
    this.pen.drawImage(this.video, 0, 0, width, height);
    return new Promise((resolve) => this.canvas.toBlob(resolve, "image/jpeg", QUALITY));
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
