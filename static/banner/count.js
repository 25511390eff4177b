// Counts what no request shows, for visitors who agreed to statistics; a module, fetched only then. No identifier is
// made or kept: each beacon stands by itself. Indentation and lines of comment are left out of what is served.
const page = document;
let counting;

export const count = (guard) => {
  if (counting) return;
  counting = true;
  let shown = location.pathname;
  const tell = (kind, more) => {
    const told = JSON.stringify({ kind, page: shown, ...more });
    if (guard.choice?.statistics) navigator.sendBeacon(guard.base + "event", told);
  };
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  tell("client", { timezone: timeZone, screen: screen.width + "x" + screen.height });

  // Pages that a script puts in place of each other.
  const moved = () => {
    const previous = shown;
    shown = location.pathname;
    if (shown != previous) tell("view", { previous });
  };
  const push = history.pushState;
  history.pushState = function (...all) {
    push.apply(this, all);
    moved();
  };
  addEventListener("popstate", moved);

  page.addEventListener("click", ({ target }) => {
    const link = target.closest?.("a[href]");
    if (/^http/.test(link?.protocol) && link.host != location.host) tell("outbound", { host: link.host });
  }, true);

  page.addEventListener("vestibule:event", ({ detail }) => tell("event", { name: detail?.name, value: detail?.value }));
};
