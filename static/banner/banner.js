// The guard: makes the banner smoother where scripts run, and notes what the policy refuses, so that it can be brought
// to life after a grant. Without it everything works by forms. What a page may load is decided on the server and locked
// by a policy that cannot be loosened in a page that is shown. It comes before all other scripts and is waited for, so
// it is small: what is done once there is an answer is in a second file (answer.js), fetched only then. Indentation and
// lines of comment are left out of what is served.
(() => {
  "use strict";
  const page = document, script = page.currentScript, { origin, search } = new URL(script.src);
  // What both files know: whose address begins ours, the choice, what the policy refused, whether a reload of the page
  // repeats nothing but a GET, and what the choice is called, which other tabs are told.
  // What no request shows is counted in a third file, for those who agreed to statistics.
  const guard = {
    base: origin + "/_privacy/", choice: JSON.parse(script.dataset.choice), refused: new Set(), again: script.dataset.again,
    say() { try { channel.postMessage(guard.state); } catch {} },
    count() { if (guard.choice?.statistics) load("count").then(({ count }) => count(guard)).catch(() => {}); }
  };
  const { base, refused } = guard;
  let plain, channel, said = 0;

  // The second file, of the same version by the same query. Under 'strict-dynamic' only an element may load it, and
  // where the site demands trusted types only import(): whichever it was, the module is there once.
  const load = (name) => new Promise((done, failed) => {
    const src = base + name + ".js" + search;
    const end = () => done(import(src));
    try {
      const element = Object.assign(page.createElement("script"), { type: "module", src, onload: end, onerror: failed });
      page.head.append(element);
      element.remove();
    } catch { end(); }
  });
  const call = (name, ...more) => load("answer").then((answers) => answers[name](guard, ...more));
  const quietly = (...all) => call(...all).catch(() => {});

  // A page that is there follows when another tab answers. Which of two is behind neither can know: one that finds
  // itself up to date says so.
  const follow = () => quietly("follow").then((same) => same && said++ < 9 && guard.say());
  const join = () => {
    try {
      channel = new BroadcastChannel("vestibule");
      channel.onmessage = ({ data }) => data != guard.state && follow();
    } catch {}
    guard.say();
  };

  page.addEventListener("DOMContentLoaded", () => {
    const { state, shared, clear } = page.getElementById("vestibule-settings")?.dataset || {};
    guard.state ??= state;
    join();
    guard.count();
    // Of other hosts that share the choice no tab hears.
    if (shared) page.addEventListener("visibilitychange", () => page.hidden || follow());
    // What refused services left in the browser's storage goes.
    try { if (clear && localStorage.length + sessionStorage.length) quietly("clear", clear); } catch {}
  });

  // A page that comes back as it was left (by "Back") may be from before another choice. One that listens is not kept.
  addEventListener("pagehide", () => { if (channel) channel.close(); });
  addEventListener("pageshow", ({ persisted }) => { if (persisted) { join(); follow(); } });

  // What scripts insert shows by the policy's refusal.
  page.addEventListener("securitypolicyviolation", ({ blockedURI, disposition, originalPolicy, effectiveDirective }) => {
    if (disposition != "enforce" || !originalPolicy.includes("/_privacy/csp")) return;
    if (refused.size < 30) refused.add(blockedURI.slice(0, 250));
    if (effectiveDirective == "frame-src") quietly("frame", blockedURI);
  });

  // Whatever fails on the way, the form is sent as it would have been without us.
  page.addEventListener("submit", (event) => {
    const form = event.target, button = event.submitter;
    if (plain || !button || !form.matches("#vestibule form,#vestibule-embed")) return;
    event.preventDefault();
    call("send", form, button).catch(() => { plain = true; form.requestSubmit(button); });
  }, true);

  window.vestibule = Object.freeze({
    get choice() { return guard.choice && { ...guard.choice }; },
    ask() {
      const banner = page.querySelector("#vestibule");
      if (!banner) return location = base;
      banner.hidden = false;
      banner.querySelector(".vestibule-actions button").focus();
    }
  });
})();
