"""What the demo site says: plans, articles and the deals behind the login. Text only; the templates lay it out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Plan:
    name: str
    price: int
    """Euros a seat and month."""
    audience: str
    features: tuple[str, ...]
    action: str
    featured: bool = False


@dataclass(frozen=True, slots=True)
class Article:
    slug: str
    title: str
    published: date
    minutes: int
    author: str
    role: str
    topic: str
    lead: str
    sections: tuple[tuple[str, tuple[str, ...]], ...]
    """Headings (an empty one for the opening) and their paragraphs."""
    quote: str
    video: str | None = None
    """A video id on YouTube, embedded after the opening."""
    hue: int = 150
    """The cover's hue in degrees."""
    drawing: int = 0
    """Which of the three covers."""

    @property
    def path(self) -> str:
        return f"/blog/{self.published.year}/{self.slug}"


@dataclass(frozen=True, slots=True)
class Step:
    when: str
    what: str
    who: str
    kind: str


@dataclass(frozen=True, slots=True)
class Deal:
    number: int
    company: str
    title: str
    stage: str
    value: int
    """Euros a year."""
    chance: int
    """Per cent."""
    owner: str
    next_step: str
    due: str
    contact: str
    role: str
    steps: tuple[Step, ...] = ()

    @property
    def path(self) -> str:
        return f"/app/deals/{self.number}"

    @property
    def weighted(self) -> int:
        return self.value * self.chance // 100


STAGES = ("First talk", "Needs clear", "Offer sent", "Signing")

PLANS = (
    Plan(
        name="Solo",
        price=0,
        audience="For one person who sells on the side of everything else.",
        features=("250 contacts", "Mail and calendar on one thread", "One pipeline", "Export at any time"),
        action="Start free",
    ),
    Plan(
        name="Team",
        price=24,
        audience="For the five to fifty who share customers and want to know who said what.",
        features=(
            "Contacts without a limit",
            "Handovers with the whole story",
            "Forecasts from commitments, not moods",
            "Four pipelines, your own stages",
            "Help from people within two hours",
        ),
        action="Try Team for 30 days",
        featured=True,
    ),
    Plan(
        name="House",
        price=49,
        audience="For companies with several teams, countries or a works council.",
        features=(
            "Everything in Team",
            "Roles down to the field",
            "Single sign-on and audit trail",
            "Data kept in Frankfurt or Helsinki",
            "A person you know by name",
        ),
        action="Talk to us",
    ),
)

QUESTIONS = (
    (
        "Do I pay for people who only read?",
        "No. A seat is somebody who writes: mails, notes, offers. Readers and auditors are free, as many as you like.",
    ),
    (
        "Can we leave again?",
        "In one click. You get every contact, mail, note and file as plain CSV and EML, in the folders you had here.",
    ),
    (
        "How long does moving in take?",
        "Most teams import in an afternoon. We read exports of eleven other systems and show what won't fit"
        " beforehand.",
    ),
    (
        "Is there a discount for schools and charities?",
        "Half the price, for good. Write to us from your own domain and we switch it over the same day.",
    ),
)

