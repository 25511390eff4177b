"""Every way in which a page may reach somebody else: as markup, and by script. Each has a host of its own.

So a host in the foreign listener's list says which way was open, by a mere connection too. All of them are below one
domain, which the tests configure as one service.
"""

from __future__ import annotations

import enum
import html
import json
from collections.abc import Iterable
from dataclasses import dataclass

DOMAIN = "ways.example"
SNIPPET = "knownSnippet"
"""The word by which the configuration knows the inline scripts here."""
TRACKERS = f"""\
unknown: block
custom:
  ways: {{hosts: [{DOMAIN}], inline: [{SNIPPET}], purpose: marketing, state: ask}}
"""


class Layer(enum.Enum):
    """Which layer is answerable for a way."""

    BOTH = "both"
    POLICY = "policy"
    """Left to the policy: what CSS loads, and inline scripts that no service is known by."""
    REWRITING = "rewriting"
    """A hint: no policy covers it."""


@dataclass(frozen=True, slots=True)
class Way:
    """text: markup, or the body of a function of `url`, with NAME's address for every ``URL``.

    frame: Chromium connects to the host (and no more) before it asks the policy."""

    text: str
    layer: Layer = Layer.BOTH
    frame: bool = False
    scripts: bool = True
    """Whether Chromium contacts somebody with scripts switched on."""
    plain: bool = True
    """Whether it does with scripts switched off."""


def host(name: str) -> str:
    return f"{name}.{DOMAIN}"


def address(name: str) -> str:
    return f"https://{host(name)}/{name}"


def hosts(names: Iterable[str]) -> set[str]:
    return {host(name) for name in names}


def _srcdoc(markup: str) -> str:
    return f'<iframe srcdoc="{html.escape(markup)}"></iframe>'


PICTURE = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAAAAACH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
_RULES = json.dumps({"prefetch": [{"source": "list", "urls": ["URL"], "eagerness": "immediate"}]})

