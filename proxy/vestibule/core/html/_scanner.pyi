"""The compiled scanner. It may be missing: see `scanner`."""

from collections.abc import Mapping

Item = tuple[int, bytes, bytes, int, object]
"""An attribute: where its name starts, its name as written, its raw value and where that starts, and what is known of
the origin that holds it back, if one does."""
Attributes = tuple[tuple[bytes, int, str | None], ...]
Question = tuple[int, str | bytes | None, bytes, int]
Tag = tuple[int, int, int, int, int, bytes, tuple[Item, ...], int]

INTERFACE: int
"""Must be `scanner.INTERFACE`, else this was built from other sources."""

class Scanner:
    def __new__(
        cls, elements: dict[bytes, tuple[int, bool, bool, bool, Attributes]], pragmas: frozenset[bytes], /
    ) -> Scanner:
        """elements: by lower-case name `scanner.Role`, whether it belongs into a head, whether its end tag matters,
        whether it does in a head, and attributes with `scanner.Form` and kind. pragmas: ``http-equiv`` that do
        nothing."""

    def scan(
        self,
        buffer: bytes,
        position: int,
        where: int,
        origins: Mapping[str, Mapping[bytes | None, object]],
        links: Mapping[bytes, str | None],
        types: Mapping[bytes, str],
        within: int,
        /,
    ) -> int | Question | Tag:
        """Read on from ``position``, where no tag is open, over what needs nobody.

        Returns where it stops: at the end or where something stands that has to be looked at closely. Or a question:
        where to read on with the answer, and of what something has to be known: a kind and an origin, None and a link's
        raw relation, or ``b"type"`` and that of a script. Or a start tag to be judged: a `scanner.Verdict`, where it
        starts, where its name ends, where it ends, where to read on (where a script's text ends, -1 if that is not
        known), its lower-case name, and of its attributes those that matter. Both end with what is to be passed as
        ``within`` with the next call for this buffer: where a noscript element ends of which the tags are read like
        any, 0 or less where there is none.

        where: flags of `scanner.Where`. origins: what `judge.Judge.origins` knows. links, types: what is known of raw
        values of ``rel`` and of a script's ``type`` (`judge.Judge.link_kind`, `judge.Judge.script_type`).
        """
