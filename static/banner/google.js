// Google's consent mode, version 2: denied before any tag can ask, then what was granted (the server says which types
// the choice covers). Sent only where services of Google's are asked for.
(() => {
  "use strict";
  window.dataLayer = window.dataLayer || [];
  const types = "functionality_storage personalization_storage analytics_storage ad_storage ad_user_data ad_personalization";
  const say = (command, granted) => {
    const told = { security_storage: "granted" };
    for (const type of types.split(" ")) told[type] = granted.includes(type) ? "granted" : "denied";
    (function () { dataLayer.push(arguments); })("consent", command, told);
  };
  say("default", []);
  const { google } = document.currentScript.dataset;
  if (google != null) say("update", google.split(" "));
  document.addEventListener("vestibule:google", ({ detail }) => say("update", detail));
})();
