"""Who hears what of a run: whoever watches this process, and the journal, which is that of the whole run."""

from __future__ import annotations

from collections.abc import Sequence

from colt import events
from colt.events import Emit, Event
from colt.store.journal import Journal


class Telling:
    """Passes on what happens. The journal has what was told before it was there as well."""

    def __init__(self, watching: Sequence[Emit]) -> None:
        self.messages: list[str] = []
        """What the user was told."""
        self._watching = tuple(watching)
        self._journal: Journal | None = None
        self._early: list[Event] = []
        """Events before there is a journal."""
        self._told_early = ""
        """News that whoever watches was told before it came."""

    def emit(self, event: Event) -> None:
        """Pass an event to everybody."""
        if self._journal is None:
            self._early.append(event)
        for listener in self._watching:
            listener(event)
        if self._journal is not None:
            self._journal(event)

    def note(self, message: str) -> None:
        """Tell the user, now and in the receipt."""
        self.messages.append(message)
        self.emit(events.Noted(message))

    def note_news(self, text: str) -> None:
        """Note what is new about hosts; what whoever watches was told already is new to the journal."""
        if text != self._told_early:
            self.note(text)
            return
        self._told_early = ""
        self.messages.append(text)
        write: Emit = self._journal or self._early.append
        write(events.Noted(text))

    def tell_watching(self, message: str) -> None:
        """Tell whoever watches what concerns this process alone."""
        for listener in self._watching:
            listener(events.Noted(message))

    def tell_early(self, text: str) -> None:
        """Tell whoever watches what will be news."""
        self.tell_watching(text)
        self._told_early = text

    def waits(self, text: str) -> None:
        """Tell whoever watches what this process waits for."""
        for listener in self._watching:
            listener(events.Began(text))

    def keep(self, journal: Journal) -> None:
        """Write all to a journal, what was told before first."""
        for event in self._early:
            journal(event)
        self._journal = journal
