// What can go wrong between the page and the server.

export const GONE = 404; // status of HTTP

/** No answer came. */
export class ConnectionError extends Error {
  constructor() {
    super("the connection to the server broke");
  }
}

/** The server answered that it will not. */
export class Refusal extends Error {
  /**
   * @param {number} status - of HTTP
   * @param {{detail?: string} | null} answer - what it said
   * @param {number} wait - seconds after which to try again; 0 for never
   */
  constructor(status, answer, wait = 0) {
    super(typeof answer?.detail === "string" ? answer.detail : "the server refused this");
    this.status = status;
    this.wait = wait;
  }
}
