// The guard's second file, a module, fetched when a visitor answers or a frame is refused: sends the answer, and brings
// to life what was held back. A page's policy cannot be loosened: where it stands in the way, the page is loaded anew;
// frames get a way round it, a document of ours. Indentation and lines of comment are left out of what is served.
const page = document;
const all = (selector) => [...page.querySelectorAll(selector)];
const service = (element) => element.dataset.vestibule;
const tell = (type, detail) => page.dispatchEvent(new CustomEvent("vestibule:" + type, { detail, cancelable: true }));
const show = (selector, yes) => all(selector).forEach((element) => { element.hidden = !yes; });

// A page that answered a form must not send that again.
const again = (guard) => {
  if (guard.again) location.reload();
  else location.replace(location.origin + location.pathname + location.search);
};

export const send = async (guard, form, button) => {
  const body = new URLSearchParams(new FormData(form));
  body.append(button.name, button.value);
  new Set([...all("[data-vestibule]").map(service), ...guard.refused]).forEach((name) => body.append("held", name));
  const response = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" }, keepalive: true });
  await apply(guard, await response.json());
};

const apply = async (guard, told) => {
  const { open, lost, clear } = told;
  const elements = all("[data-vestibule]").filter((element) => open.includes(service(element)));
  settle(guard, told);
  guard.say();
  empty(clear);
  // What runs can only be stopped, and what the policy refused only be let in, in a new page.
  if (lost) await renewed();
  if (lost || open.some((name) => name.includes("://"))) again(guard);
  else if (tell("revive", elements)) {
    if (elements.every(address)) elements.forEach((frame) => revive(guard, frame));
    else again(guard);
  }
};

const settle = (guard, { purposes, state, consent_mode }) => {
  guard.choice = purposes;
  guard.state = state;
  show("#vestibule", !purposes);
  show("#vestibule-settings", purposes);
  tell("google", consent_mode);
  guard.count();
  tell("change", { ...purposes });
};

// Another choice was made elsewhere. What was taken back ends with this page; what was let in comes with the next, since
// nobody in this one asked for it to move. True where nothing is different.
export const follow = async (guard) => {
  const response = await fetch(guard.base + "consent?" + new URLSearchParams({ before: guard.state }));
  const told = await response.json();
  if (told.state == guard.state) return true;
  if (told.lost) {
    await renewed();
    again(guard);
  } else settle(guard, told);
};

// -- storage

export const clear = async (guard, name) => empty((await (await fetch(guard.base + "clear?v=" + name)).json()).clear);

const empty = (keys) => ["localStorage", "sessionStorage"].forEach((name) => {
  try {
    const store = window[name];
    for (const key of keys ? Object.keys(store) : []) if (RegExp(keys).test(key)) store.removeItem(key);
  } catch {}
});

// -- frames

// The address of a frame that can be shown in place.
const address = ({ localName, dataset }) => {
  const { href } = new URL(dataset.vestibuleSrc || dataset.vestibuleDataSrc || "data:", page.baseURI);
  return localName == "iframe" && /^http/.test(href) && href;
};

const embed = (guard, frame, src) => {
  const allow = frame.allow + (frame.allowFullscreen ? ";fullscreen" : "");
  frame.src = guard.base + "frame?" + new URLSearchParams({ src, allow, referrer: frame.referrerPolicy });
};

let watched;
const revive = (guard, frame) => {
  const place = frame.previousElementSibling;
  // Where the site's own policy forbids our document, a new page helps.
  if (!watched) page.addEventListener("securitypolicyviolation", ({ blockedURI, disposition }) => {
    if (disposition == "enforce" && blockedURI.startsWith(guard.base)) again(guard);
  });
  watched = true;
  embed(guard, frame, address(frame));
  frame.removeAttribute("data-vestibule");
  if (place?.matches(".vestibule-placeholder")) {
    if (place.contains(page.activeElement)) frame.focus();
    place.remove();
  }
};

// A frame that a script inserted and the policy refused, if it is seen, gets our document with its placeholder.
// url: all that browsers tell of it, which may be no more than the origin.
export const frame = (guard, url) => all("iframe").forEach((each) => {
  if (url && each.src.startsWith(url) && each.offsetWidth > 50) embed(guard, each, each.src);
});

// -- service workers

// A worker keeps the policy that its script came with, so that one from before a withdrawal is made to make way: its
// script is fetched anew, which by the last lines of it (worker.js) takes over at once. What does not follow is
// unregistered.
const renewed = async () => {
  const registrations = await navigator.serviceWorker?.getRegistrations().catch(() => []) || [];
  await Promise.all(registrations.map((each) => renew(each).catch(() => each.unregister())));
};

const renew = (registration) => new Promise((resolve, reject) => {
  const { waiting } = registration;
  setTimeout(reject, 5000);
  registration.update().then(() => {
    const worker = registration.installing || (registration.waiting != waiting && registration.waiting);
    // Where the script is the same, so is the policy.
    if (!worker) return resolve();
    const look = () => {
      if (worker.state == "activated") resolve();
      if (worker.state == "redundant") reject();
    };
    worker.addEventListener("statechange", look);
    look();
  }, reject);
});
