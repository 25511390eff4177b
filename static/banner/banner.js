// The guard: makes the banner smoother where scripts run, and brings what was held back to life after a grant. Without
// it everything works by forms. What a page may load is decided on the server and locked by a policy that cannot be
// loosened in a page that is shown: where that stands in the way, the page is loaded anew; frames get a way round it.
// It comes before all other scripts. Indentation and lines of comment are left out of what is served.
(() => {
  "use strict";
  const page = document, script = page.currentScript, base = new URL(script.src).origin + "/_privacy/";
  const refused = new Set();
  let choice = JSON.parse(script.dataset.choice), framed, plain;

  const all = (selector) => [...page.querySelectorAll(selector)];
  const show = (selector, yes) => all(selector).map((element) => { element.hidden = !yes; return element; })[0];

  // What refused services left in the browser's storage goes.
  page.addEventListener("DOMContentLoaded", () => all("[data-clear]").map((list) => {
    const keys = new RegExp(list.dataset.clear);
    for (const name of ["localStorage", "sessionStorage"]) try {
      const store = window[name];
      Object.keys(store).map((key) => keys.test(key) && store.removeItem(key));
    } catch (error) {}
  }));

  // What scripts insert shows by the policy's refusal. A frame that is seen (of which browsers tell no more than the
  // origin) gets our document with its placeholder.
  page.addEventListener("securitypolicyviolation", ({ blockedURI: url, disposition, originalPolicy }) => {
    if (disposition != "enforce") return;
    // Where the site's own policy forbids that, a new page helps.
    if (framed && url.startsWith(base)) again();
    if (!originalPolicy.includes("/_privacy/csp")) return;
    if (refused.size < 30) refused.add(url.slice(0, 250));
    all("iframe").map((frame) => frame.src.startsWith(url) && frame.offsetWidth > 50 && embed(frame, frame.src));
  });

  page.addEventListener("submit", (event) => {
    const form = event.target, button = event.submitter;
    if (plain || !button || !form.matches("#vestibule form,#vestibule-embed")) return;
    event.preventDefault();
    const body = new URLSearchParams(new FormData(form));
    body.append(button.name, button.value);
    new Set([...all("[data-vestibule]").map(service), ...refused]).forEach((name) => body.append("held", name));
    fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" }, keepalive: true })
      .then((response) => response.json())
      .then(apply)
      .catch(() => { plain = true; form.requestSubmit(button); });
  }, true);

  const service = (element) => element.dataset.vestibule;

  // A page that answered a form must not send that again.
  const again = () => {
    if (script.dataset.again) location.reload();
    else location.replace(location.origin + location.pathname + location.search);
  };

  const tell = (type, detail) => page.dispatchEvent(new CustomEvent("vestibule:" + type, { detail, cancelable: true }));

  const apply = ({ purposes, open, lost }) => {
    const elements = all("[data-vestibule]").filter((element) => open.includes(service(element)));
    choice = purposes;
    show("#vestibule", false);
    show("#vestibule-settings", true);
    tell("change", { ...choice });
    // What runs can only be stopped, and what the policy refused only be let in, in a new page.
    if (lost || open.some((name) => name.includes("://"))) again();
    else if (tell("revive", elements)) elements.every(address) ? elements.map((frame) => {
      const place = frame.previousElementSibling;
      embed(frame, address(frame));
      frame.removeAttribute("data-vestibule");
      framed = true;
      if (place?.matches(".vestibule-placeholder")) {
        if (place.contains(page.activeElement)) frame.focus();
        place.remove();
      }
    }) : again();
  };

  // The address of a frame that can be shown in place.
  const address = ({ localName, dataset }) => {
    const { href } = new URL(dataset.vestibuleSrc || dataset.vestibuleDataSrc || "data:", page.baseURI);
    return localName == "iframe" && /^http/.test(href) && href;
  };

  const embed = (frame, src) => {
    const allow = frame.allow + (frame.allowFullscreen ? ";fullscreen" : "");
    frame.src = base + "frame?" + new URLSearchParams({ src, allow, referrer: frame.referrerPolicy });
  };

  window.vestibule = Object.freeze({
    get choice() { return choice && { ...choice }; },
    ask() {
      const banner = show("#vestibule", true);
      if (banner) banner.querySelector(".vestibule-actions button").focus(); else location = base;
    }
  });
})();
