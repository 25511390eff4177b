// Google's consent mode, version 2: denied before any tag can ask, then what was granted. Sent only where services of
// Google's are asked for.
(() => {
  "use strict";
  window.dataLayer = window.dataLayer || [];
  const say = (command, granted) => {
    const types = { security_storage: "granted" };
    for (const [purpose, names] of [
      ["preferences", "functionality_storage personalization_storage"],
      ["statistics", "analytics_storage"],
      ["marketing", "ad_storage ad_user_data ad_personalization"]
    ]) for (const name of names.split(" ")) types[name] = granted[purpose] ? "granted" : "denied";
    (function () { dataLayer.push(arguments); })("consent", command, types);
  };
  say("default", {});
  const choice = JSON.parse(document.currentScript.dataset.choice);
  if (choice) say("update", choice);
  document.addEventListener("vestibule:change", ({ detail }) => say("update", detail));
})();
