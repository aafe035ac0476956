// Browsers start no Worker for a page that was opened as a file. This one is a hidden frame that runs the
// same script, so that the search works there too; on http it steps aside.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const page = frame.contentDocument;
      page.open(); // a page that was written is not replaced by the empty one some browsers load later
      page.write("<!doctype html><body></body>");
      page.close();
      this.inside = frame.contentWindow;
      this.ready = this.run(url);
      this.inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      this.inside.importScripts = (...urls) =>
        urls.reduce((before, one) => before.then(() => this.run(one)), Promise.resolve());
    }

    run(url) {
      return new Promise((done, failed) => {
        const script = this.inside.document.createElement("script");
        script.src = url;
        script.onload = done;
        script.onerror = failed;
        this.inside.document.body.append(script);
      });
    }

    postMessage(data) {
      this.ready = this.ready.then(() => {
        this.inside.dispatchEvent(new this.inside.MessageEvent("message", { data }));
      });
    }

    terminate() {}
  };
}