MARKUP: dict[str, Way] = {
    # scripts
    "script": Way('<script src="URL"></script>', plain=False),
    "script-async": Way('<script src="URL" async></script>', plain=False),
    "script-defer": Way('<script src="URL" defer></script>', plain=False),
    "script-module": Way('<script src="URL" type="module"></script>', plain=False),
    "script-svg": Way('<svg><script href="URL"></script></svg>', plain=False),
    "script-known": Way(f'<script>/* {SNIPPET} */ new Image().src = "URL";</script>', plain=False),
    "script-own": Way('<script>new Image().src = "URL";</script>', Layer.POLICY, plain=False),
    "script-handler": Way('<img src="data:," onerror="fetch(\'URL\')">', Layer.POLICY, plain=False),
    "script-import": Way('<script type="module">import "URL";</script>', Layer.POLICY, plain=False),
    # frames
    "frame": Way('<iframe src="URL"></iframe>', frame=True),
    "frame-set": Way(_srcdoc('<frameset><frame src="URL"></frameset>'), frame=True),
    "frame-refresh": Way(_srcdoc('<meta http-equiv="refresh" content="0;url=URL">'), frame=True),
    "frame-data": Way("<iframe src=\"data:text/html,<img src='URL'>\"></iframe>"),
    "frame-javascript": Way("<iframe src=\"javascript:'<img src=URL>'\"></iframe>", Layer.POLICY, plain=False),
    "srcdoc": Way(_srcdoc('<img src="URL">')),
    "srcdoc-base": Way(_srcdoc('<base href="https://srcdoc-base.ways.example/"><img src="srcdoc-base">')),
    "srcdoc-twice": Way(_srcdoc(_srcdoc('<img src="URL">'))),
    "shadow": Way('<div><template shadowrootmode="open"><img src="URL"></template></div>'),
    "noscript": Way('<noscript><img src="URL"></noscript>', scripts=False),
    # plugins of old
    "object": Way('<object data="URL"></object>', frame=True),
    "object-typed": Way('<object data="URL" type="image/gif"></object>', frame=True),
    "embed": Way('<embed src="URL">', frame=True),
    # pictures and media
    "image": Way('<img src="URL">'),
    "image-named": Way('<image src="URL">'),
    "image-set": Way('<img srcset="URL 1x">'),
    "image-lazy": Way('<img src="URL" loading="lazy">'),
    "image-picture": Way('<picture><source srcset="URL"><img></picture>'),
    "image-input": Way('<input type="image" src="URL">'),
    "image-attribution": Way('<img src="data:," attributionsrc="URL">', scripts=False, plain=False),
    "background": Way('<table background="URL"><tr><td>x</table>'),
    "background-cell": Way('<table><tr><td background="URL">x</table>'),
    "background-body": Way(_srcdoc('<body background="URL">x')),
    "video": Way('<video src="URL" preload="auto"></video>'),
    "video-poster": Way('<video poster="URL"></video>'),
    "audio-source": Way('<audio preload="auto"><source src="URL"></audio>'),
    "track": Way('<video crossorigin><track default src="URL"></video>'),
    "svg-image": Way('<svg><image href="URL"/></svg>'),
    "svg-xlink": Way('<svg><image xlink:href="URL"/></svg>'),
    "svg-fe": Way(
        '<svg width=9 height=9><filter id="f"><feImage href="URL"/></filter>'
        '<rect width=9 height=9 filter="url(#f)"/></svg>'
    ),
    "svg-set": Way('<svg width=9 height=9><image width=9 height=9><set attributeName="href" to="URL"/></image></svg>'),
    "svg-animate": Way(
        "<svg width=9 height=9><image width=9 height=9>"
        '<animate attributeName="href" values="URL;URL" dur="9s"/></image></svg>'
    ),
    # links
    "stylesheet": Way('<link rel="stylesheet" href="URL">'),
    "stylesheet-alternate": Way('<link rel="alternate stylesheet" title="x" href="URL">'),
    "icon": Way('<link rel="icon" href="URL">', scripts=False, plain=False),
    "manifest": Way('<link rel="manifest" href="URL">', scripts=False, plain=False),
    "preload-script": Way('<link rel="preload" as="script" href="URL">', plain=False),
    "preload-font": Way('<link rel="preload" as="font" crossorigin href="URL">'),
    "preload-image": Way('<link rel="preload" as="image" imagesrcset="URL 1x">'),
    "preload-fetch": Way('<link rel="preload" as="fetch" crossorigin href="URL">'),
    "modulepreload": Way('<link rel="modulepreload" href="URL">', plain=False),
    "dictionary": Way('<link rel="compression-dictionary" href="URL">'),
    "preconnect": Way('<link rel="preconnect" href="URL">', Layer.REWRITING),
    "dns-prefetch": Way('<link rel="dns-prefetch" href="URL">', Layer.REWRITING, scripts=False, plain=False),
    "prefetch": Way('<link rel="prefetch" href="URL">', Layer.REWRITING),
    "speculation": Way(f'<script type="speculationrules">{_RULES}</script>', Layer.REWRITING, plain=False),
    # what CSS loads
    "style-import": Way('<style>@import "URL";</style>', Layer.POLICY),
    "style-background": Way("<p style=\"background: url('URL')\">x</p>", Layer.POLICY),
    "style-font": Way(
        '<style>@font-face { font-family: F; src: url("URL") }</style><p style="font-family: F">x</p>', Layer.POLICY
    ),
    "style-content": Way('<style>#content::before { content: url("URL") }</style><p id="content">x</p>', Layer.POLICY),
    "style-svg": Way('<svg width=9 height=9><rect width=9 height=9 mask="url(URL#x)"/></svg>', Layer.POLICY),
}
"""Markup that loads by itself."""

CLICKED: dict[str, Way] = {
    "ping": Way('<p><a class="press" href="#x" ping="URL">x</a></p>'),
    "ping-area": Way(
        '<map name="m"><area href="#y" ping="URL" shape="default"></map>'
        f'<img class="press" usemap="#m" width=99 height=20 src="{PICTURE}">'
    ),
    "form": Way(
        '<form action="URL" method="post" target="sink"><button class="press">x</button></form>'
        '<iframe name="sink" width=99 height=20></iframe>',
        frame=True,
    ),
}
"""Markup that loads when it is pressed."""

