// Makes the banner smoother where scripts run; without them it is a plain form. What a page may load is decided on the
// server and locked by a policy that a loaded page cannot loosen, so a grant of something that was held back reloads.
(function () {
  "use strict";
  var script = document.getElementById("vestibule-script");
  if (!script || window.vestibule) return;
  var choice = JSON.parse(script.dataset.choice);
  var base = new URL(script.src).origin + "/_privacy/";
  var held = false;
  document.addEventListener("securitypolicyviolation", function (event) {
    if (event.originalPolicy.indexOf("/_privacy/csp") > 0) held = true;
  });
  window.vestibule = Object.freeze({
    get choice() { return choice && Object.assign({}, choice); },
    ask: function () { location.href = base; }
  });
  document.addEventListener("submit", function (event) {
    var form = event.target;
    if (form.id !== "vestibule-form" || !event.submitter) return;
    var answer = event.submitter.value;
    var waiting = held || document.querySelector("[data-vestibule]");
    var granted = answer === "accept" || (answer === "save" && form.querySelector(":checked"));
    if (granted && waiting) return;
    event.preventDefault();
    var data = new URLSearchParams(new FormData(form));
    data.set("choice", answer);
    fetch(form.action, { method: "POST", body: data, headers: { Accept: "application/json" }, keepalive: true })
      .then(function (response) { if (!response.ok) throw response.status; return response.json(); })
      .then(function (state) {
        choice = state.purposes;
        document.getElementById("vestibule").remove();
        document.dispatchEvent(new CustomEvent("vestibule:change", { detail: Object.assign({}, choice) }));
      })
      .catch(function () { HTMLFormElement.prototype.submit.call(withAnswer(form, answer)); });
  }, true);
  function withAnswer(form, answer) {
    var field = document.createElement("input");
    field.type = "hidden"; field.name = "choice"; field.value = answer;
    form.appendChild(field);
    return form;
  }
})();
