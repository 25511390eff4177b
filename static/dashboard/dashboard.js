// Makes the dashboard smoother. The page is whole without it: links, forms, tables and a drawn graph.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const language = document.documentElement.lang;
  const word = (name) => document.body.dataset[name];
  const count = new Intl.NumberFormat(language);
  const units = { share: new Intl.NumberFormat(language, { style: "percent" }), each: new Intl.NumberFormat(language, { maximumFractionDigits: 1 }) };
  const told = (n) => (units[$("#graph")?.dataset.unit] || count).format(n);
  let plot = null;
  let request = null;

  // -- The graph: uPlot over the numbers of the table beside it ------------------------------------------------------

  const readPoints = () => {
    const rows = [...document.querySelectorAll("#points tbody tr")];
    return {
      labels: rows.map((row) => $("th span", row).textContent),
      before: rows.map((row) => (row.dataset.b === undefined ? null : Number(row.dataset.b))),
      notes: rows.map((row) => row.dataset.notes || ""),
      times: rows.map((row) => row.dataset.t),
      counts: rows.map((row) => (row.dataset.n === undefined ? null : Number(row.dataset.n))),
      open: rows.findIndex((row) => "open" in row.dataset),
    };
  };

  const drawGraph = () => {
    const holder = $("#plot");
    if (plot) { plot.destroy(); plot = null; }
    if (!holder || typeof uPlot === "undefined" || $(".plot-empty", holder)) return;
    const points = readPoints();
    if (!points.counts.length) return;
    const few = points.counts.length <= 62;
    const indexes = points.counts.map((_, index) => index);
    const closed = points.counts.map((n, index) => (index === points.open ? null : n));
    const open = points.counts.map((n, index) => (index === points.open ? n : null));
    const accent = colour("--accent");
    const unit = $("#graph").dataset.unit;
    const compared = points.before.some((n) => n !== null);
    const axis = { stroke: colour("--muted"), font: `12px ${colour("--sans")}`, ticks: { show: false } };
    const bars = few ? { paths: uPlot.paths.bars({ size: [0.62, 44], radius: [0.5, 0] }), points: { show: false }, fill: accent, width: 0 }
      : { width: 1.75, stroke: accent, fill: colour("--wash"), points: { show: false }, paths: uPlot.paths.spline() };
    const tip = $(".tip", holder) || holder.appendChild(Object.assign(document.createElement("div"), { className: "tip" }));
    holder.classList.add("drawn");
    plot = new uPlot({
      width: holder.clientWidth,
      height: holder.clientHeight,
      padding: [8, 6, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: $("#graph").dataset.interval === "day", y: false, setScale: false } },
      scales: {
        x: { time: false, range: (u, low, high) => (few ? [low - 0.5, high + 0.5] : [low, high]) },
        y: { range: (u, low, high) => [0, unit === "share" ? Math.min(1, Math.max(0.04, high * 1.1)) : Math.max(unit === "each" ? 1 : 4, high * 1.06)] },
      },
      axes: [
        { ...axis, grid: { show: false }, size: 28, gap: 6, incrs: [1, 2, 3, 4, 6, 7, 12, 14, 28, 30, 61, 91], space: 58, values: (u, splits) => splits.map((i) => (Number.isInteger(i) ? points.labels[i] || "" : "")) },
        { ...axis, grid: { stroke: colour("--line"), width: 1 }, size: 48, gap: 8, space: 48, incrs: [0.01, 0.02, 0.05, 0.1, 0.2, 0.5].slice(unit === "count" ? 6 : unit === "each" ? 3 : 0).concat([1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6]), values: (u, splits) => splits.map((n) => (n >= 1e6 ? `${n / 1e6} M` : n >= 1e4 ? `${n / 1e3} k` : told(n))) },
      ],
      series: [{}, { ...bars }, few ? { ...bars, fill: colour("--wash-strong"), stroke: accent, width: 1.5, dash: [3, 3] } : { ...bars, fill: "transparent" },
        { stroke: colour("--muted"), width: 1.5, dash: [4, 4], points: { show: false } }],
      hooks: {
        draw: [(u) => {
          u.ctx.fillStyle = colour("--ember");
          points.notes.forEach((note, index) => {
            if (!note) return;
            u.ctx.beginPath();
            u.ctx.arc(u.valToPos(index, "x", true), u.bbox.top + u.bbox.height, 3.5 * devicePixelRatio, 0, 7);
            u.ctx.fill();
          });
        }],
        setCursor: [(u) => {
          const index = u.cursor.idx;
          if (index == null || u.cursor.left < 0) { tip.classList.remove("on"); return; }
          tip.replaceChildren(Object.assign(document.createElement("strong"), { textContent: points.counts[index] === null ? "–" : told(points.counts[index]) }), `${$("#graph").dataset.name} · ${points.labels[index]}`,
            ...(compared && points.before[index] !== null ? [document.createElement("br"), `${word("before")} ${told(points.before[index])}`] : []),
            ...(points.notes[index] ? [document.createElement("br"), points.notes[index]] : []));
          const left = u.valToPos(index, "x") + u.over.offsetLeft;
          const half = tip.offsetWidth / 2;
          tip.style.transform = `translate(${Math.min(Math.max(left - half, 0), holder.clientWidth - tip.offsetWidth)}px, ${-8}px)`;
          tip.classList.add("on");
        }],
        setSelect: [(u) => {
          if (u.select.width < 8) return;
          const one = Math.max(0, Math.round(u.posToVal(u.select.left, "x")));
          const other = Math.min(points.times.length - 1, Math.round(u.posToVal(u.select.left + u.select.width, "x")));
          const url = new URL(location.href);
          url.searchParams.delete("period");
          url.searchParams.set("from", points.times[one]);
          url.searchParams.set("to", points.times[other]);
          go(url.href);
        }],
      },
    }, [indexes, few ? closed : points.counts, open, points.before], holder);
  };

  // -- Going from view to view without loading the page anew ---------------------------------------------------------

  const show = async (href, { push = true, quiet = false } = {}) => {
    request?.abort();
    request = new AbortController();
    const main = $("#main");
    if (!quiet) document.body.classList.add("busy");
    try {
      const answer = await fetch(href, { headers: { "X-Requested-With": "fetch" }, signal: request.signal });
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = $("#main", page);
      if (!fresh) throw new Error("no page");
      const opened = [...main.querySelectorAll("details[open]")].map((one) => one.id);
      const left = $(".periods", main)?.scrollLeft || 0;
      if (plot) { plot.destroy(); plot = null; }
      main.replaceWith(fresh);
      // A new one, since the old one would be seen to jump.
      $("#foot").replaceWith($("#foot", page));
      if (quiet) for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
      $(".periods", fresh).scrollLeft = left;
      if (push) {
        history.pushState(null, "", href.split("#")[0]);
        $("#announce").textContent = $("h1", fresh).textContent;
      }
      drawGraph();
    } catch (error) {
      if (error.name !== "AbortError" && !quiet) location.assign(href);
    } finally {
      document.body.classList.remove("busy");
    }
  };
  const go = (href) => show(href);

  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target.closest("a");
    if (link?.matches("a[data-nav]")) {
      event.preventDefault();
      go(link.getAttribute("href"));
    } else if (link?.matches("a.details")) {
      event.preventDefault();
      details(link.href);
    } else if (link?.matches("dialog a.close")) {
      event.preventDefault();
      $("#dialog").close();
    } else if (link?.matches("dialog a.value")) {
      event.preventDefault();
      $("#dialog").close();
      go(link.href);
    }
    if (!event.target.closest("details.menu")) $("#menu").removeAttribute("open");
    const kept = event.target.closest("details.custom");
    for (const one of document.querySelectorAll("details.custom[open]")) if (one !== kept) one.removeAttribute("open");
    if (event.target.tagName === "DIALOG") {
      const box = event.target.getBoundingClientRect();
      const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
      if (!inside) event.target.close();
    }
  });
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form[data-nav]")) return;
    event.preventDefault();
    go(`${event.target.getAttribute("action")}?${new URLSearchParams(new FormData(event.target))}`);
  });
  addEventListener("popstate", () => show(location.href, { push: false }));

  // -- Details with a search ----------------------------------------------------------------------------------------

  const sortable = (table) => {
    const heads = [...table.querySelectorAll("thead th")];
    heads.forEach((head, column) => {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "sort", textContent: head.textContent });
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") !== "descending";
        heads.forEach((one) => one.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const body = $("tbody", table);
        const rows = [...body.rows].filter((row) => !row.classList.contains("rare"));
        const value = (row) => row.cells[column].dataset.n ?? row.cells[column].textContent.trim();
        rows.sort((a, b) => (column ? value(a) - value(b) : value(b).localeCompare(value(a), language)) * (down ? -1 : 1));
        body.prepend(...rows);
      });
      head.replaceChildren(button);
    });
  };

  const details = async (href) => {
    const dialog = $("#dialog");
    try {
      const answer = await fetch(href, { headers: { "X-Requested-With": "fetch" } });
      if (!answer.ok) throw new Error(String(answer.status));
      const sheet = $("#details", new DOMParser().parseFromString(await answer.text(), "text/html"));
      const find = Object.assign(document.createElement("input"), { type: "search", className: "find", placeholder: word("find") });
      find.setAttribute("aria-label", word("findLabel"));
      find.addEventListener("input", () => {
        const wanted = find.value.trim().toLowerCase();
        for (const row of dialog.querySelectorAll("tbody tr")) row.hidden = !$("th", row).textContent.toLowerCase().includes(wanted);
      });
      $(".sheet-head", sheet).after(find);
      sortable($("table", sheet));
      dialog.replaceChildren(...sheet.childNodes);
      for (const link of dialog.querySelectorAll("a[data-nav]")) link.removeAttribute("data-nav");
      $("a.close", dialog).textContent = word("close");
      dialog.showModal();
      find.focus();
    } catch {
      location.assign(href);
    }
  };

  // -- Now, and again ---------------------------------------------------------------------------------------------------

  setInterval(async () => {
    if (document.hidden) return;
    const live = $("#live");
    try {
      const answer = await fetch(live.dataset.src, { headers: { "X-Requested-With": "fetch" } });
      if (answer.ok) live.replaceChildren(...new DOMParser().parseFromString(await answer.text(), "text/html").body.childNodes);
    } catch { /* The next one may do. */ }
  }, 15000);

  const again = () => {
    const main = $("#main");
    const reading = main.matches(":has(:focus-visible)") || main.matches(":has(.plot:hover)") || $("dialog[open]") || $("#custom")?.open || getSelection().type === "Range";
    if (!document.hidden && main.dataset.today === "yes" && !reading && !document.body.classList.contains("busy")) show(location.href, { push: false, quiet: true });
    setTimeout(again, Number(main.dataset.refresh) * 1000);
  };
  setTimeout(again, Number($("#main").dataset.refresh) * 1000);

  // -- Keyboard ---------------------------------------------------------------------------------------------------------

  // A popover, where there are any: a modal dialog has the whole page behind it worked out anew.
  const sheet = $("#help");
  const light = typeof sheet.showPopover === "function";
  const helping = () => (light ? sheet.matches(":popover-open") : sheet.open);
  const help = () => { if (!helping()) { if (light) sheet.showPopover(); else sheet.showModal(); } };
  $("#help-open").hidden = false;
  $("#help-open").addEventListener("click", help);
  if (light) sheet.addEventListener("submit", (event) => { event.preventDefault(); sheet.hidePopover(); });
  document.addEventListener("keydown", (event) => {
    // A sheet just closed holds the focus until the next frame: only an open one has keys of its own.
    if (event.metaKey || event.ctrlKey || event.altKey || event.target.closest("input, textarea, select, dialog[open]")) return;
    if (event.key === "?") { help(); return; }
    if (helping()) return;
    if (event.key === "Escape" && $("details.menu[open], details.custom[open]")) {
      document.querySelectorAll("details.menu, details.custom").forEach((one) => one.removeAttribute("open"));
      return;
    }
    const link = document.querySelector(`#main a[data-key="${CSS.escape(event.key)}"]`);
    if (link) { event.preventDefault(); go(link.href); }
  });

  // -- Size and colours follow the window -------------------------------------------------------------------------------

  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width || !plot) return;
    width = innerWidth;
    const holder = $("#plot");
    plot.setSize({ width: holder.clientWidth, height: holder.clientHeight });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawGraph);
  drawGraph();
})();
