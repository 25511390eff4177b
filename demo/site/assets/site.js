/* The site's own script: ages of articles where the date library has loaded, and a beacon as real sites send it. */
(function () {
  'use strict';
  function ages() {
    if (!window.dayjs) return;
    document.querySelectorAll('time[data-since]').forEach(function (time) {
      var days = window.dayjs().diff(time.dateTime, 'day');
      if (days > 0 && days < 100) time.textContent = days === 1 ? 'yesterday' : days + ' days ago';
    });
  }
  window.addEventListener('load', ages);
  // A first-party script that reports to somebody whom the markup never names.
  if (navigator.sendBeacon) navigator.sendBeacon('https://collect.unknown-third.example/b', location.pathname);
})();
