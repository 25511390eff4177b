// Comes after the last line of every service worker's script, as a call with the policy under which the script was
// served. It begins with a semicolon, since the script's last statement may lack one, and is one expression, so that
// no name of the site's is touched. A worker that was there before the visitor's choice changed gives way to the new
// one; and documents that a worker makes up or kept get the policy that everything from the site has.
;((policy) => {
  "use strict";
  const { fetch, registration } = self, { clone } = Response.prototype, { respondWith } = FetchEvent.prototype;

  // What has just come from the site carries the policy of now. What is taken from a browser's cache unasked does not,
  // nor what another host says or an address holds itself (whose origin would be ours, too, for a blob).
  const fresh = new WeakSet();
  const marked = (response) => (fresh.add(response), response);
  self.fetch = async (input, init) => {
    const response = await fetch(input, init);
    const kept = /^(force|only)/.test(init?.cache || input?.cache);
    return kept || !response.url.startsWith(location.origin + "/") ? response : marked(response);
  };
  Response.prototype.clone = function () {
    const copy = clone.call(this);
    return fresh.has(this) ? marked(copy) : copy;
  };

  // A page that was locked by another policy than this worker tells that there is another script for it too.
  const seen = (response) => {
    const policies = response.headers.get("Content-Security-Policy") || "";
    if (policy ? !policies.includes(policy) : policies.includes("/_privacy/csp")) registration.update().catch(() => {});
    return response;
  };

  // A navigation that was not answered by the site, and a worker's script, is given the policy of this worker. What
  // has no headers that can be written is no document either: a redirect, or an answer that browsers refuse.
  const bound = (response) => {
    if (fresh.has(response)) return seen(response);
    if (!policy || !response.status || response.redirected) return response;
    const headers = new Headers(response.headers);
    headers.append("Content-Security-Policy", policy);
    const { status, statusText, body } = response;
    return new Response(body, { status, statusText, headers });
  };
  FetchEvent.prototype.respondWith = function (answer) {
    const { mode, destination } = this.request;
    const runs = mode == "navigate" || /worker$/.test(destination);
    respondWith.call(this, runs ? Promise.resolve(answer).then(bound) : answer);
  };

  // The one before is asked for its policy. If that is another, or it knows of none, it is replaced without waiting
  // for its pages to be closed.
  addEventListener("message", ({ data, ports }) => {
    if (data?.vestibule == "policy") ports[0]?.postMessage({ vestibule: policy });
  });
  addEventListener("install", (event) => event.waitUntil(new Promise((done) => {
    const { active } = registration, { port1, port2 } = new MessageChannel();
    const replace = () => done(skipWaiting());
    if (!active) return done();
    const waited = setTimeout(replace, 1000);
    port1.onmessage = ({ data }) => {
      clearTimeout(waited);
      if (data?.vestibule === policy) done(); else replace();
    };
    active.postMessage({ vestibule: "policy" }, [port2]);
  })));
})