_INSERT = "const put = (name, more) => document.body.append(Object.assign(document.createElement(name), more));"
_HTML = "const html = text => document.body.insertAdjacentHTML('beforeend', text);"
_WORKER = "const worker = text => new Worker(URL.createObjectURL(new Blob([text])));"
HELPERS = f"{_INSERT}{_HTML}{_WORKER}"

SCRIPTED: dict[str, Way] = {
    # elements
    "element-script": Way("put('script', {src: url})"),
    "element-module": Way("put('script', {type: 'module', textContent: `import '${url}'`})"),
    "element-style": Way("put('link', {rel: 'stylesheet', href: url})"),
    "element-preload": Way("put('link', {rel: 'preload', as: 'script', href: url})"),
    "element-modulepreload": Way("put('link', {rel: 'modulepreload', href: url})"),
    "element-image": Way("new Image().src = url"),
    "element-srcset": Way("new Image().srcset = url"),
    "element-video": Way("put('video', {src: url, preload: 'auto'})"),
    "element-poster": Way("put('video', {poster: url})"),
    "element-audio": Way("new Audio(url).load()"),
    "element-object": Way("put('object', {data: url})", frame=True),
    "element-embed": Way("put('embed', {src: url})", frame=True),
    "element-frame": Way("put('iframe', {src: url})", frame=True),
    "element-srcdoc": Way("put('iframe', {srcdoc: `<img src=${url}>`})"),
    "element-blank": Way(
        "const f = document.createElement('iframe'); document.body.append(f);"
        "new f.contentWindow.Image().src = url; f.contentDocument.body.innerHTML = `<img src=${url}>`"
    ),
    "element-blob": Way(
        "put('iframe', {src: URL.createObjectURL(new Blob([`<img src=${url}>`], {type: 'text/html'}))})"
    ),
    "element-data": Way("put('iframe', {src: `data:text/html,<script src=${url}></script>`})"),
    "element-javascript": Way("put('iframe', {src: `javascript:'<img src=${url}>'`})"),
    "element-own-frame": Way("put('iframe', {src: '/inner?' + url})"),
    # markup
    "write-script": Way("document.write(`<script src=${url}></script>`)"),
    "write-image": Way("document.write(`<img src=${url}>`)"),
    "html-image": Way("html(`<img src=${url}>`)"),
    "html-handler": Way("html(`<img src='data:,' onerror=\"fetch('${url}')\">`)"),
    "html-svg": Way("html(`<svg><image href='${url}'/></svg>`)"),
    "html-shadow": Way(
        "const d = document.createElement('div'); document.body.append(d);"
        "d.attachShadow({mode: 'closed'}).innerHTML = `<img src=${url}>`"
    ),
    "html-fragment": Way(
        "document.body.append(document.createRange().createContextualFragment(`<script src=${url}></script>`))"
    ),
    "html-parsed": Way(
        "document.body.append(new DOMParser().parseFromString(`<img src=${url}>`, 'text/html').images[0])"
    ),
    # requests
    "fetch": Way("fetch(url)"),
    "fetch-opaque": Way("fetch(url, {mode: 'no-cors', keepalive: true, method: 'POST', body: 'x'})"),
    "xhr": Way("const x = new XMLHttpRequest(); x.open('GET', url); x.send()"),
    "xhr-sync": Way("const x = new XMLHttpRequest(); x.open('GET', url, false); x.send()"),
    "beacon": Way("navigator.sendBeacon(url, 'x')"),
    "events": Way("new EventSource(url)"),
    "socket": Way("new WebSocket(url.replace('https', 'wss'))"),
    "later": Way("window.fetchLater ? fetchLater(url, {activateAfter: 0}) : fetch(url)"),
    "import": Way("import(url)"),
    "eval": Way("(0, eval)(`import('${url}')`)"),
    "timer": Way("setTimeout(`new Image().src = '${url}'`)"),
    # workers
    "worker-imports": Way("worker(`importScripts('${url}')`)"),
    "worker-fetch": Way("worker(`fetch('${url}', {mode: 'no-cors'})`)"),
    "worker-module": Way(
        "new Worker(URL.createObjectURL(new Blob([`import '${url}'`], {type: 'text/javascript'})), {type: 'module'})"
    ),
    "worker-own": Way("new Worker('/worker.js?' + url)"),
    "worker-shared": Way("new SharedWorker('/worker.js?' + url)"),
    "worker-service": Way("navigator.serviceWorker.register('/worker.js?' + url, {scope: '/nowhere/'})"),
    # styles
    "css-import": Way("put('style', {textContent: `@import '${url}';`})"),
    "css-url": Way("document.body.style.background = `url('${url}')`"),
    "css-adopted": Way(
        "const s = new CSSStyleSheet(); s.replaceSync(`html { background: url('${url}') }`);"
        "document.adoptedStyleSheets.push(s)"
    ),
    "css-border": Way("html(`<p style=\"border: 1px solid; border-image: url('${url}') 1\">x</p>`)"),
    "font": Way("new FontFace('G', `url(${url})`).load()"),
    "font-face": Way(
        "html(`<style>@font-face { font-family: H; src: url('${url}') }</style><p style='font-family: H'>x</p>`)"
    ),
    # pressed by the script itself
    "press-ping": Way("Object.assign(document.createElement('a'), {href: '#x', ping: url}).click()"),
    "press-form": Way(
        "html('<iframe name=hidden hidden></iframe>');"
        "const f = Object.assign(document.createElement('form'), {action: url, method: 'post', target: 'hidden'});"
        "document.body.append(f); f.submit()",
        frame=True,
    ),
}
"""What scripts try; each is the body of a function."""

