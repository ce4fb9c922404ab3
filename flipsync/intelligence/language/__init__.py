"""Language models behind one port: a pydantic type in, a validated value out, and nothing else believed.

Words from outside go in as fenced data (fence), what comes out is checked against the facts (claims). Models are
reached through the `openai` client (openai_chat); tests and notebooks bring a script (scripted).
"""

from flipsync.intelligence.language.claims import Claim, Dropped, check, verified
from flipsync.intelligence.language.port import LanguageModel, Price, Reply, Usage
from flipsync.intelligence.language.question import Fact, Outside, Prompt, Question
from flipsync.intelligence.language.scripted import OutOfScript, ScriptedModel, Step

__all__ = [
    "Claim",
    "Dropped",
    "Fact",
    "LanguageModel",
    "OutOfScript",
    "Outside",
    "Price",
    "Prompt",
    "Question",
    "Reply",
    "ScriptedModel",
    "Step",
    "Usage",
    "check",
    "verified",
]
