// Brings to life in place what was held back. Sent only where no policy stands in the way of that; what it leaves
// undone (it says so by not preventing the default) is done by loading the page anew.
(() => {
  "use strict";
  const loads = /^data-vestibule-((data-)?(lazy-)?(src(set)?|original|poster|(xlink:)?href|data|background|imagesrcset))$/;

  // Give attributes their names back: only those that load, and only addresses of the web, whoever wrote them.
  const restore = (from, to) => [...from.attributes].forEach(({ name, value }) => {
    const own = loads.exec(name);
    if (own && /^http/.test(new URL(value, document.baseURI).protocol)) to.setAttribute(own[1], value);
  });

  const copy = (old) => {
    const fresh = document.createElementNS(old.namespaceURI, "script");
    fresh.async = false;
    for (const { name, value } of old.attributes) {
      if (name == "data-vestibule-type") fresh.type = value;
      else if (name != "type" && !name.startsWith("data-vestibule")) fresh.setAttribute(name, value);
    }
    restore(old, fresh);
    fresh.nonce = old.nonce;
    fresh.textContent = old.textContent;
    return fresh;
  };

  // Scripts run one after the other, as they would have.
  const run = (scripts) => {
    const [script, ...rest] = scripts, next = () => run(rest);
    if (!script) return;
    const [old, fresh] = script, waits = fresh.src && !fresh.async;
    if (waits) ["load", "error"].forEach((type) => fresh.addEventListener(type, next));
    old.replaceWith(fresh);
    if (!waits) next();
  };

  const late = ([, { defer, type }]) => defer || type == "module";
  const isScript = ({ localName }) => localName == "script";

  document.addEventListener("vestibule:revive", (event) => {
    // Where the site demands trusted types this is where it ends.
    const scripts = event.detail.filter(isScript).map((old) => [old, copy(old)]);
    event.detail.filter((element) => !isScript(element)).forEach((element) => {
      const place = element.previousElementSibling;
      restore(element, element);
      element.removeAttribute("data-vestibule");
      if (place && place.matches(".vestibule-placeholder")) place.remove();
    });
    event.preventDefault();
    run(scripts.sort((a, b) => late(a) - late(b)));
  });
})();
