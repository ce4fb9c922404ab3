"""Puts agents' questions to a language model: within the business's budget, within a time, and never twice at once.

The most a call can take is leased before it is made and settled after it, each in a transaction of its own: a process
that ends in between leaves a call that counts in full. After a few failures in a row the model is left alone for a
while, so that decisions do not wait for a provider that is down.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog
from pydantic import ValidationError

from flipsync.domain.errors import ChannelError, InvalidInput, OutcomeUnknown, Rejected, Retryable
from flipsync.domain.text import storable
from flipsync.intelligence.language.openai_chat import OpenAIChat
from flipsync.intelligence.language.port import LanguageModel, Price, Unusable, Usage, most
from flipsync.intelligence.language.question import Question
from flipsync.services.language_desk import NO_MODEL, Answer
from flipsync.services.tenant_settings import profile
from flipsync.settings import LanguageSettings, language_settings
from flipsync.store.repositories import language as rows
from flipsync.store.unit_of_work import Store

log = structlog.get_logger()
#: failures in a row after which a model is left alone, and for how long; its own wish counts up to ten times that
_FAILURES, _REST_SECONDS = 3, 30.0
_MICROS_A_CENT = 10_000


class Asker:
    """Asks one model for the agents of one process."""

    def __init__(self, store: Store, model: LanguageModel, price: Price) -> None:
        self._store = store
        self.model = model
        self._price = price
        self._failures = 0
        self._rests_until = 0.0

    async def answers(self, tenant_id: UUID, questions: Sequence[Question]) -> dict[str, Answer]:
        """The answers by digest, asked for at the same time; an equal question is put once."""
        by_digest = {question.digest(): question for question in questions}
        found = await asyncio.gather(*(self._answer(tenant_id, *each) for each in by_digest.items()))
        return dict(zip(by_digest, found, strict=True))

    async def _answer(self, tenant_id: UUID, digest: str, question: Question) -> Answer:
        if time.monotonic() < self._rests_until:
            return Answer(why=f"{self.model.name} has failed lately and is left alone for a while")
        call_id = await self._lease(tenant_id, digest, question)
        if call_id is None:
            return Answer(why="what the business lets a language model use within 24 hours is used up")
        usage: Usage | None = None
        value = None
        try:
            reply = await self.model.ask(question)
        except ChannelError as error:
            state, why = _state(error), error.message
            usage = error.usage if isinstance(error, Unusable) else None
            if usage is None and not isinstance(error, OutcomeUnknown | Unusable):
                usage = Usage(0, 0)
            self._failed(error)
            log.warning("a language model gave no answer", model=self.model.name, prompt=question.prompt, why=why)
        else:
            state, why, usage, value = "answered", "", reply.usage, storable(reply.value.model_dump(mode="json"))
            self._failures = 0
        async with self._store.database.session(tenant_id) as session:
            await rows.settle(
                session,
                tenant_id,
                call_id,
                digest,
                state=state,
                why=why,
                value=value,
                tokens=None if usage is None else usage.tokens,
                cost_micros=None if usage is None else self._price.micros(usage),
            )
        return Answer(value=value, why=why, model=self.model.name, call_id=call_id)

    async def _lease(self, tenant_id: UUID, digest: str, question: Question) -> UUID | None:
        at_most = most(question)
        call = {
            "prompt": question.prompt,
            "version": question.version,
            "prompt_sha256": question.sha256,
            "question": digest,
            "model": self.model.name,
        }
        async with self._store.database.session(tenant_id) as session:
            choices = (await profile(session, tenant_id)).settings.language
            return await rows.lease(
                session,
                tenant_id,
                call,
                tokens=at_most.tokens,
                cost_micros=self._price.micros(at_most),
                most_tokens=choices.tokens_per_day,
                most_micros=choices.usd_cents_per_day * _MICROS_A_CENT,
            )

    def _failed(self, error: ChannelError) -> None:
        if isinstance(error, Unusable):  # it is there, and answers
            return
        self._failures += 1
        wish = error.after if isinstance(error, Retryable) else None
        auth = isinstance(error, Rejected) and error.auth
        if wish or auth or self._failures >= _FAILURES:
            self._rests_until = time.monotonic() + min(wish or _REST_SECONDS, 10 * _REST_SECONDS)


def configured(wanted: LanguageSettings) -> tuple[LanguageModel, Price]:
    """The installation's model and what it costs. Raises InvalidInput where there is none, or too little is known."""
    if not wanted.model:
        raise InvalidInput(NO_MODEL, hint="FLIPSYNC_LANGUAGE_MODEL names one")
    model = OpenAIChat(wanted.model, base_url=wanted.address(), api_key=wanted.api_key, seconds=wanted.seconds)
    return model, wanted.price()


def settings(environ: Mapping[str, str] | None = None) -> LanguageSettings:
    """From the environment. Raises InvalidInput, without repeating a value, where it cannot be read."""
    try:
        return language_settings(environ)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]).upper().removeprefix("FLIPSYNC_LANGUAGE_")
        raise InvalidInput(f"FLIPSYNC_LANGUAGE_{name}: {first['msg']}") from None


def asker(store: Store) -> Asker | str:
    """By the environment: who asks, or why nobody does. What is set up wrongly never keeps an agent from deciding."""
    try:
        return Asker(store, *configured(settings()))
    except InvalidInput as error:
        why = error.message
    if why != NO_MODEL:
        log.warning("the language model is not set up", why=why)
    return why


def _state(error: ChannelError) -> str:
    if isinstance(error, Rejected):
        return "rejected"
    return "unknown" if isinstance(error, OutcomeUnknown) else "retryable"