NEVER = "navigator.serviceWorker.register(url)"
"""Browsers register no foreign script as a service worker, whatever was agreed to."""


def markup() -> str:
    """A page of all of it."""
    ways = CLICKED | MARKUP
    body = "\n".join(way.text.replace("URL", address(name)) for name, way in ways.items())
    return f"<!doctype html><html><head><title>Ways</title></head><body>\n{body}\n</body></html>"


def scripted() -> str:
    """A page that tries them one after the other, while it is parsed."""
    tries = "\n".join(
        f"<script>attempt({json.dumps(address(name))}, url => {{ {_inside(way.text)} }})</script>"
        for name, way in (SCRIPTED | {"never": Way(NEVER)}).items()
    )
    attempt = "const attempt = (url, way) => { try { way(url); } catch (error) {} };"
    return (
        f"<!doctype html><html><head><title>Scripts</title></head><body><script>{attempt}{HELPERS}</script>\n"
        f"{tries}\n</body></html>"
    )


def _inside(script: str) -> str:
    return script.replace("</script", "<\\/script")


WORKER = """\
const url = decodeURIComponent(location.search.slice(1));
fetch(url, {mode: "no-cors"}).catch(() => {});
importScripts(url);
"""
"""A worker of the site's own. As a service worker it is not installed where that throws, and so tried anew later."""

INNER = "<!doctype html><title>inner</title><script>new Image().src = location.search.slice(1)</script>"
"""A page of the site's own that others frame."""

# Scripts that depend on each other, as they stand in pages. `ran` is what ran, in order.
_LAST = "ran.filter(name => !name.startsWith('async')).at(-1)"
ORDER = f"""<!doctype html><html><head><title>Order</title><script>var ran = window.foreignRan = [];</script>
<script src="{address("deferred")}" defer></script>
<script src="{address("first")}"></script>
<script>/* {SNIPPET} */ ran.push("inline after " + {_LAST});</script>
</head><body>
<script type="module">/* {SNIPPET} */ ran.push("module after " + {_LAST});</script>
<script src="{address("async")}" async></script>
<script src="{address("second")}"></script>
<script>/* {SNIPPET} */ ran.push("inline after " + {_LAST});</script>
<script src="{address("module")}" type="module"></script>
<script src="{address("last")}" defer></script>
<script src="{address("third")}"></script>
</body></html>"""
