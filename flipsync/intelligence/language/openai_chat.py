"""Models behind the chat-completions protocol, through the `openai` client: a provider's, or a server of your own.

The client is imported when it is first asked something: it takes a second and many megabytes. Answers are read under
a limit of bytes and of time. The key goes into a header, never into a message, an error or a log.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected, Retryable
from flipsync.intelligence.language.fence import messages
from flipsync.intelligence.language.port import MOST_TOKENS_OUT, LanguageModel, Reply, Unusable, Usage, as_asked, most
from flipsync.intelligence.language.question import Question

_MOST_BYTES = 256 * 1024
#: keywords of JSON Schema that strict providers refuse; pydantic checks them afterwards
_NOT_STRICT = ("default", "title", "pattern", "format", "minLength", "maxLength")


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Message(_Wire):
    content: str | None = None
    refusal: str | None = None


class _Choice(_Wire):
    message: _Message
    finish_reason: str | None = None


class _Used(_Wire):
    prompt_tokens: int = Field(ge=0, le=10_000_000)
    completion_tokens: int = Field(ge=0, le=10_000_000)


class _Completion(_Wire):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Used | None = None


class OpenAIChat(LanguageModel):
    """One model at one address. `seconds` is how long a whole call may take."""

    def __init__(self, model: str, *, base_url: str, api_key: SecretStr, seconds: float = 12.0) -> None:
        self.name = model
        self._base_url = base_url
        self._key = api_key
        self._seconds = seconds
        self._client: Any = None

    async def ask(self, question: Question) -> Reply:
        if self._client is None:
            self._client = self._open()
        try:
            async with asyncio.timeout(self._seconds):
                body = await self._send(question)
        except TimeoutError:
            raise OutcomeUnknown(f"no answer within {self._seconds:g} seconds") from None
        return _read(question, body)

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.close()

    def _open(self) -> Any:
        openai = importlib.import_module("openai")
        return openai.AsyncOpenAI(
            base_url=self._base_url,
            api_key=self._key.get_secret_value() or "none",  # a server of one's own may ask for no key
            timeout=self._seconds,
            max_retries=0,  # whoever asks knows what it costs to ask again
        )

    async def _send(self, question: Question) -> bytes:
        from httpx2 import HTTPError
        from openai import APIConnectionError, APIStatusError

        # the provider's own name for it; servers of one's own know the older one, and keep to limits of length
        theirs = urlsplit(self._base_url).hostname == "api.openai.com"
        limit = "max_completion_tokens" if theirs else "max_tokens"
        schema = strict(question.shape.model_json_schema(), without=_NOT_STRICT if theirs else ())
        shape = {"name": question.prompt, "strict": True, "schema": schema}
        asked: dict[str, Any] = {
            "model": self.name,
            "messages": messages(question),
            "response_format": {"type": "json_schema", "json_schema": shape},
            limit: MOST_TOKENS_OUT,
        }
        body = b""
        try:
            async with self._client.chat.completions.with_streaming_response.create(**asked) as response:
                async for piece in response.iter_bytes():
                    body += piece
                    if len(body) > _MOST_BYTES:
                        raise Unusable(f"the answer is longer than {_MOST_BYTES} bytes", None)
        except APIStatusError as error:
            raise _refused(error.status_code, error.response.headers.get("retry-after")) from None
        except APIConnectionError as error:
            raise _cut_off(type(error.__cause__).__name__) from None
        except HTTPError as error:
            raise _cut_off(type(error).__name__) from None
        return body


def strict(schema: Any, *, without: Sequence[str]) -> Any:
    """A schema in which every property is asked for and no other allowed, without keywords the provider refuses."""
    if isinstance(schema, Sequence) and not isinstance(schema, str):
        return [strict(each, without=without) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        key: {name: strict(each, without=without) for name, each in value.items()}
        if key in ("properties", "$defs")
        else strict(value, without=without)
        for key, value in schema.items()
        if key not in without
    }
    if kept.get("type") == "object":
        kept |= {"additionalProperties": False, "required": sorted(kept.get("properties", {}))}
    return kept


def _refused(status: int, after: str | None) -> ChannelError:
    """By status: what the provider did not take, what it may take later, what may have been worked on."""
    words = f"the provider answered {status}"
    if status in (408, 504):
        return OutcomeUnknown(words, vendor_status=status)
    if status in (409, 425, 429) or status >= 500:
        seconds = float(after) if after and after.replace(".", "", 1).isdigit() else None
        return Retryable(words, after=seconds, vendor_status=status)
    return Rejected(words, vendor_status=status, auth=status in (401, 403), missing=status == 404)


def _cut_off(how: str) -> ChannelError:
    if how in ("ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol"):
        return Retryable(f"the provider cannot be reached ({how})")
    return OutcomeUnknown(f"the connection ended without an answer ({how})")


def _read(question: Question, body: bytes) -> Reply:
    try:
        completion = _Completion.model_validate_json(body)
    except ValidationError:
        raise Unusable("the provider's answer is no chat completion", None) from None
    used = completion.usage
    usage = None if used is None else Usage(used.prompt_tokens, used.completion_tokens)
    choice = completion.choices[0]
    if choice.message.refusal:
        raise Unusable("the model refused", usage)
    if choice.finish_reason not in ("stop", None):
        known = choice.finish_reason if choice.finish_reason in ("length", "content_filter") else "for another reason"
        raise Unusable(f"the answer ended early ({known})", usage)
    if not choice.message.content:
        raise Unusable("the answer is empty", usage)
    value = as_asked(question, choice.message.content, usage)
    return Reply(value, usage or most(question))  # who does not say what it took is taken to have taken all it could
