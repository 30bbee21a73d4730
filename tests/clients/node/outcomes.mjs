// What a client's calls came to, by their names: { result } or { error: { class, message, … } }.

export class Outcomes {
  #byName = {};

  async call(name, ask) {
    try {
      this.#byName[name] = { result: await ask() };
    } catch (error) {
      const { message, status, statusCode, code, param, type, responseBody, httpResponse } = error;
      const shown = { message, status: status ?? statusCode, code, param, type, responseBody };
      this.#byName[name] = { error: { class: error.name ?? error.constructor.name, ...shown, httpResponse } };
    }
  }

  print() {
    console.log(JSON.stringify(this.#byName));
  }
}
