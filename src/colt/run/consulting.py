"""The language models of one run: the desk where they are asked, what they are told, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import InitVar, dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self

from colt import events
from colt.errors import ReplayError
from colt.proposers.dispatcher import Asking
from colt.proposers.language.calls import Call
from colt.proposers.language.findings import recall
from colt.proposers.language.model import LanguageModel
from colt.proposers.language.money import PICODOLLARS, Ledger
from colt.proposers.language.prompt import stable_text, worded_as_now
from colt.proposers.language.retry import RetryPolicy
from colt.proposers.worth import why_stop_paying
from colt.run.calling import calls_at_once, member_in_words
from colt.search.types import Proposer, Space
from colt.store.receipt import FoundPart
from colt.tvm.briefing import brief
from colt.world.answers import Endpoints, StableText
from colt.world.recordable import RecordableDesk

if TYPE_CHECKING:
    from colt.proposers.language.chat_desk import ChatDesk
    from colt.run.context import Run

RETRY = RetryPolicy(total_s=60.0)
"""A run has better things to do than to wait longer for one answer."""


@dataclass(slots=True)
class Consulting:
    """Enter it to be able to ask; leaving gives up whatever is still under way.

    ``experts`` are members of the pool that answer at once, ``feeders`` those who fill the time.
    """

    session: Run
    space: InitVar[Space]
    experts: InitVar[Mapping[str, Proposer]]
    feeders: InitVar[Sequence[Proposer]]
    calls: list[Call] = field(default_factory=list)
    """All that have come back."""
    found: Mapping[str, FoundPart] = field(init=False)
    """What is known of the endpoints, by model."""
    asking: Asking = field(init=False)
    _desk: RecordableDesk = field(init=False)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self, space: Space, experts: Mapping[str, Proposer], feeders: Sequence[Proposer]) -> None:
        session, plan = self.session, self.session.plan
        most = calls_at_once(plan.config, plan.pool.models)
        self.found = session.outside.take(
            "endpoints", Endpoints, lambda: Endpoints(found=recall(plan.pool.models))
        ).found
        models, reworded = self._models(space)
        self._desk = RecordableDesk(session.outside, lambda: self._open_desk(most), most, reworded)
        self.asking = Asking(
            session.search,
            self._desk,
            models,
            experts,
            feeders,
            slots={member.name: member.concurrency for member in plan.pool.models},
            trials_total=plan.budget.trials,
            why_stop=self._why_stop_paying,
            strict=plan.calling.strict_pool,
            stopped=lambda: session.stop_requested() is not None,
            told=self._told,
            note=session.note,
            watch=session.watch,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def given_up(self) -> bool:
        """Whether the run is to end because no model can be asked."""
        return self.session.plan.calling.strict_pool and self.asking.abandoned

    def hang_up(self) -> None:
        """Nothing more is asked; what is still under way is given up, and paid for."""
        for call in self._desk.close().calls:
            self._told(call)

    def _models(self, space: Space) -> tuple[dict[str, LanguageModel], bool]:
        """The language models, and whether this replays prompts that an older version of COLT worded."""
        session, plan = self.session, self.session.plan
        hardware, vector_math = session.ceiling.hardware, not plan.exact_math
        briefing = brief(session.space, plan.program, hardware, plan.threads, vector_math=vector_math)
        pool = [member_in_words(member) for member in plan.pool.members]
        text = stable_text(briefing, pool)
        recorded = session.outside.take("stable text", StableText, lambda: StableText(text=text)).text
        reworded = not worded_as_now(recorded)
        if recorded != text and not reworded:
            raise ReplayError("the text that every prompt begins with is another one")
        models = {one.name: LanguageModel(one.spec, pool, text, briefing, space) for one in plan.pool.models}
        return models, reworded

    def _open_desk(self, most: int) -> ChatDesk:
        from colt.proposers.language.chat_desk import ChatDesk
        from colt.proposers.language.client import ChatClient

        plan = self.session.plan
        ledger = Ledger(plan.calling.ceilings)
        clients = [ChatClient(member, ledger, retry=RETRY, seed=plan.seed) for member in plan.pool.models]
        return self._stack.enter_context(ChatDesk(clients, most))

    def _why_stop_paying(self) -> str | None:
        session, plan = self.session, self.session.plan
        paid = [member.name for member in plan.pool.models if not member.is_free]
        if plan.calling.keep_paying or not paid:
            return None
        return why_stop_paying(session.search.trials, paid, session.ceiling.share(session.best_us))

    def _told(self, call: Call) -> None:
        """A call has come back."""
        session = self.session
        self.calls.append(call)
        session.proposer_seconds[call.model] = session.proposer_seconds.get(call.model, 0.0) + call.seconds
        spent = call.spent
        session.emit(
            events.Called(
                call.ticket,
                call.model,
                call.error or "",
                call.message,
                call.seconds,
                spent.calls,
                spent.input,
                spent.cached,
                spent.output,
                spent.picodollars / PICODOLLARS,
            )
        )