ARTICLES = (
    Article(
        slug="handing-over-a-customer",
        title="Handing over a customer without losing the thread",
        published=date(2026, 10, 27),
        minutes=6,
        author="Ines Vollmer",
        role="Customer care",
        topic="Teamwork",
        lead="A customer changes hands three times before the first renewal. Each time a little of the story is lost."
        " Here is how we stopped that, with one page and twenty minutes.",
        sections=(
            (
                "",
                (
                    "Nobody forgets the big things. The contract is in the system, the price is in the"
                    " contract. What gets"
                    " lost is why the customer came, whom they trust, and the one promise that was made on the phone.",
                    "We watched forty handovers last spring, in our own house and in nine others. The film below shows"
                    " one that went well, cut down to two minutes.",
                ),
            ),
            (
                "One page, written by the one who leaves",
                (
                    "The page has five lines: why they bought, who decides, what we promised, what worries them, what"
                    " happens next. It is written before the call, not after, and by the person who knows.",
                    "It sounds like a form. It is not: a form asks for everything, and so gets nothing. Five lines get"
                    " written on a train.",
                ),
            ),
            (
                "Twenty minutes with the customer in the room",
                (
                    "The old and the new contact sit with the customer, and the old one reads the page aloud."
                    " The customer"
                    " corrects it. That correction is worth the whole meeting: in thirty-one of forty cases"
                    " something was"
                    " wrong, and in eleven it would have cost the renewal.",
                    "After that the thread is whole again. The new contact can pull on it, and something moves.",
                ),
            ),
        ),
        quote="A form asks for everything, and so gets nothing.",
        video="DEMOrelaso1",
        hue=158,
    ),
    Article(
        slug="forecasts-that-hold",
        title="Forecasts that hold: ask for commitments, not for percentages",
        published=date(2026, 9, 8),
        minutes=4,
        author="Tomasz Reuter",
        role="Product",
        topic="Forecasting",
        lead="Sixty per cent sure is not a number, it is a mood. We replaced it with a question that can be answered.",
        sections=(
            (
                "",
                (
                    "Ask someone how likely a deal is, and you learn how they slept. Ask what the customer has"
                    " committed to"
                    " since last week, and you learn something about the deal.",
                ),
            ),
            (
                "Four commitments",
                (
                    "They gave us a date. They brought in the person who signs. They sent their own numbers."
                    " They asked for"
                    " the contract. Each of these is something the customer did, and each can be looked up.",
                    "We weigh them by what happened in the past two years, team by team. The forecast got"
                    " narrower by half,"
                    " and nobody has to argue about moods on Mondays.",
                ),
            ),
            (
                "What to do on Monday",
                (
                    "Take your ten largest deals. Strike out the percentages. Write the last thing the customer"
                    " did next to"
                    " each, with its date. The list sorts itself.",
                ),
            ),
        ),
        quote="Ask how likely a deal is, and you learn how they slept.",
        hue=18,
        drawing=1,
    ),
    Article(
        slug="small-crm-on-purpose",
        title="Why we keep our CRM small on purpose",
        published=date(2026, 6, 16),
        minutes=5,
        author="Maren Aalto",
        role="Founder",
        topic="How we work",
        lead="We have removed more from Relaso this year than we have added. A few words on what went, and why.",
        sections=(
            (
                "",
                (
                    "Every feature is a question put to everybody who opens the page. Most of them answer: not today. A"
                    " tool that asks fewer questions gets more answers.",
                ),
            ),
            (
                "What went",
                (
                    "Lead scores went: nobody could say what they meant. Mandatory fields went: they filled up"
                    " with full"
                    " stops. The activity wall went, and nobody wrote in.",
                    "What stayed is the thread: who talked to whom, about what, and what was promised.",
                ),
            ),
        ),
        quote="A tool that asks fewer questions gets more answers.",
        hue=92,
        drawing=2,
    ),
)

DEALS = (
    Deal(
        number=17,
        company="Nordlicht Druckerei",
        title="Team, 12 seats",
        stage="Offer sent",
        value=3456,
        chance=70,
        owner="Ines",
        next_step="Call about the handover date",
        due="Tue 24 Nov",
        contact="Jette Harms",
        role="Managing director",
        steps=(
            Step("18 Nov", "Offer opened three times, last from Kiel", "Relaso", "seen"),
            Step("17 Nov", "Sent the offer with a start in January", "Ines Vollmer", "mail"),
            Step("12 Nov", "They brought in the person who signs: Jette Harms", "Ines Vollmer", "commitment"),
            Step("05 Nov", "Showed the handover page to four of the team", "Tomasz Reuter", "call"),
            Step("29 Oct", "Wrote to us after reading the article on handovers", "Jette Harms", "mail"),
        ),
    ),
    Deal(21, "Alpenrad Verleih", "House, 40 seats", "Signing", 23520, 90, "Tomasz", "Contract back from legal",
         "Mon 23 Nov", "Luis Gamper", "Head of sales"),
    Deal(24, "Kanzlei Brandt & Ocak", "Team, 9 seats", "Needs clear", 2592, 45, "Ines",
         "Send the data-processing terms",
         "Wed 25 Nov", "Deniz Ocak", "Partner"),
    Deal(25, "Hafenküche", "Team, 6 seats", "First talk", 1728, 20, "Maren", "Visit, Thursday noon", "Thu 26 Nov",
         "Pia Lorenz", "Owner"),
    Deal(26, "Solarhof Uckermark", "House, 22 seats", "Offer sent", 12936, 60, "Tomasz", "They send their own numbers",
         "Fri 27 Nov", "Arne Thiel", "Operations"),
    Deal(28, "Lautwerk Studios", "Team, 15 seats", "Needs clear", 4320, 40, "Maren", "Import trial with their export",
         "Mon 30 Nov", "Sofia Marek", "Producer"),
    Deal(30, "Bücherstube am Tor", "Solo to Team, 5 seats", "First talk", 1440, 30, "Ines", "Call back", "Tue 01 Dec",
         "Hanna Quint", "Owner"),
)  # fmt: skip

VOICES = (
    ("We found a promise from 2023 on the thread. We kept it. They stayed.", "Jette Harms", "Nordlicht Druckerei"),
    ("The first system that my field staff open without being told to.", "Luis Gamper", "Alpenrad Verleih"),
    ("Moving in took from lunch to cake.", "Pia Lorenz", "Hafenküche"),
)


def article(year: int, slug: str) -> Article | None:
    return next((each for each in ARTICLES if each.published.year == year and each.slug == slug), None)


def deal(number: int) -> Deal | None:
    return next((each for each in DEALS if each.number == number), None)
